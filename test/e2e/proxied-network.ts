import { Proxy } from './proxy.js'
import { worst, type Weather } from './weather.js'

/** The way from one server to another: what the first sends to the second, and the answers of TCP and WebSocket to it. */
export type Way = readonly [from: number, to: number]

interface Imposed {
  readonly ways: readonly Way[]
  readonly weather: Partial<Weather>
}

/** A proxy before each server. Connections are told apart by the hello of their dialler. */
export class ProxiedNetwork {
  readonly #proxies = new Map<number, Proxy>()
  readonly #imposed = new Set<Imposed>()

  static async make(ids: readonly number[]): Promise<ProxiedNetwork> {
    const network = new ProxiedNetwork()
    for (const id of ids) network.#proxies.set(id, await Proxy.listen((from) => network.weather(from, id)))
    return network
  }

  /** Where the others dial a server. */
  address(id: number): string {
    return this.#proxy(id).address
  }

  leadTo(id: number, port: number): void {
    this.#proxy(id).leadTo(port)
  }

  weather(from: number, to: number): Weather {
    const onThisWay = [...this.#imposed].filter(({ ways }) => ways.some(([a, b]) => a === from && b === to))
    return worst(onThisWay.map(({ weather }) => weather))
  }

  /** Lasts until the function it returns is called. */
  impose(ways: readonly Way[], weather: Partial<Weather>): () => void {
    const imposed = { ways, weather }
    this.#imposed.add(imposed)
    this.#changed()
    return () => {
      this.#imposed.delete(imposed)
      this.#changed()
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()))
  }

  #changed(): void {
    for (const proxy of this.#proxies.values()) proxy.weatherChanged()
  }

  #proxy(id: number): Proxy {
    const proxy = this.#proxies.get(id)
    if (proxy === undefined) throw new RangeError(`no server has the id ${id}`)
    return proxy
  }
}

/** Every way between a server of one group and one of another, both ways. */
export function between(one: readonly number[], other: readonly number[]): Way[] {
  return one.flatMap((a) =>
    other.flatMap((b): Way[] => [
      [a, b],
      [b, a],
    ]),
  )
}
