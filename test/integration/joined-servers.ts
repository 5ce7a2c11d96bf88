import type { EmbeddedEngine, EngineOptions } from '../../src/index.js'
import { EnginePlace, freeAddress } from './engine-place.js'
import { until } from './websocket-subject.js'

/** Promoted as soon as they have caught up. */
const PROMPT = { promotionAfterMs: 0 }

/** A cluster that grows: its first server, and those that join it. */
export class JoinedServers {
  readonly place: EnginePlace
  readonly addresses = new Map<number, string>()

  private constructor(place: EnginePlace) {
    this.place = place
  }

  static async make(): Promise<JoinedServers> {
    return new JoinedServers(await EnginePlace.make())
  }

  /** A new cluster of one. */
  async first(more: Partial<EngineOptions> = {}): Promise<EmbeddedEngine> {
    const listen = await this.addressOf(1)
    const engine = await this.place.start({ ...PROMPT, listen, ...more })
    await engine.ready()
    return engine
  }

  /** A server that asks those that are known so far to be let in. */
  async join(id: number, more: Partial<EngineOptions> = {}): Promise<EmbeddedEngine> {
    const join = [...this.addresses].filter(([other]) => other !== id).map(([, address]) => address)
    const listen = await this.addressOf(id)
    return this.place.start({ ...PROMPT, id, dataDir: this.place.directory(id), listen, join, ...more })
  }

  /** Servers 1 to `count`, all of them voters and up to date. */
  async grown(count: number, more: Partial<EngineOptions> = {}): Promise<EmbeddedEngine[]> {
    const engines = [await this.first(more)]
    for (let id = 2; id <= count; id++) engines.push(await this.join(id, more))
    const ids = engines.map((engine) => engine.id)
    await until(() => engines.every((engine) => sameIds(votersOf(engine), ids)), `${count} servers vote`)
    await Promise.all(engines.map((engine) => engine.ready()))
    await until(() => engines.every(isSettled), 'their configuration is committed')
    return engines
  }

  async addressOf(id: number): Promise<string> {
    const address = this.addresses.get(id) ?? (await freeAddress())
    this.addresses.set(id, address)
    return address
  }

  isTold(text: string): boolean {
    return this.place.notices.some(({ message }) => message.includes(text))
  }
}

/** As the server knows them. */
export function votersOf(engine: EmbeddedEngine): readonly number[] {
  return engine
    .members()
    .filter(({ role }) => role === 'voter')
    .map(({ id }) => id)
}

export function leaderAmong(engines: readonly EmbeddedEngine[]): EmbeddedEngine {
  const leader = engines.find(({ isLeader }) => isLeader)
  if (leader === undefined) throw new Error('nobody leads')
  return leader
}

/** The configuration is committed, and nothing is missing in it that the leader would add by itself. */
export function isSettled(engine: EmbeddedEngine): boolean {
  const { configurations, commitIndex } = engine.roleActor.getSnapshot().context
  const latest = configurations.at(-1)
  const members = latest?.configuration.members ?? []
  return latest !== undefined && latest.index <= commitIndex && members.every(({ storeId }) => storeId !== undefined)
}

function sameIds(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((id) => other.includes(id))
}
