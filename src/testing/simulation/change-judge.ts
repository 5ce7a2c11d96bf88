import type { LogIndex } from '../../machines/types.js'
import type { KvEntry } from '../../state-machines/kv/results.js'
import type { KvLedger } from './kv-ledger.js'
import { isSame, legible } from './legible.js'
import type { PlainChange, PlainRange } from './plain-keyspace.js'
import { Violation } from './violation.js'

/** A change as somebody was told of it. */
export type ToldChange =
  | { readonly type: 'put'; readonly entry: KvEntry; readonly previous?: KvEntry | undefined }
  | {
      readonly type: 'delete'
      readonly key: Uint8Array
      readonly revision: LogIndex
      readonly previous?: KvEntry | undefined
    }

export interface Told {
  /** Who is told, in words. */
  readonly who: string
  readonly range: PlainRange
  /** Whether changes are told with what the key was before. */
  readonly previous: boolean
  /** Which changes are told. Default: all. */
  readonly only?: 'puts' | 'deletes' | undefined
}

const LAW = 'who watches is told of every change, once, in order, whole revisions'

/** Holds what one watcher is told against the changes in the ledger: no gap, no repeat, no other order, nothing torn. */
export class ChangeJudge {
  readonly #ledger: KvLedger
  readonly #told: Told
  #next: LogIndex

  constructor(ledger: KvLedger, told: Told, from: LogIndex) {
    this.#ledger = ledger
    this.#told = told
    this.#next = from
  }

  /** All changes before this revision have been told. */
  get next(): LogIndex {
    return this.#next
  }

  /** The watch begins anew at this revision. */
  goOnFrom(revision: LogIndex): void {
    this.#next = revision
  }

  /** All changes of a revision were told, and none between it and what was told before. Throws a Violation. */
  changes(revision: LogIndex, changes: readonly ToldChange[]): void {
    if (revision < this.#next) this.#refuse(`was told of revision ${revision} after all before ${this.#next}`)
    const [first, ...more] = this.#expected(revision)
    if (first === undefined) this.#refuse(`was told of revision ${revision}, which changed nothing that it watches`)
    if (first.revision !== revision || more.length > 0) {
      this.#refuse(`was not told of revision ${first.revision}, and was of ${revision}`)
    }
    const [told, wanted] = [
      changes.map((change) => this.#shown(change)),
      first.changes.map((each) => this.#asTold(each, revision)),
    ]
    if (!isSame(told.sort(byKey), wanted.sort(byKey))) {
      this.#refuse(`was told ${JSON.stringify(told)} of revision ${revision}, not ${JSON.stringify(wanted)}`)
    }
    this.#next = revision + 1
  }

  /** It was said that nothing more happened up to this revision. Throws a Violation. */
  nothingUpTo(revision: LogIndex): void {
    const [missed] = this.#expected(revision)
    if (missed !== undefined) this.#refuse(`was not told of revision ${missed.revision} before progress to ${revision}`)
    this.#next = Math.max(this.#next, revision + 1)
  }

  /** Whether it has been told of everything up to `revision`. */
  isThrough(revision: LogIndex): boolean {
    return this.#expected(revision).length === 0
  }

  /** What of the changes up to `revision` it has not been told. */
  #expected(revision: LogIndex): { readonly revision: LogIndex; readonly changes: readonly PlainChange[] }[] {
    const { range, only } = this.#told
    const all = this.#ledger.keyspace.changesBetween(range, this.#next, revision)
    if (only === undefined) return [...all]
    const isWanted = ({ after }: PlainChange): boolean => (after !== undefined) === (only === 'puts')
    return all
      .map(({ revision, changes }) => ({ revision, changes: changes.filter(isWanted) }))
      .filter(({ changes }) => changes.length > 0)
  }

  #shown(change: ToldChange): Shown {
    const previous = legible(change.previous)
    if (change.type === 'put') {
      const entry = legible(change.entry)
      return { key: String(legible(change.entry.key)), entry, previous }
    }
    return { key: String(legible(change.key)), revision: change.revision, previous }
  }

  #asTold({ key, before, after }: PlainChange, revision: LogIndex): Shown {
    const previous = this.#told.previous ? before : undefined
    return after === undefined ? { key, revision, previous } : { key, entry: after, previous }
  }

  #refuse(details: string): never {
    throw new Violation(LAW, `${this.#told.who} ${details}`)
  }
}

interface Shown {
  readonly key: string
  readonly entry?: unknown
  readonly revision?: LogIndex | undefined
  readonly previous: unknown
}

function byKey(one: Shown, other: Shown): number {
  return one.key < other.key ? -1 : 1
}
