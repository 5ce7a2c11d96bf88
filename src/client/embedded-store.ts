import type { Observable } from 'rxjs'
import type { RaftServer } from '../actors/raft-server.js'
import { ActorumError } from '../errors.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { LogIndex, ServerId } from '../machines/types.js'
import type { CallOptions, Consistency, ReadOptions, ResolvedCallOptions } from '../options.js'
import type { ChangesSince } from '../state-machines/kv/change-feed.js'
import type { KvCommand, LeaseId } from '../state-machines/kv/commands.js'
import type { KeyValueStore } from '../state-machines/kv/key-value-store.js'
import { bytesOfChars, type KeyChars, type KeyRange } from '../state-machines/kv/keys.js'
import { type KvEntry, type KvResult, type RangeResult, refusalError } from '../state-machines/kv/results.js'
import { Calls, type CallDefaults } from './calls.js'
import type { LeaseStatus } from './client-api.js'
import type { ClusterMember, ClusterSource, Membership } from './cluster-view.js'
import type {
  Caller,
  CommandResult,
  Reader,
  StoreAnswers,
  StoreLimits,
  StoreListener,
  StorePort,
  StoreQuery,
} from './store-port.js'
import { WaitingProposal } from './waiting-proposal.js'

/** What an embedded store lies over. */
export interface EmbeddedStorePorts {
  readonly server: RaftServer<KvCommand, KvResult>
  /** What that server applies commands to. */
  readonly keyValues: KeyValueStore
  readonly clock: Clock
  readonly cluster: ClusterSource
  /** Throws STOPPED, or why the server failed, once it no longer runs. */
  assertOpen(): void
}

type Query<Type extends StoreQuery['type']> = Extract<StoreQuery, { readonly type: Type }>

/** A server in this process: calls go to its loop, and answers come from its own copy of the state. */
export class EmbeddedStore implements StorePort {
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly seenRevision = 0
  readonly #ports: EmbeddedStorePorts
  readonly #calls: Calls<KvCommand, KvResult>
  readonly #keyValues: KeyValueStore
  readonly #ends = new Set<(error: Error) => void>()
  readonly #readValue = (key: KeyChars): Uint8Array | undefined => this.#keyValues.getValue(key)

  constructor(ports: EmbeddedStorePorts, options: CallDefaults & StoreLimits) {
    const { keyBytesMax, valueBytesMax, requestTimeoutMs, clockDriftBoundPercent } = options
    this.limits = { keyBytesMax, valueBytesMax, requestTimeoutMs, clockDriftBoundPercent }
    this.clock = ports.clock
    this.#ports = ports
    this.#calls = new Calls(ports.server, ports.clock, options)
    this.#keyValues = ports.keyValues
  }

  assertOpen(): void {
    this.#ports.assertOpen()
  }

  propose(command: KvCommand, options: CallOptions | undefined, caller: Caller<CommandResult>): void {
    this.#calls.submit(new WaitingProposal(caller, unlessRefused), command, options)
  }

  /** As a promise where no callback is needed: reads that need nobody else are answered at once, a million a second. */
  getValue(key: KeyChars, options: ReadOptions | undefined, consistency: Consistency): Promise<Uint8Array | undefined> {
    try {
      const resolved = this.#calls.readOptions(options, consistency)
      if (this.#calls.mayReadNow(resolved)) return Promise.resolve(this.#keyValues.getValue(key))
      return this.#readValueLater(key, resolved)
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #readValueLater(key: KeyChars, options: ResolvedCallOptions): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => this.#calls.readLater(this.#readValue, key, options, resolve, reject))
  }

  read<Asked extends StoreQuery>(
    query: Asked,
    options: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Asked['type']]>,
  ): void {
    const revision = 'revision' in query ? query.revision : undefined
    // What is found has the shape of its kind of query. It is told in the same turn, so the state is still that one.
    const resolve = (answer: StoreAnswers[StoreQuery['type']]): void =>
      reader.resolve(answer as StoreAnswers[Asked['type']], this.#reached(revision) ?? this.#keyValues.revision)
    const reject = (error: Error): void => reader.reject(error)
    if (revision === undefined) this.#calls.read(() => this.#find(query), options, resolve, reject)
    else this.#calls.readAt(() => this.#find(query), checkedRevision(revision), options, resolve, reject)
  }

  #find(query: StoreQuery): StoreAnswers[StoreQuery['type']] {
    switch (query.type) {
      case 'values':
        return this.#keyValues.getMulti(query.keys, this.#reached(query.revision))
      case 'entry':
        return this.#entry(query)
      case 'range':
        return this.#range(query)
      case 'lease':
        return this.#lease(query.lease)
      case 'leases':
        return this.#keyValues.leases()
      case 'changes':
        return this.#changes(query)
      case 'revision':
        return this.#keyValues.revision
    }
  }

  /** Entries beyond the last command applied, no-ops and the like, have changed nothing. */
  #reached(revision: LogIndex | undefined): LogIndex | undefined {
    return revision === undefined ? undefined : Math.min(revision, this.#keyValues.revision)
  }

  #entry({ key, revision }: Query<'entry'>): KvEntry | undefined {
    const found = this.#keyValues.get(key, this.#reached(revision))
    return found && { key: bytesOfChars(key), ...found }
  }

  #range({ query, revision }: Query<'range'>): RangeResult {
    const result = this.#keyValues.range(query, this.#reached(revision))
    return revision === undefined ? result : { ...result, revision }
  }

  #lease(id: LeaseId): LeaseStatus | undefined {
    const lease = this.#keyValues.lease(id)
    if (lease === undefined) return undefined
    const remainingMs = Math.max(0, lease.deadline - this.#keyValues.clusterTime)
    return { ttlMs: lease.ttlMs, remainingMs, keys: lease.keys.map(bytesOfChars) }
  }

  #changes({ from, range, limit }: Query<'changes'>): ChangesSince {
    return this.#keyValues.changesSince(from, range, limit)
  }

  get appliedRevision(): LogIndex {
    return this.#keyValues.revision
  }

  watch(range: KeyRange, listener: StoreListener): () => void {
    this.assertOpen()
    const release = this.#keyValues.watch(range, {
      changed: (revision, changes) => listener.changed({ revision, changes }),
      replaced: () => listener.lost(),
    })
    const end = (error: Error): void => listener.ended(error)
    this.#ends.add(end)
    return () => {
      this.#ends.delete(end)
      release()
    }
  }

  /** Nothing more will be applied: tells all who watch. */
  end(error: Error): void {
    const ends = [...this.#ends]
    this.#ends.clear()
    for (const end of ends) end(error)
  }

  refresh(options: CallOptions | undefined, caller: Caller<void>): void {
    this.#calls.confirm(
      options,
      () => caller.resolve(),
      (error) => caller.reject(error),
    )
  }

  members(): readonly ClusterMember[] {
    return this.#ports.cluster.members()
  }

  leaderId(): ServerId | undefined {
    return this.#ports.cluster.leaderId()
  }

  membership$(): Observable<Membership> {
    return this.#ports.cluster.membership$()
  }
}

/** A refusal is an error to whoever made the call. */
function unlessRefused(result: KvResult, caller: Caller<CommandResult>): void {
  if ('refused' in result) caller.reject(refusalError(result))
  else caller.resolve(result)
}

function checkedRevision(revision: LogIndex): LogIndex {
  if (Number.isSafeInteger(revision) && revision >= 0) return revision
  throw new ActorumError('INVALID_ARGUMENT', `revision is ${String(revision)}; it must be an integer from 0`)
}
