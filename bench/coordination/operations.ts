import { compare, op } from '../../src/index.js'
import type { ClientApi, Consistency } from '../../src/index.js'
import type { Operation } from '../closed-loop.js'
import { keyOf, Values } from '../engine/values.js'
import { keyIn, PAGE_KEYS, SCAN_KEYS, VALUE_BYTES } from './keys.js'
import type { Calls } from './rows.js'

const TXN_KEYS = 4
const SCANS_PER_TURN = 20
const PAGES_PER_TURN = 2
const CHURN_TTL_SECONDS = 1
/** More than are written within the time to live, so that none is written twice before it has gone. */
export const CHURN_KEYS = 5_000_000

/** Calls that clients make, and what is to be done once they have made them. */
export interface Prepared {
  readonly operation: Operation
  /** After how many the event loop turns where they need no I/O: a heartbeat must not wait long for them. */
  readonly perTurn?: number
  readonly end: () => Promise<void>
}

/** @param keys - how many there are, of those that `keyOf` names */
export async function prepare(client: ClientApi, calls: Calls, keys: number): Promise<Prepared> {
  const values = new Values(VALUE_BYTES)
  const spread = (sequence: number): number => (sequence * 7919) % keys
  switch (calls.kind) {
    case 'put':
      return alone((sequence) => client.put(keyOf(spread(sequence)), values.of(sequence)))
    case 'get':
      return alone((sequence) => client.get(keyOf(spread(sequence)), { consistency: calls.consistency }))
    case 'compareAndSwap':
      return alone(swaps(client, values, calls.clients, keys))
    case 'txn':
      return alone(txns(client, values, spread))
    case 'scan':
      return { ...alone(scans(client, calls.consistency, spread)), perTurn: SCANS_PER_TURN }
    case 'page':
      return { ...alone(pages(client, calls.consistency, keys)), perTurn: PAGES_PER_TURN }
    case 'churn':
      return alone((sequence) => {
        return client.putWithTtl(keyIn('churn', sequence % CHURN_KEYS), values.of(sequence), CHURN_TTL_SECONDS)
      })
    case 'putInSharedSession':
      return inSessions(client, 1, (sequence) => [keyOf(spread(sequence)), values.of(sequence)])
    case 'putInOwnSession':
      return inSessions(client, calls.clients, (sequence) => [keyOf(spread(sequence)), values.of(sequence)])
  }
}

function alone(operation: Operation): Prepared {
  return { operation, end: () => Promise.resolve() }
}

/** Each client has keys of its own and knows their values: every swap is made. */
function swaps(client: ClientApi, values: Values, clients: number, keys: number): Operation {
  const own = Math.floor(keys / clients)
  const held = new Map<string, Uint8Array>()
  return async (sequence, owner) => {
    const key = keyOf(owner * own + (sequence % own))
    const expected = held.get(key)
    const value = values.of(sequence)
    held.set(key, value)
    if (expected === undefined) await client.put(key, value)
    else if (!(await client.compareAndSwap(key, expected, value))) throw new Error(`the swap of ${key} was not made`)
  }
}

function txns(client: ClientApi, values: Values, spread: (sequence: number) => number): Operation {
  return async (sequence) => {
    const keys = Array.from({ length: TXN_KEYS }, (_, at) => keyOf(spread(sequence * TXN_KEYS + at)))
    const { succeeded } = await client
      .txn()
      .if(...keys.map((key) => compare.exists(key)))
      .then(...keys.map((key) => op.put(key, values.of(sequence))))
      .commit()
    if (!succeeded) throw new Error(`of the keys ${keys.join(', ')} one is missing`)
  }
}

function scans(client: ClientApi, consistency: Consistency, spread: (sequence: number) => number): Operation {
  return async (sequence) => {
    const prefix = keyOf(spread(sequence)).slice(0, 6)
    const { entries } = await client.scanPrefix(prefix, { consistency })
    assertCount(entries.length, SCAN_KEYS, prefix)
  }
}

function pages(client: ClientApi, consistency: Consistency, keys: number): Operation {
  return async (sequence) => {
    const from = keyOf((sequence * 7919) % (keys - PAGE_KEYS))
    const { entries } = await client.range({ from, limit: PAGE_KEYS, consistency })
    assertCount(entries.length, PAGE_KEYS, from)
  }
}

function assertCount(found: number, wanted: number, where: string): void {
  if (found !== wanted) throw new Error(`at ${where} were ${found} keys instead of ${wanted}`)
}

async function inSessions(
  client: ClientApi,
  count: number,
  putOf: (sequence: number) => readonly [key: string, value: Uint8Array],
): Promise<Prepared> {
  const sessions = await Promise.all(Array.from({ length: count }, () => client.openSession()))
  return {
    operation: (sequence, caller) => sessions[caller % count]!.put(...putOf(sequence)),
    end: async () => {
      await Promise.all(sessions.map((session) => session.close()))
    },
  }
}
