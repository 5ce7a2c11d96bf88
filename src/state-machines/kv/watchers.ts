import type { LogIndex } from '../../machines/types.js'
import { type KeyChars, keyAfter, type KeyRange } from './keys.js'
import { RangeTree } from './range-tree.js'
import type { KvEntry } from './results.js'

/** What became of a key at one revision: what several operations of one command made of it counts once. */
export type KvChange =
  | { readonly type: 'put'; readonly entry: KvEntry; readonly previous: KvEntry | undefined }
  | { readonly type: 'delete'; readonly key: Uint8Array; readonly revision: LogIndex; readonly previous: KvEntry }

/** Who is told of changes. Called after a batch is applied, in the loop, and so must neither throw nor take long. */
export interface ChangeListener {
  /**
   * All changes within the range at one revision, in the order they were made; revisions come in order, each once. The
   * changes are shared with other listeners: who hands them on copies their bytes.
   */
  changed(revision: LogIndex, changes: readonly KvChange[]): void
  /** The state was replaced by a snapshot: what happened up to its revision is in the history or nowhere. */
  replaced(): void
}

/** Whose range has a key. */
export interface Watcher {
  /** What `rangesSeen` was once it had come. */
  readonly number: number
  readonly range: KeyRange
  readonly listener: ChangeListener
  isWatching: boolean
}

/**
 * Who watches which keys: by key where the range is a single one, else in a tree of ranges. A key that nobody watches
 * is looked up once, and again when a range has come since.
 */
export class Watchers {
  readonly #byKey = new Map<KeyChars, Set<Watcher>>()
  readonly #byRange = new RangeTree<Watcher>()
  readonly #all = new Set<Watcher>()
  #rangesSeen = 0

  /** How many ranges there have ever been: a key that had no watcher at one count has none at the same. */
  get rangesSeen(): number {
    return this.#rangesSeen
  }

  get size(): number {
    return this.#all.size
  }

  /** Gives the way to end it. */
  watch(range: KeyRange, listener: ChangeListener): () => void {
    const watcher: Watcher = { number: ++this.#rangesSeen, range, listener, isWatching: true }
    this.#all.add(watcher)
    const release =
      range.to === keyAfter(range.from) ? this.#addKey(range.from, watcher) : this.#byRange.add(range, watcher)
    return () => {
      if (!watcher.isWatching) return
      watcher.isWatching = false
      this.#all.delete(watcher)
      release()
    }
  }

  covers(key: KeyChars): boolean {
    return this.#byKey.has(key) || this.#byRange.covers(key)
  }

  /** Whose range has the key. */
  of(key: KeyChars): Watcher[] {
    const found = [...(this.#byKey.get(key) ?? [])]
    this.#byRange.visit(key, (watcher) => found.push(watcher))
    return found
  }

  replaced(): void {
    for (const watcher of [...this.#all]) {
      if (watcher.isWatching) watcher.listener.replaced()
    }
  }

  #addKey(key: KeyChars, watcher: Watcher): () => void {
    const watchers = this.#byKey.get(key) ?? new Set()
    watchers.add(watcher)
    this.#byKey.set(key, watchers)
    return () => {
      watchers.delete(watcher)
      if (watchers.size === 0 && this.#byKey.get(key) === watchers) this.#byKey.delete(key)
    }
  }
}
