import type { Checksum, LogIndex } from '../machines/types.js'

/**
 * The least that recovery may accept. A database may open with acknowledged records missing and say nothing; the
 * watermark, kept outside it and rewritten after each sync, makes that visible.
 *
 *     0 u8 format               4 u32 checksum of all other bytes   16 f64 lastIndex       32 u32 lastChecksum
 *     1 u8 1 if out of order    8 f64 sequence                      24 f64 recordVersion   36 u32 group
 *
 * It is written in turn into two slots, so that a torn write spoils only the older value. The checksum keeps its place
 * in every format.
 */
export interface Watermark {
  /** Rises with each write; its parity is the slot. */
  readonly sequence: number
  /** Every entry up to here is synced, and the run that ends here has `lastChecksum`. */
  readonly lastIndex: LogIndex
  readonly lastChecksum: number
  /** Version of the synced server record. */
  readonly recordVersion: number
  /**
   * The store was open in mem-first mode: beyond the watermark a machine's crash may leave any part of what was
   * written, in any order.
   */
  readonly outOfOrder: boolean
}

/** A slot's place on disk: two pages of their own. */
export const WATERMARK_SLOT_BYTES = 40
export const WATERMARK_SLOTS = 2
const FORMAT = 1
const CHECKSUM_AT = 4

/** Why a slot is no watermark. */
export type Unreadable = 'damaged' | 'newer'

export function encodeWatermark(mark: Watermark, checksum: Checksum): Uint8Array {
  const bytes = new Uint8Array(WATERMARK_SLOT_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, FORMAT)
  view.setUint8(1, mark.outOfOrder ? 1 : 0)
  view.setFloat64(8, mark.sequence)
  view.setFloat64(16, mark.lastIndex)
  view.setFloat64(24, mark.recordVersion)
  view.setUint32(32, mark.lastChecksum)
  view.setUint32(CHECKSUM_AT, sumOf(bytes, checksum))
  return bytes
}

export function decodeWatermark(bytes: Uint8Array, checksum: Checksum): Watermark | Unreadable {
  if (bytes.length !== WATERMARK_SLOT_BYTES) return 'damaged'
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(CHECKSUM_AT) !== sumOf(bytes, checksum)) return 'damaged'
  if (view.getUint8(0) !== FORMAT || view.getUint32(36) !== 0) return 'newer'
  return {
    sequence: view.getFloat64(8),
    lastIndex: view.getFloat64(16),
    lastChecksum: view.getUint32(32),
    recordVersion: view.getFloat64(24),
    outOfOrder: view.getUint8(1) === 1,
  }
}

/** The newest of the slots. Damage counts only when no slot is whole; a newer format always. */
export function newestWatermark(slots: readonly Uint8Array[], checksum: Checksum): Watermark | Unreadable {
  let newest: Watermark | Unreadable = 'damaged'
  for (const slot of slots) {
    const mark = decodeWatermark(slot, checksum)
    if (mark === 'newer') return mark
    if (mark !== 'damaged' && (newest === 'damaged' || mark.sequence > newest.sequence)) newest = mark
  }
  return newest
}

function sumOf(bytes: Uint8Array, checksum: Checksum): number {
  return checksum(bytes.subarray(CHECKSUM_AT + 4), checksum(bytes.subarray(0, CHECKSUM_AT)))
}
