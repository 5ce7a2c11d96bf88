import type { Observable } from 'rxjs'
import { realClock, realRandom } from './actors/clock.js'
import { Health, type HealthReport } from './actors/health.js'
import type { ChangeRequest } from './actors/pending-changes.js'
import { RaftServer } from './actors/raft-server.js'
import { orRelease, watch } from './client/calls.js'
import type { ClientApi } from './client/client-api.js'
import type { ClusterMember, ClusterSource, Membership } from './client/cluster-view.js'
import { EmbeddedClient } from './client/embedded-client.js'
import type { BackupStream } from './engine-backup-stream.js'
import { checkTarget, openTarget, writeBackup, type Backup } from './engine-backup.js'
import {
  ClusterFeed,
  isServerId,
  membersOf,
  validateChange,
  type Leadership,
  type MembershipChangeRequest,
} from './engine-membership.js'
import { openEngineParts, snapshottingFrom, type EngineParts } from './engine-parts.js'
import { viewOf, type RoleActor } from './engine-role-actor.js'
import { ActorumError } from './errors.js'
import { transferTarget } from './machines/leading.js'
import type { Member } from './machines/types.js'
import {
  callDefaults,
  commandBytesMax,
  shown,
  validateCallOptions,
  validateOptions,
  type CallOptions,
  type EngineOptions,
  type ResolvedOptions,
} from './options.js'
import type { KvCommand, KvResult } from './state-machines/kv/commands.js'
import { KeyValueStore } from './state-machines/kv/key-value-store.js'
import type { Callback, StoredSnapshot } from './storage/ports.js'

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

/** One server, in this process. `start` brings it up; `stop` hands leadership on and lets go of everything. */
export class EmbeddedEngine {
  /** The key-value store. */
  readonly client: ClientApi
  /** The role machine's XState actor, read-only. */
  readonly roleActor: RoleActor
  readonly #server: RaftServer<KvCommand, KvResult>
  readonly #parts: EngineParts
  readonly #options: ResolvedOptions
  #joining: ReturnType<EngineParts['join']> | undefined
  #failure: ActorumError | undefined
  #isStopped = false
  #stopping: Promise<void> | undefined

  readonly #client: EmbeddedClient
  readonly #feed: ClusterFeed
  readonly #health: Health

  private constructor(options: ResolvedOptions, parts: EngineParts) {
    this.#options = options
    this.#parts = parts
    const { store, snapshots, transport, recovered, address, nonce, proposedClusterId, settings } = parts
    const { historyEntriesMax, historyBytesMax, historyAgeMsMax } = options
    const keyValues = new KeyValueStore({ historyEntriesMax, historyBytesMax, historyAgeMsMax })
    const notice = (message: string): void => options.log({ level: 'warn', message })
    const ports = { transport, store, snapshots, stateMachine: keyValues, clock: realClock, random: realRandom }
    this.#server = new RaftServer(
      ports,
      {
        id: options.id,
        address,
        acquaintances: options.join ?? [],
        settings,
        limits: { ...options, commandBytesMax: commandBytesMax(options) },
        snapshotting: snapshottingFrom(options),
        recovered,
        nonce,
        proposedClusterId,
        expectedClusterId: options.clusterId,
      },
      {
        failed: this.#fail,
        notice,
        leaderChanged: () => this.#feed.update(this.#server.context),
        membershipChanged: () => this.#feed.update(this.#server.context),
      },
    )
    this.#feed = new ClusterFeed(this.#server.context)
    const freeBytes = (): number | undefined => parts.diskSpace.freeBytes
    this.#health = new Health({ server: this.#server, clock: realClock, notice, freeBytes }, options)
    this.#client = new EmbeddedClient(
      { server: this.#server, keyValues, clock: realClock, cluster: this.#cluster(), assertOpen: this.#assertOpen },
      options,
    )
    this.client = this.#client
    this.roleActor = viewOf(this.#server.role, notice)
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
    engine.#health.start()
    engine.#joining = parts.join(engine.#server)
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
      members: (context.configurations.at(-1)?.configuration.members ?? []).map((member) => ({ ...member })),
      failure: this.#failure,
    }
  }

  /**
   * Waits until a leader is known and its no-op is committed, and applied here with all before it: calls will not wait for
   * an election, and eventual reads find what was there before a restart.
   * @param options.timeoutMs - default: `requestTimeoutMs`
   * @throws ActorumError NO_LEADER or TIMEOUT when the time runs out, REFUSED (this server was removed), ABORTED, STOPPED,
   * INVALID_ARGUMENT
   */
  ready(options?: CallOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      this.#server.lookup.assertMember()
      const { signal, timeoutMs } = validateCallOptions(options, callDefaults(this.#options))
      const abandon = (cause: unknown): void => {
        waitNoLonger()
        reject(new ActorumError('ABORTED', 'the wait was aborted', { cause }))
      }
      const release = signal === undefined ? undefined : watch(signal, abandon)
      const waitNoLonger = this.#server.when(() => this.#server.isReady, {
        resolve: () => {
          release?.()
          resolve()
        },
        reject: (error) => {
          release?.()
          reject(this.#withObstacle(error))
        },
        deadline: realClock.now() + timeoutMs,
      })
    })
  }

  /** Whoever is not let in hears of no leader, whatever a majority does. */
  #withObstacle(error: Error): Error {
    const obstacle = this.#joining?.obstacle
    if (!(error instanceof ActorumError) || error.code !== 'NO_LEADER' || obstacle === undefined) return error
    return new ActorumError(error.code, `${error.message} (${obstacle})`, { cause: error })
  }

  /** The members as this server knows them, in order of their ids. */
  members(): readonly ClusterMember[] {
    return membersOf(this.#server.context, this.leaderId)
  }

  #cluster(): ClusterSource {
    return {
      members: () => this.members(),
      leaderId: () => this.leaderId,
      membership$: () => this.watchMembership(),
    }
  }

  /** Who belongs to the cluster and who leads it: now, and whenever that changes. Completes when the engine stops. */
  watchMembership(): Observable<Membership> {
    return this.#feed.membership$
  }

  /** Who leads, as far as this server knows: now, and whenever that changes. Completes when the engine stops. */
  get leadership$(): Observable<Leadership> {
    return this.#feed.leadership$
  }

  /** How this server is: `ok`, `degraded` by what it suffers from, or `failed`. */
  health(): HealthReport {
    return this.#health.report
  }

  /** How this server is: now, and whenever that changes. Completes when the engine stops. */
  get health$(): Observable<HealthReport> {
    return this.#health.report$
  }

  /**
   * Changes who belongs to the cluster, all of it at once (joint consensus, thesis §4.3), on whichever server it is
   * called. Resolves once the new configuration is committed.
   * @throws ActorumError REFUSED (another change is under way, no quorum of the new configuration can be reached or
   * has caught up, or what is asked for makes no sense), NO_LEADER, ABORTED, OUTCOME_UNKNOWN, STOPPED, INVALID_ARGUMENT
   */
  changeMembership(change: MembershipChangeRequest, options?: CallOptions): Promise<{ readonly index: number }> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      const { signal, timeoutMs } = validateCallOptions(options, callDefaults(this.#options))
      const validated = validateChange(change, this.#server.context)
      const request: ChangeRequest = {
        resolve: (index) => {
          release?.()
          resolve({ index })
        },
        reject: (error) => {
          release?.()
          reject(error)
        },
        deadline: realClock.now() + timeoutMs,
      }
      const abandon = (reason: unknown): void => this.#server.abandonChange(request, reason)
      const release = signal === undefined ? undefined : watch(signal, abandon)
      orRelease(release, () => this.#server.changeMembership(validated, request))
    })
  }

  /**
   * Hands leadership to voter `id`, or to the one that has most of the log (thesis §3.10). Called on the leader. Resolves
   * once this server no longer leads, and with an `id` once that one is known to.
   * @throws ActorumError NOT_LEADER (names the leader), REFUSED (no such voter within reach; leadership is being handed to
   * another, or another has it), TIMEOUT (nobody took it within two election timeouts, and this server leads on), NO_LEADER
   * (this server no longer leads, and nobody is known to by then), STOPPED, INVALID_ARGUMENT
   */
  transferLeadership(id?: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      if (id !== undefined && !isServerId(id)) {
        throw new ActorumError(
          'INVALID_ARGUMENT',
          `the id to hand leadership to is ${shown(id)}; it must be a server id`,
        )
      }
      if (id === this.id && this.isLeader) return resolve()
      this.#assertMayTransferTo(id)
      this.#server.transferLeadership(id)
      const isDone = (): boolean => {
        const { leadership, leaderId } = this.#server.context
        return leadership === undefined && (id === undefined || leaderId !== undefined)
      }
      this.#server.when(isDone, {
        resolve: () => {
          const { leaderId } = this.#server.context
          if (id === undefined || leaderId === id) resolve()
          else reject(new ActorumError('REFUSED', `server ${leaderId} leads now, not server ${id}`))
        },
        reject: (error) => reject(this.isLeader ? notTaken() : error),
        deadline: realClock.now() + 2 * this.#options.electionTimeoutMs,
      })
    })
  }

  #assertMayTransferTo(id: number | undefined): void {
    const { context } = this.#server
    if (context.leadership === undefined) {
      const { leaderId } = context
      const who = leaderId === undefined ? 'it knows no leader at the moment' : `server ${leaderId} does`
      const text = `server ${this.id} does not lead, so it cannot hand leadership over; ${who}`
      throw new ActorumError('NOT_LEADER', text, { leaderId })
    }
    const { transfer } = context.leadership
    if (transfer !== undefined && id !== undefined && transfer.to !== id) {
      throw new ActorumError('REFUSED', `leadership is being handed to server ${transfer.to} already`)
    }
    if (transferTarget(context, id) !== undefined) return
    throw new ActorumError('REFUSED', `there is no ${id === undefined ? 'other voter' : `voter ${id}`} within reach`)
  }

  /**
   * Takes a snapshot of what this server knows to be committed by now, while writes go on; log entries that it covers go
   * as the options say. It is taken by itself too: snapshotEntries, snapshotLogBytes, snapshotIntervalMs.
   * @throws ActorumError BUSY (this server is still being brought up to date), STOPPED, STORAGE_FAILED
   */
  snapshot(): Promise<{ readonly index: number; readonly byteLength: number }> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      this.#server.takeSnapshot((error, stored) => {
        if (error === undefined) resolve({ index: stored.id.index, byteLength: stored.id.byteLength })
        else reject(error)
      })
    })
  }

  /**
   * Writes a checked copy of what this server knows to be committed by now to a file, which appears once it is whole and durable and
   * replaces one of that name, or to a stream. `restoreBackup` makes a new cluster of it.
   * @param target - the file's path, or a stream, which is left open
   * @throws ActorumError REFUSED (nothing is applied here yet), BUSY (this server is still being brought up to date), CORRUPT (this server's own snapshot), STORAGE_FAILED,
   * STOPPED, INVALID_ARGUMENT
   */
  backup(target: string | BackupStream): Promise<Backup> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      checkTarget(target)
      const isEmpty = this.#server.lastApplied === 0
      if (isEmpty) throw new ActorumError('REFUSED', 'nothing is applied here yet to back up; await ready() first')
      const opened = openTarget(target)
      const taken: Callback<StoredSnapshot> = (error, stored) => {
        const { snapshots } = this.#parts
        const written = error === undefined ? writeBackup(snapshots, stored, opened) : Promise.reject<Backup>(error)
        void written.finally(() => opened.release()).then(resolve, reject)
      }
      orRelease(
        () => opened.release(),
        () => this.#server.takeSnapshot(taken),
      )
    })
  }

  /**
   * Takes no more calls, hands leadership on where it can, answers the reads and writes it has taken, and closes. Each of
   * the two waits for an election timeout at most. Safe to call twice.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(): Promise<void> {
    this.#client.closeWith(stopped())
    if (this.#failure === undefined && this.isLeader) await this.#handOver()
    if (this.#failure === undefined) await this.#soon(() => this.#server.load.pendingShare === 0)
    this.#server.stop()
    this.#isStopped = true
    this.#health.stop()
    this.#feed.complete()
    await this.#parts.close()
  }

  async #handOver(): Promise<void> {
    if (transferTarget(this.#server.context, undefined) === undefined) return
    this.#server.transferLeadership()
    await this.#soon(() => this.#server.context.leadership === undefined)
  }

  /** Bounded by an election timeout: a leader that nobody can follow, and calls that nobody answers, stop all the same. */
  #soon(isDone: () => boolean): Promise<void> {
    const deadline = realClock.now() + this.#options.electionTimeoutMs
    return new Promise((resolve) => {
      this.#server.when(isDone, { resolve, reject: () => resolve(), deadline })
    })
  }

  get #isRunning(): boolean {
    return this.#failure === undefined && this.#stopping === undefined
  }

  readonly #assertOpen = (): void => {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#stopping !== undefined) throw stopped()
  }

  readonly #fail = (error: ActorumError): void => {
    this.#failure = error
    this.#health.failed(error)
    this.#feed.complete()
    this.#client.closeWith(error)
    this.#options.log({ level: 'error', message: `server ${this.id} stopped: ${error.message}` })
    // Nobody may wait for it, so an error here has nowhere else to go.
    this.#stopping ??= this.#parts.close().catch((cause: unknown) => {
      this.#options.log({ level: 'error', message: `server ${this.id} did not close cleanly: ${String(cause)}` })
    })
  }
}

function stopped(): ActorumError {
  return new ActorumError('STOPPED', 'this engine was stopped; start another one')
}

function notTaken(): ActorumError {
  return new ActorumError('TIMEOUT', 'nobody took leadership over within the given time, so this server leads on')
}
