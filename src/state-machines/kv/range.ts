import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import type { Version } from './history.js'
import { isInRange, type KeyChars, type KeyRange } from './keys.js'
import type { Keyspace } from './keyspace.js'
import { bareEntryOf, entryOf } from './records.js'
import type { KvEntry, RangeResult } from './results.js'

/** Which keys are read, and what of them. */
export interface RangeQuery extends KeyRange {
  /** Entries at most. Default: all. */
  readonly limit?: number | undefined
  /** No entry is added to those whose keys and values have so many bytes. Default: no bound. */
  readonly bytesMax?: number | undefined
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined
  /** Entries without their values. Default false. */
  readonly keysOnly?: boolean | undefined
  /** No entries at all. Default false. */
  readonly countOnly?: boolean | undefined
}

/** The keys of a range as they are. `revision` is what the result says that it is as of. */
export function rangeNow(keyspace: Keyspace, query: RangeQuery, revision: LogIndex): RangeResult {
  const count = keyspace.index.count(query.from, query.to)
  const keys = keyspace.keys(query, query.reverse)
  return { ...collected(keys, (key) => keyspace.now(key), query, count), revision }
}

/**
 * The keys of a range as they were: the present ones, with what has changed since put back. It takes a time that grows
 * with the number of changes since, of all keys.
 */
export function rangeAt(keyspace: Keyspace, query: RangeQuery, revision: LogIndex): RangeResult {
  const touched = new Set<KeyChars>()
  const { history } = keyspace
  for (let change = history.firstSince(revision + 1); change < history.next; change++) {
    const key = history.keyOf(change)
    if (isInRange(key, query)) touched.add(key)
  }
  let count = keyspace.index.count(query.from, query.to)
  const gone: KeyChars[] = []
  for (const key of touched) {
    const [is, was] = [keyspace.records.has(key), keyspace.at(key, revision) !== undefined]
    count += Number(was) - Number(is)
    if (was && !is) gone.push(key)
  }
  const keys = merged(keyspace.keys(query, query.reverse), gone, query.reverse === true)
  return { ...collected(keys, (key) => keyspace.at(key, revision), query, count), revision }
}

/** @throws ActorumError COMPACTED; INVALID_ARGUMENT: a revision to come, or none */
export function checkRevision(keyspace: Keyspace, revision: LogIndex, newest: LogIndex): void {
  if (!Number.isSafeInteger(revision) || revision < 0) {
    throw new ActorumError('INVALID_ARGUMENT', `revision is ${revision}; it must be an integer from 0`)
  }
  if (revision > newest) {
    const text = `this server has applied up to revision ${newest} and cannot read at ${revision} yet`
    throw new ActorumError('INVALID_ARGUMENT', `${text}: read later, or linearizably`)
  }
  const { compactedRevision } = keyspace.history
  if (revision < compactedRevision) {
    const text = `the state at revision ${revision} is no longer kept; the earliest here is ${compactedRevision}`
    throw new ActorumError('COMPACTED', text, { revision: compactedRevision })
  }
}

/** The entries of those keys that had a version, up to the limits. */
function collected(
  keys: Iterable<KeyChars>,
  find: (key: KeyChars) => Version | undefined,
  { limit = Infinity, bytesMax = Infinity, keysOnly, countOnly }: RangeQuery,
  count: number,
): Omit<RangeResult, 'revision'> {
  const entries: KvEntry[] = []
  if (countOnly === true) return { entries, more: false, count }
  const made = keysOnly === true ? bareEntryOf : entryOf
  let bytes = 0
  for (const key of keys) {
    if (entries.length >= limit || bytes >= bytesMax) break
    const version = find(key)
    if (version === undefined) continue
    const entry = made(key, version)
    entries.push(entry)
    bytes += entry.key.length + entry.value.length
  }
  return { entries, more: entries.length < count, count }
}

/** Two lists in order as one. */
function* merged(ordered: Iterable<KeyChars>, others: KeyChars[], reverse: boolean): Generator<KeyChars> {
  const isBefore = (one: KeyChars, other: KeyChars) => (reverse ? one > other : one < other)
  others.sort((one, other) => (isBefore(one, other) ? -1 : 1))
  let next = 0
  for (const key of ordered) {
    for (; next < others.length && isBefore(others[next]!, key); next++) yield others[next]!
    yield key
  }
  yield* others.slice(next)
}
