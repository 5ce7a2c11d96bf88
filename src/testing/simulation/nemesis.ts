import type { ActorumError } from '../../errors.js'
import type { ServerId } from '../../machines/types.js'
import type { Durability } from '../../storage/ports.js'
import type { LinkFaults } from '../../transport/link-faults.js'
import type { Dice } from './dice.js'
import {
  describeFault,
  type AllDown,
  type Bridge,
  type Damage,
  type FailingDisk,
  type Fault,
  type FaultKind,
  type FlappingLink,
  type Partition,
  type Target,
} from './faults.js'
import { LinkWeather, type Direction } from './link-weather.js'
import type { SimulatedCluster } from './simulated-cluster.js'
import type { SimulatedServer } from './simulated-server.js'
import { Violation } from './violation.js'

export interface NemesisOptions {
  readonly durability: Durability
  /** Chance that comes in while faults are at work, such as how long a slow disk takes. */
  readonly dice: Dice
  /** Hears what is done, in words. */
  readonly tell?: (text: string) => void
}

type Heal = () => void

/**
 * Deals faults to a simulated cluster, within what it promises to survive: permanent damage to a minority at most, and
 * in mem-first mode no crash that could leave an election to servers that have all lost an entry.
 */
export class Nemesis<Command, Result> {
  readonly #cluster: SimulatedCluster<Command, Result>
  readonly #options: NemesisOptions
  readonly #weather: LinkWeather
  readonly #counts = new Map<FaultKind, number>()
  /** Servers whose disks have been damaged and that have not started since. */
  readonly #damaged = new Set<ServerId>()
  /** Servers whose disks are failing. */
  readonly #failing = new Map<ServerId, number>()
  /** Crashed without their newest watermark: until they start again, damage to the tail could not be told from a write cut short. */
  readonly #unmarked = new Set<ServerId>()
  readonly #heals = new Set<Heal>()

  constructor(cluster: SimulatedCluster<Command, Result>, options: NemesisOptions) {
    this.#cluster = cluster
    this.#options = options
    this.#weather = new LinkWeather(
      cluster.network,
      cluster.servers.map(({ id }) => id),
    )
  }

  /** How often each kind of fault has struck. */
  get counts(): ReadonlyMap<FaultKind, number> {
    return this.#counts
  }

  /** Servers that will not start again: their disks are damaged for good. */
  get lost(): readonly ServerId[] {
    return [...this.#damaged]
  }

  /** To be told of every start, and of every server that stops by itself: what no fault explains is a Violation. */
  readonly started = (id: ServerId): void => {
    this.#damaged.delete(id)
    this.#unmarked.delete(id)
  }

  readonly failed = (id: ServerId, error: ActorumError): void => {
    const isExpected =
      error.code === 'STORAGE_FAILED'
        ? this.#failing.has(id)
        : this.#damaged.has(id) && (error.code === 'CORRUPT' || error.code === 'UNSUPPORTED_FORMAT')
    if (!isExpected)
      throw new Violation('a server stops only for a reason', `server ${id}: ${error.code}: ${error.message}`)
    this.#tell(`server ${id} stopped by itself: ${error.code}`)
  }

  /**
   * Deals a fault now. Returns what heals it, to be called once or more, or undefined where it cannot strike: nobody
   * leads, or it would go beyond what may be survived.
   */
  inject(fault: Fault): Heal | undefined {
    const undo = this.#strike(fault)
    if (undo === undefined) return undefined
    this.#counts.set(fault.kind, (this.#counts.get(fault.kind) ?? 0) + 1)
    const told = describeFault(fault)
    this.#tell(told)
    const heal = (): void => {
      if (!this.#heals.delete(heal)) return
      this.#tell(`over: ${told}`)
      undo()
    }
    this.#heals.add(heal)
    return heal
  }

  /** What all links do from the start, beneath any fault. */
  weather(links: Partial<LinkFaults>): void {
    this.#heals.add(this.#weather.worsen(links, { at: 'all', ways: 'both' }))
  }

  /** Heals all that still lasts, the oldest first. */
  healAll(): void {
    for (const heal of [...this.#heals]) heal()
  }

  #tell(text: string): void {
    this.#options.tell?.(text)
  }

  #strike(fault: Fault): Heal | undefined {
    switch (fault.kind) {
      case 'partition':
      case 'one-way partition':
        return this.#partition(fault)
      case 'partial cut':
        return this.#cutBetween(fault)
      case 'bridge':
        return this.#bridge(fault)
      case 'flapping link':
        return this.#flap(fault)
      case 'loss':
      case 'delay':
      case 'duplication':
      case 'reordering':
      case 'corruption': {
        const at = fault.at === 'all' ? 'all' : this.#resolve(fault.at)?.id
        return at === undefined ? undefined : this.#weather.worsen(fault.links, { at, ways: fault.ways })
      }
      case 'all down':
        return this.#allDown(fault)
      case 'leadership transfer':
        this.#cluster.leader?.running?.server.transferLeadership(fault.to)
        return this.#cluster.leader === undefined ? undefined : () => undefined
      default: {
        const server = this.#resolve(fault.who)
        return server === undefined ? undefined : this.#strikeServer(fault, server)
      }
    }
  }

  #strikeServer(
    fault: Extract<Fault, { readonly who: Target }>,
    server: SimulatedServer<Command, Result>,
  ): Heal | undefined {
    switch (fault.kind) {
      case 'kill':
        server.kill(fault)
        return () => this.#start(server)
      case 'crash':
        if (server.disk.hasUnsynced && !this.#mayForget(server)) return undefined
        this.#crash(server, fault)
        return () => this.#start(server)
      case 'slow disk':
        return this.#slow(server, fault.latencyMs)
      case 'corrupted record':
      case 'removed record':
        return this.#damage(server, fault)
      case 'pause':
        server.pause()
        return () => server.resume()
      case 'drift':
        server.drift(fault.rate)
        return () => server.drift(1)
      default:
        return this.#failDisk(server, fault.kind)
    }
  }

  #resolve(target: Target): SimulatedServer<Command, Result> | undefined {
    return target === 'leader' ? this.#cluster.leader : this.#cluster.server(target)
  }

  #idsOf(targets: readonly Target[]): readonly ServerId[] {
    return targets.flatMap((target) => this.#resolve(target)?.id ?? [])
  }

  #othersThan(side: readonly ServerId[]): readonly ServerId[] {
    return this.#cluster.servers.map(({ id }) => id).filter((id) => !side.includes(id))
  }

  // ---- the network

  #partition({ side: targets, lost, how }: Partition): Heal | undefined {
    const side = this.#idsOf(targets)
    if (side.length === 0) return undefined
    const others = this.#othersThan(side)
    const said = lost === 'heard' ? [] : directions(side, others)
    const heard = lost === 'said' ? [] : directions(others, side)
    return this.#weather.cut([...said, ...heard], how)
  }

  #cutBetween({
    between,
    how,
  }: {
    readonly between: readonly [Target, Target]
    readonly how: Partition['how']
  }): Heal | undefined {
    const [a, b] = this.#idsOf(between)
    if (a === undefined || b === undefined || a === b) return undefined
    return this.#weather.cut([...directions([a], [b]), ...directions([b], [a])], how)
  }

  #bridge({ over, side: named, how }: Bridge): Heal | undefined {
    const bridge = this.#resolve(over)?.id
    if (bridge === undefined) return undefined
    const side = named.filter((id) => id !== bridge)
    const others = this.#othersThan([...side, bridge])
    return this.#weather.cut([...directions(side, others), ...directions(others, side)], how)
  }

  #flap(fault: FlappingLink): Heal | undefined {
    const [a, b] = this.#idsOf(fault.between)
    if (a === undefined || b === undefined || a === b) return undefined
    const { world } = this.#cluster
    let mend: Heal | undefined
    let timer: unknown
    const flip = (): void => {
      if (mend === undefined) mend = this.#cutBetween({ between: [a, b], how: fault.how })
      else mend = void mend()
      timer = world.setTimeout(flip, fault.periodMs)
    }
    flip()
    return () => {
      world.clearTimeout(timer)
      mend?.()
    }
  }

  // ---- processes and machines

  #start(server: SimulatedServer<Command, Result>): void {
    if (!this.#damaged.has(server.id)) server.start()
  }

  #crash(
    server: SimulatedServer<Command, Result>,
    crash: {
      readonly inFlight: AllDown['inFlight']
      readonly watermark: 'kept' | 'stale' | 'lost'
      readonly survival: number
    },
  ): void {
    const { inFlight, watermark, survival } = crash
    if (watermark !== 'kept') this.#unmarked.add(server.id)
    server.crash({ inFlight, watermark, survives: () => this.#options.dice.chance(survival) })
  }

  #allDown({ how, inFlight, staggerMs }: AllDown): Heal {
    const { servers, world } = this.#cluster
    for (const server of servers) {
      // In mem-first mode all machines at once may lose anything: only processes die then.
      if (how === 'crash' && this.#options.durability === 'disk-first') {
        this.#crash(server, { inFlight, watermark: 'stale', survival: 0.5 })
      } else server.kill({ inFlight })
    }
    return () => servers.forEach((server, at) => world.setTimeout(() => this.#start(server), at * staggerMs))
  }

  /**
   * Mem-first: what this server has and its machine may forget must be held by enough others that no election is left
   * to servers without it.
   */
  #mayForget(server: SimulatedServer<Command, Result>): boolean {
    if (this.#options.durability === 'disk-first') return true
    const { servers, safety } = this.#cluster
    const { durableIndex } = server
    if (durableIndex === 0) return true
    const others = servers.filter((other) => other !== server && !this.#damaged.has(other.id))
    const holders = others.filter(
      (other) => other.durableIndex >= durableIndex && safety.isSame(other.id, server.id, durableIndex),
    )
    return others.length - holders.length + 1 <= servers.length / 2
  }

  // ---- disks

  #slow(server: SimulatedServer<Command, Result>, [min, max]: readonly [number, number]): Heal {
    const { latencyMs } = server.disk
    server.disk.latencyMs = () => min + this.#options.dice.fraction() * (max - min)
    return () => void (server.disk.latencyMs = latencyMs)
  }

  #failDisk(server: SimulatedServer<Command, Result>, kind: FailingDisk['kind']): Heal {
    const { id, disk } = server
    this.#failing.set(id, (this.#failing.get(id) ?? 0) + 1)
    if (kind === 'torn write') disk.tearNextWrite()
    else if (kind === 'failed write') disk.failNextWrite()
    else if (kind === 'failed sync') disk.failNextSync()
    else if (kind === 'full disk') disk.full = true
    else disk.readOnly = true
    return () => {
      const left = (this.#failing.get(id) ?? 1) - 1
      if (left > 0) this.#failing.set(id, left)
      else this.#mendDisk(server)
      this.#start(server)
    }
  }

  #mendDisk({ id, disk }: SimulatedServer<Command, Result>): void {
    const { latencyMs } = disk
    this.#failing.delete(id)
    disk.heal()
    disk.latencyMs = latencyMs
  }

  #damage(server: SimulatedServer<Command, Result>, { kind, record, place }: Damage): Heal | undefined {
    const { id, disk } = server
    const minority = Math.floor((this.#cluster.servers.length - 1) / 2)
    const mayDamage = !this.#damaged.has(id) && this.#damaged.size < minority && !this.#unmarked.has(id)
    if (!mayDamage || !this.#mayForget(server)) return undefined
    server.crash({ watermark: 'kept', survives: () => true })
    const firsts = disk.firstIndexes()
    const first = record < 0 ? 0 : firsts[Math.min(firsts.length - 1, Math.floor(record * firsts.length))]
    if (first === undefined) return () => this.#start(server)
    this.#damaged.add(id)
    if (kind === 'removed record') disk.removeRecord(first)
    else disk.corruptRecord(first, Math.floor(place * disk.recordLength(first)))
    return () => server.start()
  }
}

function directions(from: readonly ServerId[], to: readonly ServerId[]): Direction[] {
  return from.flatMap((one) => to.map((other): Direction => [one, other]))
}
