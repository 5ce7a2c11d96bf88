import type { ClientApi, Lease } from '../client-api.js'
import { isLeaseGone, isLost } from './lost.js'
import { patiently, persevere, type Patience, type WaitOptions } from './patience.js'
import { aheadOf, entriesOf, takePlace, waitForTurn, type Place, type Queue } from './queue.js'

/** What an acquisition takes. */
export interface AcquireOptions extends WaitOptions {
  /**
   * How long after the last sign of life from its holder it goes to the next, in milliseconds of cluster time: 1,000 to
   * about a hundred years. Default 10,000.
   */
  readonly ttlMs?: number | undefined
}

export const TTL_MS_DEFAULT = 10_000

/** Waits for a turn in a queue, with `value` in the key. Who loses touch for a time to live goes to the queue's end. */
export function acquire(
  client: ClientApi,
  queue: Queue,
  value: string | Uint8Array,
  options: AcquireOptions,
  turn: Turn = waitForTurn,
): Promise<Place> {
  return patiently(client, options, queue.prefix, async (patience) => {
    const ttlMs = ttlMsOf(options)
    for (;;) {
      const held = await attempt(client, queue, value, ttlMs, patience, turn)
      if (held !== undefined) return held
    }
  })
}

/** Takes it if nobody holds it or waits for it now; undefined if somebody does. */
export function tryAcquire(
  client: ClientApi,
  queue: Queue,
  value: string | Uint8Array,
  options: AcquireOptions,
): Promise<Place | undefined> {
  return patiently(client, options, queue.prefix, async (patience) => {
    const { signal } = patience
    const ttlMs = ttlMsOf(options)
    const counting = { prefix: queue.prefix, countOnly: true, signal }
    const { count } = await persevere(client, signal, () => client.range(counting))
    if (count >= queue.permits) return undefined
    return attempt(client, queue, value, ttlMs, patience, async (_client, _queue, place) => {
      const { entries } = await persevere(client, signal, () => entriesOf(client, queue.prefix, place.token, signal))
      return aheadOf(queue, place, entries).length < queue.permits
    })
  })
}

/** As it is at the call: the options are the caller's again while it is waited. */
function ttlMsOf({ ttlMs = TTL_MS_DEFAULT }: AcquireOptions): number {
  return ttlMs
}

/** Waits, and says whether its turn has come. */
export type Turn = (client: ClientApi, queue: Queue, place: Place, signal: AbortSignal) => Promise<boolean>

/** undefined when the turn has not come, or the place was lost meanwhile. */
async function attempt(
  client: ClientApi,
  queue: Queue,
  value: string | Uint8Array,
  ttlMs: number,
  patience: Patience,
  turn: Turn,
): Promise<Place | undefined> {
  const { signal } = patience
  const lease = await persevere(client, signal, () => client.grantLease(ttlMs, { signal }))
  let held: Place | undefined
  try {
    const whilePlaced = AbortSignal.any([signal, lease.signal])
    const place = await takePlace(client, queue.prefix, value, lease, whilePlaced)
    const isOurTurn = await turn(client, queue, place, whilePlaced)
    patience.throwIfOver()
    if (isOurTurn && lease.isHeld) held = place
  } catch (error) {
    patience.throwIfOver()
    if (!isLeaseGone(error) && !isLost(error)) throw error
  } finally {
    if (held === undefined) giveUp(lease)
  }
  return held
}

/** Nobody waits for it, since a caller who aborts wants to go on; untold, the cluster ends it after its time to live. */
export function giveUp(lease: Lease): void {
  lease.revoke().catch(() => lease.release())
}
