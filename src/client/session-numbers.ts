import { ActorumError } from '../errors.js'
import { SESSION_RESULTS_MAX } from '../state-machines/kv/limits.js'

/**
 * The numbers of a session's commands. A number is outstanding until its command has an answer or was given up; what the
 * cluster remembers for the session begins at the lowest of them (thesis §6.3).
 */
export class SessionNumbers {
  /** Ascending, since they are taken in order. */
  readonly #outstanding = new Set<number>()
  #next = 1

  /** The lowest that is outstanding, or will be. */
  get lowest(): number {
    for (const number of this.#outstanding) return number
    return this.#next
  }

  /** The cluster keeps a result for every number from the lowest on, so it is these that count. */
  get isFull(): boolean {
    return this.#next - this.lowest >= SESSION_RESULTS_MAX
  }

  /** Throws BUSY. */
  take(): number {
    if (this.isFull) {
      const text = `the session's command ${this.lowest} has no answer yet, nor have some after it`
      throw new ActorumError('BUSY', `${text}: at most ${SESSION_RESULTS_MAX} may be sent meanwhile; try again later`)
    }
    const number = this.#next++
    this.#outstanding.add(number)
    return number
  }

  release(number: number): void {
    this.#outstanding.delete(number)
  }
}
