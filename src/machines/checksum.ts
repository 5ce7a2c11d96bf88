const SLICES = 8

function makeTables(): Int32Array[] {
  const tables = Array.from({ length: SLICES }, () => new Int32Array(256))
  const first = tables[0]!
  for (let byte = 0; byte < 256; byte++) {
    let remainder = byte
    for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb8_8320 : remainder >>> 1
    first[byte] = remainder
  }
  for (let slice = 1; slice < SLICES; slice++) {
    for (let byte = 0; byte < 256; byte++) {
      const before = tables[slice - 1]![byte]!
      tables[slice]![byte] = (before >>> 8) ^ first[before & 0xff]!
    }
  }
  return tables
}

const [t0, t1, t2, t3, t4, t5, t6, t7] = makeTables() as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

/**
 * CRC-32 (IEEE 802.3), eight bytes a step: about 1 GB/s. The same function as Node's `zlib.crc32` (about 3 GB/s),
 * for places where there is no Node.
 */
export function crc32(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed
  let at = 0
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc =
      t7[(crc ^ bytes[at]!) & 0xff]! ^
      t6[((crc >>> 8) ^ bytes[at + 1]!) & 0xff]! ^
      t5[((crc >>> 16) ^ bytes[at + 2]!) & 0xff]! ^
      t4[((crc >>> 24) ^ bytes[at + 3]!) & 0xff]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}
