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
  readonly #running = new Set<LoopTimer>()

  constructor(clock: Clock, post: (timer: LoopTimer) => void) {
    this.#clock = clock
    this.#post = post
  }

  readonly now = (): number => this.#clock.now()

  readonly setTimeout = (callback: () => void, delayMs: number): LoopTimer => {
    const timer: LoopTimer = { callback, underlying: undefined, isCleared: false }
    this.#running.add(timer)
    timer.underlying = this.#clock.setTimeout(() => {
      this.#running.delete(timer)
      this.#post(timer)
    }, delayMs)
    return timer
  }

  readonly clearTimeout = (timer: LoopTimer | undefined): void => {
    if (timer === undefined) return
    timer.isCleared = true
    this.#running.delete(timer)
    this.#clock.clearTimeout(timer.underlying)
  }

  /** Clears what still runs: nothing that is left behind keeps a process alive. */
  stop(): void {
    for (const timer of this.#running) this.clearTimeout(timer)
  }
}
