import { op } from '../../src/index.js'
import type { ClientApi } from '../../src/index.js'
import { keyOf, Values } from '../engine/values.js'

export const VALUE_BYTES = 256
/** What `keyOf` gives for neighbouring keys differs in the last two of its eight characters. */
export const SCAN_KEYS = 100
export const PAGE_KEYS = 1000

const PUTS_PER_TXN = 100
const TXNS_AT_A_TIME = 16
const TIMEOUT_MS = 60_000

/** Keys of eight characters apart from those of `keyOf`. */
export type KeyFamily = 'beside' | 'churn' | 'watched' | 'lone'

export function keyIn(family: KeyFamily, key: number): string {
  return family.charAt(0) + String(key).padStart(7, '0')
}

export interface Fill {
  readonly keys: number
  /** Default: the keys of `keyOf`. */
  readonly family?: KeyFamily | undefined
  readonly ttlMs?: number | undefined
}

/** Writes so many keys, many at a time. */
export async function fill(client: ClientApi, { keys, family, ttlMs }: Fill): Promise<void> {
  const values = new Values(VALUE_BYTES)
  const options = ttlMs === undefined ? {} : { ttlMs }
  const put = (key: number) => {
    return op.put(family === undefined ? keyOf(key) : keyIn(family, key), values.of(key), options)
  }
  let next = 0
  const filler = async (): Promise<void> => {
    while (next < keys) {
      const first = next
      next = Math.min(keys, first + PUTS_PER_TXN)
      const puts = Array.from({ length: next - first }, (_, at) => put(first + at))
      await client
        .txn()
        .then(...puts)
        .commit({ timeoutMs: TIMEOUT_MS })
    }
  }
  await Promise.all(Array.from({ length: TXNS_AT_A_TIME }, filler))
}
