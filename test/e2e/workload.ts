import { setTimeout as delay } from 'node:timers/promises'
import type { Dice } from '../../src/testing/index.js'
import type { CallRecord } from './call-record.js'
import type { RealCluster } from './real-cluster.js'
import type { ClientCall } from './worker-messages.js'

export interface WorkloadSpec {
  readonly cluster: RealCluster
  readonly record: CallRecord
  readonly keys: readonly string[]
  /** Begins the values that are written: no two workloads write the same. */
  readonly name: string
  readonly dice: Dice
  /** How long a client waits between its calls (ms). */
  readonly thinkMs: readonly [min: number, max: number]
  /** Clients at each server. */
  readonly clientsEach: number
}

/** Of this many calls one waits for a few milliseconds only, so that clients give up at every moment of a call. */
const IMPATIENT_ONE_IN = 20
const IMPATIENT_MS_MAX = 40

/** Clients at all servers that call again and again until they are stopped; every call is recorded. */
export class Workload {
  readonly #spec: WorkloadSpec
  readonly #clients: readonly Promise<void>[]
  #isStopped = false
  #acknowledged = 0

  constructor(spec: WorkloadSpec) {
    this.#spec = spec
    const { cluster, clientsEach } = spec
    const homes = Array.from({ length: clientsEach }, () => cluster.ids).flat()
    this.#clients = homes.map((home, at) => this.#run(`c${at + 1}`, home))
    // Whoever stops the workload hears of it.
    for (const client of this.#clients) client.catch(() => undefined)
  }

  /** Writes that were answered so far. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Resolves when every call under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#clients)
  }

  async #run(client: string, home: number): Promise<void> {
    const { name, cluster, record, dice, thinkMs } = this.#spec
    const lastSeen = new Map<string, string | null>()
    for (let number = 1; !this.#isStopped; number++) {
      await delay(thinkMs[0] + dice.fraction() * (thinkMs[1] - thinkMs[0]))
      const server = cluster.server(home)
      if (server === undefined || dice.chance(0.02)) home = dice.pick(cluster.ids)
      if (server === undefined || this.#isStopped) continue
      const call = this.#draw(`${name}.${client}.${number}`, lastSeen)
      const ended = record.ordered(client, call)
      const answer = await server.call(call)
      ended(answer, server.name)
      if (answer?.outcome !== 'ok') continue
      if (call.op !== 'get') this.#acknowledged++
      if (call.op === 'put') lastSeen.set(call.key, call.value)
      else if (call.op === 'get') lastSeen.set(call.key, typeof answer.output === 'string' ? answer.output : null)
    }
  }

  /** `value` is written nowhere else, so that a value tells which write it came from. */
  #draw(value: string, lastSeen: ReadonlyMap<string, string | null>): ClientCall {
    const { dice, keys } = this.#spec
    const key = dice.pick(keys)
    const timeoutMs = dice.below(IMPATIENT_ONE_IN) === 0 ? dice.between(1, IMPATIENT_MS_MAX) : undefined
    const at = dice.below(100)
    if (at < 30) return { op: 'put', key, value, timeoutMs }
    if (at < 38) return { op: 'delete', key, timeoutMs }
    if (at < 55) return { op: 'cas', key, expected: lastSeen.get(key) ?? null, value, timeoutMs }
    const consistency = at < 75 ? 'linearizable' : at < 88 ? 'lease' : 'eventual'
    return { op: 'get', key, consistency, timeoutMs }
  }
}
