import { ActorumError } from '../../errors.js'
import { crc32 } from '../../machines/checksum.js'
import { ByteCounter, type ByteSink, ByteWriter } from './byte-sink.js'
import { ByteSource } from './byte-source.js'
import { readUint32 } from './integers.js'

/**
 * A snapshot is a sequence of frames, each yielded as one chunk. They are found again however the bytes are cut on
 * their way.
 *
 *     0 u8  format         2 u16 section              12 u32 bodyLength                     20 body
 *     1 u8  1 in the last  4 u32 number, from 0       16 u32 CRC-32 of bytes 0–15 and the body
 *                          8 u32 count of items
 *
 * All big-endian. Format 1 had no sections: all its items are records, of another layout.
 */
const SNAPSHOT_FORMAT = 2
const LAST = 1
const CHECKSUM_AT = 16
const HEADER_BYTES = 20
/** A frame grows to about this size, or to that of one larger item. */
const FRAME_BYTES = 256 * 1024

/** Items of one kind, and how one is written. */
export interface SnapshotSection {
  readonly number: number
  /** Yields the writing of each item: it may be asked for twice, and then is the same. */
  items(): Iterable<(sink: ByteSink) => void>
}

/** One frame as it was found. */
export interface SnapshotFrame {
  readonly format: number
  readonly section: number
  readonly count: number
  readonly body: ByteSource
  /** All of it, as it was given: good until the next chunk. */
  readonly bytes: Uint8Array
}

/** Yields the frames of these sections, the last of which is not empty. */
export function* framesOf(sections: readonly SnapshotSection[]): Generator<Uint8Array> {
  let number = 0
  for (const section of sections) {
    let items: ((sink: ByteSink) => void)[] = []
    let size = 0
    for (const write of section.items()) {
      const counter = new ByteCounter()
      write(counter)
      if (items.length > 0 && HEADER_BYTES + size + counter.size > FRAME_BYTES) {
        yield frameOf(section.number, number++, items, size, false)
        items = []
        size = 0
      }
      items.push(write)
      size += counter.size
    }
    const isLast = section === sections.at(-1)
    if (items.length > 0) yield frameOf(section.number, number++, items, size, isLast)
  }
}

function frameOf(
  section: number,
  number: number,
  items: readonly ((sink: ByteSink) => void)[],
  size: number,
  isLast: boolean,
): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + size)
  const view = new DataView(frame.buffer)
  view.setUint8(0, SNAPSHOT_FORMAT)
  view.setUint8(1, isLast ? LAST : 0)
  view.setUint16(2, section)
  view.setUint32(4, number)
  view.setUint32(8, items.length)
  view.setUint32(12, size)
  const writer = new ByteWriter(frame, HEADER_BYTES)
  for (const write of items) write(writer)
  view.setUint32(CHECKSUM_AT, checksumOf(frame))
  return frame
}

/** The same frame with another body of the same length. */
export function withBody(frame: Uint8Array, write: (sink: ByteSink) => void): Uint8Array {
  const copy = Uint8Array.from(frame)
  write(new ByteWriter(copy, HEADER_BYTES))
  new DataView(copy.buffer).setUint32(CHECKSUM_AT, checksumOf(copy))
  return copy
}

function checksumOf(frame: Uint8Array): number {
  return crc32(frame.subarray(HEADER_BYTES), crc32(frame.subarray(0, CHECKSUM_AT)))
}

/** Finds the frames in chunks, whatever the cuts between these. Throws CORRUPT or UNSUPPORTED_FORMAT. */
export class FrameFinder {
  readonly #found: (frame: SnapshotFrame) => void
  #waiting: Uint8Array[] = []
  #length = 0
  #wanted = HEADER_BYTES
  #format: number | undefined
  #number = 0
  #isComplete = false

  constructor(found: (frame: SnapshotFrame) => void) {
    this.#found = found
  }

  write(chunk: Uint8Array): void {
    this.#length += chunk.length
    if (this.#length < this.#wanted) {
      // The caller may use its buffer again.
      if (chunk.length > 0) this.#waiting.push(Uint8Array.from(chunk))
      return
    }
    const bytes = joined([...this.#waiting, chunk], this.#length)
    let at = 0
    for (this.#wanted = frameLength(bytes, at); this.#wanted <= this.#length - at;) {
      this.#open(bytes.subarray(at, at + this.#wanted))
      at += this.#wanted
      this.#wanted = frameLength(bytes, at)
    }
    this.#waiting = at === bytes.length ? [] : [Uint8Array.from(bytes.subarray(at))]
    this.#length -= at
  }

  end(): void {
    if (this.#length > 0) throw corruptSnapshot(`ends within a frame, of which it has ${this.#length} bytes`)
    if (!this.#isComplete) throw corruptSnapshot(`ends after ${this.#number} frames without its last one`)
  }

  #open(frame: Uint8Array): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
    const number = this.#number++
    if (this.#isComplete) throw corruptSnapshot('goes on after its last frame')
    if (view.getUint32(CHECKSUM_AT) !== checksumOf(frame)) {
      throw corruptSnapshot(`does not match its checksum in frame ${number}`)
    }
    if (view.getUint32(4) !== number) {
      throw corruptSnapshot(`has frame ${view.getUint32(4)} in the place of frame ${number}`)
    }
    const format = view.getUint8(0)
    if (format !== (this.#format ??= format)) throw corruptSnapshot('has frames of two formats')
    const body = new ByteSource(frame, HEADER_BYTES, frame.length, corruptSnapshot)
    this.#found({ format, section: view.getUint16(2), count: view.getUint32(8), body, bytes: frame })
    if (body.left > 0) throw corruptSnapshot('has a frame that is longer than its items')
    this.#isComplete = view.getUint8(1) === LAST
  }
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
  if (format !== undefined && (format < 1 || format > SNAPSHOT_FORMAT)) {
    const advice = 'it was made by another version, or is none of a key-value store'
    throw new ActorumError('UNSUPPORTED_FORMAT', `snapshot format ${format} is not known here; ${advice}`)
  }
  return at + HEADER_BYTES > bytes.length ? HEADER_BYTES : HEADER_BYTES + readUint32(bytes, at + 12)
}

export function corruptSnapshot(fault: string): ActorumError {
  return new ActorumError('CORRUPT', `a key-value snapshot ${fault}; fetch it again or use another one`)
}
