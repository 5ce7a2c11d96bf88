import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import type { CommittedBatch, SnapshotSink, StateMachine } from '../ports.js'
import { type ChangesSince, changesSince, tell } from './change-feed.js'
import { kvCommands } from './command-codec.js'
import { CREATE, DELETE, endOfField, type KvCommand, type LeaseId, malformedCommand, PUT, SWAP } from './commands.js'
import { CommandRun } from './command-run.js'
import { copyOut } from './copies.js'
import { nextExpiry } from './expiry.js'
import { HISTORY_LIMITS, type HistoryLimits } from './history.js'
import { charsOf, type KeyChars, type KeyRange, prefixRange } from './keys.js'
import { Keyspace } from './keyspace.js'
import { checkRevision, rangeAt, rangeNow, type RangeQuery } from './range.js'
import { keyValueOf, type StoredRecord } from './records.js'
import type { KeyValue, KvResult, RangeResult } from './results.js'
import { Sessions } from './sessions.js'
import { freezeSnapshot, SnapshotReader } from './snapshot.js'
import type { KvState } from './state.js'
import { type ChangeListener, Watchers } from './watchers.js'

export type { KeyValue } from './results.js'

const SINK_IS_DONE = 'this snapshot sink has ended, failed or been abandoned; begin another restore'

/** A lease as it stands. */
export interface LeaseView {
  /** Milliseconds. */
  readonly ttlMs: number
  /** Cluster time at which it ends unless it is kept alive, in milliseconds. */
  readonly deadline: number
  readonly keys: readonly KeyChars[]
}

/**
 * The built-in replicated state: byte keys and byte values, in the order of keys, with leases, transactions, sessions
 * and a history. A revision is the log index of the command that wrote; all that one command writes has the same.
 *
 * Bytes are copied in when a command is applied and out when they are read, so nobody holds the store's own.
 */
export class KeyValueStore implements StateMachine<KvCommand, KvResult> {
  readonly commands = kvCommands
  readonly #limits: HistoryLimits
  readonly #watchers = new Watchers()
  #state: KvState
  #keyspace: Keyspace
  #records: Map<KeyChars, StoredRecord>

  /** @param limits - how much of the past to keep; what is not given has its default */
  constructor(limits: Partial<HistoryLimits> = {}) {
    this.#limits = { ...HISTORY_LIMITS, ...limits }
    this.#keyspace = new Keyspace(this.#limits, this.#watchers)
    this.#records = this.#keyspace.records
    this.#state = { keyspace: this.#keyspace, sessions: new Sessions(), revision: 0 }
  }

  /** Number of keys. */
  get size(): number {
    return this.#records.size
  }

  /** Log index of the last command applied: what reads are as of unless they name another. */
  get revision(): LogIndex {
    return this.#state.revision
  }

  /** The earliest revision that can still be read here. */
  get compactedRevision(): LogIndex {
    return this.#keyspace.history.compactedRevision
  }

  /** Cluster time (ms) of the last command applied. */
  get clusterTime(): number {
    return this.#keyspace.clusterTime
  }

  /** A copy of the key's value, undefined when there is no such key. `keyChars` makes the key. */
  getValue(key: KeyChars): Uint8Array | undefined {
    const record = this.#records.get(key)
    return record && copyOut(record.value)
  }

  /**
   * As `getValue`, with what else is known of the key.
   * @param revision - as of which; default: the newest
   * @throws ActorumError COMPACTED, INVALID_ARGUMENT: see `range`
   */
  get(key: KeyChars, revision?: LogIndex): KeyValue | undefined {
    if (revision !== undefined) checkRevision(this.#keyspace, revision, this.revision)
    const version = revision === undefined ? this.#keyspace.now(key) : this.#keyspace.at(key, revision)
    return version && keyValueOf(version)
  }

  /** The values of several keys as of one revision, in the order of `keys`. */
  getMulti(keys: readonly KeyChars[], revision?: LogIndex): (Uint8Array | undefined)[] {
    return revision === undefined
      ? keys.map((key) => this.getValue(key))
      : keys.map((key) => this.get(key, revision)?.value)
  }

  /**
   * The keys of a range, in order.
   * @param revision - as of which; default: the newest
   * @throws ActorumError COMPACTED: it is no longer kept. INVALID_ARGUMENT: it is not applied here yet
   */
  range(query: RangeQuery, revision?: LogIndex): RangeResult {
    if (revision === undefined) return rangeNow(this.#keyspace, query, this.revision)
    checkRevision(this.#keyspace, revision, this.revision)
    return rangeAt(this.#keyspace, query, revision)
  }

  /** All keys that begin with `prefix` (`FIRST_KEY`: every key), in order; as `range`. */
  scanPrefix(prefix: KeyChars, revision?: LogIndex): RangeResult {
    return this.range(prefixRange(prefix), revision)
  }

  /** A lease that was granted, undefined when it is over. */
  lease(id: LeaseId): LeaseView | undefined {
    const lease = this.#keyspace.leases.find(id)
    return lease && { ttlMs: lease.ttlMs, deadline: lease.deadline, keys: [...(lease.keys ?? [])].sort() }
  }

  /** Cluster time at which a key goes with its lease or time to live, undefined without. */
  deadlineOf(key: KeyChars): number | undefined {
    return this.#records.get(key)?.lease?.deadline
  }

  /** The leases granted and not yet over, oldest first. */
  leases(): LeaseId[] {
    return [...this.#keyspace.leases.granted()].map(({ id }) => id)
  }

  /** The cluster time (ms) at which something ends next, undefined when nothing does. Costs next to nothing. */
  nextExpiry(): number | undefined {
    return nextExpiry(this.#state)
  }

  /** What a leader proposes when it is this late. One command ends so many at most; after it, ask again. */
  expiredAt(clusterTime: number): readonly KvCommand[] {
    const next = this.nextExpiry()
    return next !== undefined && next <= clusterTime ? [{ type: 'expire' }] : []
  }

  /** Tells of every change in a range from now on, after each batch. Gives the way to end it. */
  watch(range: KeyRange, listener: ChangeListener): () => void {
    return this.#watchers.watch(range, listener)
  }

  /**
   * The changes of a range from a revision on, oldest first.
   * @param limit - gives whole revisions until there are so many changes, or about 1 MiB of them. Default: all
   * @throws ActorumError COMPACTED: some of them are no longer kept; it names the earliest revision of those that are
   */
  changesSince(revision: LogIndex, range: KeyRange, limit = Infinity): ChangesSince {
    return changesSince(this.#keyspace, this.revision, revision, range, limit)
  }

  apply(batch: CommittedBatch): readonly KvResult[] {
    const { bounds, count, firstIndex, resultsWanted } = batch
    // Perhaps a Node Buffer, whose `slice` copies nothing; this view's does.
    const bytes = new Uint8Array(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.byteLength)
    const keyspace = this.#keyspace
    keyspace.clusterTime = Math.max(keyspace.clusterTime, batch.clusterTime)
    const results: KvResult[] = []
    for (let i = 0; i < count; i++) {
      const start = bounds[2 * i]!
      const end = bounds[2 * i + 1]!
      const revision = firstIndex + i
      const operation = start < end ? bytes[start]! : 0
      if (operation >= PUT && operation <= CREATE) {
        const changed = this.#applyPlain(operation, bytes, start, end, revision)
        if (resultsWanted) results.push(resultOf(operation, changed, revision))
      } else {
        const result = new CommandRun(this.#state, revision, resultsWanted).apply(bytes, start, end)
        if (resultsWanted) results.push(result)
      }
    }
    this.#state.revision = firstIndex + count - 1
    const watched = keyspace.takeWatched()
    if (watched.length > 0) tell(this.#watchers, keyspace, watched)
    keyspace.history.trim(keyspace.clusterTime)
    return results
  }

  /**
   * Applies one of the commands that make up nearly all of a log, without an object for it, and says whether it changed
   * anything.
   */
  #applyPlain(operation: number, bytes: Uint8Array, start: number, end: number, revision: LogIndex): boolean {
    if (operation === DELETE) {
      const record = this.#records.get(keyIn(bytes, start + 1, end))
      if (record === undefined) return false
      this.#keyspace.delete(record, revision)
      return true
    }
    const keyEnd = endOfField(bytes, start + 1, end)
    const valueAt = operation === SWAP ? endOfField(bytes, keyEnd, end) : keyEnd
    const key = keyIn(bytes, start + 5, keyEnd)
    const current = this.#records.get(key)
    if (operation === CREATE && current !== undefined) return false
    if (operation === SWAP && (current === undefined || !holds(current.value, bytes, keyEnd + 4, valueAt))) return false
    this.#keyspace.put(key, current, bytes, valueAt, end, revision, undefined)
    return true
  }

  /**
   * The state as of now, in frames of about 256 KiB. Later writes do not show in it: a pointer for each key is copied
   * here, at once; the values themselves are shared, and from now on left as they are.
   */
  snapshot(): Iterable<Uint8Array> {
    return freezeSnapshot(this.#state)
  }

  /** Its sink throws CORRUPT or UNSUPPORTED_FORMAT. Reads the format of the first version too. */
  restore(): SnapshotSink {
    let reader: SnapshotReader | undefined = new SnapshotReader(this.#limits, this.#watchers)
    const take = (): SnapshotReader => {
      if (reader === undefined) throw new ActorumError('INVALID_ARGUMENT', SINK_IS_DONE)
      const taken = reader
      reader = undefined
      return taken
    }
    return {
      write: (chunk) => {
        const current = take()
        current.write(chunk)
        reader = current
      },
      end: () => this.#replace(take().end()),
      abandon: () => {
        reader = undefined
      },
    }
  }

  #replace(state: KvState): void {
    this.#state = state
    this.#keyspace = state.keyspace
    this.#records = state.keyspace.records
    this.#watchers.replaced()
  }
}

function keyIn(bytes: Uint8Array, start: number, end: number): KeyChars {
  if (start >= end) throw malformedCommand('has an empty key')
  return charsOf(bytes, start, end)
}

/** Whether `value` equals `bytes[start, end)`. */
function holds(value: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (value.length !== end - start) return false
  for (let i = 0; i < value.length; i++) {
    if (value[i] !== bytes[start + i]) return false
  }
  return true
}

function resultOf(operation: number, changed: boolean, revision: LogIndex): KvResult {
  switch (operation) {
    case PUT:
      return { revision }
    case DELETE:
      return { deleted: changed, revision }
    default:
      return { swapped: changed, revision }
  }
}
