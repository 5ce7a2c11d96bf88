import { RaftServer } from '../../actors/raft-server.js'
import type { SnapshotActorOptions } from '../../actors/snapshot-actor.js'
import type { SnapshotPolicyOptions } from '../../actors/snapshot-policy.js'
import { Calls } from '../../client/calls.js'
import { ActorumError } from '../../errors.js'
import { crc32 } from '../../machines/checksum.js'
import type { RaftContext, RaftSettings } from '../../machines/context.js'
import { decodeRun, type EntryRun } from '../../machines/entry-run.js'
import type { RaftEvent } from '../../machines/events.js'
import type { Message } from '../../machines/messages.js'
import type { Random } from '../../machines/time-and-chance.js'
import type { Configuration, LogIndex, Member, ServerId } from '../../machines/types.js'
import type { StateMachine } from '../../state-machines/ports.js'
import { MemoryDisk, MemoryLogStore, type CrashOptions } from '../../storage/memory-log-store.js'
import { MemorySnapshotDisk, MemorySnapshotStore } from '../../storage/memory-snapshot-store.js'
import type { Durability, Recovered, SnapshotsFound } from '../../storage/ports.js'
import { fitToSnapshot } from '../../storage/restore-point.js'
import type { MemoryNetwork } from '../../transport/memory-network.js'
import type { MemoryTransport } from '../../transport/memory-transport.js'
import { ProcessClock } from './process-clock.js'
import type { Transport, TransportHandler } from '../../transport/ports.js'
import type { VirtualWorld } from './virtual-world.js'

export interface SimulatedServerSpec<Command, Result> {
  readonly id: ServerId
  readonly world: VirtualWorld
  readonly network: MemoryNetwork
  readonly random: Random
  readonly configuration: Configuration
  /** Whom it hears as long as no configuration with members rules it: those that would let it join. */
  readonly acquaintances: readonly Member[]
  readonly settings: RaftSettings
  readonly snapshotting: SnapshotPolicyOptions & Partial<SnapshotActorOptions>
  readonly durability: Durability
  readonly syncIntervalMs: number
  readonly turnMs: number
  readonly requestTimeoutMs: number
  readonly linearizableReads: 'quorum' | 'lease'
  readonly stateMachine: () => StateMachine<Command, Result>
  readonly observer: ServerObserver
}

/** A state, to be compared with others. */
export type Snapshotted = Pick<StateMachine<never, unknown>, 'snapshot'>

/** Who judges a simulated server. Throwing ends the run. */
export interface ServerObserver {
  started(id: ServerId, context: RaftContext, runs: readonly EntryRun[], durableIndex: LogIndex): void
  stepped(id: ServerId, context: RaftContext, event: RaftEvent): void
  applied(id: ServerId, run: EntryRun, state: Snapshotted): void
  /** The state has become that of a snapshot. */
  restored(id: ServerId, index: LogIndex, state: Snapshotted): void
  /** A snapshot is taken of the state after `index`. */
  taken(id: ServerId, index: LogIndex, state: Snapshotted): void
  /** The disks of a server that is down were replaced by empty ones. */
  wiped(id: ServerId): void
  notice(id: ServerId, text: string): void
  sent(id: ServerId, to: ServerId, message: Message): void
  heard(id: ServerId, from: ServerId, message: Message): void
  /** A server stopped, or refused to start, by itself. */
  failed(id: ServerId, error: ActorumError): void
}

/** What runs between a start and the next stop, kill or crash. */
export interface Incarnation<Command, Result, Machine> {
  readonly clock: ProcessClock
  readonly server: RaftServer<Command, Result>
  readonly calls: Calls<Command, Result>
  readonly stateMachine: Machine
  readonly transport: MemoryTransport
}

const LIMITS = {
  runBytesMax: 64 * 1024,
  pendingProposalsMax: 10_000,
  pendingBytesMax: 16 * 1024 * 1024,
  pendingReadsMax: 10_000,
  forwardToLeader: true,
}

/**
 * One server of a simulated cluster: the production server on a disk, a network and a clock in memory. The disk outlives
 * what runs on it.
 */
export class SimulatedServer<Command, Result> {
  readonly id: ServerId
  #disk: MemoryDisk
  #snapshotDisk: MemorySnapshotDisk
  /** What an empty disk is told of its cluster. */
  #configuration: Configuration
  readonly #spec: SimulatedServerSpec<Command, Result>
  #running: Incarnation<Command, Result, StateMachine<Command, Result>> | undefined
  #failure: ActorumError | undefined
  #durableIndex: LogIndex = 0
  #saidIndex: LogIndex = 0
  #isOpening = false
  #starts = 0
  #wipes = 0
  /** Set while it runs and its clock stands still. */
  #isPaused = false
  #rate = 1
  #startsAt = 0

  constructor(spec: SimulatedServerSpec<Command, Result>) {
    this.id = spec.id
    this.#spec = spec
    this.#configuration = spec.configuration
    this.#disk = new MemoryDisk(`disk of server ${spec.id}`)
    this.#snapshotDisk = new MemorySnapshotDisk(`snapshots of server ${spec.id}`)
  }

  get disk(): MemoryDisk {
    return this.#disk
  }

  /** Where its snapshots live. */
  get snapshotDisk(): MemorySnapshotDisk {
    return this.#snapshotDisk
  }

  /** Undefined while it is down, or refused to start. */
  get running(): Incarnation<Command, Result, StateMachine<Command, Result>> | undefined {
    return this.#running
  }

  /** Why it stopped, or refused to start, by itself. */
  get failure(): ActorumError | undefined {
    return this.#failure
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** How often it has been started, or refused to. */
  get starts(): number {
    return this.#starts
  }

  /** The end of the log that its disk must still hold, unless it crashed in mem-first mode. */
  get durableIndex(): LogIndex {
    return this.#durableIndex
  }

  /** The end of the log that it had when it last ran: what it may have told others that it holds. */
  get saidIndex(): LogIndex {
    return this.#saidIndex
  }

  /** The role machine's state; only of a running server. */
  get context(): RaftContext {
    if (this.#running === undefined) throw new Error(`server ${this.id} is not running`)
    return this.#running.server.context
  }

  start(): void {
    if (this.#running !== undefined || this.#isOpening) return
    this.#isOpening = true
    this.#starts++
    const { world, random, durability, syncIntervalMs, turnMs } = this.#spec
    const configuration = this.#configuration
    this.#failure = undefined
    const clock = new ProcessClock(world, this.#startsAt, turnMs)
    clock.drift(this.#rate)
    const store = new MemoryLogStore(this.#disk, { durability, syncIntervalMs, clock, checksum: crc32 })
    const storeId = this.#wipes === 0 ? firstStoreId(this.id) : `${firstStoreId(this.id)}-${random.uint32()}`
    const initial = { serverId: this.id, storeId, clusterId: undefined, configuration }
    let raft: RaftServer<Command, Result> | undefined
    const snapshots = new MemorySnapshotStore(this.#snapshotDisk, { clock, checksum: crc32 })
    const refuse = (error: Error): void => {
      this.#isOpening = false
      this.#disk.kill()
      this.#snapshotDisk.kill()
      this.#fail(toActorumError(error))
    }
    store.open(initial, { failed: (error) => raft?.storageFailed(error) }, (error, opened) => {
      if (error !== undefined) return refuse(error)
      snapshots.open((error, found: SnapshotsFound) => {
        if (error !== undefined) return refuse(error)
        fitToSnapshot(store, opened, found.stored[0], (error, recovered) => {
          if (error !== undefined) return refuse(error)
          this.#isOpening = false
          for (const text of [...recovered.notices, ...found.notices]) this.#spec.observer.notice(this.id, text)
          raft = this.#startServer(clock, store, snapshots, recovered)
        })
      })
    })
  }

  #startServer(
    clock: ProcessClock,
    store: MemoryLogStore,
    snapshots: MemorySnapshotStore,
    recovered: Recovered,
  ): RaftServer<Command, Result> {
    const { id, network, random, settings, observer, requestTimeoutMs, linearizableReads } = this.#spec
    const { snapshotting, acquaintances } = this.#spec
    const { members } = this.#configuration
    const stateMachine = this.#spec.stateMachine()
    const transport = network.transport(id, { address: addressOf(id) })
    const nonce = random.uint32()
    const server: RaftServer<Command, Result> = new RaftServer<Command, Result>(
      {
        transport: this.#observed(transport),
        store,
        snapshots,
        stateMachine: this.#witnessed(stateMachine, () => server.lastApplied),
        clock,
        random,
      },
      {
        id,
        address: addressOf(id),
        acquaintances: members === undefined ? acquaintances.map(({ address }) => address) : [],
        settings,
        limits: LIMITS,
        snapshotting,
        recovered,
        nonce,
        proposedClusterId: `cluster-${random.uint32()}`,
      },
      {
        failed: (error) => this.#stopped(clock, transport, error),
        notice: (text) => observer.notice(id, text),
        stepped: (context, event) => {
          this.#durableIndex = context.durable.index
          this.#saidIndex = Math.max(this.#saidIndex, context.durable.index)
          observer.stepped(id, context, event)
        },
        applied: (run) => observer.applied(id, run, stateMachine),
        restored: (index) => observer.restored(id, index, stateMachine),
      },
    )
    const calls = new Calls(server, clock, { requestTimeoutMs, linearizableReads })
    this.#running = { clock, server, calls, stateMachine, transport }
    const durableIndex = this.#durableIndex
    observer.started(id, server.context, this.#runsAbove(recovered.boundary.index), durableIndex)
    if (members === undefined) server.lookup.peers.introduce(acquaintances, undefined)
    else transport.setPeers(members.filter((member) => member.id !== id))
    const { clusterId, storeId } = recovered
    const identity = { id, clusterId, storeId, nonce, address: addressOf(id) }
    transport.start(identity, this.#overheard(server.transportHandler), (error) => {
      if (error === undefined) server.start()
      else this.#stopped(clock, transport, toActorumError(error))
    })
    return server
  }

  /** The state machine, with every snapshot of it shown to those who judge. */
  #witnessed(machine: StateMachine<Command, Result>, lastApplied: () => LogIndex): StateMachine<Command, Result> {
    return {
      commands: machine.commands,
      apply: (batch) => machine.apply(batch),
      snapshot: () => {
        this.#spec.observer.taken(this.id, lastApplied(), machine)
        return machine.snapshot()
      },
      restore: () => machine.restore(),
      nextExpiry: () => machine.nextExpiry?.(),
      expiredAt: (clusterTime) => machine.expiredAt?.(clusterTime) ?? [],
    }
  }

  /** The transport, with every message shown to those who judge before it leaves. */
  #observed(transport: MemoryTransport): Transport {
    return {
      start: (identity, handler, callback) => transport.start(identity, handler, callback),
      setPeers: (peers) => transport.setPeers(peers),
      setClusterId: (clusterId) => transport.setClusterId(clusterId),
      ask: (address, request, callback) => transport.ask(address, request, callback),
      send: (to, message) => {
        this.#spec.observer.sent(this.id, to, message)
        // It says so before its own machine hears of it.
        if (message.type === 'appendEntriesReply' && message.success) {
          this.#saidIndex = Math.max(this.#saidIndex, message.matchIndex)
        }
        transport.send(to, message)
      },
      stop: (callback) => transport.stop(callback),
    }
  }

  /** The server's ear, with every message shown to those who judge before it is heard. */
  #overheard(handler: TransportHandler): TransportHandler {
    return {
      ...handler,
      message: (from, message) => {
        this.#spec.observer.heard(this.id, from, message)
        handler.message(from, message)
      },
    }
  }

  /** What is on the disk at a start, for those who judge: as it lies there, whatever its store makes of it. */
  #runsAbove(boundaryIndex: LogIndex): readonly EntryRun[] {
    return this.disk.firstIndexes().flatMap((first) => {
      const bytes = first > boundaryIndex ? this.disk.writtenRecord(first) : undefined
      const run = bytes && decodeRun(bytes, crc32)
      return run === undefined || 'malformed' in run ? [] : [run]
    })
  }

  #stopped(clock: ProcessClock, transport: MemoryTransport, error: ActorumError): void {
    this.#running = undefined
    this.#isPaused = false
    transport.stop(() => undefined)
    clock.end()
    this.#disk.kill()
    this.#snapshotDisk.kill()
    this.#fail(error)
  }

  #fail(error: ActorumError): void {
    this.#failure = error
    this.#spec.observer.failed(this.id, error)
  }

  /** The process dies (`kill -9`): what was handed to the operating system stays. */
  kill(options: Pick<CrashOptions, 'inFlight'> = {}): void {
    this.#end()
    this.#disk.kill(options)
    this.#snapshotDisk.kill(options)
  }

  /** The machine dies (power loss): what was not synced is gone. */
  crash(options: CrashOptions = {}): void {
    this.#end()
    this.#disk.crash(options)
    this.#snapshotDisk.crash(options)
    this.#startsAt = 0
    if (this.#spec.durability === 'mem-first') this.#durableIndex = 0
  }

  /**
   * The machine is replaced by one with empty disks, which is told of its cluster what `configuration` says (default:
   * what the server was first started with).
   */
  wipe(configuration = this.#spec.configuration): void {
    this.crash()
    const { latencyMs } = this.#disk
    const snapshotLatencyMs = this.#snapshotDisk.latencyMs
    this.#disk = new MemoryDisk(this.#disk.name)
    this.#snapshotDisk = new MemorySnapshotDisk(this.#snapshotDisk.name)
    this.#disk.latencyMs = latencyMs
    this.#snapshotDisk.latencyMs = snapshotLatencyMs
    this.#configuration = configuration
    this.#durableIndex = 0
    this.#wipes++
    this.#spec.observer.wiped(this.id)
  }

  #end(): void {
    const running = this.#running
    this.#running = undefined
    this.#isPaused = false
    this.#isOpening = false
    if (running === undefined) return
    this.#startsAt = running.clock.now()
    running.clock.end()
    running.transport.stop(() => undefined)
  }

  /** The process stands still while time goes on. */
  pause(): void {
    this.#isPaused = this.#running !== undefined
    this.#running?.clock.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#running?.clock.resume()
  }

  /** How fast its clock runs from now on, beside the world's. */
  drift(rate: number): void {
    this.#rate = rate
    this.#running?.clock.drift(rate)
  }
}

function toActorumError(error: Error): ActorumError {
  return error instanceof ActorumError ? error : new ActorumError('STORAGE_FAILED', error.message, { cause: error })
}

/** Where it is asked to let others join. */
export function addressOf(id: ServerId): string {
  return `server-${id}:1`
}

/** Of the disk that a server begins with. */
export function firstStoreId(id: ServerId): string {
  return `store-${id}`
}
