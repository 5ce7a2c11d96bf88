import type { Clock } from '../../src/machines/time-and-chance.js'

interface Timer {
  readonly at: number
  readonly callback: () => void
}

/** A clock that stands until it is moved, and goes to each deadline in order. */
export class VirtualTime implements Clock {
  #now = 0
  #timers: Timer[] = []
  #deferred: (() => void)[] = []

  now = (): number => this.#now
  wallTime = (): number => this.#now

  setTimeout = (callback: () => void, delayMs: number): unknown => {
    const timer = { at: this.#now + delayMs, callback }
    const next = this.#timers.findIndex(({ at }) => at > timer.at)
    this.#timers.splice(next === -1 ? this.#timers.length : next, 0, timer)
    return timer
  }

  clearTimeout = (timer: unknown): void => {
    this.#timers = this.#timers.filter((one) => one !== timer)
  }

  defer = (callback: () => void): void => {
    this.#deferred.push(callback)
  }

  /** How many are set. */
  get timers(): number {
    return this.#timers.length
  }

  /** Ends this turn and the turns that follow from it, without time going on. */
  turn(): void {
    while (this.#deferred.length > 0) for (const callback of this.#deferred.splice(0)) callback()
  }

  advance(ms: number): void {
    const until = this.#now + ms
    this.turn()
    while (this.#timers[0] !== undefined && this.#timers[0].at <= until) {
      const { at, callback } = this.#timers.shift()!
      this.#now = at
      callback()
      this.turn()
    }
    this.#now = until
  }
}
