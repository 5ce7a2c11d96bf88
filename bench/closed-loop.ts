import { setImmediate as nextTurn } from 'node:timers/promises'
import { Histogram } from './histogram.js'

/** Reads of one key that need no I/O would otherwise keep the event loop from ever turning. */
const OPERATIONS_PER_TURN = 1000

export interface Measured {
  readonly operations: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** One call; calls are counted from 0 over all clients, and so are the clients. */
export type Operation = (sequence: number, client: number) => Promise<unknown>

/** So many clients, each of which awaits its call, then makes the next. */
export class ClosedLoop {
  readonly #operation: Operation
  readonly #operationsPerTurn: number
  readonly #histogram = new Histogram()
  #clients: Promise<unknown> = Promise.resolve()
  #stopped = false
  #turn: Promise<void> | undefined
  #sequence = 0
  #measuredSince = 0

  constructor(operation: Operation, operationsPerTurn = OPERATIONS_PER_TURN) {
    this.#operation = operation
    this.#operationsPerTurn = operationsPerTurn
  }

  /** Calls begun since the beginning. */
  get calls(): number {
    return this.#sequence
  }

  begin(clients: number): void {
    this.#clients = Promise.all(Array.from({ length: clients }, (_, client) => this.#client(client)))
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

  async #client(client: number): Promise<void> {
    let began = performance.now()
    while (!this.#stopped) {
      const sequence = this.#sequence++
      await this.#operation(sequence, client)
      const ended = performance.now()
      this.#histogram.record(ended - began)
      began = ended
      if (sequence % this.#operationsPerTurn === 0) this.#turn = this.#nextTurn()
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
}
