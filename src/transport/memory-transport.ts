import { ActorumError } from '../errors.js'
import type { Message } from '../machines/messages.js'
import type { ServerId } from '../machines/types.js'
import { encodeMessage } from './codec.js'
import { DroppedPeers } from './dropped-peers.js'
import { bytesOf } from './frame-limits.js'
import type { MemoryNetwork } from './memory-network.js'
import type { Peer, Transport, TransportHandler, TransportIdentity } from './ports.js'

/** What a started transport is made of. */
export interface MemoryRun {
  identity: TransportIdentity
  readonly handler: TransportHandler
  readonly dropped: DroppedPeers
}

/** The transport's twin: made by a `MemoryNetwork`, which carries what it sends. */
export class MemoryTransport implements Transport {
  readonly id: ServerId
  readonly #network: MemoryNetwork
  #peers: ReadonlyMap<ServerId, Peer> = new Map()
  #run: MemoryRun | undefined
  #phase: 'new' | 'running' | 'stopped' = 'new'

  constructor(id: ServerId, network: MemoryNetwork) {
    this.id = id
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
    const dropped = new DroppedPeers(this.#network.clock, (peer) => this.#run?.handler.peerDropped(peer))
    this.#run = { identity, handler, dropped }
    this.#network.clock.defer(() => {
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
    if (connection === undefined) return run.dropped.add(to)
    const parts = encodeMessage(message, this.#network.checksum)
    if (bytesOf(parts) > this.#network.limits.frameBytesMax) return run.dropped.add(to)
    connection.send(message.type, parts)
  }

  stop(callback: () => void): void {
    this.#run = undefined
    this.#phase = 'stopped'
    this.#network.detach(this)
    this.#network.clock.defer(callback)
  }
}
