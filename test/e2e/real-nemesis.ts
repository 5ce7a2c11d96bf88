import { setTimeout as delay } from 'node:timers/promises'
import type { Dice } from '../../src/testing/index.js'
import { between, type Way } from './proxied-network.js'
import { TIMES, type RealCluster } from './real-cluster.js'
import type { Weather } from './weather.js'

export const REAL_FAULTS = [
  'kill',
  'killAll',
  'pause',
  'resetOneWay',
  'holdOneWay',
  'isolate',
  'partition',
  'delay',
  'throttle',
  'flap',
] as const
export type RealFault = (typeof REAL_FAULTS)[number]

/** A fault that lasts: what it is in words, and what ends it. */
interface Dealt {
  readonly text: string
  readonly heal: () => void | Promise<void>
}

export interface RealNemesisSpec {
  readonly cluster: RealCluster
  readonly dice: Dice
  readonly tell: (text: string) => void
}

/** Deals faults to real servers and their links. Each may overlap with others. */
export class RealNemesis {
  readonly counts = new Map<RealFault, number>()
  readonly #spec: RealNemesisSpec

  constructor(spec: RealNemesisSpec) {
    this.#spec = spec
  }

  /** Deals faults of all kinds until the signal fires; resolves once all are healed. */
  async rage(signal: AbortSignal): Promise<void> {
    const { dice } = this.#spec
    const healing: Promise<void>[] = []
    while (!signal.aborted) {
      await pause(dice.between(100, 5 * TIMES.electionTimeoutMs), signal)
      if (signal.aborted) break
      const kind = dice.pick(REAL_FAULTS)
      const lasting = this.deal(kind, dice.between(100, 6 * TIMES.electionTimeoutMs), signal)
      // A fault that fails ends the run when all are waited for; until then nobody listens.
      lasting.catch(() => undefined)
      healing.push(lasting)
    }
    await Promise.all(healing)
  }

  /** Deals one fault that lasts so long, or until the signal fires; resolves once it is healed. */
  async deal(kind: RealFault, lastsMs: number, signal: AbortSignal): Promise<void> {
    const dealt = await this.#deal(kind)
    if (dealt === undefined) return
    const { tell } = this.#spec
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    tell(`${dealt.text}, for ${lastsMs} ms`)
    await pause(lastsMs, signal)
    await dealt.heal()
    tell(`over: ${dealt.text}`)
  }

  async #deal(kind: RealFault): Promise<Dealt | undefined> {
    const { cluster } = this.#spec
    switch (kind) {
      case 'kill':
        return this.#kill()
      case 'killAll':
        await cluster.killAll()
        return { text: 'all servers killed', heal: () => cluster.startAll() }
      case 'pause':
        return this.#pause()
      case 'resetOneWay':
        return this.#weather(this.#oneWay(), { passage: 'reset' }, 'reset')
      case 'holdOneWay':
        return this.#weather(this.#oneWay(), { passage: 'held' }, 'silent')
      case 'isolate':
        return this.#cut([this.#pick()])
      case 'partition':
        return this.#cut(this.#spec.dice.shuffled(cluster.ids).slice(0, Math.floor(cluster.ids.length / 2)))
      case 'delay':
        return this.#weather(this.#someWays(), { delayMs: this.#spec.dice.between(5, TIMES.electionTimeoutMs) }, 'slow')
      case 'throttle':
        return this.#weather(this.#someWays(), { bytesPerSecond: this.#spec.dice.between(500, 50_000) }, 'narrow')
      case 'flap':
        return this.#flap()
    }
  }

  async #kill(): Promise<Dealt | undefined> {
    const { cluster } = this.#spec
    const id = this.#pick()
    if (cluster.server(id) === undefined) return undefined
    await cluster.kill(id)
    return { text: `server ${id} killed`, heal: () => cluster.start(id) }
  }

  #pause(): Dealt | undefined {
    const server = this.#spec.cluster.server(this.#pick())
    if (server === undefined || server.isPaused) return undefined
    server.pause()
    return { text: `server ${server.name} paused`, heal: () => server.resume() }
  }

  #cut(group: readonly number[]): Dealt {
    const { cluster, dice } = this.#spec
    const others = cluster.ids.filter((id) => !group.includes(id))
    const isSilent = dice.chance(0.5)
    return this.#weather(
      between(group, others),
      { passage: isSilent ? 'held' : 'reset' },
      isSilent ? 'silent' : 'reset',
    )
  }

  /** A link that comes and goes. */
  #flap(): Dealt {
    const ways = [this.#oneWay()].flat()
    let isOver = false
    const flapping = (async () => {
      while (!isOver) {
        const heal = this.#spec.cluster.network.impose(ways, { passage: 'reset' })
        await delay(this.#spec.dice.between(5, 150))
        heal()
        await delay(this.#spec.dice.between(5, 300))
      }
    })()
    const heal = (): Promise<void> => {
      isOver = true
      return flapping
    }
    return { text: `${describe(ways)} flapping`, heal }
  }

  #weather(ways: readonly Way[], weather: Partial<Weather>, word: string): Dealt {
    const heal = this.#spec.cluster.network.impose(ways, weather)
    const more = weather.delayMs ?? weather.bytesPerSecond
    return { text: `${describe(ways)} ${word}${more === undefined ? '' : ` (${more})`}`, heal }
  }

  /** One server; every second time the one that leads. */
  #pick(): number {
    const { cluster, dice } = this.#spec
    const drawn = dice.pick(cluster.ids)
    return dice.chance(0.5) ? (cluster.leaderId ?? drawn) : drawn
  }

  #oneWay(): Way[] {
    const from = this.#pick()
    const to = this.#spec.dice.pick(this.#spec.cluster.ids.filter((id) => id !== from))
    return [[from, to]]
  }

  #someWays(): Way[] {
    const { cluster, dice } = this.#spec
    const all = cluster.ids.flatMap((a) => cluster.ids.filter((b) => b !== a).map((b): Way => [a, b]))
    return dice.shuffled(all).slice(0, dice.between(1, all.length))
  }
}

function describe(ways: readonly Way[]): string {
  return `${ways.length === 1 ? 'link' : 'links'} ${ways.map(([from, to]) => `${from}→${to}`).join(' ')}`
}

/** Waits so long, or until the signal fires. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined)
}
