import { ActorumError } from '../../errors.js'
import { shown } from '../../options.js'
import type { KvEntry } from '../../state-machines/kv/results.js'
import type { ClientApi } from '../client-api.js'
import { acquire, tryAcquire, type AcquireOptions } from './acquire.js'
import { HeldPlace, type Hold } from './hold.js'
import { placeOf, textOf } from './names.js'
import type { Queue } from './queue.js'

const PERMITS_MAX = 10_000

/** At most so many holders at a time, in the order in which they asked. */
export interface Semaphore {
  /** Waits for a permit. @throws ActorumError ABORTED, TIMEOUT, INVALID_ARGUMENT */
  acquire(options?: AcquireOptions): Promise<Hold>
  /** A permit if one is free now. */
  tryAcquire(options?: AcquireOptions): Promise<Hold | undefined>
}

/**
 * The semaphore of that name. All who use it give the same number of permits, 1 to 10,000: where those ahead have given
 * another, acquiring fails with INVALID_ARGUMENT.
 */
export function semaphore(client: ClientApi, name: string, permits: number): Semaphore {
  if (!Number.isInteger(permits) || permits < 1 || permits > PERMITS_MAX) {
    const text = `permits is ${shown(permits)}; it must be an integer from 1 to ${PERMITS_MAX}`
    throw new ActorumError('INVALID_ARGUMENT', text)
  }
  const check = (ahead: readonly KvEntry[]): void => {
    const other = ahead.map(({ value }) => textOf(value)).find((given) => given !== String(permits))
    if (other === undefined) return
    const text = `the semaphore ${name} is used with ${other} permits by others, and with ${permits} here`
    throw new ActorumError('INVALID_ARGUMENT', `${text}: all must give the same number`)
  }
  const queue: Queue = { prefix: `${placeOf('semaphore', name)}/`, permits, check }
  return {
    async acquire(options = {}) {
      return new HeldPlace(client, await acquire(client, queue, String(permits), options))
    },
    async tryAcquire(options = {}) {
      const place = await tryAcquire(client, queue, String(permits), options)
      return place && new HeldPlace(client, place)
    },
  }
}
