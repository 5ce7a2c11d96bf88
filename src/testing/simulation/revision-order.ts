import type { LogIndex } from '../../machines/types.js'
import { Violation } from './violation.js'

/**
 * Real time against the order of the log. The order of all writes is known, so nobody need search for one: a call that
 * was answered before another began has the lower revision, and a linearizable read sees all that was answered before
 * it. Calls of one instant count as in the order in which they were made.
 */
export class RevisionOrder {
  #newest: LogIndex = 0

  /** A call begins: what it must come after. */
  begin(): LogIndex {
    return this.#newest
  }

  /** A write that began at `floor` was answered. Throws a Violation. */
  wrote(who: string, floor: LogIndex, revision: LogIndex): void {
    if (revision <= floor) {
      const details = `${who} wrote at revision ${revision}, after revision ${floor} had been seen`
      throw new Violation('a write comes after all that was answered before it', details)
    }
    this.#newest = Math.max(this.#newest, revision)
  }

  /**
   * A read that began at `floor` was answered with the state of a revision. Throws a Violation.
   * @param mustSee - whether it promises to see all that was answered before it
   */
  read(who: string, floor: LogIndex, revision: LogIndex, mustSee: boolean): void {
    if (mustSee && revision < floor) {
      const details = `${who} saw revision ${revision}, though ${floor} had been seen before it began`
      throw new Violation('a linearizable read sees all that was answered before it', details)
    }
    this.#newest = Math.max(this.#newest, revision)
  }
}
