import type { Clock } from '../machines/time-and-chance.js'

/** A timer of the role machine. */
export interface LoopTimer {
  readonly callback: () => void
  underlying: unknown
  isCleared: boolean
}

/**
 * The clock that the role machine sees. Its expiries go through the loop like everything else, and one that was
 * cleared after it was posted is dropped there.
 */
export class LoopClock {
  readonly #clock: Clock
  readonly #post: (timer: LoopTimer) => void

  constructor(clock: Clock, post: (timer: LoopTimer) => void) {
    this.#clock = clock
    this.#post = post
  }

  readonly now = (): number => this.#clock.now()

  readonly setTimeout = (callback: () => void, delayMs: number): LoopTimer => {
    const timer: LoopTimer = { callback, underlying: undefined, isCleared: false }
    timer.underlying = this.#clock.setTimeout(() => this.#post(timer), delayMs)
    return timer
  }

  readonly clearTimeout = (timer: LoopTimer | undefined): void => {
    if (timer === undefined) return
    timer.isCleared = true
    this.#clock.clearTimeout(timer.underlying)
  }
}
