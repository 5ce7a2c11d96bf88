import { setTimeout as delay } from 'node:timers/promises'
import type { ErrorCode } from '../../src/index.js'
import type { ServerProcess } from './server-process.js'

/** What a phase of a load came to. */
export interface LoadPhase {
  readonly acknowledged: number
  /** Calls that failed and were made again, by what they failed with; `ENDED`: the process was gone. */
  readonly retried: ReadonlyMap<ErrorCode | 'ENDED', number>
  /** The longest time in which no write at all was acknowledged. */
  readonly longestPauseMs: number
  /** The longest time from a write's first call to its acknowledgement. */
  readonly longestWriteMs: number
}

/** A write that failed with one of these is no failed write: it is made again. */
const RETRIABLE: readonly unknown[] = ['NO_LEADER', 'TIMEOUT', 'BUSY', 'STOPPED', 'OUTCOME_UNKNOWN', 'ENDED']
const RETRY_PAUSE_MS = 2
const READS_AT_ONCE = 200

/** Clients that write all the while, each write under a key of its own, at whichever servers run. */
export class SteadyLoad {
  readonly #servers: () => readonly ServerProcess[]
  readonly #clients: readonly Promise<void>[]
  /** Writes acknowledged by each client, without a gap. */
  readonly #written: number[]
  #isStopped = false
  #phase = newPhase()

  constructor(clients: number, servers: () => readonly ServerProcess[]) {
    this.#servers = servers
    this.#written = Array.from({ length: clients }, () => 0)
    this.#clients = this.#written.map((_, client) => this.#run(client))
    for (const client of this.#clients) client.catch(() => undefined)
  }

  /** Ends a phase and begins the next. Rejects when a client has found what must not be. */
  async takePhase(): Promise<LoadPhase> {
    const { acknowledged, retried, lastAt, longestPauseMs, longestWriteMs } = this.#phase
    const pauseMs = Math.max(longestPauseMs, performance.now() - lastAt)
    this.#phase = newPhase()
    await Promise.race([Promise.all(this.#clients), Promise.resolve()])
    return { acknowledged, retried, longestPauseMs: pauseMs, longestWriteMs }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#clients)
  }

  /** Looks for every write that was acknowledged. Returns how many are lost. */
  async countLost(): Promise<number> {
    const keys = this.#written.flatMap((count, client) => Array.from({ length: count }, (_, at) => keyOf(client, at)))
    const [server] = this.#servers()
    let lost = 0
    // The first read waits until this server has applied all that was acknowledged before it.
    await server?.call({ op: 'get', key: 'none', consistency: 'linearizable', timeoutMs: 60_000 })
    for (let at = 0; at < keys.length; at += READS_AT_ONCE) {
      const found = keys.slice(at, at + READS_AT_ONCE).map(async (key) => {
        const answer = await server?.call({ op: 'get', key, consistency: 'eventual' })
        if (answer?.outcome !== 'ok' || answer.output !== key) lost++
      })
      await Promise.all(found)
    }
    return lost
  }

  async #run(client: number): Promise<void> {
    for (let at = 0; !this.#isStopped; at++) {
      const began = performance.now()
      const key = keyOf(client, at)
      for (let attempt = 0; ; attempt++) {
        const failure = await this.#put(key, client + attempt)
        if (failure === undefined) break
        if (!RETRIABLE.includes(failure)) throw new Error(`a write failed with ${failure}, which is not retriable`)
        this.#phase.retried.set(failure, (this.#phase.retried.get(failure) ?? 0) + 1)
        await delay(RETRY_PAUSE_MS)
      }
      this.#acknowledged(client, performance.now() - began)
    }
  }

  async #put(key: string, turn: number): Promise<ErrorCode | 'ENDED' | undefined> {
    const servers = this.#servers()
    const answer = await servers[turn % servers.length]?.call({ op: 'put', key, value: key, timeoutMs: 10_000 })
    if (answer === undefined) return 'ENDED'
    return answer.outcome === 'ok' ? undefined : answer.code
  }

  #acknowledged(client: number, tookMs: number): void {
    this.#written[client] = (this.#written[client] ?? 0) + 1
    const phase = this.#phase
    const now = performance.now()
    phase.acknowledged++
    phase.longestPauseMs = Math.max(phase.longestPauseMs, now - phase.lastAt)
    phase.longestWriteMs = Math.max(phase.longestWriteMs, tookMs)
    phase.lastAt = now
  }
}

function newPhase() {
  const retried = new Map<ErrorCode | 'ENDED', number>()
  return { acknowledged: 0, retried, longestPauseMs: 0, longestWriteMs: 0, lastAt: performance.now() }
}

/** As long as a small value, so it is its own value too. */
function keyOf(client: number, at: number): string {
  return `write ${at} of client ${client}`
}
