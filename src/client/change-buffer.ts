import type { LogIndex } from '../machines/types.js'
import { bytesOfChange } from '../state-machines/kv/change-feed.js'
import type { KvChange } from '../state-machines/kv/watchers.js'

/** What one revision changed, on its way to a consumer. */
export interface BufferedChanges {
  readonly revision: LogIndex
  readonly changes: readonly KvChange[]
  /** Whether others have the same bytes, so that they must be copied before a consumer gets them. */
  readonly isShared: boolean
}

/** Whole revisions, first in first out, within bounds. One revision alone may exceed them. */
export class ChangeBuffer {
  readonly #changesMax: number
  readonly #bytesMax: number
  #items: BufferedChanges[] = []
  /** Where the first of the items is that is not yet taken. */
  #first = 0
  #changes = 0
  #bytes = 0

  constructor(changesMax: number, bytesMax: number) {
    this.#changesMax = changesMax
    this.#bytesMax = bytesMax
  }

  get isEmpty(): boolean {
    return this.#first === this.#items.length
  }

  /** undefined when it is empty. */
  get firstRevision(): LogIndex | undefined {
    return this.#items[this.#first]?.revision
  }

  hasRoomFor(changes: readonly KvChange[]): boolean {
    if (this.isEmpty) return true
    return this.#changes + changes.length <= this.#changesMax && this.#bytes + bytesOf(changes) <= this.#bytesMax
  }

  add(item: BufferedChanges): void {
    this.#items.push(item)
    this.#changes += item.changes.length
    this.#bytes += bytesOf(item.changes)
  }

  take(): BufferedChanges | undefined {
    const item = this.#items[this.#first]
    if (item === undefined) return undefined
    this.#changes -= item.changes.length
    this.#bytes -= bytesOf(item.changes)
    this.#first++
    // Those that are taken go by halves: a shift for each would move all the others each time.
    if (this.#first * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#first)
      this.#first = 0
    }
    return item
  }

  clear(): void {
    this.#items = []
    this.#first = 0
    this.#changes = 0
    this.#bytes = 0
  }
}

function bytesOf(changes: readonly KvChange[]): number {
  let bytes = 0
  for (const change of changes) bytes += bytesOfChange(change)
  return bytes
}
