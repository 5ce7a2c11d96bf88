import type { LogIndex } from '../../machines/types.js'
import type { CallOptions, ReadOptions } from '../../options.js'
import type { KvEntry } from '../../state-machines/kv/results.js'
import { copyOfBytes } from '../call-checks.js'
import type { Bytes, ClientApi } from '../client-api.js'
import { acquire, type AcquireOptions } from './acquire.js'
import { HeldPlace, type Hold } from './hold.js'
import { isSameBytes, LiveView } from './live-view.js'
import { isLeaseGone, lostError } from './lost.js'
import { placeOf } from './names.js'

/** Who leads. */
export interface ElectedLeader {
  /** What it campaigned with, or has proclaimed since. */
  readonly value: Uint8Array
  /** Of its leadership: later leaders have higher ones. */
  readonly token: LogIndex
}

/** Leadership that was won. */
export interface LeadershipHold extends Hold {
  /** Sets the value that others see. @throws ActorumError LOST */
  proclaim(value: Bytes, options?: CallOptions): Promise<void>
  /** The same as `release`. */
  resign(options?: CallOptions): Promise<void>
}

export interface Election {
  /**
   * Stands for election with a value that others see, such as an address, and waits until it is won. Candidates win in
   * the order in which they stood. @throws ActorumError ABORTED, TIMEOUT
   */
  campaign(value: Bytes, options?: AcquireOptions): Promise<LeadershipHold>
  /** Who leads; undefined when nobody does. Linearizable unless `consistency` says otherwise. */
  leader(options?: ReadOptions): Promise<ElectedLeader | undefined>
  /** Who leads, undefined when nobody does: now, and after each change. */
  observe(options?: { readonly signal?: AbortSignal | undefined }): LiveView<ElectedLeader | undefined>
}

/** The election of that name: at most one leader at a time. */
export function election(client: ClientApi, name: string): Election {
  const prefix = `${placeOf('election', name)}/`
  return {
    async campaign(value, options = {}) {
      return new WonElection(client, await acquire(client, { prefix, permits: 1 }, copyOfBytes(value), options))
    },
    async leader(options) {
      const { entries } = await client.scanPrefix(prefix, options)
      return leaderAmong(entries)
    },
    observe: (options) => new LiveView(client.observe(prefix, options), leaderAmong, isSameLeader),
  }
}

class WonElection extends HeldPlace implements LeadershipHold {
  async proclaim(value: Bytes, options?: CallOptions): Promise<void> {
    try {
      await this.guarded().put(this.key, value, { ...options, lease: this.lease })
    } catch (error) {
      // The key went with its lease, and the put says of the two what it finds first.
      throw isLeaseGone(error) ? lostError(this.key, error) : error
    }
  }

  resign(options?: CallOptions): Promise<void> {
    return this.release(options)
  }
}

/** The first in the queue. */
function leaderAmong(entries: readonly KvEntry[]): ElectedLeader | undefined {
  const [first] = [...entries].sort((one, other) => one.createRevision - other.createRevision)
  return first && { value: first.value, token: first.createRevision }
}

function isSameLeader(one: ElectedLeader | undefined, other: ElectedLeader | undefined): boolean {
  if (one === undefined || other === undefined) return one === other
  return one.token === other.token && isSameBytes(one.value, other.value)
}
