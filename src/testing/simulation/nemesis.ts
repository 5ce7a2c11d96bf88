import type { ActorumError } from '../../errors.js'
import type { ServerId } from '../../machines/types.js'
import type { Durability } from '../../storage/ports.js'
import type { LinkFaults } from '../../transport/link-faults.js'
import type { Dice } from './dice.js'
import {
  describeFault,
  type AllDown,
  type Fault,
  type FaultKind,
  type Heal,
  type ServerFault,
  type Target,
} from './faults.js'
import { DiskNemesis } from './disk-nemesis.js'
import { LinkNemesis } from './link-nemesis.js'
import type { SimulatedCluster } from './simulated-cluster.js'
import type { SimulatedServer } from './simulated-server.js'
import { Operator } from './operator.js'

export interface NemesisOptions {
  readonly durability: Durability
  /** Chance that comes in while faults are at work, such as how long a slow disk takes. */
  readonly dice: Dice
  /** Hears what is done, in words. */
  readonly tell?: (text: string) => void
}

/**
 * Deals faults to a simulated cluster, within what it promises to survive: permanent damage to a minority at most, and
 * in mem-first mode no crash that could leave an election to servers that have all lost an entry. A cluster has one at
 * most; unless its `failed` option judges that, a server of it may then stop by itself for a fault that was dealt.
 */
export class Nemesis<Command, Result> {
  readonly #cluster: SimulatedCluster<Command, Result>
  readonly #options: NemesisOptions
  readonly #links: LinkNemesis<Command, Result>
  readonly #disks: DiskNemesis<Command, Result>
  readonly #operator: Operator<Command, Result>
  readonly #counts = new Map<FaultKind, number>()
  readonly #heals = new Set<Heal>()

  constructor(cluster: SimulatedCluster<Command, Result>, options: NemesisOptions) {
    this.#cluster = cluster
    this.#options = options
    const tell = (text: string): void => this.#tell(text)
    this.#operator = new Operator(cluster, () => this.lost, tell)
    this.#links = new LinkNemesis(cluster, (target) => this.#resolve(target)?.id)
    const { durability, dice } = options
    this.#disks = new DiskNemesis({ cluster, durability, dice, operator: this.#operator, tell })
    cluster.attach(this.#disks)
  }

  /** How often each kind of fault has struck. */
  get counts(): ReadonlyMap<FaultKind, number> {
    return this.#counts
  }

  /** Servers that will not start again, or may not: their disks are damaged or were replaced. */
  get lost(): readonly ServerId[] {
    return this.#disks.lost
  }

  /** Those of them of whom nothing can be asked: one that runs in spite of a damaged snapshot has to catch up. */
  get gone(): readonly ServerId[] {
    return this.#disks.gone
  }

  /** Whether all that an operator has begun is done. */
  get isIdle(): boolean {
    return this.#operator.isIdle
  }

  /** What no fault explains is a Violation; for a `failed` option of the cluster's that leaves the rest to its nemesis. */
  readonly failed = (id: ServerId, error: ActorumError): void => this.#disks.failed(id, error)

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
    this.#heals.add(this.#links.worsenAll(links))
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
      case 'partial cut':
      case 'bridge':
      case 'flapping link':
      case 'loss':
      case 'delay':
      case 'duplication':
      case 'reordering':
      case 'corruption':
        return this.#links.strike(fault)
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

  #strikeServer(fault: ServerFault, server: SimulatedServer<Command, Result>): Heal | undefined {
    switch (fault.kind) {
      case 'kill':
        server.kill(fault)
        return () => this.#disks.start(server)
      case 'crash':
        if (server.disk.hasUnsynced && !this.#disks.mayForget(server)) return undefined
        this.#disks.crash(server, fault)
        return () => this.#disks.start(server)
      case 'pause':
        server.pause()
        return () => server.resume()
      case 'drift':
        server.drift(fault.rate)
        return () => server.drift(1)
      default:
        return this.#disks.strike(fault, server)
    }
  }

  #resolve(target: Target): SimulatedServer<Command, Result> | undefined {
    return target === 'leader' ? this.#cluster.leader : this.#cluster.server(target)
  }

  #allDown({ how, inFlight, staggerMs }: AllDown): Heal {
    const { servers, world } = this.#cluster
    for (const server of servers) {
      // In mem-first mode all machines at once may lose anything: only processes die then.
      if (how === 'crash' && this.#options.durability === 'disk-first') {
        this.#disks.crash(server, { inFlight, watermark: 'stale', survival: 0.5 })
      } else server.kill({ inFlight })
    }
    return () => servers.forEach((server, at) => world.setTimeout(() => this.#disks.start(server), at * staggerMs))
  }
}
