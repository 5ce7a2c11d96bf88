import type { ClientApi } from '../client-api.js'
import { acquire, tryAcquire, type AcquireOptions } from './acquire.js'
import { HeldPlace, type Hold } from './hold.js'
import { placeOf } from './names.js'
import type { Queue } from './queue.js'

/**
 * Acquires the lock of that name: one holder at a time, in the order in which they asked. Waits for its turn.
 *
 *     await using held = await lock(client, 'orders', { ttlMs: 5000 })
 *     await held.guarded().put('orders/next', '42')
 *
 * @throws ActorumError ABORTED, TIMEOUT
 */
export async function lock(client: ClientApi, name: string, options: AcquireOptions = {}): Promise<Hold> {
  return new HeldPlace(client, await acquire(client, queueOf(name), '', options))
}

/** Acquires the lock if nobody has it or waits for it, and gives undefined if somebody does. */
export async function tryLock(
  client: ClientApi,
  name: string,
  options: AcquireOptions = {},
): Promise<Hold | undefined> {
  const place = await tryAcquire(client, queueOf(name), '', options)
  return place && new HeldPlace(client, place)
}

function queueOf(name: string): Queue {
  return { prefix: `${placeOf('lock', name)}/`, permits: 1 }
}
