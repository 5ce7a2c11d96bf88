import type { LogIndex } from '../../machines/types.js'

/** A key as it is or was at some revision. One character stands for each byte of key and value. */
export interface PlainEntry {
  readonly key: string
  readonly value: string
  readonly createRevision: LogIndex
  readonly modRevision: LogIndex
  readonly version: number
  readonly lease: number
}

/** What one command made of a key. */
export interface PlainChange {
  readonly key: string
  readonly before: PlainEntry | undefined
  readonly after: PlainEntry | undefined
}

export interface PlainRange {
  readonly from: string
  /** undefined: up to the last key. */
  readonly to?: string | undefined
}

/** A key that goes by itself, at a cluster time. */
interface Holding {
  readonly entry: PlainEntry
  readonly deadline: number | undefined
}

/** All keys as they are and as they ever were, in maps and lists: what the store's own structures are held against. */
export class PlainKeyspace {
  readonly #holdings = new Map<string, Holding>()
  /** Each key's versions, by revision; undefined: deleted. */
  readonly #versions = new Map<string, { readonly revision: LogIndex; readonly entry: PlainEntry | undefined }[]>()
  /** What keys were before the command under way. */
  readonly #touched = new Map<string, PlainEntry | undefined>()
  readonly #changes: { readonly revision: LogIndex; readonly changes: readonly PlainChange[] }[] = []
  /** The revision of every single write and deletion. */
  readonly #writes: LogIndex[] = []
  #writesUnderWay = 0

  get size(): number {
    return this.#holdings.size
  }

  entries(): readonly PlainEntry[] {
    return [...this.#holdings.values()].map(({ entry }) => entry)
  }

  get(key: string): PlainEntry | undefined {
    return this.#holdings.get(key)?.entry
  }

  /** When keys go by themselves, without a lease. */
  deadlines(): readonly number[] {
    return [...this.#holdings.values()].flatMap(({ deadline }) => deadline ?? [])
  }

  put(key: string, value: string, revision: LogIndex, lease: number, deadline: number | undefined): void {
    const before = this.get(key)
    this.#touch(key, before)
    const { createRevision = revision, version = 0 } = before ?? {}
    const entry = { key, value, createRevision, modRevision: revision, version: version + 1, lease }
    this.#holdings.set(key, { entry, deadline })
  }

  delete(key: string): PlainEntry | undefined {
    const before = this.get(key)
    if (before === undefined) return undefined
    this.#touch(key, before)
    this.#holdings.delete(key)
    return before
  }

  /** Deletes those that go by themselves by `clusterTime`, and says how many they were. */
  deleteOver(clusterTime: number): number {
    const over = [...this.#holdings.values()].filter(({ deadline = Infinity }) => deadline <= clusterTime)
    for (const { entry } of over) this.delete(entry.key)
    return over.length
  }

  #touch(key: string, before: PlainEntry | undefined): void {
    this.#writesUnderWay++
    if (!this.#touched.has(key)) this.#touched.set(key, before)
  }

  /** Ends a command: what it did is the past from now on. Says what it changed. */
  seal(revision: LogIndex): readonly PlainChange[] {
    if (this.#touched.size === 0) return []
    for (; this.#writesUnderWay > 0; this.#writesUnderWay--) this.#writes.push(revision)
    const changes: PlainChange[] = []
    for (const [key, before] of this.#touched) {
      const after = this.get(key)
      if (before === undefined && after === undefined) continue
      changes.push({ key, before, after })
      const versions = this.#versions.get(key)
      if (versions === undefined) this.#versions.set(key, [{ revision, entry: after }])
      else versions.push({ revision, entry: after })
    }
    this.#touched.clear()
    if (changes.length > 0) this.#changes.push({ revision, changes })
    return changes
  }

  /** The present keys of a range, in order. */
  range(range: PlainRange): readonly PlainEntry[] {
    return this.entries().filter(within(range)).sort(byKey)
  }

  /** A key as of a revision. */
  at(key: string, revision: LogIndex): PlainEntry | undefined {
    return this.#versions.get(key)?.findLast((version) => version.revision <= revision)?.entry
  }

  /** The keys of a range as of a revision, in order. */
  rangeAt(range: PlainRange, revision: LogIndex): readonly PlainEntry[] {
    const keys = [...this.#versions.keys()].filter((key) => within(range)({ key }))
    return keys.flatMap((key) => this.at(key, revision) ?? []).sort(byKey)
  }

  /** How often keys were written or deleted at this revision or later. */
  writesSince(revision: LogIndex): number {
    return this.#writes.length - 1 - this.#writes.findLastIndex((written) => written < revision)
  }

  /** What was changed in a range, revision by revision, by commands from `from` up to `to`. */
  changesBetween(
    range: PlainRange,
    from: LogIndex,
    to: LogIndex,
  ): readonly { readonly revision: LogIndex; readonly changes: readonly PlainChange[] }[] {
    const found = []
    for (let at = this.#changes.length - 1; at >= 0; at--) {
      const { revision, changes } = this.#changes[at]!
      if (revision < from) break
      if (revision > to) continue
      const inRange = changes.filter(within(range))
      if (inRange.length > 0) found.push({ revision, changes: inRange })
    }
    return found.reverse()
  }
}

function within({ from, to }: PlainRange): ({ key }: { readonly key: string }) => boolean {
  return ({ key }) => key >= from && (to === undefined || key < to)
}

function byKey(one: PlainEntry, other: PlainEntry): number {
  return one.key < other.key ? -1 : 1
}
