import type { ClientApi } from '../../src/index.js'
import { keyOf, Values } from './values.js'

/** So many writes, in a closed loop: each writer awaits its call, then makes the next. */
export interface Writes {
  readonly entries: number
  readonly writers: number
  /** Keys that the writes go round. */
  readonly keys: number
  readonly valueBytes: number
  /** Each key goes so long after it was written. Default: never. */
  readonly ttlMs?: number | undefined
}

export interface Written {
  readonly seconds: number
  readonly lastRevision: number
}

const TIMEOUT_MS = 60_000

/** Rejects if any write failed. */
export async function writeAll(
  client: ClientApi,
  { entries, writers, keys, valueBytes, ttlMs }: Writes,
): Promise<Written> {
  const values = new Values(valueBytes)
  const options = ttlMs === undefined ? { timeoutMs: TIMEOUT_MS } : { timeoutMs: TIMEOUT_MS, ttlMs }
  const began = performance.now()
  let sequence = 0
  let lastRevision = 0
  const write = async (): Promise<void> => {
    while (sequence < entries) {
      const own = sequence++
      const { revision } = await client.put(keyOf(own % keys), values.of(own), options)
      lastRevision = Math.max(lastRevision, revision)
    }
  }
  await Promise.all(Array.from({ length: Math.min(writers, entries) }, write))
  return { seconds: (performance.now() - began) / 1000, lastRevision }
}
