import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Histogram } from './histogram.js'
import type { Load } from './rows.js'
import type { Subject } from './subject.js'

const KEY_BYTES = 8
const VALUE_BYTES = 256
const VALUES = 64
/** Reads that need no I/O would otherwise keep the event loop from ever turning. */
const OPERATIONS_PER_TURN = 1000

export interface Measured {
  readonly operations: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Runs the clients of a load against a subject in this process. */
export class LoadGenerator {
  readonly #subject: Subject
  readonly #load: Load
  readonly #keys: readonly Uint8Array[]
  readonly #values = Array.from({ length: VALUES }, () => new Uint8Array(randomBytes(VALUE_BYTES)))
  readonly #histogram = new Histogram()
  #clients: Promise<unknown> = Promise.resolve()
  #stopped = false
  #turn: Promise<void> | undefined
  #sequence = 0
  #measuredSince = 0

  constructor(subject: Subject, load: Load) {
    this.#subject = subject
    this.#load = load
    this.#keys = Array.from({ length: load.keys }, (_, key) => keyBytes(key))
  }

  /** Writes every key once, then starts the clients. */
  async begin(): Promise<void> {
    await Promise.all(this.#keys.map((key, at) => this.#subject.put(key, this.#values[at % VALUES]!)))
    const { kind, clients } = this.#load
    const operation = kind === 'write' ? this.#put : this.#get(kind)
    this.#clients = Promise.all(Array.from({ length: clients }, () => this.#client(operation)))
    this.#clients.catch(() => (this.#stopped = true))
  }

  measureBegin(): void {
    this.#histogram.reset()
    this.#measuredSince = performance.now()
  }

  measureEnd(): Measured {
    return {
      operations: this.#histogram.count,
      seconds: (performance.now() - this.#measuredSince) / 1000,
      p50Ms: this.#histogram.quantile(0.5),
      p99Ms: this.#histogram.quantile(0.99),
    }
  }

  /** Rejects if any call failed. */
  async end(): Promise<void> {
    this.#stopped = true
    await this.#clients
  }

  async #client(operation: (sequence: number) => Promise<unknown>): Promise<void> {
    let began = performance.now()
    while (!this.#stopped) {
      const sequence = this.#sequence++
      await operation(sequence)
      const ended = performance.now()
      this.#histogram.record(ended - began)
      began = ended
      if (sequence % OPERATIONS_PER_TURN === 0) this.#turn = this.#nextTurn()
      if (this.#turn !== undefined) {
        await this.#turn
        began = performance.now()
      }
    }
  }

  async #nextTurn(): Promise<void> {
    await nextTurn()
    this.#turn = undefined
  }

  readonly #put = (sequence: number): Promise<unknown> =>
    this.#subject.put(this.#keyOf(sequence), this.#values[sequence % VALUES]!)

  #get(consistency: Exclude<Load['kind'], 'write'>): (sequence: number) => Promise<unknown> {
    return (sequence) => this.#subject.get(this.#keyOf(sequence), consistency)
  }

  /** Walks the pool in a fixed scattered order. */
  #keyOf(sequence: number): Uint8Array {
    return this.#keys[(sequence * 7919) % this.#keys.length]!
  }
}

function keyBytes(key: number): Uint8Array {
  return new TextEncoder().encode(String(key).padStart(KEY_BYTES, '0'))
}
