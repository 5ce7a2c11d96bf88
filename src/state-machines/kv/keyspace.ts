import type { LogIndex } from '../../machines/types.js'
import { copyInto } from './copies.js'
import { History, type HistoryLimits, type Version } from './history.js'
import { KeyIndex } from './key-index.js'
import type { KeyChars, KeyRange } from './keys.js'
import { type Lease, Leases } from './leases.js'
import { type StoredRecord, versionOf } from './records.js'
import type { Watchers } from './watchers.js'

/** Longer values get a new buffer, and the history takes the old one as it is, instead of a copy. */
const OVERWRITTEN_BYTES_MAX = 16 * 1024

/** All keys: as they are, in order, as they were, with their leases. Every write of the store goes through here. */
export class Keyspace {
  readonly records = new Map<KeyChars, StoredRecord>()
  readonly index = new KeyIndex()
  readonly leases = new Leases()
  readonly history: History
  /** Cluster time of what is being applied. */
  clusterTime = 0
  /** How many snapshots have been taken. */
  #snapshots = 0
  /** Changes, by their number in the history, of keys that somebody watches. */
  #watched: number[] = []
  readonly #watchers: Watchers

  constructor(limits: HistoryLimits, watchers: Watchers, compactedRevision: LogIndex = 0) {
    this.history = new History(limits, compactedRevision)
    this.#watchers = watchers
  }

  /**
   * Sets a key to a copy of `bytes[start, end)`. A value of the same length is overwritten where it is, unless a
   * snapshot may still show it: a buffer for each put would cost as much as all the rest of it.
   */
  put(
    key: KeyChars,
    current: StoredRecord | undefined,
    bytes: Uint8Array,
    start: number,
    end: number,
    revision: LogIndex,
    lease: Lease | undefined,
  ): void {
    const { history } = this
    if (
      current?.value.length === end - start &&
      current.snapshots === this.#snapshots &&
      end - start <= OVERWRITTEN_BYTES_MAX
    ) {
      current.lastChange = history.note(key, current, revision, this.clusterTime, true)
      if (current.lease !== lease) this.#move(key, current.lease, lease)
      copyInto(current.value, 0, bytes, start, end)
      current.modRevision = revision
      current.version++
      current.lease = lease
      this.#noteIfWatched(current)
      return
    }
    const record: StoredRecord = {
      key: current === undefined ? key : current.key,
      value: bytes.slice(start, end),
      createRevision: current === undefined ? revision : current.createRevision,
      modRevision: revision,
      version: current === undefined ? 1 : current.version + 1,
      lease,
      snapshots: this.#snapshots,
      lastChange: history.note(key, current, revision, this.clusterTime, false),
      unwatchedAt: current === undefined ? 0 : current.unwatchedAt,
    }
    if (current === undefined) this.index.add(key)
    if (current?.lease !== lease) this.#move(key, current?.lease, lease)
    this.records.set(key, record)
    this.#noteIfWatched(record)
  }

  delete(record: StoredRecord, revision: LogIndex): void {
    const { key, lease } = record
    record.lastChange = this.history.noteDeletion(record, revision, this.clusterTime)
    this.records.delete(key)
    this.index.delete(key)
    if (lease !== undefined) this.leases.detach(lease, key)
    this.#noteIfWatched(record)
  }

  /** Puts a record of a snapshot where there is no such key yet. */
  restore(record: Omit<StoredRecord, 'snapshots' | 'lastChange' | 'unwatchedAt'>): void {
    this.records.set(record.key, { ...record, snapshots: this.#snapshots, lastChange: 0, unwatchedAt: 0 })
    this.index.add(record.key)
    if (record.lease !== undefined) this.leases.attach(record.lease, record.key)
  }

  #move(key: KeyChars, from: Lease | undefined, to: Lease | undefined): void {
    if (from !== undefined) this.leases.detach(from, key)
    if (to !== undefined) this.leases.attach(to, key)
  }

  /** What a key is now, undefined when there is none. */
  now(key: KeyChars): Version | undefined {
    const record = this.records.get(key)
    return record && versionOf(record)
  }

  /** What a key was once all of `revision` was applied. The history reaches that far back. */
  at(key: KeyChars, revision: LogIndex): Version | undefined {
    const record = this.records.get(key)
    const { history } = this
    let change = record === undefined ? history.newestOfDeleted(key) : record.lastChange
    let undone = 0
    while (change >= history.first && history.revisionOf(change) > revision) {
      undone = change
      change = history.olderThan(change)
    }
    if (undone > 0) return history.previousOf(undone)
    return record && versionOf(record)
  }

  /** What the key became by a change. */
  after(change: number): Version | undefined {
    const newer = this.history.newerThan(change)
    return newer > 0 ? this.history.previousOf(newer) : this.now(this.history.keyOf(change))
  }

  keys({ from, to }: KeyRange, reverse = false): Generator<KeyChars> {
    return reverse ? this.index.descending(from, to) : this.index.ascending(from, to)
  }

  /** All records, as of now for as long as they are kept: what is shared with them is left as it is from now on. */
  frozenRecords(): readonly StoredRecord[] {
    this.#snapshots++
    return [...this.records.values()]
  }

  /** The changes since this was last asked of keys that somebody watches. */
  takeWatched(): readonly number[] {
    const watched = this.#watched
    if (watched.length > 0) this.#watched = []
    return watched
  }

  #noteIfWatched(record: StoredRecord): void {
    const { rangesSeen } = this.#watchers
    if (record.unwatchedAt === rangesSeen) return
    if (this.#watchers.covers(record.key)) this.#watched.push(record.lastChange)
    else record.unwatchedAt = rangesSeen
  }
}
