import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import type { ByteSink } from './byte-sink.js'
import type { ByteSource } from './byte-source.js'
import type { HistoryLimits, PastChange, Version } from './history.js'
import { charsOf, type KeyChars } from './keys.js'
import { Keyspace } from './keyspace.js'
import { type Lease, Leases } from './leases.js'
import type { StoredRecord } from './records.js'
import { readResult, writeResult } from './result-codec.js'
import { remember, type Session, Sessions } from './sessions.js'
import {
  corruptSnapshot,
  FrameFinder,
  framesOf,
  type SnapshotFrame,
  type SnapshotSection,
  withBody,
} from './snapshot-frames.js'
import type { KvState } from './state.js'
import type { Watchers } from './watchers.js'

/**
 * What the frames of a snapshot hold, in this order of sections. Later items name earlier ones.
 *
 *     1 leases    u64 id, u64 ttlMs, f64 deadline
 *     2 records   field key, field value, u64 createRevision, u64 modRevision, u64 version, u8 lease:
 *                 0 none, 1 u64 lease, 2 of the key's own: u64 ttlMs, f64 deadline
 *     3 sessions  u64 id, u64 timeoutMs, f64 deadline, u64 lowestOutstanding
 *     4 results   u64 session, u64 sequence, result
 *     5 changes   u64 revision, f64 clusterTime, field key, u8 flags: 1 a deletion, 2 there was such a key and it was:
 *                 field value, u64 createRevision, u64 modRevision, u64 version, u64 lease
 *     6 state     u64 revision, u64 compactedRevision, f64 clusterTime; one, in the last frame
 */
const LEASES = 1
const RECORDS = 2
const SESSIONS = 3
const RESULTS = 4
const CHANGES = 5
const STATE = 6

const NO_LEASE = 0
const LEASE = 1
const OWN_TTL = 2

const IS_DELETION = 1
const HAD_VALUE = 2

const FORMAT_1_RECORD_BYTES = 16

/** The whole state as of now, whatever is applied later. Copies a pointer for each key, and no values. */
export function freezeSnapshot({ keyspace, sessions, revision }: KvState): Iterable<Uint8Array> {
  const records = keyspace.frozenRecords()
  const history = keyspace.history.frozen()
  const { clusterTime } = keyspace
  const { compactedRevision } = keyspace.history
  // Copies, since keeping them alive moves their deadlines.
  const leases = [...keyspace.leases.granted()].map((lease) => ({ ...lease }))
  const sessionsNow = [...sessions.all()].map((session) => ({ ...session, results: [...session.results] }))
  const sections = [
    section(LEASES, () => leases, writeLease),
    section(RECORDS, () => records, writeRecord),
    section(SESSIONS, () => sessionsNow, writeSession),
    section(RESULTS, () => resultsOf(sessionsNow), writeKeptResult),
    section(CHANGES, () => history, writeChange),
    section(STATE, () => [{ revision, compactedRevision, clusterTime }], writeState),
  ]
  return { [Symbol.iterator]: () => framesOf(sections) }
}

function section<Item>(
  number: number,
  items: () => Iterable<Item>,
  write: (item: Item, sink: ByteSink) => void,
): SnapshotSection {
  return {
    number,
    *items() {
      for (const item of items()) yield (sink) => write(item, sink)
    },
  }
}

function writeLease({ id, ttlMs, deadline }: Lease, sink: ByteSink): void {
  sink.u64(id)
  sink.u64(ttlMs)
  sink.f64(deadline)
}

function writeRecord({ key, value, createRevision, modRevision, version, lease }: StoredRecord, sink: ByteSink): void {
  sink.chars(key)
  sink.field(value)
  sink.u64(createRevision)
  sink.u64(modRevision)
  sink.u64(version)
  if (lease === undefined) {
    sink.u8(NO_LEASE)
  } else if (lease.keys === undefined) {
    sink.u8(OWN_TTL)
    sink.u64(lease.ttlMs)
    sink.f64(lease.deadline)
  } else {
    sink.u8(LEASE)
    sink.u64(lease.id)
  }
}

function writeSession({ id, timeoutMs, deadline, lowestOutstanding }: Omit<Session, 'results'>, sink: ByteSink): void {
  sink.u64(id)
  sink.u64(timeoutMs)
  sink.f64(deadline)
  sink.u64(lowestOutstanding)
}

type KeptResult = {
  readonly session: number
  readonly sequence: number
  readonly result: Parameters<typeof writeResult>[0]
}

function* resultsOf(
  sessions: readonly { readonly id: number; readonly results: readonly [number, KeptResult['result']][] }[],
): Generator<KeptResult> {
  for (const { id, results } of sessions) {
    for (const [sequence, result] of results) yield { session: id, sequence, result }
  }
}

function writeKeptResult({ session, sequence, result }: KeptResult, sink: ByteSink): void {
  sink.u64(session)
  sink.u64(sequence)
  writeResult(result, sink)
}

function writeChange({ key, revision, clusterTime, previous, isDeletion }: PastChange, sink: ByteSink): void {
  sink.u64(revision)
  sink.f64(clusterTime)
  sink.chars(key)
  sink.u8((isDeletion ? IS_DELETION : 0) | (previous === undefined ? 0 : HAD_VALUE))
  if (previous === undefined) return
  sink.field(previous.value)
  sink.u64(previous.createRevision)
  sink.u64(previous.modRevision)
  sink.u64(previous.version)
  sink.u64(previous.leaseId)
}

interface StateNumbers {
  readonly revision: LogIndex
  readonly compactedRevision: LogIndex
  readonly clusterTime: number
}

function writeState({ revision, compactedRevision, clusterTime }: StateNumbers, sink: ByteSink): void {
  sink.u64(revision)
  sink.u64(compactedRevision)
  sink.f64(clusterTime)
}

function readState(body: ByteSource): StateNumbers {
  return { revision: body.u64(), compactedRevision: body.u64(), clusterTime: body.f64() }
}

/**
 * The same state as of a later revision, before which nothing can be read: for a cluster made of another one's snapshot,
 * whose clients may know revisions after it. Checks what it passes on. Throws CORRUPT or UNSUPPORTED_FORMAT.
 */
export async function* raisedTo(
  revision: LogIndex,
  snapshot: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let found: Uint8Array[] = []
  const frames = new FrameFinder(({ format, section, body, bytes }) => {
    if (format > 1 && section === STATE) {
      const { clusterTime } = readState(body)
      found.push(withBody(bytes, (sink) => writeState({ revision, compactedRevision: revision, clusterTime }, sink)))
    } else {
      body.rest()
      found.push(bytes)
    }
  })
  for await (const chunk of snapshot) {
    frames.write(chunk)
    yield* found
    found = []
  }
  frames.end()
}

/** Reads a snapshot, however its bytes are cut. Copies what it keeps. Throws CORRUPT or UNSUPPORTED_FORMAT. */
export class SnapshotReader {
  readonly #keyspace: Keyspace
  readonly #sessions = new Sessions()
  readonly #frames = new FrameFinder((frame) => this.#read(frame))
  readonly #newestChanges = new Map<KeyChars, number>()
  #section = 0
  #lastRevision: LogIndex = 0
  #numbers: StateNumbers | undefined

  constructor(limits: HistoryLimits, watchers: Watchers) {
    this.#keyspace = new Keyspace(limits, watchers)
  }

  write(chunk: Uint8Array): void {
    this.#frames.write(chunk)
  }

  /** The whole state. */
  end(): KvState {
    this.#frames.end()
    const [keyspace, numbers] = [this.#keyspace, this.#numbers]
    if (numbers === undefined) throw corruptSnapshot('does not say of which revision it is')
    for (const [key, change] of this.#newestChanges) {
      const record = keyspace.records.get(key)
      if (record !== undefined) record.lastChange = change
    }
    keyspace.clusterTime = numbers.clusterTime
    keyspace.history.compact(numbers.compactedRevision)
    keyspace.history.trim(numbers.clusterTime)
    return { keyspace, sessions: this.#sessions, revision: numbers.revision }
  }

  #read({ format, section, count, body }: SnapshotFrame): void {
    if (format === 1) {
      for (let left = count; left > 0; left--) this.#readFormat1Record(body)
      // What was before is not in it, nor when it was.
      const revision = this.#lastRevision
      this.#numbers = { revision, compactedRevision: revision, clusterTime: 0 }
      return
    }
    if (section < this.#section) throw corruptSnapshot(`has section ${section} after section ${this.#section}`)
    this.#section = section
    const read = this.#readerOf(section)
    for (let left = count; left > 0; left--) read(body)
  }

  #readerOf(section: number): (body: ByteSource) => void {
    switch (section) {
      case LEASES:
        return (body) => this.#readLease(body)
      case RECORDS:
        return (body) => this.#readRecord(body)
      case SESSIONS:
        return (body) => this.#readSession(body)
      case RESULTS:
        return (body) => this.#readKeptResult(body)
      case CHANGES:
        return (body) => this.#readChange(body)
      case STATE:
        return (body) => {
          this.#numbers = readState(body)
        }
      default:
        throw new ActorumError(
          'UNSUPPORTED_FORMAT',
          `a key-value snapshot has a section ${section}, which is not known here; upgrade this server`,
        )
    }
  }

  #readLease(body: ByteSource): void {
    const [id, ttlMs, deadline] = [body.u64(), body.u64(), body.f64()]
    if (id === 0 || this.#keyspace.leases.find(id) !== undefined) throw corruptSnapshot(`has the lease ${id} twice`)
    this.#keyspace.leases.grant(id, ttlMs, deadline)
  }

  #readRecord(body: ByteSource): void {
    const key = this.#newKey(body.key())
    const value = body.field().slice()
    const createRevision = revisionIn(body.u64())
    const modRevision = revisionIn(body.u64())
    this.#keyspace.restore({
      key,
      value,
      createRevision,
      modRevision,
      version: body.u64(),
      lease: this.#readKeyLease(body, key),
    })
  }

  #readKeyLease(body: ByteSource, key: KeyChars): Lease | undefined {
    const kind = body.u8()
    switch (kind) {
      case NO_LEASE:
        return undefined
      case LEASE: {
        const id = body.u64()
        const lease = this.#keyspace.leases.find(id)
        if (lease === undefined) throw corruptSnapshot(`has a key of the lease ${id}, which is not in it`)
        return lease
      }
      case OWN_TTL:
        return Leases.ofKey(key, body.u64(), body.f64())
      default:
        throw corruptSnapshot(`has a lease of kind ${kind}`)
    }
  }

  #readFormat1Record(body: ByteSource): void {
    if (body.left < FORMAT_1_RECORD_BYTES) throw corruptSnapshot('ends within a record')
    const [keyLength, valueLength, modRevision] = [body.u32(), body.u32(), revisionIn(body.f64())]
    if (keyLength === 0 || keyLength + valueLength > body.left) {
      throw corruptSnapshot('has a record that does not fit its frame')
    }
    const { bytes, at } = body
    const valueAt = at + keyLength
    const key = this.#newKey(charsOf(bytes, at, valueAt))
    const value = bytes.slice(valueAt, valueAt + valueLength)
    body.at = valueAt + valueLength
    this.#lastRevision = Math.max(this.#lastRevision, modRevision)
    this.#keyspace.restore({ key, value, createRevision: modRevision, modRevision, version: 1, lease: undefined })
  }

  #newKey(key: KeyChars): KeyChars {
    if (this.#keyspace.records.has(key)) throw corruptSnapshot('has a key twice')
    return key
  }

  #readSession(body: ByteSource): void {
    const [id, timeoutMs, deadline] = [body.u64(), body.u64(), body.f64()]
    if (id === 0 || this.#sessions.find(id) !== undefined) throw corruptSnapshot(`has the session ${id} twice`)
    this.#sessions.open(id, timeoutMs, deadline).lowestOutstanding = body.u64()
  }

  #readKeptResult(body: ByteSource): void {
    const [id, sequence] = [body.u64(), body.u64()]
    const session = this.#sessions.find(id)
    if (session === undefined) throw corruptSnapshot(`has a result of the session ${id}, which is not in it`)
    remember(session, sequence, readResult(body))
  }

  #readChange(body: ByteSource): void {
    const [revision, clusterTime, key, flags] = [revisionIn(body.u64()), body.f64(), body.key(), body.u8()]
    if (revision < this.#lastRevision) throw corruptSnapshot(`has a change of ${revision} after ${this.#lastRevision}`)
    this.#lastRevision = revision
    const previous = flags & HAD_VALUE ? readVersion(body) : undefined
    const change = { key, revision, clusterTime, previous, isDeletion: (flags & IS_DELETION) > 0 }
    const number = this.#keyspace.history.restore(change, this.#newestChanges.get(key) ?? 0)
    this.#newestChanges.set(key, number)
  }
}

function readVersion(body: ByteSource): Version {
  return {
    value: body.field(),
    createRevision: body.u64(),
    modRevision: body.u64(),
    version: body.u64(),
    leaseId: body.u64(),
  }
}

function revisionIn(revision: number): LogIndex {
  if (Number.isSafeInteger(revision) && revision >= 1) return revision
  throw corruptSnapshot(`has the revision ${revision}`)
}
