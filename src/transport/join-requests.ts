import type { Clock } from '../machines/time-and-chance.js'
import type { JoinAnswer, JoinRequest, TransportHandler } from './ports.js'

/** Requests that may wait for an answer at a time. */
const REQUESTS_MAX = 64
/** The servers that ask to join and wait for an answer: bounded in number and time, each answered once. */
export class JoinRequests {
  readonly #clock: Clock
  readonly #handler: TransportHandler
  readonly #timeoutMs: number
  #waiting = 0

  constructor(clock: Clock, handler: TransportHandler, timeoutMs: number) {
    this.#clock = clock
    this.#handler = handler
    this.#timeoutMs = timeoutMs
  }

  /** Passes a request on. The result withdraws it: nobody listens to an answer any more. */
  ask(request: JoinRequest, answer: (answer: JoinAnswer) => void): () => void {
    if (this.#waiting >= REQUESTS_MAX) {
      answer({ kind: 'refused', reason: `${this.#waiting} servers are asking to join already: try again later` })
      return () => undefined
    }
    this.#waiting++
    let isWaiting = true
    const withdraw = (): void => {
      if (!isWaiting) return
      isWaiting = false
      this.#waiting--
      this.#clock.clearTimeout(timer)
    }
    const settle = (said: JoinAnswer): void => {
      if (!isWaiting) return
      withdraw()
      answer(said)
    }
    const timer = this.#clock.setTimeout(
      () => settle({ kind: 'refused', reason: 'no answer in time' }),
      this.#timeoutMs,
    )
    this.#handler.joinAsked(request, settle)
    return withdraw
  }
}
