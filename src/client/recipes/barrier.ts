import type { CallOptions } from '../../options.js'
import type { ClientApi } from '../client-api.js'
import { placeOf } from './names.js'
import { patiently, persevere, type WaitOptions } from './patience.js'
import { untilFewer } from './queue.js'

/** A gate that many wait at until somebody opens it. */
export interface Barrier {
  /** Puts the barrier up. It stays until it is lifted, whoever put it up. False when it was up already. */
  hold(options?: CallOptions): Promise<boolean>
  /** Lets all who wait pass. False when it was not up. */
  lift(options?: CallOptions): Promise<boolean>
  /**
   * Resolves when the barrier is not up: at once when it was not up at the call, and else once it is lifted, also if it
   * is put up again meanwhile. @throws ActorumError ABORTED, TIMEOUT
   */
  wait(options?: WaitOptions): Promise<void>
}

/** The barrier of that name, which is not up until somebody holds it. */
export function barrier(client: ClientApi, name: string): Barrier {
  const key = placeOf('barrier', name)
  return {
    hold: (options) => client.compareAndSwap(key, undefined, '', options),
    lift: async (options) => (await client.delete(key, options)).deleted,
    wait: (options = {}) =>
      patiently(client, options, key, ({ signal }) =>
        persevere(client, signal, async () => {
          const { entries, revision } = await client.range({ from: key, to: `${key}\0`, signal })
          const [up] = entries
          if (up !== undefined) await untilFewer(client, up, entries, 1, revision, signal)
        }),
      ),
  }
}
