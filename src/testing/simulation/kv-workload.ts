import type { ServerId } from '../../machines/types.js'
import type { Dice } from './dice.js'
import type { KvCall, KvClient, KvCluster } from './kv-client.js'

export interface KvWorkloadSpec {
  readonly cluster: KvCluster
  readonly keys: readonly string[]
  /** How long the client waits between its calls, in virtual milliseconds. */
  readonly thinkMs: readonly [min: number, max: number]
  /** Share of its calls that only read, from 0 to 1. */
  readonly reads: number
  readonly dice: Dice
}

/** A client that calls again and again, now and then at another server, until it is stopped. */
export class KvWorkload {
  readonly #client: KvClient
  readonly #spec: KvWorkloadSpec
  #server: ServerId
  #isStopped = false

  constructor(client: KvClient, spec: KvWorkloadSpec) {
    this.#client = client
    this.#spec = spec
    this.#server = this.#drawServer()
  }

  start(): void {
    this.#think()
  }

  stop(): void {
    this.#isStopped = true
  }

  #think(): void {
    const [min, max] = this.#spec.thinkMs
    // Whole milliseconds, so that clients of one server often call in the same turn and share a batch.
    this.#spec.cluster.world.setTimeout(() => this.#act(), this.#spec.dice.between(min, max))
  }

  #act(): void {
    if (this.#isStopped) return
    if (this.#spec.dice.chance(0.1)) this.#server = this.#drawServer()
    const timeoutMs = this.#spec.dice.chance(0.15) ? this.#spec.dice.pick([10, 60]) : undefined
    if (this.#client.call(this.#server, this.#drawCall(), { timeoutMs, ended: () => this.#think() })) return
    this.#server = this.#drawServer()
    this.#think()
  }

  #drawServer(): ServerId {
    return this.#spec.dice.pick(this.#spec.cluster.servers).id
  }

  #drawCall(): KvCall {
    const { dice, keys, reads } = this.#spec
    const key = dice.pick(keys)
    if (dice.chance(reads)) {
      const consistency = dice.pick(['linearizable', 'linearizable', 'lease', 'lease', 'eventual'] as const)
      return { op: 'get', key, consistency }
    }
    const op = dice.pick(['put', 'put', 'put', 'delete', 'cas'] as const)
    return op === 'cas' ? { op, key, expected: dice.chance(0.2) ? null : this.#client.lastSeen } : { op, key }
  }
}
