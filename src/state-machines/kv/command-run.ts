import type { LogIndex } from '../../machines/types.js'
import { type CommittedCommand, decodeCommand } from './command-decoding.js'
import { endLease, expire } from './expiry.js'
import { OperationRun } from './operations.js'
import { copyOfResult, type KvResult, type Refusal } from './results.js'
import { recall, remember } from './sessions.js'
import type { KvState } from './state.js'

type Command<Type extends CommittedCommand['type']> = Extract<CommittedCommand, { readonly type: Type }>

/** Applies one command, of any kind. */
export class CommandRun {
  readonly #state: KvState
  readonly #revision: LogIndex
  readonly #resultsWanted: boolean

  constructor(state: KvState, revision: LogIndex, resultsWanted: boolean) {
    this.#state = state
    this.#revision = revision
    this.#resultsWanted = resultsWanted
  }

  /** Applies the command in `bytes[start, end)`. Throws CORRUPT or UNSUPPORTED_FORMAT. */
  apply(bytes: Uint8Array, start: number, end: number): KvResult {
    return this.#apply(decodeCommand(bytes, start, end), this.#resultsWanted)
  }

  #apply(command: CommittedCommand, resultsWanted: boolean): KvResult {
    switch (command.type) {
      case 'inSession':
        return this.#applyInSession(command)
      case 'grantLease':
        return this.#grant(command)
      case 'keepLeaseAlive':
        return this.#keepLeaseAlive(command)
      case 'revokeLease':
        return this.#revoke(command)
      case 'openSession':
        return this.#openSession(command)
      case 'keepSessionAlive':
      case 'closeSession':
        return this.#keepOrClose(command)
      case 'compact':
        return this.#compact(command)
      case 'expire':
        return { expiredCount: expire(this.#state, this.#revision), revision: this.#revision }
      default:
        return new OperationRun(this.#state.keyspace, this.#revision, resultsWanted).apply(command)
    }
  }

  /** Once, however often it comes: what it came to is kept, for all that the client may not have heard. */
  #applyInSession(command: Command<'inSession'>): KvResult {
    const session = this.#state.sessions.find(command.session)
    if (session === undefined) return this.#refused('SESSION_EXPIRED')
    session.deadline = this.#state.keyspace.clusterTime + session.timeoutMs
    const known = recall(session, command)
    if (typeof known === 'string') return this.#refused(known)
    if (known !== undefined) return copyOfResult(known)
    const result = this.#apply(command.command, true)
    remember(session, command.sequence, result)
    // Whoever gets it may do as he likes with it.
    return this.#resultsWanted ? copyOfResult(result) : result
  }

  #grant({ ttlMs }: Command<'grantLease'>): KvResult {
    const { leases, clusterTime } = this.#state.keyspace
    if (leases.isFull) return this.#refused('BUSY')
    const { id } = leases.grant(this.#revision, ttlMs, clusterTime + ttlMs)
    return { lease: id, ttlMs, revision: this.#revision }
  }

  #keepLeaseAlive({ lease: id }: Command<'keepLeaseAlive'>): KvResult {
    const { leases, clusterTime } = this.#state.keyspace
    const lease = leases.find(id)
    if (lease === undefined) return this.#refused('LEASE_NOT_FOUND')
    lease.deadline = clusterTime + lease.ttlMs
    return { lease: id, ttlMs: lease.ttlMs, revision: this.#revision }
  }

  #revoke({ lease: id }: Command<'revokeLease'>): KvResult {
    const { keyspace } = this.#state
    const lease = keyspace.leases.find(id)
    if (lease === undefined) return this.#refused('LEASE_NOT_FOUND')
    return { deletedCount: endLease(keyspace, lease, this.#revision), revision: this.#revision }
  }

  #openSession({ timeoutMs }: Command<'openSession'>): KvResult {
    const { sessions, keyspace } = this.#state
    if (sessions.isFull) return this.#refused('BUSY')
    const { id } = sessions.open(this.#revision, timeoutMs, keyspace.clusterTime + timeoutMs)
    return { session: id, revision: this.#revision }
  }

  #keepOrClose({ type, session: id }: Command<'keepSessionAlive' | 'closeSession'>): KvResult {
    const { sessions, keyspace } = this.#state
    const session = sessions.find(id)
    if (session === undefined) return this.#refused('SESSION_EXPIRED')
    if (type === 'closeSession') sessions.end(session)
    else session.deadline = keyspace.clusterTime + session.timeoutMs
    return { session: id, revision: this.#revision }
  }

  #compact({ revision }: Command<'compact'>): KvResult {
    const compactedRevision = Math.min(revision, this.#revision)
    this.#state.keyspace.history.compact(compactedRevision)
    return { compactedRevision, revision: this.#revision }
  }

  #refused(refused: Refusal): KvResult {
    return { refused, revision: this.#revision }
  }
}
