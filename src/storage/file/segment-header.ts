import type { Malformed } from '../../machines/entry-run.js'
import type { Checksum } from '../../machines/types.js'
import { sumAround, viewOf } from './sums.js'

/**
 * How a segment begins:
 *
 *     0 u8  format   4 u32 checksum of all other bytes   16 u32 group           24 u32 salt of frames
 *     1 u24 0        8 f64 sequence                      20 u32 salt of heads   28 u32 0   (all big-endian)
 *
 * Sequences rise by one. The header keeps its length in every format, and the checksum its place, so that a newer format
 * is told from damage. Segments of format 1 have no salts: they are read, and written on until they are full.
 */
const SEGMENT_FORMAT = 2
const UNSALTED_FORMAT = 1
export const SEGMENT_HEADER_BYTES = 32
const CHECKSUM_AT = 4
const SALT_AT = 20
export const SALT_BYTES = 8

/**
 * What the checksums of a segment's frames start from. It is random, and nobody hears of it: so whoever chooses the
 * bytes of an entry cannot make them look like a frame of the segment where they come to lie.
 */
export interface Salt {
  /** Undefined in format 1, where a frame's head has no checksum of its own. */
  readonly ofHeads: number | undefined
  readonly ofFrames: number
}

const NO_SALT: Salt = { ofHeads: undefined, ofFrames: 0 }

/** `random` is `SALT_BYTES` long, of its own for each segment. */
export function encodeSegmentHeader(sequence: number, random: Uint8Array, checksum: Checksum): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES)
  const view = viewOf(bytes)
  view.setUint8(0, SEGMENT_FORMAT)
  view.setFloat64(8, sequence)
  bytes.set(random, SALT_AT)
  view.setUint32(CHECKSUM_AT, sumAround(bytes, CHECKSUM_AT, checksum))
  return bytes
}

/** The salt of the segment of this sequence, or why `bytes` do not begin it. */
export function decodeSegmentHeader(bytes: Uint8Array, sequence: number, checksum: Checksum): Salt | Malformed {
  if (bytes.length < SEGMENT_HEADER_BYTES) return { malformed: `its ${bytes.length} bytes are too few` }
  const header = bytes.subarray(0, SEGMENT_HEADER_BYTES)
  const view = viewOf(header)
  if (view.getUint32(CHECKSUM_AT) !== sumAround(header, CHECKSUM_AT, checksum)) {
    return { malformed: 'its header does not match its checksum' }
  }
  const format = view.getUint8(0)
  const group = view.getUint32(16)
  if (format < UNSALTED_FORMAT || format > SEGMENT_FORMAT || group !== 0) {
    return { malformed: `format ${format} of group ${group} is not known here`, newer: true }
  }
  const found = view.getFloat64(8)
  if (found !== sequence) return { malformed: `it is segment ${found}` }
  if (format === UNSALTED_FORMAT) return NO_SALT
  return { ofHeads: view.getUint32(SALT_AT), ofFrames: view.getUint32(SALT_AT + 4) }
}
