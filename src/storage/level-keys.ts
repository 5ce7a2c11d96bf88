import type { LogIndex } from '../machines/types.js'

/**
 * Keys sort as their indexes do: { u32 group, u8 kind, f64 index }, big-endian (positive doubles sort as their bytes).
 */
const KEY_BYTES = 13
const INDEX_AT = 5
const SERVER_RECORD = 0
const RUN = 1

function keyOf(kind: number, index: LogIndex): Uint8Array {
  const bytes = new Uint8Array(KEY_BYTES)
  bytes[INDEX_AT - 1] = kind
  new DataView(bytes.buffer).setFloat64(INDEX_AT, index)
  return bytes
}

export const SERVER_RECORD_KEY = keyOf(SERVER_RECORD, 0)
/** Sorts after every run's key. */
export const RUNS_END = keyOf(RUN + 1, 0)

export function runKey(firstIndex: LogIndex): Uint8Array {
  return keyOf(RUN, firstIndex)
}

/** The index in a run's key; NaN when the key is not one. */
export function runIndexOf(key: Uint8Array): LogIndex {
  if (key.length !== KEY_BYTES) return NaN
  return new DataView(key.buffer, key.byteOffset, key.byteLength).getFloat64(INDEX_AT)
}
