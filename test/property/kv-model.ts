import type {
  CompareAndSwapCommand,
  InSessionCommand,
  KvCommand,
  KvCompare,
  KvOperation,
  PutCommand,
  TxnCommand,
} from '../../src/state-machines/kv/commands.js'

/** A key's value and what is known of it, with text for bytes. */
export interface ModelEntry {
  readonly key: string
  readonly value: string
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  readonly lease: number
}

type Record = ModelEntry & { readonly deadline: number | undefined }
/** As the store gives it, with text for bytes. */
export type ModelResult = { readonly revision: number } & { readonly [name: string]: unknown }

interface ModelSession {
  readonly timeoutMs: number
  deadline: number
  lowest: number
  readonly results: Map<number, ModelResult>
}

/** What the store should do, in the plainest way: sorted copies of a map, and all that ever was. */
export class KvModel {
  records = new Map<string, Record>()
  readonly leases = new Map<number, { readonly ttlMs: number; deadline: number }>()
  readonly sessions = new Map<number, ModelSession>()
  /** The keys as of every revision. */
  readonly past: ReadonlyMap<string, ModelEntry>[] = [new Map()]
  clusterTime = 0
  revision = 0
  compacted = 0

  apply(command: KvCommand): ModelResult {
    this.revision++
    const result = this.#apply(command)
    this.past.push(new Map([...this.records.keys()].sort().map((key) => [key, entryOf(this.records.get(key)!)])))
    return result
  }

  get nextExpiry(): number | undefined {
    const deadlines = [...this.records.values(), ...this.leases.values(), ...this.sessions.values()]
    const times = deadlines.flatMap(({ deadline }) => deadline ?? [])
    return times.length === 0 ? undefined : Math.min(...times)
  }

  #apply(command: KvCommand): ModelResult {
    const { revision } = this
    switch (command.type) {
      case 'grantLease':
        this.leases.set(revision, { ttlMs: command.ttlMs, deadline: this.clusterTime + command.ttlMs })
        return { lease: revision, ttlMs: command.ttlMs, revision }
      case 'keepLeaseAlive': {
        const lease = this.leases.get(command.lease)
        if (lease === undefined) return this.#refused('LEASE_NOT_FOUND')
        lease.deadline = this.clusterTime + lease.ttlMs
        return { lease: command.lease, ttlMs: lease.ttlMs, revision }
      }
      case 'revokeLease':
        if (!this.leases.has(command.lease)) return this.#refused('LEASE_NOT_FOUND')
        return { deletedCount: this.#endLease(command.lease), revision }
      case 'openSession': {
        const { timeoutMs } = command
        this.sessions.set(revision, {
          timeoutMs,
          deadline: this.clusterTime + timeoutMs,
          lowest: 0,
          results: new Map<number, ModelResult>(),
        })
        return { session: revision, revision }
      }
      case 'keepSessionAlive':
      case 'closeSession': {
        const session = this.sessions.get(command.session)
        if (session === undefined) return this.#refused('SESSION_EXPIRED')
        session.deadline = this.clusterTime + session.timeoutMs
        if (command.type === 'closeSession') this.sessions.delete(command.session)
        return { session: command.session, revision }
      }
      case 'compact':
        this.compacted = Math.max(this.compacted, Math.min(command.revision, revision))
        return { compactedRevision: Math.min(command.revision, revision), revision }
      case 'expire':
        return { expiredCount: this.#expire(), revision }
      case 'inSession':
        return this.#inSession(command)
      default:
        return this.#leasesExist(command) ? this.#operate(command) : this.#refused('LEASE_NOT_FOUND')
    }
  }

  #refused(refused: string): ModelResult {
    return { refused, revision: this.revision }
  }

  #endLease(id: number): number {
    this.leases.delete(id)
    return this.#deleteWhere(({ lease }) => lease === id).length
  }

  #expire(): number {
    const isOver = ({ deadline = Infinity }: { readonly deadline?: number | undefined }) => deadline <= this.clusterTime
    const leases = [...this.leases].filter(([, lease]) => isOver(lease))
    const sessions = [...this.sessions].filter(([, session]) => isOver(session))
    const own = this.#deleteWhere(isOver)
    for (const [id] of leases) this.#endLease(id)
    for (const [id] of sessions) this.sessions.delete(id)
    return leases.length + sessions.length + own.length
  }

  #deleteWhere(holds: (record: Record) => boolean): ModelEntry[] {
    const gone = [...this.records.values()].filter(holds).sort((one, other) => (one.key < other.key ? -1 : 1))
    for (const { key } of gone) this.records.delete(key)
    return gone.map(entryOf)
  }

  #inSession({ session: id, sequence, lowestOutstanding, command }: InSessionCommand): ModelResult {
    const session = this.sessions.get(id)
    if (session === undefined) return this.#refused('SESSION_EXPIRED')
    session.deadline = this.clusterTime + session.timeoutMs
    session.lowest = Math.max(session.lowest, lowestOutstanding)
    for (const each of session.results.keys()) if (each < session.lowest) session.results.delete(each)
    const kept = session.results.get(sequence)
    if (kept !== undefined) return kept
    if (sequence < session.lowest) return this.#refused('ANSWERED')
    const result = this.#apply(command)
    session.results.set(sequence, result)
    return result
  }

  #leasesExist(operation: KvOperation): boolean {
    if (operation.type === 'put') return operation.lease === undefined || this.leases.has(operation.lease)
    return operation.type !== 'txn' || [...operation.then, ...operation.else].every((each) => this.#leasesExist(each))
  }

  #operate(operation: KvOperation): ModelResult {
    const { revision } = this
    switch (operation.type) {
      case 'put': {
        const previous = operation.wantPrevious === true ? { previous: this.#entry(String(operation.key)) } : {}
        this.#put(operation)
        return { revision, ...previous }
      }
      case 'delete': {
        const [gone] = this.#deleteWhere(({ key }) => key === operation.key)
        return { deleted: gone !== undefined, revision, ...(operation.wantPrevious === true ? { previous: gone } : {}) }
      }
      case 'deleteRange': {
        const gone = this.#deleteWhere(({ key }) => key >= operation.from && key < (operation.to ?? '~'))
        return { deletedCount: gone.length, revision, ...(operation.wantPrevious === true ? { previous: gone } : {}) }
      }
      case 'compareAndSwap':
        return { swapped: this.#swap(operation), revision }
      case 'get':
        return { entry: this.#entry(String(operation.key)), revision }
      case 'range': {
        const present = new Map([...this.records.keys()].sort().map((key) => [key, entryOf(this.records.get(key)!)]))
        return { ...rangeOf(present, { ...operation, from: String(operation.from) }), revision }
      }
      case 'txn':
        return this.#txn(operation)
    }
  }

  #entry(key: string): ModelEntry | undefined {
    const record = this.records.get(key)
    return record && entryOf(record)
  }

  #put({ key: bytes, value, lease = 0, ttlMs }: PutCommand): void {
    const key = String(bytes)
    const before = this.records.get(key)
    this.records.set(key, {
      key,
      value: String(value),
      createRevision: before?.createRevision ?? this.revision,
      modRevision: this.revision,
      version: (before?.version ?? 0) + 1,
      lease,
      deadline: ttlMs === undefined ? undefined : this.clusterTime + ttlMs,
    })
  }

  #swap({ key, expected, value }: CompareAndSwapCommand): boolean {
    if (this.records.get(String(key))?.value !== expected) return false
    this.#put({ type: 'put', key, value })
    return true
  }

  #txn(txn: TxnCommand): ModelResult {
    const succeeded = txn.compares.every((compare) => this.#holds(compare))
    const results = (succeeded ? txn.then : txn.else).map((operation) => this.#operate(operation))
    return { succeeded, results, revision: this.revision }
  }

  #holds({ key, target, relation, operand }: KvCompare): boolean {
    const record = this.records.get(String(key))
    if (target === 'value' && record === undefined) return false
    const found = record?.[target] ?? 0
    return { '=': found === operand, '!=': found !== operand, '<': found < operand, '>': found > operand }[relation]
  }
}

/** What a range should give, of keys in order. */
export function rangeOf(
  keys: ReadonlyMap<string, ModelEntry>,
  range: { from: string; limit?: number | undefined; reverse?: boolean | undefined; keysOnly?: boolean | undefined } & {
    readonly to?: unknown
    readonly countOnly?: boolean | undefined
  },
) {
  const to = typeof range.to === 'string' ? range.to : '~'
  const all = [...keys.values()].filter(({ key }) => key >= range.from && key < to)
  if (range.countOnly === true) return { entries: [], more: false, count: all.length }
  if (range.reverse === true) all.reverse()
  const entries = all.slice(0, range.limit ?? all.length)
  const shown = range.keysOnly === true ? entries.map((entry) => ({ ...entry, value: '' })) : entries
  return { entries: shown, more: all.length > entries.length, count: all.length }
}

/** What one command changed, by key. */
export function changesBetween(before: ReadonlyMap<string, ModelEntry>, after: ReadonlyMap<string, ModelEntry>) {
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort()
  return keys.flatMap((key) => {
    const [previous, entry] = [before.get(key), after.get(key)]
    if (previous?.modRevision === entry?.modRevision) return []
    return [{ key, value: entry?.value, previous: previous?.value }]
  })
}

function entryOf({ key, value, createRevision, modRevision, version, lease }: Record): ModelEntry {
  return { key, value, createRevision, modRevision, version, lease }
}
