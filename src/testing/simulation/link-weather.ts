import type { ServerId } from '../../machines/types.js'
import type { Cut, LinkFaults } from '../../transport/link-faults.js'
import type { MemoryNetwork } from '../../transport/memory-network.js'

/** One direction of a link. */
export type Direction = readonly [from: ServerId, to: ServerId]

interface ActiveCut {
  readonly directions: readonly Direction[]
  readonly how: Cut
}

/** All links, or those of one server: both ways, what it says, or what it hears. */
export interface Reach {
  readonly at: ServerId | 'all'
  readonly ways: 'both' | 'said' | 'heard'
}

interface ActiveWeather extends Reach {
  readonly links: Partial<LinkFaults>
}

/**
 * Faults of the network that overlap: each can begin and end by itself, in any order. A link is cut as long as any of
 * them cuts it, and behaves as the worst of them says.
 */
export class LinkWeather {
  readonly #network: MemoryNetwork
  readonly #ids: readonly ServerId[]
  readonly #cuts = new Set<ActiveCut>()
  readonly #weathers = new Set<ActiveWeather>()

  constructor(network: MemoryNetwork, ids: readonly ServerId[]) {
    this.#network = network
    this.#ids = ids
  }

  /** Returns what ends it. */
  cut(directions: readonly Direction[], how: Cut): () => void {
    const active: ActiveCut = { directions, how }
    this.#cuts.add(active)
    this.#applyCuts()
    return () => {
      if (this.#cuts.delete(active)) this.#applyCuts()
    }
  }

  /** Returns what ends it. */
  worsen(links: Partial<LinkFaults>, reach: Reach): () => void {
    const active: ActiveWeather = { links, ...reach }
    this.#weathers.add(active)
    this.#applyWeather()
    return () => {
      if (this.#weathers.delete(active)) this.#applyWeather()
    }
  }

  #applyCuts(): void {
    const cuts = new Map<string, Cut>()
    for (const { directions, how } of this.#cuts) {
      for (const direction of directions) cuts.set(direction.join(), cuts.get(direction.join()) ?? how)
    }
    for (const from of this.#ids) {
      for (const to of this.#ids) {
        const how = cuts.get([from, to].join())
        if (from === to || this.#network.link(from, to).cut === how) continue
        if (how === undefined) this.#network.mend(from, to)
        else this.#network.cut(from, to, how)
      }
    }
  }

  #applyWeather(): void {
    this.#network.setFaults(worst([...this.#weathers].filter(({ at }) => at === 'all')))
    const local = [...this.#weathers].filter(({ at }) => at !== 'all')
    if (local.length === 0) return
    for (const from of this.#ids) {
      for (const to of this.#ids) {
        if (from === to || !local.some((weather) => reaches(weather, from, to))) continue
        const here = [...this.#weathers].filter((weather) => reaches(weather, from, to))
        this.#network.setLinkFaults(from, to, worst(here))
      }
    }
  }
}

function reaches({ at, ways }: Reach, from: ServerId, to: ServerId): boolean {
  return at === 'all' || (ways !== 'heard' && at === from) || (ways !== 'said' && at === to)
}

const CHANCES = ['loss', 'duplication', 'reordering', 'reorderMs', 'corruption'] as const

/** The highest of each number. */
function worst(weathers: readonly ActiveWeather[]): Partial<LinkFaults> {
  const result: { -readonly [Name in keyof LinkFaults]?: LinkFaults[Name] } = {}
  for (const { links } of weathers) {
    for (const name of CHANCES) {
      const value = links[name]
      if (value !== undefined) result[name] = Math.max(result[name] ?? 0, value)
    }
    const { delayMs } = links
    if (delayMs !== undefined && longest(delayMs) >= longest(result.delayMs ?? 0)) result.delayMs = delayMs
  }
  return result
}

function longest(delayMs: LinkFaults['delayMs']): number {
  return typeof delayMs === 'number' ? delayMs : delayMs[1]
}
