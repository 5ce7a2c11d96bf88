import type { Clock } from '../machines/time-and-chance.js'

export interface KeepAliveSetup {
  readonly clock: Clock
  /** When what was answered first was sent, on the local clock. */
  readonly sentAt: number
  /** It is sent again so long after the last sending that was answered (ms). Infinity: never. */
  readonly intervalMs: number
  /** How long it surely lives after such a sending (ms). Infinity: nobody here can tell. */
  readonly lifetimeMs: number
  /** Sends once; calls `confirmed` or `failed` then. */
  readonly send: () => void
  /** Its time is over. Called once; nothing is sent any more. */
  readonly over: () => void
}

/** A failed sending is repeated after this part of the interval. */
const RETRIES_PER_INTERVAL = 5
/** Node fires a longer timer at once. */
const TIMER_MS_MAX = 0x7fff_ffff

/**
 * Keeps something alive in the cluster from here, with one timer. All is reckoned from when a call was sent that was
 * answered later: the cluster cannot have counted from an earlier moment.
 */
export class KeepAlive {
  readonly #setup: KeepAliveSetup
  #aliveAt: number
  /** When to send next; Infinity while a sending is under way. */
  #dueAt: number
  #timer: unknown
  #isStopped = false

  constructor(setup: KeepAliveSetup) {
    this.#setup = setup
    this.#aliveAt = setup.sentAt
    this.#dueAt = setup.sentAt + setup.intervalMs
    this.#arm()
  }

  /** Until when it surely lives, on the local clock. */
  get until(): number {
    return this.#aliveAt + this.#setup.lifetimeMs
  }

  /** A call that keeps it alive was answered. */
  confirmed(sentAt: number): void {
    this.#aliveAt = Math.max(this.#aliveAt, sentAt)
    // The timer finds this when it goes off; only while it is still to be sent is that too late.
    const wasUnderWay = this.#dueAt === Infinity
    this.#dueAt = this.#aliveAt + this.#setup.intervalMs
    if (wasUnderWay) this.#arm()
  }

  /** The sending failed, or nobody knows what became of it. */
  failed(): void {
    this.#dueAt = this.#setup.clock.now() + this.#setup.intervalMs / RETRIES_PER_INTERVAL
    this.#arm()
  }

  stop(): void {
    this.#isStopped = true
    this.#setup.clock.clearTimeout(this.#timer)
  }

  /** A clock's timers may be a millisecond off, and so may its end be early, but never late by their fault. */
  #review(): void {
    const { clock, send, over } = this.#setup
    const now = clock.now()
    if (this.until - now < 1) {
      this.stop()
      over()
      return
    }
    if (this.#dueAt - now < 1) {
      this.#dueAt = Infinity
      send()
    }
    this.#arm()
  }

  #arm(): void {
    if (this.#isStopped) return
    const { clock } = this.#setup
    clock.clearTimeout(this.#timer)
    this.#timer = undefined
    const delayMs = Math.min(this.#dueAt, this.until) - clock.now()
    if (delayMs === Infinity) return
    this.#timer = clock.setTimeout(() => this.#review(), Math.min(Math.max(0, delayMs), TIMER_MS_MAX))
  }
}
