import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import { shown, type CallOptions, type ReadOptions } from '../../options.js'
import type { KvEntry } from '../../state-machines/kv/results.js'
import { copyOfOptions } from '../call-checks.js'
import type { ClientApi } from '../client-api.js'
import { compare, op } from '../txn.js'
import { placeOf, textOf } from './names.js'

/** A number that many count up and down. */
export interface Counter {
  /** 0 until somebody has added to it. Linearizable unless `consistency` says otherwise. */
  value(options?: ReadOptions): Promise<number>
  /**
   * Adds, and says what it came to: of all calls no two of +1 get the same number. Fails with OUTCOME_UNKNOWN when it may
   * or may not have been added, but not within a session: there it is sent again and added once.
   * @throws ActorumError INVALID_ARGUMENT when `delta` or the sum is no safe integer
   */
  add(delta: number, options?: CallOptions): Promise<number>
}

/** The counter of that name. */
export function counter(client: ClientApi, name: string): Counter {
  const key = placeOf('counter', name)
  return {
    async value(options) {
      return numberOf(key, await client.getEntry(key, options))
    },
    async add(delta, options) {
      checkInteger('delta', delta)
      const call = copyOfOptions(options)
      // What this server has will do for a first guess.
      let entry = await client.getEntry(key, { ...call, consistency: 'eventual' })
      for (;;) {
        const sum = checkInteger('the sum', numberOf(key, entry) + delta)
        const answer = await client
          .txn()
          .if(compare.modRevision(key, '=', modRevisionOf(entry)))
          .then(op.put(key, String(sum)))
          .else(op.get(key))
          .commit(call)
        if (answer.succeeded) return sum
        entry = answer.results[0].entry
      }
    },
  }
}

/** 0: there is no such key. */
function modRevisionOf(entry: KvEntry | undefined): LogIndex {
  return entry?.modRevision ?? 0
}

function numberOf(key: string, entry: KvEntry | undefined): number {
  if (entry === undefined) return 0
  const text = textOf(entry.value)
  if (/^-?\d{1,16}$/.test(text)) return Number(text)
  throw new ActorumError('INVALID_ARGUMENT', `${key} holds ${JSON.stringify(text)}, which is no counter: delete it`)
}

function checkInteger(what: string, number: number): number {
  if (Number.isSafeInteger(number)) return number
  throw new ActorumError('INVALID_ARGUMENT', `${what} is ${shown(number)}; it must be an integer of at most 2^53 − 1`)
}
