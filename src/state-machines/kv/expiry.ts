import type { LogIndex } from '../../machines/types.js'
import type { Keyspace } from './keyspace.js'
import type { Lease } from './leases.js'
import { EXPIRIES_MAX } from './limits.js'
import type { KvState } from './state.js'

/** Ends a lease with all its keys, and says how many there were. */
export function endLease(keyspace: Keyspace, lease: Lease, revision: LogIndex): number {
  // In an order that is the same on a server whose lease came out of a snapshot.
  const keys = lease.keys === undefined ? [lease.key] : [...lease.keys].sort()
  for (const key of keys) {
    const record = key === undefined ? undefined : keyspace.records.get(key)
    if (record !== undefined) keyspace.delete(record, revision)
  }
  // A key's own went with its key.
  if (lease.keys !== undefined) keyspace.leases.end(lease)
  return keys.length
}

/** Ends what is over by the cluster time, and says how many; the rest, if there is much, is for another command. */
export function expire({ keyspace, sessions }: KvState, revision: LogIndex): number {
  const { clusterTime } = keyspace
  let count = 0
  for (; count < EXPIRIES_MAX; count++) {
    const lease = keyspace.leases.first
    if (lease === undefined || lease.deadline > clusterTime) break
    endLease(keyspace, lease, revision)
  }
  for (; count < EXPIRIES_MAX; count++) {
    const session = sessions.first
    if (session === undefined || session.deadline > clusterTime) break
    sessions.end(session)
  }
  return count
}

/** When the next lease or session ends: a cluster time, in milliseconds. */
export function nextExpiry({ keyspace, sessions }: KvState): number | undefined {
  const [lease, session] = [keyspace.leases.first?.deadline, sessions.first?.deadline]
  return lease === undefined || session === undefined ? (lease ?? session) : Math.min(lease, session)
}
