import type { LogIndex } from '../../machines/types.js'
import { copyOut } from './copies.js'
import type { Version } from './history.js'
import { bytesOfChars, type KeyChars } from './keys.js'
import type { Lease } from './leases.js'
import type { KeyValue, KvEntry } from './results.js'

/** A key as the store holds it. */
export interface StoredRecord {
  readonly key: KeyChars
  /** A buffer to itself: a slice of a shared one would keep the whole of it alive. */
  readonly value: Uint8Array
  readonly createRevision: LogIndex
  modRevision: LogIndex
  version: number
  lease: Lease | undefined
  /** How many snapshots had been taken when it was made: one taken since still needs it as it is. */
  readonly snapshots: number
  /** Number of its newest change in the history. */
  lastChange: number
  /** The count of watched ranges at which none of them had this key, so that most writes need not look. */
  unwatchedAt: number
}

export function versionOf({ value, createRevision, modRevision, version, lease }: StoredRecord): Version {
  return { value, createRevision, modRevision, version, leaseId: lease === undefined ? 0 : lease.id }
}

/** A copy for a caller. */
export function entryOf(key: KeyChars, version: Version): KvEntry {
  return { key: bytesOfChars(key), ...keyValueOf(version) }
}

/** A copy for a caller. */
export function keyValueOf({ value, createRevision, modRevision, version, leaseId }: Version): KeyValue {
  return { value: copyOut(value), createRevision, modRevision, version, lease: leaseId }
}

/** A copy for a caller, but for the value. */
export function bareEntryOf(key: KeyChars, { createRevision, modRevision, version, leaseId }: Version): KvEntry {
  return { key: bytesOfChars(key), value: new Uint8Array(), createRevision, modRevision, version, lease: leaseId }
}
