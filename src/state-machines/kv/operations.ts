import type { LogIndex } from '../../machines/types.js'
import type { CommittedCompare, CommittedOperation } from './command-decoding.js'
import type { KvRelation } from './commands.js'
import type { Version } from './history.js'
import type { KeyChars, KeyRange } from './keys.js'
import type { Keyspace } from './keyspace.js'
import { type Lease, Leases } from './leases.js'
import { TXN_RANGE_ENTRIES_MAX } from './limits.js'
import { rangeNow } from './range.js'
import { entryOf, type StoredRecord, versionOf } from './records.js'
import type { KvEntry, KvResult } from './results.js'

type Operation<Type extends CommittedOperation['type']> = Extract<CommittedOperation, { readonly type: Type }>

/**
 * Applies operations at one revision, later ones seeing what earlier ones wrote.
 * @param resultsWanted - whether anybody will look at what operations read: if not, they read nothing
 */
export class OperationRun {
  readonly #keyspace: Keyspace
  readonly #revision: LogIndex
  readonly #resultsWanted: boolean

  constructor(keyspace: Keyspace, revision: LogIndex, resultsWanted: boolean) {
    this.#keyspace = keyspace
    this.#revision = revision
    this.#resultsWanted = resultsWanted
  }

  /** All of it, or none when it names a lease that does not exist. */
  apply(operation: CommittedOperation): KvResult {
    if (!this.#hasLeases(operation)) return { refused: 'LEASE_NOT_FOUND', revision: this.#revision }
    return this.#apply(operation)
  }

  #hasLeases(operation: CommittedOperation): boolean {
    switch (operation.type) {
      case 'put':
        return operation.lease === undefined || this.#keyspace.leases.find(operation.lease) !== undefined
      case 'txn':
        // Within a transaction no lease comes or goes, so that it can be known before whether all of it can be done.
        return [...operation.then, ...operation.else].every((each) => this.#hasLeases(each))
      default:
        return true
    }
  }

  #apply(operation: CommittedOperation): KvResult {
    switch (operation.type) {
      case 'put':
        return this.#put(operation)
      case 'delete':
        return this.#delete(operation)
      case 'compareAndSwap':
        return this.#compareAndSwap(operation)
      case 'deleteRange':
        return this.#deleteRange(operation)
      case 'get':
        return { entry: this.#resultsWanted ? this.#entry(operation.key) : undefined, revision: this.#revision }
      case 'range':
        return this.#range(operation)
      case 'txn':
        return this.#txn(operation)
    }
  }

  #put(operation: Operation<'put'>): KvResult {
    const { key, value } = operation
    const current = this.#keyspace.records.get(key)
    const previous = operation.wantPrevious === true ? { previous: this.#previous(current) } : {}
    this.#keyspace.put(key, current, value, 0, value.length, this.#revision, this.#leaseFor(operation))
    return { revision: this.#revision, ...previous }
  }

  #leaseFor({ key, lease, ttlMs }: Operation<'put'>): Lease | undefined {
    if (lease !== undefined) return this.#keyspace.leases.find(lease)
    return ttlMs === undefined ? undefined : Leases.ofKey(key, ttlMs, this.#keyspace.clusterTime + ttlMs)
  }

  #delete({ key, wantPrevious }: Operation<'delete'>): KvResult {
    const current = this.#keyspace.records.get(key)
    const previous = wantPrevious === true ? { previous: this.#previous(current) } : {}
    if (current !== undefined) this.#keyspace.delete(current, this.#revision)
    return { deleted: current !== undefined, revision: this.#revision, ...previous }
  }

  #compareAndSwap({ key, expected, value }: Operation<'compareAndSwap'>): KvResult {
    const current = this.#keyspace.records.get(key)
    const swapped =
      expected === undefined || current === undefined
        ? expected === current
        : compareBytes(current.value, expected) === 0
    if (swapped) this.#keyspace.put(key, current, value, 0, value.length, this.#revision, undefined)
    return { swapped, revision: this.#revision }
  }

  #deleteRange(operation: Operation<'deleteRange'>): KvResult {
    const records = this.#recordsIn(operation)
    const previous =
      operation.wantPrevious === true ? { previous: records.flatMap((record) => this.#previous(record) ?? []) } : {}
    for (const record of records) this.#keyspace.delete(record, this.#revision)
    return { deletedCount: records.length, revision: this.#revision, ...previous }
  }

  #recordsIn(range: KeyRange): StoredRecord[] {
    return [...this.#keyspace.keys(range)].flatMap((key) => this.#keyspace.records.get(key) ?? [])
  }

  #range(operation: Operation<'range'>): KvResult {
    const query = { ...operation, limit: operation.limit ?? TXN_RANGE_ENTRIES_MAX }
    return rangeNow(this.#keyspace, this.#resultsWanted ? query : { ...query, countOnly: true }, this.#revision)
  }

  #txn({ compares, then, else: otherwise }: Operation<'txn'>): KvResult {
    const succeeded = compares.every((compare) => holds(compare, this.#keyspace.now(compare.key)))
    const results = (succeeded ? then : otherwise).map((operation) => this.#apply(operation))
    return { succeeded, results, revision: this.#revision }
  }

  #entry(key: KeyChars): KvEntry | undefined {
    return this.#previous(this.#keyspace.records.get(key))
  }

  #previous(record: StoredRecord | undefined): KvEntry | undefined {
    return record === undefined || !this.#resultsWanted ? undefined : entryOf(record.key, versionOf(record))
  }
}

function holds(compare: CommittedCompare, version: Version | undefined): boolean {
  if (compare.target === 'value') {
    return version !== undefined && isSo(compareBytes(version.value, compare.operand), compare.relation)
  }
  return isSo(numberOf(compare.target, version) - compare.operand, compare.relation)
}

function numberOf(target: Exclude<CommittedCompare['target'], 'value'>, version: Version | undefined): number {
  if (version === undefined) return 0
  return target === 'lease' ? version.leaseId : version[target]
}

function isSo(difference: number, relation: KvRelation): boolean {
  switch (relation) {
    case '=':
      return difference === 0
    case '!=':
      return difference !== 0
    case '<':
      return difference < 0
    case '>':
      return difference > 0
  }
}

/** Below 0, 0 or above: as `one` comes before, equals or comes after `other`. */
export function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length)
  for (let i = 0; i < length; i++) {
    if (one[i] !== other[i]) return one[i]! - other[i]!
  }
  return one.length - other.length
}
