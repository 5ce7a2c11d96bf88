import type { LogIndex } from '../../machines/types.js'
import type { CallOptions } from '../../options.js'
import { callOptionsOf } from '../call-checks.js'
import type {
  Bytes,
  ClientApi,
  DeleteAnswer,
  DeleteOptions,
  DeleteRangeAnswer,
  KeySelector,
  PutAnswer,
  PutOptions,
} from '../client-api.js'
import { type Answers, type Comparison, op, type Operations } from '../txn.js'
import { lostError } from './lost.js'

/** What is needed of who holds something. */
export interface Guard {
  readonly key: string
  readonly isHeld: boolean
  readonly signal: AbortSignal
  readonly whileHeld: Comparison
}

export interface GuardedAnswer<Given extends Operations> {
  readonly results: readonly [...Answers<Given>]
  readonly revision: LogIndex
}

/**
 * Writes that are made only while something is held: each compares in its own transaction that the holder's key is still
 * the one it was. Otherwise nothing is done, and it fails with LOST. It guards the keys of the client that it was acquired
 * with.
 */
export class Guarded {
  readonly #client: ClientApi
  readonly #guard: Guard

  constructor(client: ClientApi, guard: Guard) {
    this.#client = client
    this.#guard = guard
  }

  /** @throws ActorumError LOST */
  async put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<PutAnswer> {
    const { lease, ttlMs, previous } = options
    const { results } = await this.commit([op.put(key, value, { lease, ttlMs, previous })], callOptionsOf(options))
    return results[0]
  }

  /** @throws ActorumError LOST */
  async delete(key: Bytes, options: DeleteOptions = {}): Promise<DeleteAnswer> {
    const { previous } = options
    const { results } = await this.commit([op.delete(key, { previous })], callOptionsOf(options))
    return results[0]
  }

  /** @throws ActorumError LOST */
  async deleteRange(keys: KeySelector, options: DeleteOptions = {}): Promise<DeleteRangeAnswer> {
    const { previous } = options
    const { results } = await this.commit([op.deleteRange(keys, { previous })], callOptionsOf(options))
    return results[0]
  }

  /** @throws ActorumError LOST */
  async compareAndSwap(key: Bytes, expected: Bytes | undefined, value: Bytes, options?: CallOptions): Promise<boolean> {
    const { results } = await this.commit([op.compareAndSwap(key, expected, value)], options)
    return results[0].swapped
  }

  /**
   * Any operations, reads and transactions among them, at one revision: `op` makes them. @throws ActorumError LOST
   */
  async commit<const Given extends Operations>(
    operations: Given,
    options?: CallOptions,
  ): Promise<GuardedAnswer<Given>> {
    const { key, isHeld, signal, whileHeld } = this.#guard
    // Whoever was told that it is lost does not get to hear the contrary.
    if (!isHeld) throw lostError(key, signal.reason)
    const answer = await this.#client
      .txn()
      .if(whileHeld)
      .then(...operations)
      .commit(options)
    if (!answer.succeeded) throw lostError(key, signal.reason)
    return answer
  }
}
