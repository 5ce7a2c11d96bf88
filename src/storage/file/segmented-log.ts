import { closeSync, constants, fdatasync, fstatSync, openSync, readSync, writev } from 'node:fs'
import type { Checksum, LogIndex } from '../../machines/types.js'
import type { Callback } from '../ports.js'
import type { RecordBatch } from '../record-disk.js'
import { FillPace } from './fill-pace.js'
import { encodeFrame, frameLength, truncateFromOf } from './format.js'
import type { FramePieces } from './format.js'
import type { LogPosition, Replay } from './replay.js'
import type { RunPlaces } from './run-places.js'
import { datasync } from './segment-files.js'
import type { SegmentFiles } from './segment-files.js'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from './segment-header.js'
import type { Salt } from './segment-header.js'

/** More in one call would be split by the operating system, and each part synced by itself. */
const PIECES_MAX = 1000
/** The next segment is made while this one is filled: from here, and in step with it, to there. */
const NEXT_AFTER_SHARE = 0.25
const NEXT_UNTIL_SHARE = 0.75
/** On Linux a write returns once it is on the disk; elsewhere, or not for certain, a sync follows it. */
const SYNCS_AS_IT_WRITES = process.platform === 'linux'

/** The segment that is written to. */
interface Segment {
  readonly sequence: number
  readonly size: number
  readonly salt: Salt
  /** For writes to the operating system, and to sync them. */
  readonly descriptor: number
  /** For writes that are synced; the same where the platform has no such way. */
  readonly syncedDescriptor: number
  /** Where the next frame goes. */
  at: number
  unsynced: boolean
}

/**
 * Writes batches one after another into segments, each batch by one write. Runs that are written are found by `places`.
 *
 * - The segment to come is made while the present one is filled, in step with it; if it is not done in time, the write
 *   waits.
 * - Syncs come one after another, and a segment that is left is synced and closed in their order: so a sync covers it.
 * - What replay did not believe is erased before the first write, and not before: until then recovery may still refuse
 *   the store, which is then left as it is.
 */
export class SegmentedLog {
  readonly places: RunPlaces
  readonly #files: SegmentFiles
  readonly #checksum: Checksum
  readonly #segmentBytes: number
  /** Segments that are there, oldest first. */
  readonly #sequences: number[]
  #segment: Segment | undefined
  #next: Promise<number> | undefined
  /** At which the next segment is made. */
  #pace = new FillPace()
  #faultAt: LogPosition | undefined
  #serverRecord: Uint8Array
  #lastChecksum: number
  /** The newest segment with a frame in it: it has the server record. */
  #newestWritten: number
  #syncs: Promise<void> = Promise.resolve()
  #removals: Promise<void> = Promise.resolve()

  /** Goes on where `replay` ended. */
  constructor(replay: Replay, files: SegmentFiles, segmentBytes: number, checksum: Checksum) {
    this.places = replay.places
    this.#files = files
    this.#checksum = checksum
    this.#segmentBytes = segmentBytes
    this.#sequences = [...replay.sequences]
    this.#serverRecord = replay.serverRecord ?? new Uint8Array()
    this.#lastChecksum = replay.lastChecksum ?? 0
    this.#newestWritten = replay.end?.segment ?? 0
    if (replay.faulty) this.#faultAt = replay.end
    if (replay.end === undefined) return
    this.#segment = openSegment(files, replay.end, checksum)
    if (!replay.faulty) this.#adoptSpare(replay.end.segment + 1)
  }

  write(batch: RecordBatch, sync: boolean, callback: Callback): void {
    const segment = this.#segment
    if (segment !== undefined && this.#faultAt === undefined && this.#fits(batch, segment)) {
      return this.#append(segment, batch, sync, callback)
    }
    this.#makeRoom(batch).then(
      (roomy) => this.#append(roomy, batch, sync, callback),
      (error: unknown) => callback(asError(error)),
    )
  }

  sync(): Promise<void> {
    // The one of now: when its turn comes, another may be written to, and this one is not yet synced.
    const segment = this.#segment
    return this.#inOrderOfSyncs(async () => {
      if (segment !== undefined) await syncUnsynced(segment)
    })
  }

  /** Forgets the runs up to `index`, and takes away the segments that hold nothing else. */
  removeThrough(index: LogIndex): Promise<void> {
    this.places.removeThrough(index)
    const kept = Math.min(this.places.firstSegment ?? Infinity, this.#newestWritten)
    const past = this.#sequences.filter((sequence) => sequence < kept)
    if (past.length === 0) return this.#removals
    this.#sequences.splice(0, past.length)
    // What is kept repeats the server record, and must be durable before the older one goes.
    this.#removals = Promise.all([this.#removals, this.sync()]).then(() => this.#files.remove(past))
    return this.#removals
  }

  async close(): Promise<void> {
    const segment = this.#segment
    this.#segment = undefined
    if (segment !== undefined) this.#leave(segment)
    this.#pace.giveUp(new Error('the log was closed before the segment was needed'))
    const outcomes = await Promise.allSettled([this.#next, this.#syncs, this.#removals])
    // A next segment that could not be made was not needed so far, and a failed removal has been reported.
    if (outcomes[1].status === 'rejected') throw outcomes[1].reason
  }

  #fits(batch: RecordBatch, { at, size }: Segment): boolean {
    const recordLength = batch.serverRecord?.length ?? this.#serverRecord.length
    // A batch longer than a segment has one to itself, which grows.
    return at === SEGMENT_HEADER_BYTES || at + frameLength(batch, recordLength) <= size
  }

  async #makeRoom(batch: RecordBatch): Promise<Segment> {
    if (this.#faultAt !== undefined) await this.#eraseFrom(this.#faultAt)
    const segment = this.#segment
    if (segment !== undefined && this.#fits(batch, segment)) return segment
    // Where there was no room in the background there may be some now.
    const sequence = await this.#makeNextNow().catch(() => {
      this.#next = undefined
      return this.#makeNextNow()
    })
    // Before the one in use is left: if this throws, that one is still to be closed, and once.
    const next = openSegment(this.#files, { segment: sequence, at: SEGMENT_HEADER_BYTES }, this.#checksum)
    this.#next = undefined
    if (segment !== undefined) this.#leave(segment)
    this.#segment = next
    return next
  }

  async #eraseFrom({ segment, at }: LogPosition): Promise<void> {
    const later = this.#sequences.filter((sequence) => sequence > segment)
    await this.#files.remove(later.toReversed())
    await this.#files.erase(segment, at)
    this.#sequences.splice(this.#sequences.length - later.length)
    this.#faultAt = undefined
  }

  #append(segment: Segment, batch: RecordBatch, sync: boolean, callback: Callback): void {
    const { at } = segment
    const begins = at === SEGMENT_HEADER_BYTES
    const serverRecord = batch.serverRecord ?? (begins ? this.#serverRecord : undefined)
    const frame = encodeFrame({ ...batch, serverRecord }, this.#lastChecksum, segment.salt, this.#checksum)
    writeFrame(segment, frame, sync, (error) => {
      if (error !== undefined) return callback(error)
      segment.at += frame.length
      if (!sync) segment.unsynced = true
      this.#lastChecksum = frame.checksum
      this.#newestWritten = segment.sequence
      if (batch.serverRecord !== undefined) this.#serverRecord = batch.serverRecord
      this.#adopt(batch, { segment: segment.sequence, at: at + frame.runsAt })
      this.#prepareNext(segment)
      callback(undefined)
    })
  }

  #adopt({ removed, runs }: RecordBatch, { segment, at }: LogPosition): void {
    const truncateFrom = truncateFromOf(removed)
    if (truncateFrom !== undefined) this.places.truncateFrom(truncateFrom)
    for (const { firstIndex, bytes } of runs) {
      this.places.push({ firstIndex, segment, at, length: bytes.length })
      at += bytes.length
    }
  }

  #prepareNext({ at, size }: Segment): void {
    if (at <= size * NEXT_AFTER_SHARE) return
    void this.#makeNext()
    this.#pace.allow((at / size - NEXT_AFTER_SHARE) / (NEXT_UNTIL_SHARE - NEXT_AFTER_SHARE))
  }

  #makeNextNow(): Promise<number> {
    const next = this.#makeNext()
    this.#pace.allow(1)
    return next
  }

  /** Its failure counts only once the segment is needed. */
  #makeNext(): Promise<number> {
    if (this.#next !== undefined) return this.#next
    this.#pace = new FillPace()
    const sequence = (this.#sequences.at(-1) ?? 0) + 1
    this.#next = this.#files.make(sequence, this.#segmentBytes, this.#pace).then(() => {
      this.#sequences.push(sequence)
      return sequence
    })
    this.#next.catch(() => undefined)
    return this.#next
  }

  /** A segment that was made and not yet written to. */
  #adoptSpare(sequence: number): void {
    if (this.#sequences.includes(sequence)) this.#next = Promise.resolve(sequence)
  }

  #leave(segment: Segment): void {
    const synced = this.#inOrderOfSyncs(() => syncUnsynced(segment))
    // Also when it or a sync before it failed: whatever is lost, the descriptors are to be given back.
    this.#syncs = synced.finally(() => closeSegment(segment))
    // The syncs that follow, and `close`, fail with it.
    this.#syncs.catch(() => undefined)
  }

  #inOrderOfSyncs(act: () => Promise<void>): Promise<void> {
    this.#syncs = this.#syncs.then(act)
    return this.#syncs
  }
}

/** All of it or, if it throws, nothing is left open. */
function openSegment(files: SegmentFiles, { segment: sequence, at }: LogPosition, checksum: Checksum): Segment {
  const path = files.pathOf(sequence)
  const descriptors: number[] = []
  try {
    const descriptor = openSync(path, constants.O_RDWR)
    descriptors.push(descriptor)
    const syncedDescriptor = SYNCS_AS_IT_WRITES ? openSync(path, constants.O_RDWR | constants.O_DSYNC) : descriptor
    if (syncedDescriptor !== descriptor) descriptors.push(syncedDescriptor)
    const salt = saltOf(descriptor, sequence, checksum)
    return { sequence, size: fstatSync(descriptor).size, salt, descriptor, syncedDescriptor, at, unsynced: false }
  } catch (error) {
    for (const descriptor of descriptors) closeSync(descriptor)
    throw error
  }
}

function closeSegment({ descriptor, syncedDescriptor }: Segment): void {
  closeSync(descriptor)
  if (syncedDescriptor !== descriptor) closeSync(syncedDescriptor)
}

function saltOf(descriptor: number, sequence: number, checksum: Checksum): Salt {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES)
  const header = decodeSegmentHeader(bytes.subarray(0, readSync(descriptor, bytes)), sequence, checksum)
  if ('malformed' in header) throw new Error(`segment ${sequence} cannot be written to: ${header.malformed}`)
  return header
}

function writeFrame(segment: Segment, { pieces, length }: FramePieces, sync: boolean, callback: Callback): void {
  const buffers = pieces.length > PIECES_MAX ? [Buffer.concat(pieces)] : pieces
  const descriptor = sync ? segment.syncedDescriptor : segment.descriptor
  writev(descriptor, buffers, segment.at, (error, written) => {
    if (error !== null) return callback(error)
    if (written !== length) return callback(new Error(`${written} of a batch's ${length} bytes were written`))
    if (!sync || SYNCS_AS_IT_WRITES) return callback(undefined)
    fdatasync(descriptor, (error) => callback(error ?? undefined))
  })
}

async function syncUnsynced(segment: Segment): Promise<void> {
  if (!segment.unsynced) return
  segment.unsynced = false
  await datasync(segment.descriptor)
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
