import { ActorumError } from '../errors.js'
import type { Message } from '../machines/messages.js'
import type { Clock, Random } from '../machines/time-and-chance.js'
import type { Checksum, ServerId } from '../machines/types.js'
import { DroppedPeers } from './dropped-peers.js'
import { DEFAULT_FRAME_LIMITS, type FrameLimits } from './frame-limits.js'
import type { LinkContext } from './websocket/link-context.js'
import { Listener } from './websocket/listener.js'
import { Notices } from './notices.js'
import { PeerLink } from './websocket/peer-link.js'
import type { JoinCallback, JoinRequest, Peer, Transport, TransportHandler, TransportIdentity } from './ports.js'
import { PROTOCOL_VERSIONS, type ProtocolVersions } from './protocol-versions.js'
import { JoinAsk } from './websocket/join-ask.js'
import { DEFAULT_WEBSOCKET_OPTIONS, type WebSocketOptions } from './websocket-options.js'

export interface WebSocketTransportSpec {
  /** `host:port`; port 0 lets the system choose, and `address` then tells. */
  readonly listen: string
  readonly clock: Clock
  readonly random: Random
  readonly checksum: Checksum
  readonly options?: Partial<WebSocketOptions>
  readonly limits?: FrameLimits
  /** Default: all that are known here. */
  readonly protocolVersions?: ProtocolVersions
}

/**
 * Servers over WebSocket. Each dials each of its peers and sends on the connections it dialled, one a channel; those it
 * accepts it receives on. A peer is up while those for control and log are open.
 */
export class WebSocketTransport implements Transport {
  readonly #spec: WebSocketTransportSpec
  readonly #links = new Map<ServerId, PeerLink>()
  readonly #asks = new Set<JoinAsk>()
  #peers: readonly Peer[] = []
  #address: string
  #context: LinkContext | undefined
  #listener: Listener | undefined
  #dropped: DroppedPeers | undefined
  #phase: 'new' | 'starting' | 'running' | 'stopped' = 'new'
  /** What to do once a start under way has come to its end. */
  #afterStarting: (() => void) | undefined

  constructor(spec: WebSocketTransportSpec) {
    this.#spec = spec
    this.#address = spec.listen
  }

  /** `host:port` listened on; as given, until it listens. */
  get address(): string {
    return this.#address
  }

  start(identity: TransportIdentity, handler: TransportHandler, callback: (error: Error | undefined) => void): void {
    const place = parseAddress(this.#spec.listen)
    if (place === undefined) {
      callback(
        new ActorumError('TRANSPORT_FAILED', `'${this.#spec.listen}' is no address to listen on: give host:port`),
      )
      return
    }
    if (this.#phase !== 'new') {
      callback(new ActorumError('TRANSPORT_FAILED', 'a transport starts once: make a new one to start again'))
      return
    }
    this.#phase = 'starting'
    const { clock, random, checksum, limits = DEFAULT_FRAME_LIMITS } = this.#spec
    const { protocolVersions: versions = PROTOCOL_VERSIONS } = this.#spec
    const options = { ...DEFAULT_WEBSOCKET_OPTIONS, ...this.#spec.options }
    const notices = new Notices((text) => this.#phase !== 'stopped' && handler.notice(text), clock, 'told in time')
    this.#context = { options, limits, versions, clock, random, checksum, handler, notices, identity }
    this.#dropped = new DroppedPeers(clock, (peer) => this.#phase !== 'stopped' && handler.peerDropped(peer))
    this.#listener = new Listener(this.#context, this.#links)
    this.#listener.listen(place.host, place.port, (error) => this.#listens(error, callback))
  }

  setPeers(peers: readonly Peer[]): void {
    this.#peers = peers
    if (this.#phase === 'running') this.#linkPeers()
  }

  setClusterId(clusterId: string): void {
    if (this.#context === undefined) return
    this.#context.identity = { ...this.#context.identity, clusterId }
    for (const link of this.#links.values()) link.judgeAgain(link.peer)
  }

  send(to: ServerId, message: Message): void {
    if (this.#phase === 'stopped' || this.#links.get(to)?.send(message) === true) return
    // Whoever sends a snapshot sends its pieces again by itself.
    if (message.type !== 'installSnapshot') this.#dropped?.add(to)
  }

  ask(address: string, request: JoinRequest, callback: JoinCallback): void {
    if (this.#context === undefined || this.#phase === 'stopped') {
      callback(
        new ActorumError('STOPPED', `cannot ask the server at ${address}: the transport does not run`),
        undefined,
      )
      return
    }
    const ask = new JoinAsk(this.#context, address, (...outcome) => {
      this.#asks.delete(ask)
      callback(...outcome)
    })
    this.#asks.add(ask)
    ask.start(request)
  }

  stop(callback: () => void): void {
    const wasStarting = this.#phase === 'starting'
    const listener = this.#listener
    this.#phase = 'stopped'
    this.#context?.notices.close()
    for (const link of this.#links.values()) link.abandon()
    this.#links.clear()
    for (const ask of [...this.#asks]) ask.abandon()
    this.#listener = undefined
    if (listener === undefined) callback()
    else if (wasStarting) this.#afterStarting = () => listener.close(callback)
    else listener.close(callback)
  }

  #listens(error: Error | undefined, callback: (error: Error | undefined) => void): void {
    if (this.#afterStarting !== undefined) {
      callback(new ActorumError('STOPPED', 'the transport was stopped before it listened'))
      this.#afterStarting()
      return
    }
    this.#phase = error === undefined ? 'running' : 'stopped'
    const port = this.#listener?.port
    if (port !== undefined) this.#address = this.#spec.listen.replace(/:\d+$/, `:${port}`)
    if (error === undefined) this.#linkPeers()
    callback(error)
  }

  #linkPeers(): void {
    const context = this.#context
    if (context === undefined) return
    const wanted = new Map(this.#peers.filter((peer) => peer.id !== context.identity.id).map((peer) => [peer.id, peer]))
    for (const [id, link] of this.#links) {
      if (wanted.get(id)?.address === link.peer.address) continue
      this.#links.delete(id)
      link.close()
    }
    for (const [id, peer] of wanted) {
      const known = this.#links.get(id)
      if (known !== undefined) known.judgeAgain(peer)
      else {
        const link = new PeerLink(context, peer)
        this.#links.set(id, link)
        link.dial()
      }
    }
  }
}

function parseAddress(address: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host === undefined || !(port <= 65_535) ? undefined : { host, port }
}
