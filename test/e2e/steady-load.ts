import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import type { ErrorCode } from '../../src/index.js'
import type { ServerProcess } from './server-process.js'

/** Where clients write. */
export interface LoadedCluster<Server extends LoadedServer> {
  /** Servers that take calls. */
  readonly running: readonly Server[]
  /** True of a server that was taken out of those that run because it leaves the cluster. */
  isWithdrawn(server: Server): boolean
}

type LoadedServer = Pick<ServerProcess, 'call'>

/** `ENDED`: the process was gone. `REMOVED`: a server that leaves the cluster refused the call, and did nothing. */
type WriteFailure = ErrorCode | 'ENDED' | 'REMOVED'

/** What a phase of a load came to. */
export interface LoadPhase {
  readonly acknowledged: number
  /** Calls that failed and were made again, by what they failed with. */
  readonly retried: ReadonlyMap<WriteFailure, number>
  /** The longest time in which no write at all was acknowledged. */
  readonly longestPauseMs: number
  /** The longest time from a write's first call to its acknowledgement. */
  readonly longestWriteMs: number
}

/** A write that failed with one of these is no failed write: it is made again. */
const RETRIABLE: readonly unknown[] = ['NO_LEADER', 'TIMEOUT', 'BUSY', 'STOPPED', 'OUTCOME_UNKNOWN', 'ENDED', 'REMOVED']
const RETRY_PAUSE_MS = 2
const READS_AT_ONCE = 200

/** Clients that write all the while, each write under a key of its own, at whichever servers run. */
export class SteadyLoad<Server extends LoadedServer = ServerProcess> {
  readonly #cluster: LoadedCluster<Server>
  readonly #clients: readonly Promise<void>[]
  /** Writes acknowledged by each client, without a gap. */
  readonly #written: number[]
  #isStopped = false
  #phase = newPhase()

  constructor(clients: number, cluster: LoadedCluster<Server>) {
    this.#cluster = cluster
    this.#written = Array.from({ length: clients }, () => 0)
    this.#clients = this.#written.map((_, client) => this.#run(client))
    for (const client of this.#clients) client.catch(() => undefined)
  }

  /** Ends a phase and begins the next. Rejects when a client has found what must not be. */
  async takePhase(): Promise<LoadPhase> {
    const { acknowledged, retried, lastAt, longestPauseMs, longestWriteMs } = this.#phase
    const pauseMs = Math.max(longestPauseMs, performance.now() - lastAt)
    this.#phase = newPhase()
    // A client that has died is sooner than a turn of the event loop.
    await Promise.race([Promise.all(this.#clients), turn()])
    return { acknowledged, retried, longestPauseMs: pauseMs, longestWriteMs }
  }

  /** Each client ends with the write that it is at, which is not made again any more. Rejects as `takePhase` does. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#clients)
  }

  /** Looks for every write that was acknowledged. Returns how many are lost. */
  async countLost(): Promise<number> {
    const keys = this.#written.flatMap((count, client) => Array.from({ length: count }, (_, at) => keyOf(client, at)))
    const [server] = this.#cluster.running
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
        if (this.#isStopped) return
        this.#phase.retried.set(failure, (this.#phase.retried.get(failure) ?? 0) + 1)
        await delay(RETRY_PAUSE_MS)
      }
      this.#acknowledged(client, performance.now() - began)
    }
  }

  async #put(key: string, round: number): Promise<WriteFailure | undefined> {
    const { running } = this.#cluster
    const server = running[round % running.length]
    const answer = await server?.call({ op: 'put', key, value: key, timeoutMs: 10_000 })
    if (server === undefined || answer === undefined) return 'ENDED'
    if (answer.outcome === 'ok') return undefined
    // The call was on its way there when the server was taken out. Of one that runs it would be a fault.
    return answer.code === 'REFUSED' && this.#cluster.isWithdrawn(server) ? 'REMOVED' : answer.code
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
  const retried = new Map<WriteFailure, number>()
  return { acknowledged: 0, retried, longestPauseMs: 0, longestWriteMs: 0, lastAt: performance.now() }
}

/** As long as a small value, so it is its own value too. */
function keyOf(client: number, at: number): string {
  return `write ${at} of client ${client}`
}
