import { decodeRun } from '../../machines/entry-run.js'
import type { EntryRun, Malformed } from '../../machines/entry-run.js'
import type { Checksum, LogIndex } from '../../machines/types.js'
import type { RecordBatch } from '../record-disk.js'
import { isZeros } from './zeros.js'

/**
 * A segment is a header and frames, then zeros: what was allocated and not yet written.
 *
 *     0 u8  format      4 u32 checksum of all other bytes   16 u32 group   (all big-endian)
 *     1 u24 0           8 f64 sequence                      20 zeros
 *
 * Sequences rise by one; the checksum keeps its place in every format, so that a newer format is told from damage.
 *
 * A frame is one batch, sound as a whole or not at all:
 *
 *     0 u32 mark                          12 u32 group          28 u32 count of runs
 *     4 u32 checksum of the head's others 16 f64 truncateFrom   32 u32 length of the frame
 *     8 u32 the frame before's checksum   24 u32 recordLength   36 u32 0
 *
 *     40 server record, { f64 firstIndex, u32 length, u32 checksum } for each run, then the runs; zeros up to 8
 *
 * The head reaches to the runs, whose own checksums it repeats: so nothing is summed twice, and yet all is. It chains a
 * frame to the one before, so that one from another place or time shows. The first frame of each segment carries the
 * server record, whatever its batch does: older segments can go.
 */
const SEGMENT_FORMAT = 1
export const SEGMENT_HEADER_BYTES = 32
const SEGMENT_CHECKSUM_AT = 4

const FRAME_MARK = 0xac70_f2a3
const FRAME_HEADER_BYTES = 40
const FRAME_CHECKSUM_AT = 4
const RUN_ENTRY_BYTES = 16
/** Frames begin at multiples of this, so that one can be looked for behind damage. */
export const FRAME_ALIGNMENT = 8

export function encodeSegmentHeader(sequence: number, checksum: Checksum): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, SEGMENT_FORMAT)
  view.setFloat64(8, sequence)
  view.setUint32(SEGMENT_CHECKSUM_AT, sumAround(bytes, SEGMENT_CHECKSUM_AT, checksum))
  return bytes
}

/** Why `bytes` does not begin the segment of this sequence; undefined when it does. */
export function faultOfSegmentHeader(bytes: Uint8Array, sequence: number, checksum: Checksum): Malformed | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return { malformed: `its ${bytes.length} bytes are too few` }
  const header = bytes.subarray(0, SEGMENT_HEADER_BYTES)
  const view = viewOf(header)
  if (view.getUint32(SEGMENT_CHECKSUM_AT) !== sumAround(header, SEGMENT_CHECKSUM_AT, checksum)) {
    return { malformed: 'its header does not match its checksum' }
  }
  const format = view.getUint8(0)
  const group = view.getUint32(16)
  if (format !== SEGMENT_FORMAT || group !== 0) {
    return { malformed: `format ${format} of group ${group} is not known here`, newer: true }
  }
  const found = view.getFloat64(8)
  return found === sequence ? undefined : { malformed: `it is segment ${found}` }
}

/** A batch as it goes to the file: the pieces in order, the runs' own bytes among them. */
export interface FramePieces {
  readonly pieces: readonly Uint8Array[]
  readonly length: number
  readonly checksum: number
  /** Where the runs begin in the frame. */
  readonly runsAt: number
}

/** How long the frame of a batch is, with `recordLength` bytes of server record. */
export function frameLength({ runs }: RecordBatch, recordLength: number): number {
  const head = FRAME_HEADER_BYTES + recordLength + runs.length * RUN_ENTRY_BYTES
  return aligned(runs.reduce((sum, { bytes }) => sum + bytes.length, head))
}

export function encodeFrame(batch: RecordBatch, previousChecksum: number, checksum: Checksum): FramePieces {
  const { serverRecord, removed, runs } = batch
  const recordLength = serverRecord?.length ?? 0
  const length = frameLength(batch, recordLength)
  const head = new Uint8Array(FRAME_HEADER_BYTES + recordLength + runs.length * RUN_ENTRY_BYTES)
  const view = new DataView(head.buffer)
  view.setUint32(0, FRAME_MARK)
  view.setUint32(8, previousChecksum)
  view.setFloat64(16, truncateFromOf(removed) ?? 0)
  view.setUint32(24, recordLength)
  view.setUint32(28, runs.length)
  view.setUint32(32, length)
  if (serverRecord !== undefined) head.set(serverRecord, FRAME_HEADER_BYTES)
  const pieces: Uint8Array[] = [head]
  let written = head.length
  for (const [at, run] of runs.entries()) {
    const entry = FRAME_HEADER_BYTES + recordLength + at * RUN_ENTRY_BYTES
    view.setFloat64(entry, run.firstIndex)
    view.setUint32(entry + 8, run.bytes.length)
    view.setUint32(entry + 12, run.checksum)
    pieces.push(run.bytes)
    written += run.bytes.length
  }
  if (written < length) pieces.push(new Uint8Array(length - written))
  const sum = sumAround(head, FRAME_CHECKSUM_AT, checksum)
  view.setUint32(FRAME_CHECKSUM_AT, sum)
  return { pieces, length, checksum: sum, runsAt: head.length }
}

/** Removed are always the last runs of the log: the first of them says which. */
export function truncateFromOf(removed: readonly LogIndex[]): LogIndex | undefined {
  return removed[0] === undefined ? undefined : removed.reduce((least, index) => Math.min(least, index))
}

/** A frame that is sound. */
export interface Frame {
  readonly previousChecksum: number
  readonly checksum: number
  /** Where the next one begins. */
  readonly end: number
  readonly serverRecord: Uint8Array | undefined
  readonly truncateFrom: LogIndex | undefined
  readonly runs: readonly FrameRun[]
}

/** A run in a segment's file. */
export interface FrameRun {
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly at: number
  readonly length: number
}

/** The frame that begins at `at`; undefined where there is no sound one. */
export function decodeFrame(segment: Uint8Array, at: number, checksum: Checksum): Frame | undefined {
  if (at + FRAME_HEADER_BYTES > segment.length) return undefined
  const view = viewOf(segment.subarray(at))
  if (view.getUint32(0) !== FRAME_MARK) return undefined
  const recordLength = view.getUint32(24)
  const runsLength = view.getUint32(28)
  const length = view.getUint32(32)
  const headLength = FRAME_HEADER_BYTES + recordLength + runsLength * RUN_ENTRY_BYTES
  if (headLength > length || at + length > segment.length) return undefined
  const sum = sumAround(segment.subarray(at, at + headLength), FRAME_CHECKSUM_AT, checksum)
  if (view.getUint32(FRAME_CHECKSUM_AT) !== sum) return undefined
  const end = at + length
  const runs = decodeRuns(segment, at, { recordLength, runsLength, headLength, end }, checksum)
  const recordAt = at + FRAME_HEADER_BYTES
  return (
    runs && {
      previousChecksum: view.getUint32(8),
      checksum: sum,
      end,
      serverRecord: recordLength === 0 ? undefined : segment.slice(recordAt, recordAt + recordLength),
      truncateFrom: view.getFloat64(16) || undefined,
      runs,
    }
  )
}

/** Where, from `from` on, the next frame may begin. */
export function nextFrameMark(segment: Uint8Array, from: number): number | undefined {
  const view = viewOf(segment)
  for (let at = from; at + FRAME_HEADER_BYTES <= segment.length; at += FRAME_ALIGNMENT) {
    if (view.getUint32(at) === FRAME_MARK) return at
  }
  return undefined
}

interface Head {
  readonly recordLength: number
  readonly runsLength: number
  readonly headLength: number
  /** Where the frame ends in the segment. */
  readonly end: number
}

function decodeRuns(segment: Uint8Array, at: number, head: Head, checksum: Checksum): FrameRun[] | undefined {
  const { end } = head
  const table = viewOf(segment.subarray(at + FRAME_HEADER_BYTES + head.recordLength))
  const runs: FrameRun[] = []
  let runAt = at + head.headLength
  for (let entry = 0; entry < head.runsLength; entry++) {
    const firstIndex = table.getFloat64(entry * RUN_ENTRY_BYTES)
    const length = table.getUint32(entry * RUN_ENTRY_BYTES + 8)
    const run = decodeRun(segment.subarray(runAt, runAt + length), checksum)
    if (!isThatRun(run, firstIndex, table.getUint32(entry * RUN_ENTRY_BYTES + 12))) return undefined
    runs.push({ firstIndex, lastIndex: 'malformed' in run ? firstIndex : run.lastIndex, at: runAt, length })
    runAt += length
  }
  return runAt <= end && isZeros(segment.subarray(0, end), runAt) ? runs : undefined
}

/** A run of a newer format is passed on for recovery to refuse, with words to upgrade. */
function isThatRun(run: EntryRun | Malformed, firstIndex: LogIndex, checksum: number): boolean {
  if ('malformed' in run) return run.newer === true
  return run.firstIndex === firstIndex && run.checksum === checksum
}

function aligned(length: number): number {
  return Math.ceil(length / FRAME_ALIGNMENT) * FRAME_ALIGNMENT
}

/** The checksum of all bytes but the four at `at`, where it is kept. */
function sumAround(bytes: Uint8Array, at: number, checksum: Checksum): number {
  return checksum(bytes.subarray(at + 4), checksum(bytes.subarray(0, at)))
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
