import type { Checksum } from '../../machines/types.js'

/** The checksum of all bytes but the four at `at`, where it is kept. It starts from `salt`. */
export function sumAround(bytes: Uint8Array, at: number, checksum: Checksum, salt = 0): number {
  return checksum(bytes.subarray(at + 4), checksum(bytes.subarray(0, at), salt))
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
