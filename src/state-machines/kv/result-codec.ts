import { ByteCounter, type ByteSink } from './byte-sink.js'
import type { ByteSource } from './byte-source.js'
import { TXN_DEPTH_MAX } from './limits.js'
import type { KvEntry, KvResult, Refusal } from './results.js'

/**
 * A result as a snapshot keeps it for a session. Its first byte says its shape, then the revision as a u64.
 *
 *     PUT      u8 previous: 0 not asked for, 1 there was none, 2 and then an entry
 *     DELETE   u8 deleted, u8 previous, …              SWAP     u8 swapped
 *     DELETED  u64 count, u8 previous: 0 or 1, [u32 length, entries]
 *     GET      u8 1 or 2, …                            RANGE    u8 more, u64 count, u32 length, entries
 *     TXN      u8 succeeded, u32 length, results       LEASE    u64 lease, u64 ttlMs
 *     COMPACT  u64 compactedRevision                   EXPIRE   u64 count
 *     SESSION  u64 session                             REFUSED  u8 reason
 *
 * An entry: field key, field value, u64 createRevision, u64 modRevision, u64 version, u64 lease.
 */
const PUT = 1
const DELETE = 2
const SWAP = 3
const DELETED = 4
const GET = 5
const RANGE = 6
const TXN = 7
const LEASE = 8
const COMPACT = 9
const EXPIRE = 10
const SESSION = 11
const REFUSED = 12
const REFUSALS: readonly Refusal[] = ['SESSION_EXPIRED', 'LEASE_NOT_FOUND', 'ANSWERED', 'BUSY']

const NOT_ASKED = 0
const NONE = 1
const SOME = 2

const BARE_RESULT_BYTES = 10

export function sizeOfResult(result: KvResult): number {
  // A put's own, and most often that of a put.
  if (!('previous' in result) && !('results' in result) && !('entries' in result) && !('entry' in result)) {
    return BARE_RESULT_BYTES
  }
  const counter = new ByteCounter()
  writeResult(result, counter)
  return counter.size
}

export function writeResult(result: KvResult, sink: ByteSink): void {
  const begin = (shape: number): void => {
    sink.u8(shape)
    sink.u64(result.revision)
  }
  if ('refused' in result) {
    begin(REFUSED)
    sink.u8(REFUSALS.indexOf(result.refused))
  } else if ('swapped' in result) {
    begin(SWAP)
    sink.u8(Number(result.swapped))
  } else if ('deleted' in result) {
    begin(DELETE)
    sink.u8(Number(result.deleted))
    writePrevious(result, sink)
  } else if ('deletedCount' in result) {
    begin(DELETED)
    sink.u64(result.deletedCount)
    sink.u8(Number(result.previous !== undefined))
    if (result.previous !== undefined) writeEntries(result.previous, sink)
  } else if ('results' in result) {
    begin(TXN)
    sink.u8(Number(result.succeeded))
    sink.u32(result.results.length)
    for (const each of result.results) writeResult(each, sink)
  } else if ('entries' in result) {
    begin(RANGE)
    sink.u8(Number(result.more))
    sink.u64(result.count)
    writeEntries(result.entries, sink)
  } else if ('entry' in result) {
    begin(GET)
    writeOptional(result.entry, sink)
  } else if ('lease' in result) {
    begin(LEASE)
    sink.u64(result.lease)
    sink.u64(result.ttlMs)
  } else if ('compactedRevision' in result) {
    begin(COMPACT)
    sink.u64(result.compactedRevision)
  } else if ('expiredCount' in result) {
    begin(EXPIRE)
    sink.u64(result.expiredCount)
  } else if ('session' in result) {
    begin(SESSION)
    sink.u64(result.session)
  } else {
    begin(PUT)
    writePrevious(result, sink)
  }
}

function writePrevious(result: { readonly previous?: KvEntry | undefined }, sink: ByteSink): void {
  if ('previous' in result) writeOptional(result.previous, sink)
  else sink.u8(NOT_ASKED)
}

function writeOptional(entry: KvEntry | undefined, sink: ByteSink): void {
  sink.u8(entry === undefined ? NONE : SOME)
  if (entry !== undefined) writeEntry(entry, sink)
}

function writeEntries(entries: readonly KvEntry[], sink: ByteSink): void {
  sink.u32(entries.length)
  for (const entry of entries) writeEntry(entry, sink)
}

function writeEntry(entry: KvEntry, sink: ByteSink): void {
  sink.field(entry.key)
  sink.field(entry.value)
  sink.u64(entry.createRevision)
  sink.u64(entry.modRevision)
  sink.u64(entry.version)
  sink.u64(entry.lease)
}

/** Copies what it keeps. */
export function readResult(source: ByteSource, depth = 0): KvResult {
  if (depth > TXN_DEPTH_MAX) throw source.fault(`has results more than ${TXN_DEPTH_MAX} deep`)
  const shape = source.u8()
  const revision = source.u64()
  switch (shape) {
    case PUT:
      return { revision, ...readPrevious(source) }
    case DELETE:
      return { deleted: readFlag(source), revision, ...readPrevious(source) }
    case SWAP:
      return { swapped: readFlag(source), revision }
    case DELETED: {
      const deletedCount = source.u64()
      return readFlag(source) ? { deletedCount, revision, previous: readEntries(source) } : { deletedCount, revision }
    }
    case GET:
      return { entry: readOptional(source.u8(), source), revision }
    case RANGE: {
      const [more, count] = [readFlag(source), source.u64()]
      return { entries: readEntries(source), more, count, revision }
    }
    case TXN: {
      const succeeded = readFlag(source)
      return { succeeded, results: readMany(source, () => readResult(source, depth + 1)), revision }
    }
    case LEASE:
      return { lease: source.u64(), ttlMs: source.u64(), revision }
    case COMPACT:
      return { compactedRevision: source.u64(), revision }
    case EXPIRE:
      return { expiredCount: source.u64(), revision }
    case SESSION:
      return { session: source.u64(), revision }
    case REFUSED: {
      const refused = REFUSALS[source.u8()]
      if (refused !== undefined) return { refused, revision }
      throw source.fault('has a refusal that is not known here')
    }
    default:
      throw source.fault(`has a result of the shape ${shape}, which is not known here`)
  }
}

function readFlag(source: ByteSource): boolean {
  return source.u8() > 0
}

function readPrevious(source: ByteSource): { readonly previous?: KvEntry | undefined } {
  const which = source.u8()
  return which === NOT_ASKED ? {} : { previous: readOptional(which, source) }
}

function readOptional(which: number, source: ByteSource): KvEntry | undefined {
  return which === SOME ? readEntry(source) : undefined
}

function readEntries(source: ByteSource): KvEntry[] {
  return readMany(source, () => readEntry(source))
}

/** Grows as it reads, whatever the length claims. */
function readMany<Item>(source: ByteSource, read: () => Item): Item[] {
  const items: Item[] = []
  for (let left = source.u32(); left > 0; left--) items.push(read())
  return items
}

function readEntry(source: ByteSource): KvEntry {
  return {
    key: source.field().slice(),
    value: source.field().slice(),
    createRevision: source.u64(),
    modRevision: source.u64(),
    version: source.u64(),
    lease: source.u64(),
  }
}
