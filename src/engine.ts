import type { Actor, AnyActorRef, Subscription } from 'xstate'
import { realClock, realRandom } from './actors/clock.js'
import { RaftServer } from './actors/raft-server.js'
import { watch } from './client/calls.js'
import type { ClientApi } from './client/client-api.js'
import { EmbeddedClient } from './client/embedded-client.js'
import { openEngineParts, type EngineParts } from './engine-parts.js'
import { ActorumError } from './errors.js'
import type { raftMachine } from './machines/raft.machine.js'
import type { Member } from './machines/types.js'
import {
  callDefaults,
  validateCallOptions,
  validateOptions,
  type CallOptions,
  type EngineOptions,
  type ResolvedOptions,
} from './options.js'
import type { KvCommand, KvResult } from './state-machines/kv/commands.js'
import { KeyValueStore } from './state-machines/kv/key-value-store.js'

/**
 * A server's role: the name of the role machine's state. `failed` after its storage failed or an invariant broke,
 * `stopped` after `stop`.
 */
export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader' | 'failed' | 'stopped'

/** What a server knows of itself and its cluster at one moment. */
export interface EngineStatus {
  readonly id: number
  readonly role: Role
  readonly term: number
  readonly leaderId: number | undefined
  readonly clusterId: string | undefined
  readonly storeId: string
  readonly lastLogIndex: number
  readonly commitIndex: number
  readonly lastApplied: number
  readonly members: readonly Member[]
  /** Why the server stopped by itself, if it did. */
  readonly failure: ActorumError | undefined
}

/** The role machine's actor, to look at: nobody but the server's own loop sends to it. */
export interface RoleActor {
  getSnapshot(): ReturnType<Actor<typeof raftMachine>['getSnapshot']>
  subscribe: Actor<typeof raftMachine>['subscribe']
  /** For XState's inspectors: reports every event and transition while attached. Costs about as much as the machine. */
  inspect(observer: Parameters<AnyActorRef['system']['inspect']>[0]): Subscription
}

/** One server, in this process. `start` brings it up; `stop` hands leadership on and lets go of everything. */
export class EmbeddedEngine {
  /** The key-value store. */
  readonly client: ClientApi
  /** The role machine's XState actor, read-only. */
  readonly roleActor: RoleActor
  readonly #server: RaftServer<KvCommand, KvResult>
  readonly #parts: EngineParts
  readonly #options: ResolvedOptions
  #failure: ActorumError | undefined
  #isStopped = false
  #stopping: Promise<void> | undefined

  private constructor(options: ResolvedOptions, parts: EngineParts) {
    this.#options = options
    this.#parts = parts
    const { store, transport, recovered, nonce, proposedClusterId, settings } = parts
    const keyValues = new KeyValueStore()
    const ports = { transport, store, stateMachine: keyValues, clock: realClock, random: realRandom }
    this.#server = new RaftServer(
      ports,
      { id: options.id, settings, limits: options, recovered, nonce, proposedClusterId },
      { failed: this.#fail, notice: (message) => options.log({ level: 'warn', message }) },
    )
    this.client = new EmbeddedClient(this.#server, keyValues, realClock, options, this.#assertOpen)
    const { role } = this.#server
    this.roleActor = {
      getSnapshot: () => role.getSnapshot(),
      subscribe: role.subscribe.bind(role),
      inspect: (observer) => role.system.inspect(observer),
    }
  }

  /**
   * Opens the data directory, recovers what it holds, and joins the cluster.
   * @throws ActorumError INVALID_ARGUMENT (an option), LOCKED (another engine has the directory), CORRUPT,
   * UNSUPPORTED_FORMAT or STORAGE_FAILED (what is on disk), TRANSPORT_FAILED (the address cannot be listened on)
   */
  static async start(options: EngineOptions): Promise<EmbeddedEngine> {
    const resolved = validateOptions(options)
    const parts = await openEngineParts(resolved)
    const engine = new EmbeddedEngine(resolved, parts)
    try {
      await parts.listen(engine.#server.transportHandler, engine.#server.storageFailed)
    } catch (error) {
      await parts.close()
      throw error
    }
    engine.#server.start()
    return engine
  }

  get id(): number {
    return this.#options.id
  }

  get role(): Role {
    if (this.#failure !== undefined) return 'failed'
    if (this.#isStopped) return 'stopped'
    const { value } = this.#server.role.getSnapshot()
    return typeof value === 'string' ? value : (Object.keys(value)[0] as Role)
  }

  get term(): number {
    return this.#server.context.hardState.term
  }

  /** Who leads, as far as this server knows. */
  get leaderId(): number | undefined {
    return this.#isRunning ? this.#server.context.leaderId : undefined
  }

  get isLeader(): boolean {
    return this.#isRunning && this.#server.context.leadership !== undefined
  }

  status(): EngineStatus {
    const { context, lastApplied, clusterId } = this.#server
    return {
      id: this.id,
      role: this.role,
      term: this.term,
      leaderId: this.leaderId,
      clusterId,
      storeId: this.#parts.recovered.storeId,
      lastLogIndex: context.log.lastIndex,
      commitIndex: context.commitIndex,
      lastApplied,
      members: context.configurations.at(-1)?.configuration.members ?? [],
      failure: this.#failure,
    }
  }

  /**
   * Waits until a leader is known and its no-op is committed here, so that calls will not wait for an election.
   * @param options.timeoutMs - default: `requestTimeoutMs`
   * @throws ActorumError NO_LEADER or TIMEOUT when the time runs out, ABORTED, STOPPED, INVALID_ARGUMENT
   */
  ready(options?: CallOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      const { signal, timeoutMs } = validateCallOptions(options, callDefaults(this.#options))
      const rejectAborted = (cause: unknown): void =>
        reject(new ActorumError('ABORTED', 'the wait was aborted', { cause }))
      const release = signal === undefined ? undefined : watch(signal, rejectAborted)
      this.#server.whenReady({
        resolve: () => {
          release?.()
          resolve()
        },
        reject: (error) => {
          release?.()
          reject(error)
        },
        deadline: realClock.now() + timeoutMs,
      })
    })
  }

  /** Hands leadership on where it can, then flushes and closes. Safe to call twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(): Promise<void> {
    if (this.#failure === undefined && this.isLeader) await this.#handOver()
    this.#server.stop()
    this.#isStopped = true
    await this.#parts.close()
  }

  /** Bounded by an election timeout: a leader that nobody can follow stops all the same. */
  async #handOver(): Promise<void> {
    const hasPeers = this.#server.context.leadership !== undefined && this.#server.context.leadership.progress.size > 0
    if (!hasPeers) return
    this.#server.transferLeadership()
    const deadline = realClock.now() + this.#options.electionTimeoutMs
    await new Promise<void>((resolve) => {
      this.#server.whenNotLeading({ resolve, reject: () => resolve(), deadline })
    })
  }

  get #isRunning(): boolean {
    return this.#failure === undefined && this.#stopping === undefined
  }

  readonly #assertOpen = (): void => {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#stopping !== undefined) throw new ActorumError('STOPPED', 'this engine was stopped; start another one')
  }

  readonly #fail = (error: ActorumError): void => {
    this.#failure = error
    this.#options.log({ level: 'error', message: `server ${this.id} stopped: ${error.message}` })
    // Nobody may wait for it, so an error here has nowhere else to go.
    this.#stopping ??= this.#parts.close().catch((cause: unknown) => {
      this.#options.log({ level: 'error', message: `server ${this.id} did not close cleanly: ${String(cause)}` })
    })
  }
}
