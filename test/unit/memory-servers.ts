import { RaftServer } from '../../src/actors/raft-server.js'
import type { RaftServerOptions } from '../../src/actors/raft-server-ports.js'
import { Calls } from '../../src/client/calls.js'
import type { ActorumError } from '../../src/errors.js'
import { crc32 } from '../../src/machines/checksum.js'
import type { RaftContext, RaftSettings } from '../../src/machines/context.js'
import type { RaftEvent } from '../../src/machines/events.js'
import { invariant } from '../../src/machines/invariant.js'
import { seededRandom } from '../../src/machines/time-and-chance.js'
import type { ServerId } from '../../src/machines/types.js'
import type { CallOptions, ReadOptions } from '../../src/options.js'
import type { KvCommand, KvResult } from '../../src/state-machines/kv/commands.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { MemoryDisk, MemoryLogStore } from '../../src/storage/memory-log-store.js'
import { MemorySnapshotDisk, MemorySnapshotStore } from '../../src/storage/memory-snapshot-store.js'
import type { LogWrite } from '../../src/storage/ports.js'
import { MemoryNetwork } from '../../src/transport/memory-network.js'
import type { MemoryTransport } from '../../src/transport/memory-transport.js'
import type { ProtocolVersions } from '../../src/transport/protocol-versions.js'
import { SETTINGS, T } from '../machine-harness.js'
import { keyOf } from './kv-batch.js'
import { VirtualTime } from './virtual-time.js'

export const LIMITS = {
  runBytesMax: 64 * 1024,
  pendingProposalsMax: 1000,
  pendingBytesMax: 1024 * 1024,
  pendingReadsMax: 1000,
  forwardToLeader: true,
}

export interface Settings {
  readonly limits?: Partial<RaftServerOptions['limits']>
  readonly settings?: Partial<RaftSettings>
  readonly linearizableReads?: 'quorum' | 'lease'
  readonly snapshotting?: Partial<RaftServerOptions['snapshotting']>
  /** What a server speaks that does not speak all that is known here. */
  readonly protocolVersions?: ReadonlyMap<ServerId, ProtocolVersions>
}

const NO_SNAPSHOTS = { snapshotEntries: 0, snapshotLogBytes: 0, snapshotIntervalMs: 0, logEntriesKept: 0 }

/** What became of a call, and how often. */
export class Outcome<Value> {
  answers = 0
  value: Value | undefined
  error: (Error & { readonly code?: string }) | undefined

  readonly resolve = (value: Value): void => {
    this.answers++
    this.value = value
  }

  readonly reject = (error: Error): void => {
    this.answers++
    this.error = error
  }

  /** `pending`, `ok`, or the error's code. */
  get now(): string {
    if (this.answers === 0) return 'pending'
    return this.error === undefined ? 'ok' : (this.error.code ?? this.error.message)
  }
}

/** An outcome of whatever kind. */
export type Answered = Pick<Outcome<unknown>, 'answers' | 'now' | 'value' | 'error'>

/** One server with all that it runs on in memory, and what it did. */
export class MemoryServer {
  readonly id: ServerId
  readonly disk: MemoryDisk
  readonly raft: RaftServer<KvCommand, KvResult>
  readonly calls: Calls<KvCommand, KvResult>
  readonly keyValues = new KeyValueStore()
  readonly transport: MemoryTransport
  readonly store: MemoryLogStore
  readonly failures: ActorumError[] = []
  readonly notices: string[] = []
  readonly events: RaftEvent[] = []
  readonly writes: LogWrite[] = []

  constructor(id: ServerId, servers: MemoryServers, disk = new MemoryDisk()) {
    const { clock, network } = servers
    this.id = id
    this.disk = disk
    this.store = new MemoryLogStore(disk, { durability: 'disk-first', syncIntervalMs: 50, clock, checksum: crc32 })
    const protocolVersions = servers.given.protocolVersions?.get(id)
    this.transport = network.transport(id, protocolVersions === undefined ? {} : { protocolVersions })
    this.raft = this.#open(servers)
    const { linearizableReads = 'quorum' } = servers.given
    this.calls = new Calls(this.raft, clock, { requestTimeoutMs: 5000, linearizableReads })
  }

  #open(servers: MemoryServers): RaftServer<KvCommand, KvResult> {
    const { clock, random, ids } = servers
    const { store, transport, id } = this
    const nonce = random.uint32()
    const configuration = { voters: ids, learners: [] }
    const initial = { serverId: id, storeId: `store-${id}`, clusterId: undefined, configuration }
    const snapshots = new MemorySnapshotStore(new MemorySnapshotDisk(), { clock, checksum: crc32 })
    snapshots.open(() => undefined)
    let raft: RaftServer<KvCommand, KvResult> | undefined
    store.open(initial, { failed: (error) => raft?.storageFailed(error) }, (error, recovered) => {
      if (error !== undefined) throw error
      raft = new RaftServer(
        { transport, store: this.#watched(), snapshots, stateMachine: this.keyValues, clock, random },
        {
          id,
          address: '',
          acquaintances: [],
          settings: { ...SETTINGS, ...servers.given.settings },
          limits: { ...LIMITS, ...servers.given.limits },
          snapshotting: { ...NO_SNAPSHOTS, ...servers.given.snapshotting },
          recovered,
          nonce,
          proposedClusterId: `cluster-${id}`,
        },
        {
          failed: (failure) => this.failures.push(failure),
          notice: (text) => this.notices.push(text),
          stepped: (_, event) => this.events.push(event),
        },
      )
      transport.setPeers(ids.map((peer) => ({ id: peer, address: `memory:${peer}` })))
      const { clusterId, storeId } = recovered
      transport.start({ id, clusterId, storeId, nonce }, raft.transportHandler, () => raft?.start())
    })
    invariant(raft !== undefined, 'a disk in memory opens at once')
    return raft
  }

  /** The store, with what is written to it on record. */
  #watched(): MemoryLogStore {
    const write = this.store.write.bind(this.store)
    this.store.write = (step, callback) => {
      this.writes.push(step)
      write(step, callback)
    }
    return this.store
  }

  get context(): RaftContext {
    return this.raft.context
  }

  get leads(): boolean {
    return this.context.leadership !== undefined
  }

  propose(command: KvCommand, options?: CallOptions): Outcome<KvResult> {
    const outcome = new Outcome<KvResult>()
    attempt(outcome, () => this.calls.propose(command, options, outcome.resolve, outcome.reject))
    return outcome
  }

  put(key: string, value: string | Uint8Array, options?: CallOptions): Outcome<KvResult> {
    return this.propose({ type: 'put', key, value }, options)
  }

  get(key: string, options?: ReadOptions): Outcome<string | undefined> {
    const outcome = new Outcome<string | undefined>()
    attempt(outcome, () => this.calls.read(() => this.valueOf(key), options, outcome.resolve, outcome.reject))
    return outcome
  }

  valueOf(key: string): string | undefined {
    const value = this.keyValues.getValue(keyOf(key))
    return value && new TextDecoder().decode(value)
  }

  stop(): void {
    this.raft.stop()
    this.transport.stop(() => undefined)
    this.store.close(() => undefined)
  }
}

function attempt<Value>(outcome: Outcome<Value>, call: () => void): void {
  try {
    call()
  } catch (error) {
    outcome.reject(error instanceof Error ? error : new Error(String(error)))
  }
}

/** Servers that share a network, a clock that stands until it is moved, and a seed. */
export class MemoryServers {
  readonly clock = new VirtualTime()
  readonly random
  readonly network: MemoryNetwork
  readonly ids: readonly ServerId[]
  readonly given: Settings
  readonly #servers = new Map<ServerId, MemoryServer>()

  constructor(count: number, given: Settings = {}, seed = 1) {
    this.given = given
    this.random = seededRandom(seed)
    this.network = new MemoryNetwork({ clock: this.clock, random: this.random, checksum: crc32 })
    this.ids = Array.from({ length: count }, (_, at) => at + 1)
    for (const id of this.ids) this.start(id)
  }

  get all(): readonly MemoryServer[] {
    return [...this.#servers.values()]
  }

  get(id: ServerId): MemoryServer {
    const server = this.#servers.get(id)
    invariant(server !== undefined, 'the server was started', id)
    return server
  }

  /** Starts a server, anew on its old disk if it has run before. */
  start(id: ServerId): MemoryServer {
    const server = new MemoryServer(id, this, this.#servers.get(id)?.disk)
    this.#servers.set(id, server)
    return server
  }

  /** Its process dies: nothing is heard of it any more, and its disk may be used again. */
  kill(id: ServerId): void {
    const server = this.get(id)
    server.disk.kill()
    server.raft.stop()
    server.transport.stop(() => undefined)
  }

  turn(): void {
    this.clock.turn()
  }

  advance(ms: number): void {
    this.clock.advance(ms)
  }

  /** Time goes on until the condition holds, at most ten election timeouts. */
  until(condition: () => boolean, claim: string): void {
    const end = this.clock.now() + 10 * T
    this.turn()
    while (!condition()) {
      invariant(this.clock.now() < end, `comes true: ${claim}`)
      this.advance(1)
    }
  }

  /** The leader whose no-op is committed and known to everyone. */
  elect(): MemoryServer {
    this.until(() => this.all.every(({ raft }) => raft.isReady), 'a leader is elected and known to all')
    const leader = this.all.find(({ leads }) => leads)
    invariant(leader !== undefined, 'whoever is known to lead leads')
    return leader
  }

  follower(): MemoryServer {
    const follower = this.all.find(({ leads }) => !leads)
    invariant(follower !== undefined, 'not all lead')
    return follower
  }
}
