import { EMPTY, type Observable } from 'rxjs'
import { EmbeddedStore } from '../../client/embedded-store.js'
import type { ClusterMember, ClusterSource, Membership } from '../../client/cluster-view.js'
import type {
  Caller,
  CommandResult,
  Reader,
  StoreAnswers,
  StoreLimits,
  StoreListener,
  StorePort,
  StoreQuery,
} from '../../client/store-port.js'
import { ActorumError } from '../../errors.js'
import type { Clock } from '../../machines/time-and-chance.js'
import type { LogIndex, ServerId } from '../../machines/types.js'
import type { CallOptions, Consistency, ReadOptions } from '../../options.js'
import type { KvCommand } from '../../state-machines/kv/commands.js'
import { KeyValueStore } from '../../state-machines/kv/key-value-store.js'
import type { KeyChars, KeyRange } from '../../state-machines/kv/keys.js'
import type { KvCluster } from './kv-client.js'

type Running = NonNullable<KvCluster['servers'][number]['running']>

export interface RoamingStoreSpec {
  readonly cluster: KvCluster
  readonly linearizableReads: 'quorum' | 'lease'
  readonly requestTimeoutMs: number
  readonly clockDriftBoundPercent: number
  /** How long it waits for a server that may be dead, in virtual milliseconds. */
  readonly patienceMs: number
  /** The client's own. */
  readonly clock: Clock
}

/**
 * A client's connection to one server at a time, which may die without a word: calls are made in a turn of that
 * server's process, and one that is not answered in time is given up, with an unknown outcome.
 */
export class RoamingStore implements StorePort {
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly seenRevision = 0
  readonly #spec: RoamingStoreSpec
  readonly #stores = new WeakMap<Running, EmbeddedStore>()
  #at: ServerId

  constructor(spec: RoamingStoreSpec, at: ServerId) {
    const { requestTimeoutMs, clockDriftBoundPercent, clock } = spec
    this.#spec = spec
    this.#at = at
    this.clock = clock
    this.limits = { keyBytesMax: 1024, valueBytesMax: 64 * 1024, requestTimeoutMs, clockDriftBoundPercent }
  }

  /** Which start of which server it is connected to; undefined: it is down. */
  get connection(): Running | undefined {
    return this.#spec.cluster.server(this.#at).running
  }

  /** Goes to another server. Calls under way are still answered by the one before. */
  move(to: ServerId): void {
    this.#at = to
  }

  /** The store within the server's process. Throws NO_LEADER while it is down. */
  get embedded(): EmbeddedStore {
    return this.#connected().store
  }

  assertOpen(): void {
    // A connection is never closed: its server dies at most.
  }

  propose(command: KvCommand, options: CallOptions | undefined, caller: Caller<CommandResult>): void {
    const silence = (): Error => new ActorumError('OUTCOME_UNKNOWN', `server ${this.#at} did not answer`)
    this.#call(caller, silence, (store, waiting) => store.propose(command, options, waiting))
  }

  read<Query extends StoreQuery>(
    query: Query,
    options: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Query['type']]>,
  ): void {
    let revision: LogIndex = 0
    const caller: Caller<StoreAnswers[Query['type']]> = {
      resolve: (answer) => reader.resolve(answer, revision),
      reject: (error) => reader.reject(error),
    }
    this.#call(caller, noAnswer, (store, waiting) => {
      const resolve = (answer: StoreAnswers[Query['type']], at: LogIndex): void => {
        revision = at
        waiting.resolve(answer)
      }
      store.read(query, options, { resolve, reject: (error) => waiting.reject(error) })
    })
  }

  getValue(key: KeyChars, options: ReadOptions | undefined, consistency: Consistency): Promise<Uint8Array | undefined> {
    return this.#connected().store.getValue(key, options, consistency)
  }

  get appliedRevision(): LogIndex {
    return this.#connected().store.appliedRevision
  }

  watch(range: KeyRange, listener: StoreListener): () => void {
    return this.#connected().store.watch(range, listener)
  }

  refresh(options: CallOptions | undefined, caller: Caller<void>): void {
    this.#call(caller, noAnswer, (store, waiting) => store.refresh(options, waiting))
  }

  members(): readonly ClusterMember[] {
    return this.#connected().store.members()
  }

  leaderId(): ServerId | undefined {
    return this.#connected().store.leaderId()
  }

  membership$(): Observable<Membership> {
    return this.#connected().store.membership$()
  }

  /** Calls a server that runs, in a turn of its own; exactly one answer is passed on. */
  #call<Result>(
    caller: Caller<Result>,
    silence: () => Error,
    act: (store: EmbeddedStore, waiting: Caller<Result>) => void,
  ): void {
    const { store, clock } = this.#connected()
    const { world } = this.#spec.cluster
    let isSettled = false
    const settle = (tell: () => void): void => {
      if (isSettled) return
      isSettled = true
      world.clearTimeout(timer)
      tell()
    }
    const timer = world.setTimeout(() => settle(() => caller.reject(silence())), this.#spec.patienceMs)
    const waiting: Caller<Result> = {
      resolve: (result) => settle(() => caller.resolve(result)),
      reject: (error) => settle(() => caller.reject(error)),
    }
    clock.defer(() => {
      if (isSettled) return
      try {
        act(store, waiting)
      } catch (error) {
        waiting.reject(error instanceof Error ? error : new Error(String(error)))
      }
    })
  }

  /** Throws NO_LEADER while the server is down: nothing leaves this client. */
  #connected(): { readonly store: EmbeddedStore; readonly clock: Clock } {
    const running = this.connection
    if (running === undefined) throw new ActorumError('NO_LEADER', `server ${this.#at} is down; nothing was proposed`)
    const known = this.#stores.get(running)
    if (known !== undefined) return { store: known, clock: running.clock }
    const store = this.#storeOver(running)
    this.#stores.set(running, store)
    return { store, clock: running.clock }
  }

  #storeOver({ server, stateMachine, clock }: Running): EmbeddedStore {
    if (!(stateMachine instanceof KeyValueStore)) throw new TypeError('a key-value client needs key-value stores')
    const { linearizableReads } = this.#spec
    const ports = { server, keyValues: stateMachine, clock, cluster: NOBODY, assertOpen: () => undefined }
    return new EmbeddedStore(ports, { ...this.limits, linearizableReads })
  }
}

/** Nobody asks for members here. */
const NOBODY: ClusterSource = { members: () => [], leaderId: () => undefined, membership$: () => EMPTY }

function noAnswer(): Error {
  return new ActorumError('TIMEOUT', 'the server did not answer')
}
