import { ActorumError } from '../../errors.js'
import { crc32 } from '../../machines/checksum.js'
import type { LogIndex } from '../../machines/types.js'
import { readUint32 } from './integers.js'
import { charsOf, type KeyChars, writeChars } from './keys.js'

/** A value as the store holds it. Immutable: a write stores a new one, so a snapshot may keep the old. */
export interface StoredValue {
  readonly value: Uint8Array
  /** Log index of the command that wrote it. */
  modRevision: LogIndex
  /** How many snapshots had been taken when it was made: one taken since still needs it as it is. */
  readonly snapshots: number
}

/**
 * A snapshot is a sequence of frames, each yielded as one chunk. They are found again however the bytes are cut on
 * their way.
 *
 *     0 u8  format         4 u32 number, from 0       12 u32 bodyLength                     20 body
 *     1 u8  1 in the last  8 u32 count of records     16 u32 CRC-32 of bytes 0–15 and the body
 *     2 u16 0
 *
 * The body: `count` times { u32 keyLength, u32 valueLength, f64 modRevision, key, value }. All big-endian.
 */
const FORMAT = 1
const LAST = 1
const CHECKSUM_AT = 16
const HEADER_BYTES = 20
const RECORD_HEADER_BYTES = 16
/** A frame grows to about this size, or to that of one larger record. */
const FRAME_BYTES = 256 * 1024

/** Yields the frames of these records. `keys` and `values` belong together by position and do not change meanwhile. */
export function* encodeSnapshot(keys: readonly KeyChars[], values: readonly StoredValue[]): Generator<Uint8Array> {
  let from = 0
  let number = 0
  do {
    const { to, size } = extentOfFrame(keys, values, from)
    const frame = new Uint8Array(size)
    const view = new DataView(frame.buffer)
    view.setUint8(0, FORMAT)
    view.setUint8(1, to === keys.length ? LAST : 0)
    view.setUint32(4, number++)
    view.setUint32(8, to - from)
    view.setUint32(12, size - HEADER_BYTES)
    let at = HEADER_BYTES
    for (let i = from; i < to; i++) at = writeRecord(keys[i]!, values[i]!, frame, view, at)
    view.setUint32(CHECKSUM_AT, checksumOf(frame))
    yield frame
    from = to
  } while (from < keys.length)
}

function extentOfFrame(keys: readonly KeyChars[], values: readonly StoredValue[], from: number) {
  let size = HEADER_BYTES
  let to = from
  for (; to < keys.length; to++) {
    const record = RECORD_HEADER_BYTES + keys[to]!.length + values[to]!.value.length
    if (to > from && size + record > FRAME_BYTES) break
    size += record
  }
  return { to, size }
}

function writeRecord(
  key: KeyChars,
  { value, modRevision }: StoredValue,
  frame: Uint8Array,
  view: DataView,
  at: number,
) {
  view.setUint32(at, key.length)
  view.setUint32(at + 4, value.length)
  view.setFloat64(at + 8, modRevision)
  writeChars(key, frame, at + RECORD_HEADER_BYTES)
  const valueAt = at + RECORD_HEADER_BYTES + key.length
  frame.set(value, valueAt)
  return valueAt + value.length
}

function checksumOf(frame: Uint8Array): number {
  return crc32(frame.subarray(HEADER_BYTES), crc32(frame.subarray(0, CHECKSUM_AT)))
}

/** Reads a whole snapshot. Copies what it keeps. Throws CORRUPT or UNSUPPORTED_FORMAT. */
export function decodeSnapshot(chunks: Iterable<Uint8Array>, snapshots = 0): Map<KeyChars, StoredValue> {
  const records = new Map<KeyChars, StoredValue>()
  let number = 0
  let complete = false
  for (const frame of framesOf(chunks)) {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
    if (complete) throw corrupt('goes on after its last frame')
    if (view.getUint32(CHECKSUM_AT) !== checksumOf(frame))
      throw corrupt(`does not match its checksum in frame ${number}`)
    if (view.getUint32(4) !== number) throw corrupt(`has frame ${view.getUint32(4)} in the place of frame ${number}`)
    readRecords(frame, view, records, snapshots)
    complete = view.getUint8(1) === LAST
    number++
  }
  if (!complete) throw corrupt(`ends after ${number} frames without its last one`)
  return records
}

/** The frames in `chunks`, whatever the cuts between these. */
function* framesOf(chunks: Iterable<Uint8Array>): Generator<Uint8Array> {
  let waiting: Uint8Array[] = []
  let length = 0
  let wanted = HEADER_BYTES
  for (const chunk of chunks) {
    waiting.push(chunk)
    length += chunk.length
    if (length < wanted) continue
    const bytes = joined(waiting, length)
    let at = 0
    for (wanted = frameLength(bytes, at); wanted <= length - at; wanted = frameLength(bytes, at)) {
      yield bytes.subarray(at, at + wanted)
      at += wanted
    }
    waiting = [bytes.subarray(at)]
    length -= at
  }
  if (length > 0) throw corrupt(`ends within a frame, of which it has ${length} bytes`)
}

/**
 * Always a plain Uint8Array: a chunk from a socket or a disk may be a Node `Buffer`, whose `slice` copies nothing, so
 * that what is kept of it would be changed, and its whole frame kept alive, by what follows.
 */
function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const [only] = chunks
  if (chunks.length === 1 && only !== undefined) return new Uint8Array(only.buffer, only.byteOffset, length)
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

/** The length of the frame at `at`, as far as it can be known yet: that of its header while even this is not whole. */
function frameLength(bytes: Uint8Array, at: number): number {
  const format = bytes[at]
  if (format !== undefined && format !== FORMAT) {
    const advice = 'it was made by another version, or is none of a key-value store'
    throw new ActorumError('UNSUPPORTED_FORMAT', `snapshot format ${format} is not known here; ${advice}`)
  }
  return at + HEADER_BYTES > bytes.length ? HEADER_BYTES : HEADER_BYTES + readUint32(bytes, at + 12)
}

function readRecords(frame: Uint8Array, view: DataView, records: Map<KeyChars, StoredValue>, snapshots: number): void {
  let at = HEADER_BYTES
  for (let left = view.getUint32(8); left > 0; left--) {
    const keyAt = at + RECORD_HEADER_BYTES
    if (keyAt > frame.length) throw corrupt('ends within a record')
    const valueAt = keyAt + view.getUint32(at)
    const end = valueAt + view.getUint32(at + 4)
    if (valueAt === keyAt || end > frame.length) throw corrupt('has a record that does not fit its frame')
    const modRevision = view.getFloat64(at + 8)
    if (!Number.isSafeInteger(modRevision) || modRevision < 1) throw corrupt(`has the revision ${modRevision}`)
    const key = charsOf(frame, keyAt, valueAt)
    if (records.has(key)) throw corrupt('has a key twice')
    records.set(key, { value: frame.slice(valueAt, end), modRevision, snapshots })
    at = end
  }
  if (at !== frame.length) throw corrupt('has a frame that is longer than its records')
}

function corrupt(fault: string): ActorumError {
  return new ActorumError('CORRUPT', `a key-value snapshot ${fault}; fetch it again or use another one`)
}
