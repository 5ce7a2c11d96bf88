import type { EmbeddedEngine } from '../../src/index.js'
import { KEYS_PER_WRITER, keyOf } from './ledger.js'
import { decodeValue } from './value.js'

type Client = EmbeddedEngine['client']

/** A restarted server first applies its whole log again. */
const CATCH_UP_TIMEOUT_MS = 60_000

/** The sequences at all keys of a writer. `eventual` reads what this server has applied. */
export function readWriter(
  client: Client,
  writer: number,
  consistency: 'linearizable' | 'eventual',
): Promise<number[]> {
  const keys = Array.from({ length: KEYS_PER_WRITER }, (_, key) => keyOf(writer, key))
  return Promise.all(keys.map(async (key) => decodeValue(await client.get(key, { consistency }))))
}

/**
 * The sequences at all keys of all writers as this very server has applied them, at least up to what was acknowledged
 * before the call: a linearizable read waits until this server has come that far.
 */
export async function readServer(client: Client, writers: number): Promise<number[][]> {
  await client.getLinearizable(keyOf(0, 0), { timeoutMs: CATCH_UP_TIMEOUT_MS })
  return Promise.all(Array.from({ length: writers }, (_, writer) => readWriter(client, writer, 'eventual')))
}
