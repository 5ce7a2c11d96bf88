import type { ActorumError } from '../../errors.js'
import type { ServerId } from '../../machines/types.js'
import type { Durability } from '../../storage/ports.js'
import { parseName } from '../../storage/snapshot-catalogue.js'
import { halvesOf } from './configuration-checker.js'
import type { Dice } from './dice.js'
import type {
  Crash,
  Damage,
  DamagedSnapshot,
  FailingDisk,
  FailingSnapshots,
  Heal,
  ServerFault,
  Wipe,
} from './faults.js'
import type { Operator } from './operator.js'
import type { SimulatedCluster } from './simulated-cluster.js'
import type { SimulatedServer } from './simulated-server.js'
import { UnexplainedStop } from './violation.js'

export type DiskFault = Exclude<ServerFault, { readonly kind: 'kill' | 'crash' | 'pause' | 'drift' }>

type SlowableDisk = 'disk' | 'snapshotDisk'

/** What a disk's latency was before it was slowed, and what is left of its slownesses, oldest first. */
interface Slowed {
  readonly before: (() => number) | undefined
  readonly slow: Set<() => number>
}

export interface DiskNemesisSpec<Command, Result> {
  readonly cluster: SimulatedCluster<Command, Result>
  readonly durability: Durability
  readonly dice: Dice
  readonly operator: Operator<Command, Result>
  readonly tell: (text: string) => void
}

/** Deals faults to disks, knows what they have suffered, and so what may still be lost and why a server stops. */
export class DiskNemesis<Command, Result> {
  readonly #spec: DiskNemesisSpec<Command, Result>
  /** Servers whose disks have been damaged and that have not started since. */
  readonly #damaged = new Set<ServerId>()
  /** The damaged snapshots of each server, by the names of their files: they may show at any start from now on. */
  readonly #damagedSnapshots = new Map<ServerId, Set<string>>()
  /** Servers that came back with empty disks, under ids that must not come back so. */
  readonly #wiped = new Set<ServerId>()
  /** Servers whose disks are failing. */
  readonly #failing = new Map<ServerId, number>()
  /** Whose snapshot disk failed since they started: some failures show only in what is asked of it next. */
  readonly #snapshotsFailed = new Set<ServerId>()
  /** Crashed without their newest watermark: until they start again, damage to the tail could not be told from a write cut short. */
  readonly #unmarked = new Set<ServerId>()

  readonly #slowed = new Map<string, Slowed>()

  constructor(spec: DiskNemesisSpec<Command, Result>) {
    this.#spec = spec
  }

  /** Servers that will not start again, or may not: their disks are damaged or were replaced. */
  get lost(): readonly ServerId[] {
    const unsure = this.#spec.cluster.servers.filter((server) => this.#mayBeDamaged(server)).map(({ id }) => id)
    return [...new Set([...this.#damaged, ...this.#wiped, ...unsure])]
  }

  /** Those of them of whom nothing can be asked: one that runs in spite of a damaged snapshot has to catch up. */
  get gone(): readonly ServerId[] {
    const isDown = (id: ServerId): boolean => this.#spec.cluster.server(id).running === undefined
    return this.lost.filter((id) => this.#damaged.has(id) || this.#wiped.has(id) || isDown(id))
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
  started(id: ServerId): void {
    this.#damaged.delete(id)
    this.#unmarked.delete(id)
    if (!this.#failing.has(id)) this.#snapshotsFailed.delete(id)
  }

  failed(id: ServerId, error: ActorumError): void {
    const isDamage = error.code === 'CORRUPT' || error.code === 'UNSUPPORTED_FORMAT'
    const hasDamagedSnapshots = (this.#damagedSnapshots.get(id)?.size ?? 0) > 0
    const isExpected =
      error.code === 'STORAGE_FAILED'
        ? this.#failing.has(id) || this.#snapshotsFailed.has(id)
        : isDamage && (this.#damaged.has(id) || hasDamagedSnapshots)
    if (!isExpected) throw new UnexplainedStop(id, error)
    this.#spec.tell(`server ${id} stopped by itself: ${error.code}`)
    // A snapshot that was found to be damaged is set aside: the one before it may do. A disk may have been mended by now.
    const isMended = error.code === 'STORAGE_FAILED' && !this.#failing.has(id)
    if ((hasDamagedSnapshots || isMended) && !this.#damaged.has(id)) this.#startLater(id, error)
  }

  #startLater(id: ServerId, { message }: ActorumError): void {
    if (message.startsWith('the log begins after entry')) {
      this.#damaged.add(id)
      return
    }
    this.#spec.cluster.world.setTimeout(() => this.start(this.#spec.cluster.server(id)), 20)
  }

  /** Unless it is known that its disk is damaged. */
  start(server: SimulatedServer<Command, Result>): void {
    if (!this.#damaged.has(server.id)) server.start()
  }

  /** Returns what heals it, or undefined where it would go beyond what may be survived. */
  strike(fault: DiskFault, server: SimulatedServer<Command, Result>): Heal | undefined {
    switch (fault.kind) {
      case 'slow disk':
        return this.#slow(server, 'disk', fault.latencyMs)
      case 'slow snapshot disk':
        return this.#slow(server, 'snapshotDisk', fault.latencyMs)
      case 'failing snapshot disk':
        return this.#failSnapshots(server, fault)
      case 'corrupted snapshot':
        return this.#damageSnapshot(server, fault)
      case 'wiped disk':
        return this.#wipe(server, fault)
      case 'corrupted record':
      case 'removed record':
        return this.#damage(server, fault)
      default:
        return this.#failDisk(server, fault.kind)
    }
  }

  /** The machine goes down, and with it what its disk had not synced. */
  crash(server: SimulatedServer<Command, Result>, crash: Pick<Crash, 'inFlight' | 'watermark' | 'survival'>): void {
    const { inFlight, watermark, survival } = crash
    if (watermark !== 'kept') this.#unmarked.add(server.id)
    server.crash({ inFlight, watermark, survives: () => this.#spec.dice.chance(survival) })
  }

  /**
   * Mem-first: what this server has and its machine may forget must be held by enough others that no election is left
   * to servers without it. Whose disk is damaged may come back without the end of its log, as after a crash.
   */
  mayForget(server: SimulatedServer<Command, Result>): boolean {
    if (this.#spec.durability === 'disk-first') return true
    const { servers, safety } = this.#spec.cluster
    // It tells others what it holds before its own machine hears that it does.
    const end = server.running === undefined ? server.saidIndex : server.context.log.lastIndex
    const heldIndex = Math.max(server.durableIndex, Math.min(server.saidIndex, end))
    if (heldIndex === 0) return true
    const isWithout = (other: SimulatedServer<Command, Result>): boolean =>
      this.#damaged.has(other.id) || other.durableIndex < heldIndex || !safety.isSame(other.id, server.id, heldIndex)
    const without = servers.filter((other) => other !== server && isWithout(other)).map(({ id }) => id)
    return safety.configurations
      .inPlay(safety.committedIndex)
      .flatMap(halvesOf)
      .every((half) => half.filter((id) => id === server.id || without.includes(id)).length <= half.length / 2)
  }

  /** The newest of those that last rules; when the last has ended the disk is as it was before the first. */
  #slow(server: SimulatedServer<Command, Result>, which: SlowableDisk, [min, max]: readonly [number, number]): Heal {
    const key = `${which} of ${server.id}`
    const { before, slow } = this.#slowed.get(key) ?? { before: server[which].latencyMs, slow: new Set<() => number>() }
    this.#slowed.set(key, { before, slow })
    const latencyMs = (): number => min + this.#spec.dice.fraction() * (max - min)
    slow.add(latencyMs)
    server[which].latencyMs = latencyMs
    return () => {
      slow.delete(latencyMs)
      // Of a server that was wiped meanwhile it is another disk, which was as slow.
      server[which].latencyMs = [...slow].at(-1) ?? before
      if (slow.size === 0) this.#slowed.delete(key)
    }
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
      this.start(server)
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
    if (!mayDamage || !this.mayForget(server)) return undefined
    server.crash({ watermark: 'kept', survives: () => true })
    const firsts = disk.firstIndexes()
    const first = record < 0 ? 0 : firsts[Math.min(firsts.length - 1, Math.floor(record * firsts.length))]
    if (first === undefined) return () => this.start(server)
    this.#damaged.add(id)
    if (kind === 'removed record') disk.removeRecord(first)
    else disk.corruptRecord(first, Math.floor(place * disk.recordLength(first)))
    return () => server.start()
  }

  /** Permanent damage is dealt to a minority at most of each configuration that rules or may come to. */
  #mayLose(id: ServerId): boolean {
    const { lost } = this
    return !lost.includes(id) && !this.#spec.operator.isChanging && this.#spec.operator.mayLose([...lost, id])
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
    return () => this.start(server)
  }

  #wipe(server: SimulatedServer<Command, Result>, { by }: Wipe): Heal | undefined {
    const { id } = server
    if (!this.#mayLose(id) || !this.mayForget(server) || !this.#isRecorded(id)) return undefined
    const members = this.#spec.cluster.members.map((member) => member.id)
    const successor = by === 'itself' || members.includes(by) || this.lost.includes(by) ? id : by
    this.#wiped.add(id)
    server.wipe()
    server.start()
    return () => this.#spec.operator.replaceWiped(id, successor, () => successor === id && this.#wiped.delete(id))
  }

  /** Whether everyone would know another disk from this server's: until then nothing tells them apart. */
  #isRecorded(id: ServerId): boolean {
    const { configurations } = this.#spec.cluster.safety
    const { members } = this.#spec.cluster
    return (
      members.some((member) => member.id === id) &&
      members.every((other) => {
        const named = configurations.rulingOn(other.id).members?.find((member) => member.id === id)
        return named?.storeId !== undefined
      })
    )
  }
}
