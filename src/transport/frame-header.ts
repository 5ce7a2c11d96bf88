// The bare 'msgpackr' would load a native addon in Node; this entry is JavaScript alone.
import { Packr, RESERVE_START_SPACE } from 'msgpackr/pack'
import type { Malformed } from '../machines/entry-run.js'
import type { Checksum } from '../machines/types.js'

/**
 * A frame's first part: u32 CRC-32 of what follows, then one MessagePack array of scalars. This envelope stays the same
 * in every frame format, so that a frame of another format is recognised as that and not as damage.
 */
export type HeaderField = number | boolean | null

const CHECKSUM_BYTES = 4
/** Far above the longest header of today; later versions may append fields. */
const HEADER_BYTES_MAX = 1024

const packr = new Packr({ useRecords: false, int64AsType: 'number' })

/** The bytes of one token and its value by its first byte; 0 for what a header may not hold. */
const SCALAR_BYTES = new Uint8Array(256)
SCALAR_BYTES.fill(1, 0x00, 0x80)
SCALAR_BYTES.fill(1, 0xe0)
SCALAR_BYTES.set([1, 0, 1, 1], 0xc0)
SCALAR_BYTES.set([5, 9, 2, 3, 5, 9, 2, 3, 5, 9], 0xca)

/** Packs `fields`. The bytes are the caller's: the packer never writes there again. */
export function packHeader(fields: readonly HeaderField[], checksum: Checksum): Uint8Array {
  const bytes = packr.pack(fields, RESERVE_START_SPACE + CHECKSUM_BYTES)
  const sum = checksum(bytes.subarray(CHECKSUM_BYTES))
  bytes[0] = sum >>> 24
  bytes[1] = sum >>> 16
  bytes[2] = sum >>> 8
  bytes[3] = sum
  return bytes
}

/** Unpacks a header, whatever the bytes. Integers that 53 bits cannot hold come out unsafe: the reader refuses them. */
export function unpackHeader(bytes: Uint8Array, checksum: Checksum): readonly HeaderField[] | Malformed {
  if (bytes.length <= CHECKSUM_BYTES) return { malformed: `a frame header of ${bytes.length} bytes` }
  if (bytes.length > HEADER_BYTES_MAX) {
    return { malformed: `a frame header of ${bytes.length} bytes is longer than ${HEADER_BYTES_MAX}` }
  }
  const packed = bytes.subarray(CHECKSUM_BYTES)
  const sum = ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0
  if (sum !== checksum(packed)) return { malformed: 'a frame header does not match its checksum' }
  if (!isArrayOfScalars(packed)) return { malformed: 'a frame header is not an array of numbers, booleans and nil' }
  return packr.unpack(packed) as readonly HeaderField[]
}

/**
 * Looked at before unpacking, so that no frame reaches the unpacker's extensions, some of which compile code, build
 * cycles or allocate by a length they have not checked.
 */
function isArrayOfScalars(packed: Uint8Array): boolean {
  const token = packed[0]!
  const long = token === 0xdc
  if (!long && token >> 4 !== 9) return false
  if (long && packed.length < 3) return false
  let at = long ? 3 : 1
  for (let count = long ? (packed[1]! << 8) | packed[2]! : token & 15; count > 0; count--) {
    const bytes = at < packed.length ? SCALAR_BYTES[packed[at]!]! : 0
    if (bytes === 0) return false
    at += bytes
  }
  return at === packed.length
}
