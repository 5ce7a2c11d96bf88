import type { LogIndex } from '../../machines/types.js'
import type {
  CommittedCommand,
  CommittedCompare,
  CommittedOperation,
} from '../../state-machines/kv/command-decoding.js'
import { PlainKeyspace, type PlainEntry } from './plain-keyspace.js'

type Command<Type extends CommittedCommand['type']> = Extract<CommittedCommand, { readonly type: Type }>

/** A result in the store's own shape, with text for bytes. */
export type PlainResult = { readonly revision: LogIndex } & { readonly [name: string]: unknown }

interface PlainLease {
  readonly ttlMs: number
  deadline: number
}

interface PlainSession {
  readonly timeoutMs: number
  deadline: number
  lowest: number
  readonly results: Map<number, PlainResult>
}

/** How a lease or a session ended. */
export interface Ending {
  readonly revision: LogIndex
  /** By its time, and not by a call of its client. */
  readonly isExpiry: boolean
}

/** Hears what the model does. */
export interface PlainObserver {
  /** A command is done, and not only remembered by its session. */
  executed(command: CommittedCommand, isInSession: boolean): void
  /** A lease or session has ended. */
  ended(id: number, ending: Ending): void
}

/**
 * What the key-value store should do, in the plainest way and without its code. It knows no limit on what is kept: a
 * run stays far below them.
 */
export class PlainModel {
  readonly keyspace = new PlainKeyspace()
  readonly #leases = new Map<number, PlainLease>()
  readonly #sessions = new Map<number, PlainSession>()
  readonly #endings = new Map<number, Ending>()
  readonly #observer: PlainObserver
  #clusterTime = 0
  #revision: LogIndex = 0
  #compactedRevision: LogIndex = 0

  constructor(observer: PlainObserver) {
    this.#observer = observer
  }

  /** Everything before this revision was asked to be forgotten. */
  get compactedRevision(): LogIndex {
    return this.#compactedRevision
  }

  /** How the lease or session of that name ended; undefined: it has not, or never was. */
  endingOf(id: number): Ending | undefined {
    return this.#endings.get(id)
  }

  /** The cluster time at which something ends next. */
  get nextExpiry(): number | undefined {
    const held = [...this.#leases.values(), ...this.#sessions.values()].map(({ deadline }) => deadline)
    const deadlines = [...held, ...this.keyspace.deadlines()]
    return deadlines.length === 0 ? undefined : Math.min(...deadlines)
  }

  /** Applies the command at index `revision`, which the log gives this cluster time. */
  apply(command: CommittedCommand, revision: LogIndex, clusterTime: number): PlainResult {
    this.#revision = revision
    this.#clusterTime = Math.max(this.#clusterTime, clusterTime)
    return command.type === 'inSession' ? this.#applyInSession(command) : this.#apply(command, false)
  }

  #apply(command: CommittedCommand, isInSession: boolean): PlainResult {
    this.#observer.executed(command, isInSession)
    const revision = this.#revision
    switch (command.type) {
      case 'grantLease':
        this.#leases.set(revision, { ttlMs: command.ttlMs, deadline: this.#clusterTime + command.ttlMs })
        return { lease: revision, ttlMs: command.ttlMs, revision }
      case 'keepLeaseAlive':
        return this.#keepLease(command.lease)
      case 'revokeLease':
        if (!this.#leases.has(command.lease)) return this.#refused('LEASE_NOT_FOUND')
        return { deletedCount: this.#endLease(command.lease, false), revision }
      case 'openSession':
        return this.#openSession(command.timeoutMs)
      case 'keepSessionAlive':
      case 'closeSession':
        return this.#keepOrClose(command)
      case 'compact': {
        const compactedRevision = Math.min(command.revision, revision)
        this.#compactedRevision = Math.max(this.#compactedRevision, compactedRevision)
        return { compactedRevision, revision }
      }
      case 'expire':
        return { expiredCount: this.#expire(), revision }
      case 'inSession':
        return this.#applyInSession(command)
      default:
        return this.#hasLeases(command) ? this.#operate(command) : this.#refused('LEASE_NOT_FOUND')
    }
  }

  #refused(refused: string): PlainResult {
    return { refused, revision: this.#revision }
  }

  #keepLease(id: number): PlainResult {
    const lease = this.#leases.get(id)
    if (lease === undefined) return this.#refused('LEASE_NOT_FOUND')
    lease.deadline = this.#clusterTime + lease.ttlMs
    return { lease: id, ttlMs: lease.ttlMs, revision: this.#revision }
  }

  #endLease(id: number, isExpiry: boolean): number {
    this.#leases.delete(id)
    this.#ended(id, isExpiry)
    const keys = this.keyspace.entries().filter(({ lease }) => lease === id)
    for (const { key } of keys) this.keyspace.delete(key)
    return keys.length
  }

  #openSession(timeoutMs: number): PlainResult {
    const session = this.#revision
    const deadline = this.#clusterTime + timeoutMs
    this.#sessions.set(session, { timeoutMs, deadline, lowest: 0, results: new Map<number, PlainResult>() })
    return { session, revision: this.#revision }
  }

  #keepOrClose({ type, session: id }: Command<'keepSessionAlive' | 'closeSession'>): PlainResult {
    const session = this.#sessions.get(id)
    if (session === undefined) return this.#refused('SESSION_EXPIRED')
    session.deadline = this.#clusterTime + session.timeoutMs
    if (type === 'closeSession') this.#endSession(id, false)
    return { session: id, revision: this.#revision }
  }

  #endSession(id: number, isExpiry: boolean): void {
    this.#sessions.delete(id)
    this.#ended(id, isExpiry)
  }

  #ended(id: number, isExpiry: boolean): void {
    const ending = { revision: this.#revision, isExpiry }
    this.#endings.set(id, ending)
    this.#observer.ended(id, ending)
  }

  #expire(): number {
    const isOver = ([, { deadline }]: readonly [number, { readonly deadline: number }]): boolean =>
      deadline <= this.#clusterTime
    const leases = [...this.#leases].filter(isOver)
    const sessions = [...this.#sessions].filter(isOver)
    for (const [id] of leases) this.#endLease(id, true)
    for (const [id] of sessions) this.#endSession(id, true)
    return leases.length + sessions.length + this.keyspace.deleteOver(this.#clusterTime)
  }

  /** Once, however often it comes (thesis §6.3). */
  #applyInSession({ session: id, sequence, lowestOutstanding, command }: Command<'inSession'>): PlainResult {
    const session = this.#sessions.get(id)
    if (session === undefined) return this.#refused('SESSION_EXPIRED')
    session.deadline = this.#clusterTime + session.timeoutMs
    session.lowest = Math.max(session.lowest, lowestOutstanding)
    for (const each of [...session.results.keys()]) if (each < session.lowest) session.results.delete(each)
    const kept = session.results.get(sequence)
    if (kept !== undefined) return kept
    if (sequence < session.lowest) return this.#refused('ANSWERED')
    const result = this.#apply(command, true)
    session.results.set(sequence, result)
    return result
  }

  #hasLeases(operation: CommittedOperation): boolean {
    if (operation.type === 'put') return operation.lease === undefined || this.#leases.has(operation.lease)
    return operation.type !== 'txn' || [...operation.then, ...operation.else].every((each) => this.#hasLeases(each))
  }

  #operate(operation: CommittedOperation): PlainResult {
    const revision = this.#revision
    switch (operation.type) {
      case 'put': {
        const { key, value, lease = 0, ttlMs } = operation
        const previous = operation.wantPrevious === true ? { previous: this.keyspace.get(key) } : {}
        const deadline = ttlMs === undefined ? undefined : this.#clusterTime + ttlMs
        this.keyspace.put(key, textOf(value), revision, lease, deadline)
        return { revision, ...previous }
      }
      case 'delete': {
        const gone = this.keyspace.delete(operation.key)
        const previous = operation.wantPrevious === true ? { previous: gone } : {}
        return { deleted: gone !== undefined, revision, ...previous }
      }
      case 'deleteRange': {
        const gone = this.keyspace.range(operation)
        for (const { key } of gone) this.keyspace.delete(key)
        return { deletedCount: gone.length, revision, ...(operation.wantPrevious === true ? { previous: gone } : {}) }
      }
      case 'compareAndSwap': {
        const { key, expected, value } = operation
        const swapped = this.keyspace.get(key)?.value === (expected && textOf(expected))
        if (swapped) this.keyspace.put(key, textOf(value), revision, 0, undefined)
        return { swapped, revision }
      }
      case 'get':
        return { entry: this.keyspace.get(operation.key), revision }
      case 'range':
        return { ...rangeOf(this.keyspace.range(operation), operation), revision }
      case 'txn': {
        const succeeded = operation.compares.every((compare) => holds(compare, this.keyspace.get(compare.key)))
        const results = (succeeded ? operation.then : operation.else).map((each) => this.#operate(each))
        return { succeeded, results, revision }
      }
    }
  }
}

/** One character a byte, which keeps the order of bytes. */
export function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

/** What a range gives of the entries in it, which are in order. */
export function rangeOf(
  entries: readonly PlainEntry[],
  query: Pick<Command<'range'>, 'limit' | 'reverse' | 'keysOnly' | 'countOnly'>,
): { readonly entries: readonly PlainEntry[]; readonly more: boolean; readonly count: number } {
  const count = entries.length
  if (query.countOnly === true) return { entries: [], more: false, count }
  const ordered = query.reverse === true ? [...entries].reverse() : entries
  const first = ordered.slice(0, query.limit ?? count)
  const shown = query.keysOnly === true ? first.map((entry) => ({ ...entry, value: '' })) : first
  return { entries: shown, more: first.length < count, count }
}

function holds(compare: CommittedCompare, entry: PlainEntry | undefined): boolean {
  if (compare.target === 'value') {
    return entry !== undefined && isSo(entry.value, compare.relation, textOf(compare.operand))
  }
  return isSo(entry?.[compare.target] ?? 0, compare.relation, compare.operand)
}

function isSo<Ordered extends string | number>(
  one: Ordered,
  relation: CommittedCompare['relation'],
  other: Ordered,
): boolean {
  return { '=': one === other, '!=': one !== other, '<': one < other, '>': one > other }[relation]
}
