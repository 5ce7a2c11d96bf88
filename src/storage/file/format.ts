import { decodeRun } from '../../machines/entry-run.js'
import type { EntryRun, Malformed } from '../../machines/entry-run.js'
import type { Checksum, LogIndex } from '../../machines/types.js'
import type { RecordBatch } from '../record-disk.js'
import type { Salt } from './segment-header.js'
import { sumAround, viewOf } from './sums.js'
import { isZeros } from './zeros.js'

/**
 * A segment is a header and frames, then zeros: what was allocated and not yet written. A frame is one batch, sound as a
 * whole or not at all:
 *
 *     0 u32 mark                          12 u32 group          28 u32 count of runs
 *     4 u32 checksum of the head's others 16 f64 truncateFrom   32 u32 length of the frame
 *     8 u32 the frame before's checksum   24 u32 recordLength   36 u32 checksum of bytes 0–3 and 8–35
 *
 *     40 server record, { f64 firstIndex, u32 length, u32 checksum } for each run, then the runs; zeros up to 8
 *
 * The head reaches to the runs, whose own checksums it repeats: so nothing is summed twice, and yet all is. It chains a
 * frame to the one before, so that one from another place or time shows. The first frame of each segment carries the
 * server record, whatever its batch does: older segments can go.
 *
 * Both checksums start from the segment's salt. The one at 36 says of forty bytes whether they are a head at all: before
 * it has, no length in them is believed, so that to look for frames among any bytes takes time in proportion to them.
 */
const FRAME_MARK = 0xac70_f2a3
const FRAME_HEADER_BYTES = 40
const FRAME_CHECKSUM_AT = 4
const HEAD_CHECKSUM_AT = 36
const RUN_ENTRY_BYTES = 16
/** Frames begin at multiples of this, so that one can be looked for behind damage. */
export const FRAME_ALIGNMENT = 8

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

export function encodeFrame(batch: RecordBatch, previousChecksum: number, salt: Salt, checksum: Checksum): FramePieces {
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
  if (salt.ofHeads !== undefined) view.setUint32(HEAD_CHECKSUM_AT, headSum(head, checksum, salt.ofHeads))
  const sum = sumAround(head, FRAME_CHECKSUM_AT, checksum, salt.ofFrames)
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
export function decodeFrame(segment: Uint8Array, at: number, salt: Salt, checksum: Checksum): Frame | undefined {
  const head = decodeHead(segment, at, salt, checksum)
  if (head === undefined) return undefined
  const { recordLength, headLength, end } = head
  const view = viewOf(segment.subarray(at))
  const sum = sumAround(segment.subarray(at, at + headLength), FRAME_CHECKSUM_AT, checksum, salt.ofFrames)
  if (view.getUint32(FRAME_CHECKSUM_AT) !== sum) return undefined
  const runs = decodeRuns(segment, at, head, checksum)
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
export function nextHead(segment: Uint8Array, from: number, salt: Salt, checksum: Checksum): number | undefined {
  const view = viewOf(segment)
  for (let at = from; at + FRAME_HEADER_BYTES <= segment.length; at += FRAME_ALIGNMENT) {
    if (view.getUint32(at) === FRAME_MARK && decodeHead(segment, at, salt, checksum) !== undefined) return at
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

/** What the first forty bytes of a frame say; undefined where they are none, or not of one that fits here. */
function decodeHead(segment: Uint8Array, at: number, { ofHeads }: Salt, checksum: Checksum): Head | undefined {
  if (at + FRAME_HEADER_BYTES > segment.length) return undefined
  const bytes = segment.subarray(at, at + FRAME_HEADER_BYTES)
  const view = viewOf(bytes)
  if (view.getUint32(0) !== FRAME_MARK) return undefined
  if (ofHeads !== undefined && view.getUint32(HEAD_CHECKSUM_AT) !== headSum(bytes, checksum, ofHeads)) return undefined
  const recordLength = view.getUint32(24)
  const runsLength = view.getUint32(28)
  const length = view.getUint32(32)
  const headLength = FRAME_HEADER_BYTES + recordLength + runsLength * RUN_ENTRY_BYTES
  if (headLength > length || at + length > segment.length) return undefined
  return { recordLength, runsLength, headLength, end: at + length }
}

function headSum(head: Uint8Array, checksum: Checksum, salt: number): number {
  return sumAround(head.subarray(0, HEAD_CHECKSUM_AT), FRAME_CHECKSUM_AT, checksum, salt)
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
