import type { ActorumError } from '../../errors.js'
import type { ServerId } from '../../machines/types.js'
import type { Durability } from '../../storage/ports.js'
import type { LinkFaults } from '../../transport/link-faults.js'
import type { Dice } from './dice.js'
import {
  describeFault,
  type AllDown,
  type Bridge,
  type DamagedSnapshot,
  type Damage,
  type FailingDisk,
  type FailingSnapshots,
  type Fault,
  type FaultKind,
  type FlappingLink,
  type Partition,
  type Target,
  type Wipe,
} from './faults.js'
import { LinkWeather, type Direction } from './link-weather.js'
import type { SimulatedCluster } from './simulated-cluster.js'
import type { SimulatedServer } from './simulated-server.js'
import { halvesOf } from './configuration-checker.js'
import { Operator } from './operator.js'
import { parseName } from '../../storage/snapshot-catalogue.js'
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
  /** The damaged snapshots of each server, by the names of their files: they may show at any start from now on. */
  readonly #damagedSnapshots = new Map<ServerId, Set<string>>()
  /** Servers that came back with empty disks, under ids that must not come back so. */
  readonly #wiped = new Set<ServerId>()
  readonly #operator: Operator<Command, Result>
  /** Servers whose disks are failing. */
  readonly #failing = new Map<ServerId, number>()
  /** Whose snapshot disk failed since they started: some failures show only in what is asked of it next. */
  readonly #snapshotsFailed = new Set<ServerId>()
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
    this.#operator = new Operator(
      cluster,
      () => this.lost,
      (text) => this.#tell(text),
    )
  }

  /** How often each kind of fault has struck. */
  get counts(): ReadonlyMap<FaultKind, number> {
    return this.#counts
  }

  /** Servers that will not start again, or may not: their disks are damaged or were replaced. */
  get lost(): readonly ServerId[] {
    const unsure = this.#cluster.servers.filter((server) => this.#mayBeDamaged(server)).map(({ id }) => id)
    return [...new Set([...this.#damaged, ...this.#wiped, ...unsure])]
  }

  /** Those of them of whom nothing can be asked: one that runs in spite of a damaged snapshot has to catch up. */
  get gone(): readonly ServerId[] {
    const isDown = (id: ServerId): boolean => this.#cluster.server(id).running === undefined
    return this.lost.filter((id) => this.#damaged.has(id) || this.#wiped.has(id) || isDown(id))
  }

  /** Whether all that an operator has begun is done. */
  get isIdle(): boolean {
    return this.#operator.isIdle
  }

  /** Whether one of its snapshots is damaged, and so perhaps the only one to begin from. */
  #mayBeDamaged({ id, running, snapshotDisk }: SimulatedServer<Command, Result>): boolean {
    const damaged = this.#damagedSnapshots.get(id)
    if (damaged === undefined) return false
    const names = snapshotDisk.fileNames()
    for (const name of damaged) if (!names.some((found) => found.startsWith(name))) damaged.delete(name)
    return running === undefined ? damaged.size > 0 : names.some((name) => damaged.has(name))
  }

  /** To be told of every start, and of every server that stops by itself: what no fault explains is a Violation. */
  readonly started = (id: ServerId): void => {
    this.#damaged.delete(id)
    this.#unmarked.delete(id)
    if (!this.#failing.has(id)) this.#snapshotsFailed.delete(id)
  }

  readonly failed = (id: ServerId, error: ActorumError): void => {
    const isDamage = error.code === 'CORRUPT' || error.code === 'UNSUPPORTED_FORMAT'
    const hasDamagedSnapshots = (this.#damagedSnapshots.get(id)?.size ?? 0) > 0
    const isExpected =
      error.code === 'STORAGE_FAILED'
        ? this.#failing.has(id) || this.#snapshotsFailed.has(id)
        : isDamage && (this.#damaged.has(id) || hasDamagedSnapshots)
    if (!isExpected)
      throw new Violation('a server stops only for a reason', `server ${id}: ${error.code}: ${error.message}`)
    this.#tell(`server ${id} stopped by itself: ${error.code}`)
    // A snapshot that was found to be damaged is set aside: the one before it may do.
    if (hasDamagedSnapshots && !this.#damaged.has(id)) this.#startLater(id, error)
  }

  #startLater(id: ServerId, { message }: ActorumError): void {
    if (message.startsWith('the log begins after entry')) {
      this.#damaged.add(id)
      return
    }
    this.#cluster.world.setTimeout(() => this.#start(this.#cluster.server(id)), 20)
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
      case 'membership change': {
        const via = this.#resolve(fault.via)
        return via !== undefined && this.#operator.ask(fault, via.id) ? () => undefined : undefined
      }
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
        return this.#slow(server.disk, fault.latencyMs)
      case 'slow snapshot disk':
        return this.#slow(server.snapshotDisk, fault.latencyMs)
      case 'failing snapshot disk':
        return this.#failSnapshots(server, fault)
      case 'corrupted snapshot':
        return this.#damageSnapshot(server, fault)
      case 'wiped disk':
        return this.#wipe(server, fault)
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
    const without = servers
      .filter((other) => other !== server && !this.#damaged.has(other.id))
      .filter((other) => other.durableIndex < durableIndex || !safety.isSame(other.id, server.id, durableIndex))
      .map(({ id }) => id)
    return safety.configurations
      .inPlay(safety.committedIndex)
      .flatMap(halvesOf)
      .every((half) => half.filter((id) => id === server.id || without.includes(id)).length <= half.length / 2)
  }

  // ---- disks

  #slow(disk: { latencyMs: (() => number) | undefined }, [min, max]: readonly [number, number]): Heal {
    const { latencyMs } = disk
    disk.latencyMs = () => min + this.#options.dice.fraction() * (max - min)
    return () => void (disk.latencyMs = latencyMs)
  }

  #failDisk(server: SimulatedServer<Command, Result>, kind: FailingDisk['kind']): Heal {
    const { id, disk } = server
    this.#failing.set(id, (this.#failing.get(id) ?? 0) + 1)
    if (kind === 'torn write') disk.tearNextWrite()
    else if (kind === 'failed write') disk.failNextWrite()
    else if (kind === 'failed sync') disk.failNextSync()
    else if (kind === 'full disk') disk.full = true
    else disk.readOnly = true
    return this.#mendLater(server)
  }

  #failSnapshots(server: SimulatedServer<Command, Result>, { how }: FailingSnapshots): Heal {
    const { id, snapshotDisk } = server
    this.#failing.set(id, (this.#failing.get(id) ?? 0) + 1)
    this.#snapshotsFailed.add(id)
    if (how === 'torn write') snapshotDisk.tearNextWrite()
    else if (how === 'failed write') snapshotDisk.failNextWrite()
    else if (how === 'failed sync') snapshotDisk.failNextSync()
    else if (how === 'full') snapshotDisk.full = true
    else snapshotDisk.readOnly = true
    return this.#mendLater(server)
  }

  #mendLater(server: SimulatedServer<Command, Result>): Heal {
    const { id } = server
    return () => {
      const left = (this.#failing.get(id) ?? 1) - 1
      if (left > 0) this.#failing.set(id, left)
      else this.#mendDisk(server)
      this.#start(server)
    }
  }

  #mendDisk({ id, disk, snapshotDisk }: SimulatedServer<Command, Result>): void {
    this.#failing.delete(id)
    for (const one of [disk, snapshotDisk]) {
      const { latencyMs } = one
      one.heal()
      one.latencyMs = latencyMs
    }
  }

  #damage(server: SimulatedServer<Command, Result>, { kind, record, place }: Damage): Heal | undefined {
    const { id, disk } = server
    const mayDamage = this.#mayLose(id) && !this.#unmarked.has(id)
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

  /** Permanent damage is dealt to a minority at most of each configuration that rules or may come to. */
  #mayLose(id: ServerId): boolean {
    const { lost } = this
    return !lost.includes(id) && !this.#operator.isChanging && this.#operator.mayLose([...lost, id])
  }

  #damageSnapshot(server: SimulatedServer<Command, Result>, fault: DamagedSnapshot): Heal | undefined {
    const { id, snapshotDisk } = server
    const complete = snapshotDisk.fileNames().flatMap((name) => {
      const named = parseName(name)
      return named?.stage === 'complete' ? { name, index: named.id.index } : []
    })
    complete.sort((one, other) => one.index - other.index)
    const name = complete.at(fault.which === 'newest' ? -1 : 0)?.name
    if (name === undefined || !this.#mayLose(id)) return undefined
    if (fault.restarts) server.kill()
    this.#damagedSnapshots.set(id, (this.#damagedSnapshots.get(id) ?? new Set()).add(name))
    snapshotDisk.corruptFile(name, Math.floor(fault.place * snapshotDisk.fileLength(name)))
    return () => this.#start(server)
  }

  #wipe(server: SimulatedServer<Command, Result>, { by }: Wipe): Heal | undefined {
    const { id } = server
    if (!this.#mayLose(id) || !this.#mayForget(server) || !this.#isRecorded(id)) return undefined
    const members = this.#cluster.members.map((member) => member.id)
    const successor = by === 'itself' || members.includes(by) || this.lost.includes(by) ? id : by
    this.#wiped.add(id)
    server.wipe()
    server.start()
    return () => this.#operator.replaceWiped(id, successor, () => successor === id && this.#wiped.delete(id))
  }

  /** Whether everyone would know another disk from this server's: until then nothing tells them apart. */
  #isRecorded(id: ServerId): boolean {
    const { configurations } = this.#cluster.safety
    const { members } = this.#cluster
    return (
      members.some((member) => member.id === id) &&
      members.every((other) => {
        const named = configurations.rulingOn(other.id).members?.find((member) => member.id === id)
        return named?.storeId !== undefined
      })
    )
  }
}

function directions(from: readonly ServerId[], to: readonly ServerId[]): Direction[] {
  return from.flatMap((one) => to.map((other): Direction => [one, other]))
}
