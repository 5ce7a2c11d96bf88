import type { Clock } from '../../machines/time-and-chance.js'
import { Violation } from './violation.js'

interface WorldTimer {
  readonly at: number
  readonly order: number
  readonly callback: () => void
  isCleared: boolean
}

/** The shortest delay above none: far below what a real timer can do. */
const RESOLUTION_MS = 1 / 1024

/**
 * Far above what a cluster does at one instant. Five servers that write a state of 200 KB in pieces of 16 bytes need 60,000,
 * and may do so more than once: a snapshot takes no virtual time.
 */
const CALLBACKS_MAX = 1_000_000

/**
 * Virtual time for everything that a simulation holds. It goes from deadline to deadline, equal ones in the order in
 * which they were set, so that a run does not depend on how far it is advanced at a time.
 */
export class VirtualWorld implements Clock {
  #now = 0
  #order = 0
  readonly #heap: WorldTimer[] = []
  #deferred: (() => void)[] = []
  #steps = 0
  /** Callbacks run since time last passed. */
  #atOnce = 0

  readonly now = (): number => this.#now
  /** A fixed date, plus the time that has passed. */
  readonly wallTime = (): number => 1_767_225_600_000 + this.#now

  /** Callbacks run so far. */
  get steps(): number {
    return this.#steps
  }

  readonly setTimeout = (callback: () => void, delayMs: number): WorldTimer => {
    // A delay lost in rounding would let whoever waits for the time to come ask again at the same instant, for ever.
    const waitMs = delayMs > 0 ? Math.max(delayMs, RESOLUTION_MS) : 0
    const timer: WorldTimer = { at: this.#now + waitMs, order: this.#order++, callback, isCleared: false }
    this.#push(timer)
    return timer
  }

  readonly clearTimeout = (timer: unknown): void => {
    if (isWorldTimer(timer)) timer.isCleared = true
  }

  readonly defer = (callback: () => void): void => {
    this.#deferred.push(callback)
  }

  /** Runs all that is due until `ms` from now have passed. */
  advance(ms: number): void {
    const until = this.#now + ms
    this.settle()
    while (this.#nextAt() <= until) this.step()
    this.#pass(until)
  }

  /** Runs on until `condition` holds, for `msMax` at most; says whether it came to hold. */
  advanceUntil(condition: () => boolean, msMax: number): boolean {
    const until = this.#now + msMax
    this.settle()
    while (!condition()) {
      if (this.#nextAt() > until) {
        this.#pass(until)
        return false
      }
      this.step()
    }
    return true
  }

  /** Goes to the next deadline and runs what is due and what follows from it at once. */
  step(): void {
    const timer = this.#pop()
    if (timer === undefined || timer.isCleared) return
    this.#pass(timer.at)
    this.#run(timer.callback)
    this.settle()
  }

  /** Runs what is deferred, and what that defers, without time passing. */
  settle(): void {
    while (this.#deferred.length > 0) {
      const callbacks = this.#deferred
      this.#deferred = []
      for (const callback of callbacks) this.#run(callback)
    }
  }

  #pass(until: number): void {
    if (until > this.#now) this.#atOnce = 0
    this.#now = until
  }

  #run(callback: () => void): void {
    this.#steps++
    if (++this.#atOnce > CALLBACKS_MAX) {
      const details = `more than ${CALLBACKS_MAX} callbacks at ${this.#now} ms, each asked for by one before it`
      throw new Violation('time goes on', details)
    }
    callback()
  }

  #nextAt(): number {
    return this.#heap[0]?.at ?? Infinity
  }

  #push(timer: WorldTimer): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(timer)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || isBefore(above, timer)) break
      heap[at] = above
      at = parent
    }
    heap[at] = timer
  }

  #pop(): WorldTimer | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      const left = heap[child]
      if (left === undefined) break
      const right = heap[child + 1]
      const smaller = right !== undefined && isBefore(right, left) ? right : left
      if (smaller === right) child++
      if (isBefore(last, smaller)) break
      heap[at] = smaller
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(first: WorldTimer, second: WorldTimer): boolean {
  return first.at < second.at || (first.at === second.at && first.order < second.order)
}

function isWorldTimer(value: unknown): value is WorldTimer {
  return typeof value === 'object' && value !== null && 'isCleared' in value
}
