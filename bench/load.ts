import { randomBytes } from 'node:crypto'
import { ClosedLoop } from './closed-loop.js'
import type { Measured } from './closed-loop.js'
import type { Load } from './rows.js'
import type { Subject } from './subject.js'

const KEY_BYTES = 8
const VALUE_BYTES = 256
const VALUES = 64

/** Runs the clients of a load against a subject in this process. */
export class LoadGenerator {
  readonly #subject: Subject
  readonly #load: Load
  readonly #keys: readonly Uint8Array[]
  readonly #values = Array.from({ length: VALUES }, () => new Uint8Array(randomBytes(VALUE_BYTES)))
  readonly #loop: ClosedLoop

  constructor(subject: Subject, load: Load) {
    this.#subject = subject
    this.#load = load
    this.#keys = Array.from({ length: load.keys }, (_, key) => keyBytes(key))
    this.#loop = new ClosedLoop(load.kind === 'write' ? this.#put : this.#get(load.kind))
  }

  /** Writes every key once, then starts the clients. */
  async begin(): Promise<void> {
    await Promise.all(this.#keys.map((key, at) => this.#subject.put(key, this.#values[at % VALUES]!)))
    this.#loop.begin(this.#load.clients)
  }

  /** Calls of the clients so far. */
  get calls(): number {
    return this.#loop.calls
  }

  measureBegin(): void {
    this.#loop.measureBegin()
  }

  measureEnd(): Measured {
    return this.#loop.measureEnd()
  }

  /** Rejects if any call failed. */
  end(): Promise<void> {
    return this.#loop.end()
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
