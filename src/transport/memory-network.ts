import type { Clock, Random } from '../machines/time-and-chance.js'
import type { Checksum, ServerId } from '../machines/types.js'
import { DEFAULT_FRAME_LIMITS, type FrameLimits } from './frame-limits.js'
import { faultOfHello, faultOfWelcome, helloOf, welcomeOf } from './handshake.js'
import { NO_FAULTS, type Cut, type LinkFaults } from './link-faults.js'
import { MemoryConnection } from './memory-connection.js'
import { MemoryTransport, type MemoryRun } from './memory-transport.js'
import { Notices } from './notices.js'
import type { Peer } from './ports.js'

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
  readonly random: Random
  readonly checksum: Checksum
  readonly limits: FrameLimits
  readonly #ids = new Set<ServerId>()
  readonly #transports = new Map<ServerId, MemoryTransport>()
  readonly #links = new Map<ServerId, Map<ServerId, Link>>()
  readonly #connections = new Map<ServerId, Map<ServerId, MemoryConnection>>()
  readonly #notices = new Map<ServerId, Notices>()
  #faults = NO_FAULTS
  #arrivals: (() => void)[] = []
  #settling = false

  constructor(spec: MemoryNetworkSpec) {
    this.clock = spec.clock
    this.random = spec.random
    this.checksum = spec.checksum
    this.limits = spec.limits ?? DEFAULT_FRAME_LIMITS
  }

  /** A new transport for server `id`: one for each of its starts. Its peers are found by id, whatever their addresses. */
  transport(id: ServerId): MemoryTransport {
    this.#ids.add(id)
    return new MemoryTransport(id, this)
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
    this.#notices.delete(transport.id)
    this.settleSoon()
  }

  /** @internal */
  connection(from: ServerId, to: ServerId): MemoryConnection | undefined {
    return this.#connections.get(from)?.get(to)
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
    this.#noticesOf(connection.to, connection.receiver).limited(`frames of ${connection.from}`, text)
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
    })
  }

  #arriveAll(): void {
    const arrivals = this.#arrivals
    this.#arrivals = []
    for (const arrive of arrivals) arrive()
  }

  #mustEnd(connection: MemoryConnection, sender: MemoryTransport): boolean {
    const peer = sender.peers.get(connection.to)
    if (peer === undefined) return true
    const there = this.link(connection.from, connection.to).cut
    const back = this.link(connection.to, connection.from).cut
    if (there === 'noticed') return true
    // Behind a cut that nobody notices, the sender learns nothing of what became of its peer.
    if (there === 'silent' || back === 'silent') return false
    const receiver = this.#transports.get(connection.to)
    if (receiver?.run !== connection.receiver) return true
    return this.#handshakeFault(connection.sender, connection.receiver, receiver, peer) !== undefined
  }

  #connect(transport: MemoryTransport, peer: Peer): void {
    const sender = transport.run
    const target = this.#transports.get(peer.id)
    const receiver = target?.run
    if (sender === undefined || target === undefined || receiver === undefined) return
    const link = this.link(transport.id, peer.id)
    if (link.cut !== undefined || this.connection(transport.id, peer.id) !== undefined) return
    const fault = this.#handshakeFault(sender, receiver, target, peer)
    const subject = `dial ${peer.id}`
    if (fault !== undefined) {
      this.#noticesOf(transport.id, sender).once(subject, `no connection to server ${peer.id}: ${fault}`)
      this.#noticesOf(peer.id, receiver).once(`hello of ${transport.id}`, `refused server ${transport.id}: ${fault}`)
      return
    }
    this.#noticesOf(transport.id, sender).forget(subject)
    rowOf(this.#connections, transport.id).set(peer.id, new MemoryConnection(this, link, sender, receiver))
    sender.handler.peerUp(peer.id, receiver.identity.nonce)
  }

  #handshakeFault(sender: MemoryRun, receiver: MemoryRun, target: MemoryTransport, peer: Peer): string | undefined {
    return (
      faultOfHello(helloOf(sender.identity, peer.id, 'control'), receiver.identity, (id) => target.peers.get(id)) ??
      faultOfWelcome(welcomeOf(receiver.identity), sender.identity, peer)
    )
  }

  #end(connection: MemoryConnection): void {
    if (connection.ended) return
    connection.ended = true
    this.#connections.get(connection.from)?.delete(connection.to)
    connection.sender.handler.peerDown(connection.to)
  }

  #noticesOf(id: ServerId, run: MemoryRun): Notices {
    let notices = this.#notices.get(id)
    if (notices === undefined) {
      this.#notices.set(id, (notices = new Notices((text) => run.handler.notice(text), this.clock)))
    }
    return notices
  }
}

function rowOf<Value>(table: Map<ServerId, Map<ServerId, Value>>, id: ServerId): Map<ServerId, Value> {
  let row = table.get(id)
  if (row === undefined) table.set(id, (row = new Map<ServerId, Value>()))
  return row
}
