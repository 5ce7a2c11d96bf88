import { RaftServer } from '../../actors/raft-server.js'
import { Calls } from '../../client/calls.js'
import { ActorumError } from '../../errors.js'
import { crc32 } from '../../machines/checksum.js'
import type { RaftContext, RaftSettings } from '../../machines/context.js'
import type { EntryRun } from '../../machines/entry-run.js'
import type { RaftEvent } from '../../machines/events.js'
import type { Message } from '../../machines/messages.js'
import type { Random } from '../../machines/time-and-chance.js'
import type { Configuration, LogIndex, ServerId } from '../../machines/types.js'
import type { StateMachine } from '../../state-machines/ports.js'
import { MemoryDisk, MemoryLogStore, type CrashOptions } from '../../storage/memory-log-store.js'
import type { Durability, Recovered } from '../../storage/ports.js'
import type { MemoryNetwork } from '../../transport/memory-network.js'
import type { MemoryTransport } from '../../transport/memory-transport.js'
import { ProcessClock } from './process-clock.js'
import type { Transport } from '../../transport/ports.js'
import type { VirtualWorld } from './virtual-world.js'

export interface SimulatedServerSpec<Command, Result> {
  readonly id: ServerId
  readonly world: VirtualWorld
  readonly network: MemoryNetwork
  readonly random: Random
  readonly configuration: Configuration
  readonly settings: RaftSettings
  readonly durability: Durability
  readonly syncIntervalMs: number
  readonly turnMs: number
  readonly requestTimeoutMs: number
  readonly linearizableReads: 'quorum' | 'lease'
  readonly stateMachine: () => StateMachine<Command, Result>
  readonly observer: ServerObserver
}

/** Who judges a simulated server. Throwing ends the run. */
export interface ServerObserver {
  started(id: ServerId, context: RaftContext, runs: readonly EntryRun[], durableIndex: LogIndex): void
  stepped(id: ServerId, context: RaftContext, event: RaftEvent): void
  applied(id: ServerId, run: EntryRun): void
  notice(id: ServerId, text: string): void
  sent(id: ServerId, to: ServerId, message: Message): void
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
  readonly disk: MemoryDisk
  readonly #spec: SimulatedServerSpec<Command, Result>
  #running: Incarnation<Command, Result, StateMachine<Command, Result>> | undefined
  #failure: ActorumError | undefined
  #durableIndex: LogIndex = 0
  #isOpening = false
  #starts = 0
  /** Set while it runs and its clock stands still. */
  #isPaused = false
  #rate = 1
  #startsAt = 0

  constructor(spec: SimulatedServerSpec<Command, Result>) {
    this.id = spec.id
    this.#spec = spec
    this.disk = new MemoryDisk(`disk of server ${spec.id}`)
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

  /** The role machine's state; only of a running server. */
  get context(): RaftContext {
    if (this.#running === undefined) throw new Error(`server ${this.id} is not running`)
    return this.#running.server.context
  }

  start(): void {
    if (this.#running !== undefined || this.#isOpening) return
    this.#isOpening = true
    this.#starts++
    const { world, random, configuration, durability, syncIntervalMs, turnMs } = this.#spec
    this.#failure = undefined
    const clock = new ProcessClock(world, this.#startsAt, turnMs)
    clock.drift(this.#rate)
    const store = new MemoryLogStore(this.disk, { durability, syncIntervalMs, clock, checksum: crc32 })
    const storeId = `store-${this.id}-${random.uint32()}`
    const initial = { serverId: this.id, storeId, clusterId: undefined, configuration }
    let raft: RaftServer<Command, Result> | undefined
    store.open(initial, { failed: (error) => raft?.storageFailed(error) }, (error, recovered) => {
      this.#isOpening = false
      if (error !== undefined) {
        this.#fail(toActorumError(error))
        return
      }
      for (const text of recovered.notices) this.#spec.observer.notice(this.id, text)
      raft = this.#startServer(clock, store, recovered)
    })
  }

  #startServer(clock: ProcessClock, store: MemoryLogStore, recovered: Recovered): RaftServer<Command, Result> {
    const { id, network, random, configuration, settings, observer, requestTimeoutMs, linearizableReads } = this.#spec
    const stateMachine = this.#spec.stateMachine()
    const transport = network.transport(id)
    const nonce = random.uint32()
    const server = new RaftServer<Command, Result>(
      { transport: this.#observed(transport), store, stateMachine, clock, random },
      { id, settings, limits: LIMITS, recovered, nonce, proposedClusterId: `cluster-${random.uint32()}` },
      {
        failed: (error) => this.#stopped(clock, transport, error),
        notice: (text) => observer.notice(id, text),
        stepped: (context, event) => {
          this.#durableIndex = context.durable.index
          observer.stepped(id, context, event)
        },
        applied: (run) => observer.applied(id, run),
      },
    )
    const calls = new Calls(server, clock, { requestTimeoutMs, linearizableReads })
    this.#running = { clock, server, calls, stateMachine, transport }
    const durableIndex = this.#durableIndex
    this.#readAll(store, recovered, (runs) => observer.started(id, server.context, runs, durableIndex))
    const members = configuration.members ?? []
    transport.setPeers(members.filter((member) => member.id !== id))
    const { clusterId, storeId } = recovered
    transport.start({ id, clusterId, storeId, nonce }, server.transportHandler, (error) => {
      if (error === undefined) server.start()
      else this.#stopped(clock, transport, toActorumError(error))
    })
    return server
  }

  /** The transport, with every message shown to those who judge before it leaves. */
  #observed(transport: MemoryTransport): Transport {
    return {
      start: (identity, handler, callback) => transport.start(identity, handler, callback),
      setPeers: (peers) => transport.setPeers(peers),
      setClusterId: (clusterId) => transport.setClusterId(clusterId),
      send: (to, message) => {
        this.#spec.observer.sent(this.id, to, message)
        transport.send(to, message)
      },
      stop: (callback) => transport.stop(callback),
    }
  }

  /** What is on the disk at a start, for those who judge; with the disk as fast as memory. */
  #readAll(store: MemoryLogStore, recovered: Recovered, callback: (runs: readonly EntryRun[]) => void): void {
    const { latencyMs } = this.disk
    this.disk.latencyMs = undefined
    let runs: readonly EntryRun[] = []
    if (recovered.lastIndex > recovered.boundary.index) {
      store.read(recovered.boundary.index + 1, Infinity, (_, read) => (runs = read))
    }
    this.disk.latencyMs = latencyMs
    callback(runs)
  }

  #stopped(clock: ProcessClock, transport: MemoryTransport, error: ActorumError): void {
    this.#running = undefined
    this.#isPaused = false
    transport.stop(() => undefined)
    clock.end()
    this.disk.kill()
    this.#fail(error)
  }

  #fail(error: ActorumError): void {
    this.#failure = error
    this.#spec.observer.failed(this.id, error)
  }

  /** The process dies (`kill -9`): what was handed to the operating system stays. */
  kill(options: Pick<CrashOptions, 'inFlight'> = {}): void {
    this.#end()
    this.disk.kill(options)
  }

  /** The machine dies (power loss): what was not synced is gone. */
  crash(options: CrashOptions = {}): void {
    this.#end()
    this.disk.crash(options)
    this.#startsAt = 0
    if (this.#spec.durability === 'mem-first') this.#durableIndex = 0
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
