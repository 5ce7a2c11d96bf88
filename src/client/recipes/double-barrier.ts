import { ActorumError } from '../../errors.js'
import { shown } from '../../options.js'
import type { KvEntry } from '../../state-machines/kv/results.js'
import type { ClientApi } from '../client-api.js'
import { acquire, type AcquireOptions } from './acquire.js'
import { HeldPlace, type Hold } from './hold.js'
import { lostError } from './lost.js'
import { placeOf, textOf } from './names.js'
import { patiently, persevere, type WaitOptions } from './patience.js'
import { untilFewer, type Place } from './queue.js'

/** Processes that begin something together, and end it together. */
export interface DoubleBarrier {
  /**
   * Resolves once `count` processes have entered. REFUSED when as many are in already: one that died counts until its
   * time to live is over. @throws ActorumError ABORTED, TIMEOUT, REFUSED
   */
  enter(options?: AcquireOptions): Promise<EnteredBarrier>
}

/** Having entered. Releasing it leaves without waiting for the others, as disposing of it does. */
export interface EnteredBarrier extends Hold {
  /** Leaves, and resolves once all who entered have left or died. @throws ActorumError ABORTED, TIMEOUT */
  leave(options?: WaitOptions): Promise<void>
}

const COUNT_MAX = 1000

/** The double barrier of that name, for `count` processes, 1 to 1,000. It may be entered again once all have left. */
export function doubleBarrier(client: ClientApi, name: string, count: number): DoubleBarrier {
  if (!Number.isInteger(count) || count < 1 || count > COUNT_MAX) {
    throw new ActorumError('INVALID_ARGUMENT', `count is ${shown(count)}; it must be an integer from 1 to ${COUNT_MAX}`)
  }
  const prefix = `${placeOf('double-barrier', name)}/`
  return {
    async enter(options = {}) {
      let together: readonly KvEntry[] = []
      const place = await acquire(
        client,
        { prefix, permits: count },
        '',
        options,
        async (_client, _queue, own, signal) => {
          together = await untilTogether(client, prefix, own, count, signal)
          return true
        },
      )
      return new Entered(client, place, prefix, together)
    },
  }
}

/**
 * Who is in at the revision at which there were `count` for the first time since we are: all of them find the same, as
 * each follows every change from its own on. Throws LOST where those changes are no longer kept.
 */
async function untilTogether(
  client: ClientApi,
  prefix: string,
  { key, token }: Place,
  count: number,
  signal: AbortSignal,
): Promise<readonly KvEntry[]> {
  const members = new Map<string, KvEntry>()
  try {
    const { entries } = await persevere(client, signal, () => client.range({ prefix, revision: token, signal }))
    for (const entry of entries) members.set(textOf(entry.key), entry)
    if (members.size > count) {
      const text = `${count} processes are in ${prefix} already, or have died within their time to live`
      throw new ActorumError('REFUSED', `${text}: enter again when they have left`)
    }
    if (members.size === count) return [...members.values()]
    for await (const event of client.watch({ prefix }, { fromRevision: token + 1, signal })) {
      if (event.type !== 'changes') continue
      for (const change of event.changes) {
        if (change.type === 'put') members.set(textOf(change.entry.key), change.entry)
        else members.delete(textOf(change.key))
      }
      if (members.size === count) return [...members.values()]
    }
  } catch (error) {
    if (error instanceof ActorumError && error.code === 'COMPACTED') throw lostError(key, error)
    throw error
  }
  // Only the signal ends a watch without an error.
  throw signal.reason
}

class Entered extends HeldPlace implements EnteredBarrier {
  readonly #client: ClientApi
  readonly #prefix: string
  readonly #together: readonly KvEntry[]

  constructor(client: ClientApi, place: Place, prefix: string, together: readonly KvEntry[]) {
    super(client, place)
    this.#client = client
    this.#prefix = prefix
    this.#together = together
  }

  leave(options: WaitOptions = {}): Promise<void> {
    return patiently(this.#client, options, `the others to leave ${this.#prefix}`, async ({ signal }) => {
      await this.release({ signal })
      await persevere(this.#client, signal, () => this.#untilEmpty(signal))
    })
  }

  async #untilEmpty(signal: AbortSignal): Promise<void> {
    const { entries, revision } = await this.#client.range({ prefix: this.#prefix, signal })
    const left = entries.filter((entry) => this.#together.some((one) => one.createRevision === entry.createRevision))
    if (left.length > 0) await untilFewer(this.#client, { prefix: this.#prefix }, left, 1, revision, signal)
  }
}
