import { ActorumError } from '../errors.js'
import type { Malformed } from '../machines/entry-run.js'
import type { Clock, Random } from '../machines/time-and-chance.js'
import type { Checksum, ServerId } from '../machines/types.js'
import { DEFAULT_FRAME_LIMITS, type FrameLimits } from './frame-limits.js'
import { addressOfStranger, faultOfWelcome, helloOf, judgeHello, welcomeOf } from './handshake.js'
import { LinkChance, NO_FAULTS, type Cut, type LinkFaults } from './link-faults.js'
import { MemoryAsk } from './memory-ask.js'
import { MemoryConnection } from './memory-connection.js'
import { ageOf, MemoryTransport, type MemoryRun, type MemoryTransportSpec } from './memory-transport.js'
import type { JoinCallback, JoinRequest, Peer } from './ports.js'

export interface MemoryNetworkSpec {
  readonly clock: Clock
  readonly random: Random
  readonly checksum: Checksum
  readonly limits?: FrameLimits
}

/** One direction between two servers. */
export interface Link {
  faults: LinkFaults
  cut: Cut | undefined
}

/**
 * A network in memory: frames go through the codec and are copied as by a socket, and every link can be cut or made
 * faulty, each direction by itself. With a virtual clock and a seeded random, a run replays exactly.
 */
export class MemoryNetwork {
  readonly clock: Clock
  readonly chance: LinkChance
  readonly checksum: Checksum
  readonly limits: FrameLimits
  readonly #ids = new Set<ServerId>()
  readonly #transports = new Map<ServerId, MemoryTransport>()
  readonly #links = new Map<ServerId, Map<ServerId, Link>>()
  readonly #connections = new Map<ServerId, Map<ServerId, MemoryConnection>>()
  readonly #asks = new Set<MemoryAsk>()
  #faults = NO_FAULTS
  #arrivals: (() => void)[] = []
  #settling = false

  constructor(spec: MemoryNetworkSpec) {
    this.clock = spec.clock
    this.chance = new LinkChance(spec.random)
    this.checksum = spec.checksum
    this.limits = spec.limits ?? DEFAULT_FRAME_LIMITS
  }

  /** A new transport for server `id`: one for each of its starts. */
  transport(id: ServerId, spec?: MemoryTransportSpec): MemoryTransport {
    this.#ids.add(id)
    return new MemoryTransport(id, this, spec)
  }

  /** Makes every link, those not yet used too, behave so; what is left out is without fault. */
  setFaults(faults: Partial<LinkFaults>): void {
    this.#faults = { ...NO_FAULTS, ...faults }
    for (const links of this.#links.values()) for (const link of links.values()) link.faults = this.#faults
  }

  /** Makes one link behave so; what is left out stays as it is. */
  setLinkFaults(from: ServerId, to: ServerId, faults: Partial<LinkFaults>): void {
    const link = this.link(from, to)
    link.faults = { ...link.faults, ...faults }
  }

  /** Cuts one direction. */
  cut(from: ServerId, to: ServerId, how: Cut): void {
    this.link(from, to).cut = how
    this.settleSoon()
  }

  /** Restores one direction. */
  mend(from: ServerId, to: ServerId): void {
    this.link(from, to).cut = undefined
    this.settleSoon()
  }

  /** Cuts every link between servers of different groups, and mends those within a group. */
  partition(groups: readonly (readonly ServerId[])[], how: Cut): void {
    for (const group of groups) {
      for (const from of group) {
        for (const other of groups) for (const to of other) this.link(from, to).cut = other === group ? undefined : how
      }
    }
    this.settleSoon()
  }

  /** Cuts server `id` off from every other that has had a transport here. */
  isolate(id: ServerId, how: Cut): void {
    for (const other of this.#ids) {
      if (other === id) continue
      this.link(id, other).cut = how
      this.link(other, id).cut = how
    }
    this.settleSoon()
  }

  /** Mends every link. Faults other than cuts stay. */
  heal(): void {
    for (const links of this.#links.values()) for (const link of links.values()) link.cut = undefined
    this.settleSoon()
  }

  link(from: ServerId, to: ServerId): Link {
    const links = rowOf(this.#links, from)
    let link = links.get(to)
    if (link === undefined) links.set(to, (link = { faults: this.#faults, cut: undefined }))
    return link
  }

  /** @internal A transport starts; why it cannot, if it cannot. */
  attach(transport: MemoryTransport): string | undefined {
    if (this.#transports.has(transport.id)) return `server ${transport.id} has a transport running in this network`
    this.#transports.set(transport.id, transport)
    return undefined
  }

  /** @internal A transport stops: what it sent and is still on its way is lost. */
  detach(transport: MemoryTransport): void {
    if (this.#transports.get(transport.id) !== transport) return
    this.#transports.delete(transport.id)
    for (const connection of rowOf(this.#connections, transport.id).values()) connection.ended = true
    this.#connections.delete(transport.id)
    for (const ask of [...this.#asks]) if (ask.asker === transport) ask.fail('STOPPED', 'the transport was stopped')
    this.settleSoon()
  }

  /** @internal */
  connection(from: ServerId, to: ServerId): MemoryConnection | undefined {
    return this.#connections.get(from)?.get(to)
  }

  /** @internal */
  ask(asker: MemoryTransport, address: string, request: JoinRequest, callback: JoinCallback): void {
    const refuse = (code: 'STOPPED' | 'TRANSPORT_FAILED', reason: string): void => {
      callback(new ActorumError(code, `cannot ask the server at ${address}: ${reason}`), undefined)
    }
    if (asker.run === undefined) return refuse('STOPPED', 'the transport does not run')
    const transport = [...this.#transports.values()].find((one) => one.isAskedAt(address))
    if (transport?.run === undefined) return refuse('TRANSPORT_FAILED', 'nobody listens there')
    const ask = new MemoryAsk(this, asker, { transport, run: transport.run }, (...outcome) => {
      this.#asks.delete(ask)
      callback(...outcome)
    })
    this.#asks.add(ask)
    ask.start(request)
  }

  /** @internal Whether `run` is the living incarnation of server `id`. */
  runs(id: ServerId, run: MemoryRun): boolean {
    return this.#transports.get(id)?.run === run
  }

  /** @internal Calls `arrive` at the end of the turn, after what was sent before. */
  arriveSoon(arrive: () => void): void {
    if (this.#arrivals.length === 0) this.clock.defer(() => this.#arriveAll())
    this.#arrivals.push(arrive)
  }

  /** @internal A frame was malformed: as on a socket, the connection that carried it is closed and made anew. */
  refused(connection: MemoryConnection, reason: string): void {
    const text = `a malformed frame from server ${connection.from} closed its connection: ${reason}`
    connection.receiver.notices.limited(`frames of ${connection.from}`, text)
    this.#end(connection)
    this.settleSoon()
  }

  /** @internal Brings connections into line with who runs and which links are cut, at the end of the turn. */
  settleSoon(): void {
    if (this.#settling) return
    this.#settling = true
    this.clock.defer(() => {
      this.#settling = false
      for (const transport of [...this.#transports.values()]) {
        for (const connection of [...rowOf(this.#connections, transport.id).values()]) {
          if (this.#mustEnd(connection, transport)) this.#end(connection)
        }
        for (const peer of transport.peers.values()) this.#connect(transport, peer)
      }
      for (const ask of [...this.#asks]) ask.check()
    })
  }

  #arriveAll(): void {
    const arrivals = this.#arrivals
    this.#arrivals = []
    for (const arrive of arrivals) arrive()
  }

  #mustEnd(connection: MemoryConnection, sender: MemoryTransport): boolean {
    const peer = sender.peers.get(connection.to)
    if (peer?.address !== connection.address) return true
    const there = this.link(connection.from, connection.to).cut
    const back = this.link(connection.to, connection.from).cut
    if (there === 'noticed') return true
    // Behind a cut that nobody notices, the sender learns nothing of what became of its peer.
    if (there === 'silent' || back === 'silent') return false
    const receiver = this.#transports.get(connection.to)
    if (receiver?.run !== connection.receiver) return true
    return typeof this.#judge(sender, connection.sender, receiver, connection.receiver) !== 'number'
  }

  #connect(transport: MemoryTransport, peer: Peer): void {
    const sender = transport.run
    const target = this.#transports.get(peer.id)
    const receiver = target?.run
    if (sender === undefined || target === undefined || receiver === undefined || !target.isAt(peer.address)) return
    const link = this.link(transport.id, peer.id)
    if (link.cut !== undefined || this.connection(transport.id, peer.id) !== undefined) return
    const version = this.#judge(transport, sender, target, receiver)
    const subject = `dial ${peer.id}`
    if (typeof version !== 'number') {
      const { malformed } = version
      sender.notices.once(subject, `no connection to server ${peer.id}: ${malformed}`)
      receiver.notices.once(`hello of ${transport.id}`, `refused server ${transport.id}: ${malformed}`)
      const hello = helloOf(sender.identity, target.id, 'control', transport.versions)
      const address = addressOfStranger(hello, receiver.identity, target.peers.get(transport.id))
      if (address !== undefined) receiver.handler.strangerAt(address)
      return
    }
    sender.notices.forget(subject)
    if (version === transport.versions.max) sender.notices.forget(ageOf(peer.id))
    const connection = new MemoryConnection(this, { sender, receiver, address: peer.address, version })
    rowOf(this.#connections, transport.id).set(peer.id, connection)
    sender.handler.peerUp(peer.id, receiver.identity.nonce, receiver.identity.storeId, version)
  }

  /** The protocol version that the two agree upon, or why one of them refuses the other. */
  #judge(
    dialler: MemoryTransport,
    sender: MemoryRun,
    target: MemoryTransport,
    receiver: MemoryRun,
  ): number | Malformed {
    const peer = dialler.peers.get(target.id)
    if (peer === undefined) return { malformed: `server ${target.id} is not a member known here` }
    const hello = helloOf(sender.identity, target.id, 'control', dialler.versions)
    const version = judgeHello(hello, receiver.identity, target.versions, target.peers.get(dialler.id))
    if (typeof version !== 'number') return version
    const malformed = faultOfWelcome(welcomeOf(receiver.identity, version), sender.identity, dialler.versions, peer)
    return malformed === undefined ? version : { malformed }
  }

  #end(connection: MemoryConnection): void {
    if (connection.ended) return
    connection.ended = true
    this.#connections.get(connection.from)?.delete(connection.to)
    connection.sender.handler.peerDown(connection.to)
  }
}

function rowOf<Value>(table: Map<ServerId, Map<ServerId, Value>>, id: ServerId): Map<ServerId, Value> {
  let row = table.get(id)
  if (row === undefined) table.set(id, (row = new Map<ServerId, Value>()))
  return row
}
