import { randomBytes } from 'node:crypto'
import { closeSync, constants, fdatasync, openSync, read as readAt } from 'node:fs'
import { mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Checksum } from '../../machines/types.js'
import { syncDirectory } from '../file-directories.js'
import { patiently } from '../file-patience.js'
import type { FillPace } from './fill-pace.js'
import type { LogPosition } from './replay.js'
import type { RunPlace } from './run-places.js'
import { encodeSegmentHeader, SALT_BYTES, SEGMENT_HEADER_BYTES } from './segment-header.js'

const NAME = /^(\d{10})\.segment$/
const UNFINISHED = '.unfinished'
/** Synced one by one, so that log writes between them do not wait for the whole segment. */
const FILL_BYTES = 256 * 1024
/** Runs with less than this between them are read as one. */
const GAP_BYTES_MAX = 64 * 1024

/** The files of segments in a directory, by their sequence. A segment gets its name once it is whole and synced. */
export class SegmentFiles {
  readonly #directory: string
  readonly #checksum: Checksum
  readonly #random: (length: number) => Uint8Array

  constructor(directory: string, checksum: Checksum, random: (length: number) => Uint8Array = randomBytes) {
    this.#directory = directory
    this.#checksum = checksum
    this.#random = random
  }

  pathOf(sequence: number): string {
    return join(this.#directory, `${String(sequence).padStart(10, '0')}.segment`)
  }

  /** The sequences that are there, in order. Makes the directory, and takes away what was not finished. */
  async list(): Promise<number[]> {
    await mkdir(this.#directory, { recursive: true })
    const names = await readdir(this.#directory)
    const unfinished = names.filter((name) => name.endsWith(UNFINISHED))
    for (const name of unfinished) await patiently(() => unlink(join(this.#directory, name)))
    return names
      .flatMap((name) => NAME.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((one, other) => one - other)
  }

  /** A new segment of `bytes`, written full of zeros at that pace, so that appending to it changes no metadata. */
  async make(sequence: number, bytes: number, pace: FillPace): Promise<void> {
    const unfinished = this.pathOf(sequence) + UNFINISHED
    const file = await open(unfinished, 'w')
    try {
      const zeros = new Uint8Array(FILL_BYTES)
      for (let at = 0; at < bytes; at += FILL_BYTES) {
        await pace.until(at / bytes)
        await writeFully(file, zeros.subarray(0, Math.min(FILL_BYTES, bytes - at)), at)
        await file.datasync()
      }
      await writeFully(file, encodeSegmentHeader(sequence, this.#random(SALT_BYTES), this.#checksum), 0)
      await file.sync()
    } catch (error) {
      await file.close()
      await rm(unfinished, { force: true })
      throw error
    }
    await file.close()
    await patiently(() => rename(unfinished, this.pathOf(sequence)))
    await syncDirectory(this.#directory)
  }

  /** All of a segment, once it is durable; or as it is, on a disk that may be read only. */
  async load(sequence: number, isForReading: boolean): Promise<Uint8Array> {
    const file = await open(this.pathOf(sequence), isForReading ? 'r' : 'r+')
    try {
      if (!isForReading) await file.datasync()
      const bytes = await file.readFile()
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    } finally {
      await file.close()
    }
  }

  /** Writes what was read of the segments between two places once more, and syncs it. */
  async rewrite(from: LogPosition, to: LogPosition, read: ReadonlyMap<number, Uint8Array>): Promise<void> {
    for (const [sequence, bytes] of read) {
      if (sequence < from.segment || sequence > to.segment) continue
      const begin = sequence === from.segment ? from.at : SEGMENT_HEADER_BYTES
      await this.#rewriteOne(sequence, begin, bytes.subarray(begin, sequence === to.segment ? to.at : bytes.length))
    }
  }

  async #rewriteOne(sequence: number, at: number, bytes: Uint8Array): Promise<void> {
    const file = await open(this.pathOf(sequence), 'r+')
    try {
      await writeFully(file, bytes, at)
      await file.datasync()
    } finally {
      await file.close()
    }
  }

  /** Writes zeros from `at` to the segment's end. */
  async erase(sequence: number, at: number): Promise<void> {
    const file = await open(this.pathOf(sequence), 'r+')
    try {
      const { size } = await file.stat()
      const zeros = new Uint8Array(FILL_BYTES)
      // From the end, so that what is left of it is always at the beginning, where it shows.
      for (let end = size; end > at; end -= FILL_BYTES) {
        const begin = Math.max(at, end - FILL_BYTES)
        await writeFully(file, zeros.subarray(0, end - begin), begin)
        await file.datasync()
      }
    } finally {
      await file.close()
    }
  }

  /** Takes segments away in the order given, each for good before the next: so there is never a gap. */
  async remove(sequences: readonly number[]): Promise<void> {
    for (const sequence of sequences) {
      await patiently(() => unlink(this.pathOf(sequence)))
      await syncDirectory(this.#directory)
    }
  }

  /** The bytes of these runs. The files are opened before this returns: they may be taken away while it reads. */
  async read(places: readonly RunPlace[]): Promise<Uint8Array[]> {
    const descriptors = new Map<number, number>()
    try {
      for (const { segment } of places) {
        if (!descriptors.has(segment)) descriptors.set(segment, openSync(this.pathOf(segment), constants.O_RDONLY))
      }
      const records: Uint8Array[] = []
      for (const { segment, at, end, places: those } of spansOf(places)) {
        const bytes = await readFully(descriptors.get(segment) ?? NaN, at, end - at)
        for (const place of those) records.push(bytes.subarray(place.at - at, place.at - at + place.length))
      }
      return records
    } finally {
      descriptors.forEach((descriptor) => closeSync(descriptor))
    }
  }
}

interface Span {
  readonly segment: number
  readonly at: number
  end: number
  readonly places: RunPlace[]
}

function spansOf(places: readonly RunPlace[]): Span[] {
  const spans: Span[] = []
  for (const place of places) {
    const last = spans.at(-1)
    const end = place.at + place.length
    if (last?.segment === place.segment && place.at - last.end <= GAP_BYTES_MAX) {
      last.places.push(place)
      last.end = end
    } else spans.push({ segment: place.segment, at: place.at, end, places: [place] })
  }
  return spans
}

/** Fewer bytes than asked for where the file ends: the run's checksum will tell. */
async function readFully(descriptor: number, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length;) {
    const count = await new Promise<number>((resolve, reject) => {
      readAt(descriptor, bytes, done, length - done, at + done, (error, count) => {
        if (error === null) resolve(count)
        else reject(error)
      })
    })
    if (count === 0) return bytes.subarray(0, done)
    done += count
  }
  return bytes
}

interface Writable {
  write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesWritten: number }>
}

/** The second attempt at the rest of a short write is the one that says why. */
async function writeFully(file: Writable, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
  }
}

export function datasync(descriptor: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(descriptor, (error) => (error === null ? resolve() : reject(error)))
  })
}
