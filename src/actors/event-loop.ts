import { merge, Subject, type Subscription } from 'rxjs'
import type { LocalEvent } from '../machines/events.js'
import type { Message } from '../machines/messages.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { ServerId } from '../machines/types.js'
import { coalesce } from './coalesce.js'
import type { MergedWrite } from './effect-runner.js'
import type { LoopTimer } from './loop-clock.js'

/** Whatever reaches a server, in the order in which it arrived. */
export type LoopInput =
  | { readonly type: 'message'; readonly from: ServerId; readonly message: Message }
  | { readonly type: 'event'; readonly event: LocalEvent }
  | { readonly type: 'expiry'; readonly timer: LoopTimer }
  /** A write completed: its messages leave before the machine hears of it. */
  | { readonly type: 'written'; readonly write: MergedWrite }
  /** Clients' requests wait to be drained. */
  | { readonly type: 'requests' }

/** Performs one turn: all inputs that have arrived, coalesced and in order. */
export type Turn = (inputs: readonly LoopInput[]) => void

/**
 * One ordered loop a server. Messages, requests, completions and expiries merge into one stream; a turn drains whatever
 * has arrived by the end of the clock's turn, so that batches form by themselves under load and nothing waits when
 * idle. An error in a turn ends the loop and is reported once: nothing is swallowed, and nothing goes on.
 */
export class EventLoop {
  readonly messages = new Subject<LoopInput>()
  readonly requests = new Subject<LoopInput>()
  readonly completions = new Subject<LoopInput>()
  readonly expiries = new Subject<LoopInput>()
  /**
   * What changes nothing that anybody waits for: it is taken in by the next turn, whatever brings that about. A turn
   * for itself would cost more than what is in it (a heartbeat interval is the longest it can wait).
   */
  readonly unhurried = new Subject<LoopInput>()

  readonly #clock: Clock
  readonly #turn: Turn
  readonly #fail: (error: unknown) => void
  readonly #subscription: Subscription
  #inbox: LoopInput[] = []
  #isScheduled = false
  #isStopped = false

  constructor(clock: Clock, turn: Turn, fail: (error: unknown) => void, appendBytesMax: number) {
    this.#clock = clock
    this.#turn = (inputs) => turn(coalesce(inputs, appendBytesMax))
    this.#fail = fail
    this.#subscription = merge(this.messages, this.requests, this.completions, this.expiries).subscribe({
      next: this.#arrive,
      error: (error: unknown) => this.#stopWith(error),
    })
    this.#subscription.add(this.unhurried.subscribe((input) => void this.#inbox.push(input)))
  }

  stop(): void {
    this.#isStopped = true
    this.#inbox = []
    this.#subscription.unsubscribe()
  }

  readonly #arrive = (input: LoopInput): void => {
    this.#inbox.push(input)
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#clock.defer(this.#run)
  }

  readonly #run = (): void => {
    this.#isScheduled = false
    if (this.#isStopped) return
    const inputs = this.#inbox
    this.#inbox = []
    try {
      this.#turn(inputs)
    } catch (error) {
      this.#stopWith(error)
    }
  }

  #stopWith(error: unknown): void {
    if (this.#isStopped) return
    this.stop()
    this.#fail(error)
  }
}
