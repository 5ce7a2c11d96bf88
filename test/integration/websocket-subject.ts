import { crc32 } from 'node:zlib'
import type { Clock, Random } from '../../src/machines/time-and-chance.js'
import { seededRandom } from '../../src/machines/time-and-chance.js'
import type { TransportSubject } from '../../src/testing/transport-suite.js'
import type { WebSocketOptions } from '../../src/transport/websocket-options.js'
import { WebSocketTransport, type WebSocketTransportSpec } from '../../src/transport/websocket-transport.js'

export const realClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout | undefined),
  defer: (callback) => void setImmediate(callback),
}

export const random: Random = seededRandom(1)

/** Quick enough for tests, with the same proportions as the defaults. */
export const QUICK: Partial<WebSocketOptions> = { reconnectMsMin: 5, reconnectMsMax: 50 }

export function spec(more: Partial<WebSocketTransportSpec> = {}): WebSocketTransportSpec {
  return { listen: '127.0.0.1:0', clock: realClock, random, checksum: crc32, options: QUICK, ...more }
}

export async function until(condition: () => boolean, claim: string): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never came true: ${claim}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** Loopback, where a server keeps its port from one start to the next. */
export class WebSocketSubject implements TransportSubject {
  readonly #transports = new Map<number, WebSocketTransport[]>()

  readonly until = until

  create(id: number): WebSocketTransport {
    const before = this.#transports.get(id) ?? []
    const transport = new WebSocketTransport(spec({ listen: before.at(-1)?.address ?? '127.0.0.1:0' }))
    this.#transports.set(id, [...before, transport])
    return transport
  }

  address(id: number): string {
    return this.#transports.get(id)?.at(-1)?.address ?? '127.0.0.1:1'
  }

  async settle(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 30))
  }

  async close(): Promise<void> {
    for (const transport of [...this.#transports.values()].flat()) {
      await new Promise<void>((resolve) => transport.stop(resolve))
    }
  }
}
