import { ActorumError } from '../errors.js'
import type { Message } from '../machines/messages.js'
import type { ServerId } from '../machines/types.js'
import { encodeMessage } from './codec.js'
import { DroppedPeers } from './dropped-peers.js'
import { bytesOf } from './frame-limits.js'
import type { MemoryNetwork } from './memory-network.js'
import { Notices } from './notices.js'
import { JOIN_TIMEOUT_MS } from './join.js'
import { JoinRequests } from './join-requests.js'
import type { JoinCallback, JoinRequest, Peer, Transport, TransportHandler, TransportIdentity } from './ports.js'
import { faultOfAge, PROTOCOL_VERSIONS, versionOf, type ProtocolVersions } from './protocol-versions.js'

/** What a started transport is made of. */
export interface MemoryRun {
  identity: TransportIdentity
  readonly handler: TransportHandler
  readonly dropped: DroppedPeers
  readonly notices: Notices
  readonly joins: JoinRequests
}

export interface MemoryTransportSpec {
  /** Where peers find it. Default: anywhere; to ask it for membership, at `memory:` and its id. */
  readonly address?: string
  /** Default: all that are known here. */
  readonly protocolVersions?: ProtocolVersions
}

/** The transport's twin: made by a `MemoryNetwork`, which carries what it sends. */
export class MemoryTransport implements Transport {
  readonly id: ServerId
  readonly versions: ProtocolVersions
  readonly #address: string | undefined
  readonly #network: MemoryNetwork
  #peers: ReadonlyMap<ServerId, Peer> = new Map()
  #run: MemoryRun | undefined
  #phase: 'new' | 'running' | 'stopped' = 'new'

  constructor(id: ServerId, network: MemoryNetwork, spec: MemoryTransportSpec = {}) {
    this.id = id
    this.versions = spec.protocolVersions ?? PROTOCOL_VERSIONS
    this.#address = spec.address
    this.#network = network
  }

  /** Set while it runs. */
  get run(): MemoryRun | undefined {
    return this.#run
  }

  get peers(): ReadonlyMap<ServerId, Peer> {
    return this.#peers
  }

  start(identity: TransportIdentity, handler: TransportHandler, callback: (error: Error | undefined) => void): void {
    const fault =
      this.#phase === 'new' ? this.#network.attach(this) : 'a transport starts once: make a new one to start again'
    if (fault !== undefined) {
      callback(new ActorumError('TRANSPORT_FAILED', fault))
      return
    }
    this.#phase = 'running'
    const { clock } = this.#network
    const dropped = new DroppedPeers(clock, (peer) => this.#run?.handler.peerDropped(peer))
    const notices = new Notices((text) => this.#run?.handler.notice(text), clock, 'told with the next')
    this.#run = { identity, handler, dropped, notices, joins: new JoinRequests(clock, handler, JOIN_TIMEOUT_MS) }
    clock.defer(() => {
      callback(
        this.#run === undefined
          ? new ActorumError('STOPPED', 'the transport was stopped before it started')
          : undefined,
      )
    })
    this.#network.settleSoon()
  }

  setPeers(peers: readonly Peer[]): void {
    this.#peers = new Map(peers.filter((peer) => peer.id !== this.id).map((peer) => [peer.id, peer]))
    this.#network.settleSoon()
  }

  setClusterId(clusterId: string): void {
    if (this.#run === undefined) return
    this.#run.identity = { ...this.#run.identity, clusterId }
    this.#network.settleSoon()
  }

  send(to: ServerId, message: Message): void {
    const run = this.#run
    if (run === undefined) return
    const connection = this.#network.connection(this.id, to)
    if (connection !== undefined && versionOf(message.type) > connection.version) {
      const text = faultOfAge(to, connection.version)
      return this.#network.clock.defer(() => run.notices.once(ageOf(to), text))
    }
    const parts = connection && encodeMessage(message, this.#network.checksum)
    if (parts !== undefined && bytesOf(parts) <= this.#network.limits.frameBytesMax)
      connection?.send(message.type, parts)
    // Whoever sends a snapshot sends its pieces again by itself.
    else if (message.type !== 'installSnapshot') run.dropped.add(to)
  }

  ask(address: string, request: JoinRequest, callback: JoinCallback): void {
    this.#network.ask(this, address, request, callback)
  }

  /** @internal Whether it is found at `address` by those who know its id. */
  isAt(address: string): boolean {
    return this.#address === undefined || this.#address === address
  }

  /** @internal Whether it is found at `address` by those who know nothing else. */
  isAskedAt(address: string): boolean {
    return address === (this.#address ?? `memory:${this.id}`)
  }

  stop(callback: () => void): void {
    this.#run = undefined
    this.#phase = 'stopped'
    this.#network.detach(this)
    this.#network.clock.defer(callback)
  }
}

/** What notices of an old protocol version are about. */
export function ageOf(id: ServerId): string {
  return `version of ${id}`
}
