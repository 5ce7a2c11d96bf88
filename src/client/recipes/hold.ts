import type { LogIndex } from '../../machines/types.js'
import type { CallOptions } from '../../options.js'
import type { KvCompare } from '../../state-machines/kv/commands.js'
import type { ClientApi } from '../client-api.js'
import { compare } from '../txn.js'
import { Guarded } from './guarded.js'
import { lostError } from './lost.js'
import type { Place } from './queue.js'

/**
 * A lock, permit or leadership that was acquired, as long as its lease is kept alive. Disposing of it releases it; where
 * the cluster cannot be told, it ends when its time to live is over.
 */
export interface Hold extends AsyncDisposable {
  /** The key that stands for it. */
  readonly key: string
  /**
   * The fencing token: the revision that made the key. Each acquisition has another one, and of one lock or election each
   * has a higher one than all before it.
   */
  readonly token: LogIndex
  /**
   * Fires while nobody else can hold it yet: before the lease can be over, when the cluster says that it is gone, and when
   * it is released. Its reason is an ActorumError LOST.
   */
  readonly signal: AbortSignal
  /** False from the moment at which `signal` should have fired, also when a pause kept it from firing. */
  readonly isHeld: boolean
  /** For the `if` of a transaction: true as long as it is held. */
  readonly whileHeld: KvCompare
  /** Writes that are made only while it is held, and fail with LOST when it is not. */
  guarded(): Guarded
  /** Gives it up. Rejects when that is not known to be done; it ends then when its time to live is over. */
  release(options?: CallOptions): Promise<void>
}

export class HeldPlace implements Hold {
  readonly key: string
  readonly token: LogIndex
  readonly whileHeld: KvCompare
  readonly #client: ClientApi
  readonly #place: Place
  readonly #lost = new AbortController()
  #released: Promise<void> | undefined

  constructor(client: ClientApi, place: Place) {
    this.#client = client
    this.#place = place
    this.key = place.key
    this.token = place.token
    this.whileHeld = compare.createRevision(place.key, '=', place.token)
    const { signal } = place.lease
    const lose = (): void => this.#lost.abort(lostError(this.key, signal.reason))
    if (signal.aborted) lose()
    else signal.addEventListener('abort', lose, { once: true })
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  get isHeld(): boolean {
    return !this.#lost.signal.aborted && this.#place.lease.isHeld
  }

  /** For keys that shall go with it. */
  get lease(): Place['lease'] {
    return this.#place.lease
  }

  guarded(): Guarded {
    return new Guarded(this.#client, this)
  }

  release(options?: CallOptions): Promise<void> {
    this.#released ??= this.#release(options)
    return this.#released
  }

  async #release(options: CallOptions | undefined): Promise<void> {
    const { lease } = this.#place
    // First those who work under it, then the others.
    this.#lost.abort(lostError(this.key, 'it was released'))
    try {
      await lease.revoke(options)
    } finally {
      lease.release()
    }
  }

  /** Leaving a scope does not fail for this: what cannot be released ends when its time is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch(() => undefined)
  }
}
