import { ActorumError } from '../../errors.js'
import { checkNames, shown } from '../../options.js'
import { copyOfBytes } from '../call-checks.js'
import type { Bytes, ClientApi } from '../client-api.js'
import { election, type LeadershipHold } from './election.js'

export interface LeaderOfOptions {
  /** What others see while this process leads, such as its address. Default: nothing. */
  readonly value?: Bytes | undefined
  /** As of an election. Default 10,000 ms. */
  readonly ttlMs?: number | undefined
  /** Ends it: the job is told by its own signal and waited for. */
  readonly signal?: AbortSignal | undefined
}

/** `signal` fires when it must end: leadership is lost, or it is no longer wanted. */
export type Job<Result> = (signal: AbortSignal, leadership: LeadershipHold) => Result | Promise<Result>

/**
 * Runs a job on one process at a time, of all that call this with the same name: campaigns, runs it, and when leadership
 * is lost tells it by its signal, waits until it has ended, and campaigns again. A job that ends while it leads ends this
 * call, with what it returned or threw; then the next process runs its own. What a job writes that did not hear its
 * signal in time is refused where it goes through `leadership.guarded()`. It waits for its turn as long as it takes, and
 * has no `timeoutMs`: a `signal` ends it.
 * @throws ActorumError ABORTED when `signal` fires, INVALID_ARGUMENT
 */
export async function leaderOf<Result>(
  client: ClientApi,
  name: string,
  job: Job<Result>,
  options: LeaderOfOptions = {},
): Promise<Result> {
  const given: unknown = options
  checkNames(given, "the recipe's options", ['value', 'ttlMs', 'signal'])
  const { value = '', ttlMs, signal } = options
  const copy = copyOfBytes(value)
  if (typeof job !== 'function') {
    throw new ActorumError('INVALID_ARGUMENT', `the job is ${shown(job)}; it must be a function`)
  }
  for (;;) {
    const leadership = await election(client, name).campaign(copy, { ttlMs, signal })
    const ends = signal === undefined ? leadership.signal : AbortSignal.any([signal, leadership.signal])
    // What a job returns or throws that was told to end is how it ends, and no result.
    const isTold = (): boolean => ends.aborted || !leadership.isHeld
    try {
      const result = await job(ends, leadership)
      if (!isTold()) return result
    } catch (error) {
      if (!isTold()) throw error
    } finally {
      await leadership[Symbol.asyncDispose]()
    }
  }
}
