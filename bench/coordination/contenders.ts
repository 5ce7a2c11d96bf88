import { setTimeout as delay } from 'node:timers/promises'
import { ActorumError, lock } from '../../src/index.js'
import type { ClientApi, Hold } from '../../src/index.js'
import { sharedNow } from './shared-clock.js'

const NAME = 'bench'
/** Between looks whether another waits. */
const LOOK_MS = 5

/** One who had the lock; times by the clock that processes share. */
export interface Holding {
  readonly token: number
  readonly acquiredAt: number
  /** When it was let go: the call, not its answer. */
  readonly releasedAt: number
}

/** Contenders for one lock in this process. Each holds it until another waits for it. */
export class Contenders {
  readonly #client: ClientApi
  readonly #over = new AbortController()
  readonly #contending: Promise<unknown>
  #holdings: Holding[] = []

  constructor(client: ClientApi, count: number) {
    this.#client = client
    this.#contending = Promise.all(Array.from({ length: count }, () => this.#contend()))
    this.#contending.catch(() => this.#over.abort())
  }

  mark(): void {
    this.#holdings = []
  }

  /** Since the mark. */
  get holdings(): readonly Holding[] {
    return this.#holdings
  }

  /** Rejects if a call failed. */
  async end(): Promise<void> {
    this.#over.abort()
    await this.#contending
  }

  async #contend(): Promise<void> {
    const { signal } = this.#over
    while (!signal.aborted) {
      const hold = await lock(this.#client, NAME, { signal }).catch((error: unknown) => {
        if (signal.aborted && error instanceof ActorumError && error.code === 'ABORTED') return undefined
        throw error
      })
      if (hold === undefined) return
      const acquiredAt = sharedNow()
      await this.#untilAnotherWaits(hold)
      const releasedAt = sharedNow()
      await hold.release()
      this.#holdings.push({ token: hold.token, acquiredAt, releasedAt })
    }
  }

  async #untilAnotherWaits(hold: Hold): Promise<void> {
    const prefix = hold.key.slice(0, hold.key.lastIndexOf('/') + 1)
    do {
      await delay(LOOK_MS)
      const { count } = await this.#client.range({ prefix, countOnly: true, consistency: 'eventual' })
      if (count > 1) return
    } while (!this.#over.signal.aborted)
  }
}
