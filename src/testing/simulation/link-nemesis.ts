import type { ServerId } from '../../machines/types.js'
import type { Bridge, FlappingLink, Heal, PartialCut, Partition, Target, Weather } from './faults.js'
import type { LinkFaults } from '../../transport/link-faults.js'
import { LinkWeather, type Direction } from './link-weather.js'
import type { SimulatedCluster } from './simulated-cluster.js'

export type LinkFault = Partition | PartialCut | Bridge | FlappingLink | Weather

/** Deals faults to the links of a simulated cluster. */
export class LinkNemesis<Command, Result> {
  readonly #cluster: SimulatedCluster<Command, Result>
  readonly #idOf: (target: Target) => ServerId | undefined
  readonly #weather: LinkWeather

  constructor(cluster: SimulatedCluster<Command, Result>, idOf: (target: Target) => ServerId | undefined) {
    this.#cluster = cluster
    this.#idOf = idOf
    this.#weather = new LinkWeather(
      cluster.network,
      cluster.servers.map(({ id }) => id),
    )
  }

  /** What all links do, beneath any fault. */
  worsenAll(links: Partial<LinkFaults>): Heal {
    return this.#weather.worsen(links, { at: 'all', ways: 'both' })
  }

  /** Returns what heals it, or undefined where it strikes nobody. */
  strike(fault: LinkFault): Heal | undefined {
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
      default: {
        const at = fault.at === 'all' ? 'all' : this.#idOf(fault.at)
        return at === undefined ? undefined : this.#weather.worsen(fault.links, { at, ways: fault.ways })
      }
    }
  }

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
    const bridge = this.#idOf(over)
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

  #idsOf(targets: readonly Target[]): readonly ServerId[] {
    return targets.flatMap((target) => this.#idOf(target) ?? [])
  }

  #othersThan(side: readonly ServerId[]): readonly ServerId[] {
    return this.#cluster.servers.map(({ id }) => id).filter((id) => !side.includes(id))
  }
}

function directions(from: readonly ServerId[], to: readonly ServerId[]): Direction[] {
  return from.flatMap((one) => to.map((other): Direction => [one, other]))
}
