import { ActorumError } from '../../src/index.js'
import type { ClientApi } from '../../src/index.js'
import { Histogram } from '../histogram.js'
import { keyOf, Values } from './values.js'

/** An open loop: writes are made when they are due, however long the earlier ones take. */
export interface Offer {
  readonly perSecond: number
  readonly keys: number
  readonly valueBytes: number
}

/** What came of the load since it was last asked. */
export interface Offered {
  readonly seconds: number
  readonly answeredPerSecond: number
  /** From when a write was due, so that a pause counts for all that was due in it. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Failed calls by code. */
  readonly failures: Readonly<Record<string, number>>
}

/** Looks as often as timers allow which writes are due. */
export class PacedLoad {
  readonly #client: ClientApi
  readonly #offer: Offer
  readonly #values: Values
  readonly #histogram = new Histogram()
  readonly #pending = new Set<Promise<void>>()
  #failures: Record<string, number> = {}
  #unexpected: Error | undefined
  #beganAt = 0
  #since = 0
  #made = 0
  #timer: NodeJS.Timeout | undefined

  constructor(client: ClientApi, offer: Offer) {
    this.#client = client
    this.#offer = offer
    this.#values = new Values(offer.valueBytes)
  }

  begin(): void {
    this.#beganAt = this.#since = performance.now()
    this.#timer = setInterval(() => this.#makeDue(), 1)
  }

  /** Throws what was thrown by a call and is no ActorumError. */
  offered(): Offered {
    if (this.#unexpected !== undefined) throw this.#unexpected
    const now = performance.now()
    const seconds = (now - this.#since) / 1000
    const outcome = {
      seconds,
      answeredPerSecond: this.#histogram.count / seconds,
      p50Ms: this.#histogram.quantile(0.5),
      p99Ms: this.#histogram.quantile(0.99),
      maxMs: this.#histogram.quantile(1),
      failures: this.#failures,
    }
    this.#since = now
    this.#failures = {}
    this.#histogram.reset()
    return outcome
  }

  async end(): Promise<Offered> {
    clearInterval(this.#timer)
    await Promise.all(this.#pending)
    return this.offered()
  }

  #makeDue(): void {
    const due = ((performance.now() - this.#beganAt) / 1000) * this.#offer.perSecond
    while (this.#made < due) {
      const write = this.#write(this.#made++)
      this.#pending.add(write)
      void write.then(() => this.#pending.delete(write))
    }
  }

  async #write(sequence: number): Promise<void> {
    const { keys, perSecond } = this.#offer
    try {
      await this.#client.put(keyOf(sequence % keys), this.#values.of(sequence))
      this.#histogram.record(performance.now() - this.#beganAt - (sequence / perSecond) * 1000)
    } catch (error) {
      if (error instanceof ActorumError) this.#failures[error.code] = (this.#failures[error.code] ?? 0) + 1
      else this.#unexpected ??= error instanceof Error ? error : new Error(String(error))
    }
  }
}
