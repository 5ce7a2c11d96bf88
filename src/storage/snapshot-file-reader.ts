import type { Malformed } from '../machines/entry-run.js'
import type { Checksum } from '../machines/types.js'
import type { FileFound, SnapshotDisk, SnapshotFile } from './snapshot-disk.js'
import {
  decodeTrailer,
  HEADER_PREFIX_BYTES,
  headerLength,
  TRAILER_BYTES,
  type SnapshotHeader,
  type SnapshotTrailer,
} from './snapshot-format.js'
import { SnapshotScanner } from './snapshot-scanner.js'
import { call, type Steps } from './snapshot-steps.js'

/** Reads a complete file from beginning to end, part by part, each checked. */
export class SnapshotFileReader {
  readonly #file: SnapshotFile
  readonly #scanner: SnapshotScanner
  #offset = 0

  constructor(file: SnapshotFile, checksum: Checksum) {
    this.#file = file
    this.#scanner = new SnapshotScanner(checksum)
  }

  /** The next chunk, undefined after the last, or what is wrong. */
  *next(): Steps<Uint8Array | Malformed | undefined> {
    const scanner = this.#scanner
    while (scanner.wanted > 0) {
      const { wanted, isInChunk } = scanner
      const bytes = yield* call<Uint8Array>((done) => this.#file.read(this.#offset, wanted, done))
      this.#offset += bytes.length
      if (bytes.length < wanted) return { malformed: `it ends after ${this.#offset} bytes` }
      const fault = scanner.push(bytes)
      if (fault !== undefined) return fault
      if (isInChunk) return bytes
    }
    return undefined
  }

  *close(): Steps<void> {
    yield* call<void>((done) => this.#file.close(done))
  }
}

/** What a file says of itself at both ends, unless that is wrong. Its chunks are not looked at. */
export function* readEnds(
  disk: SnapshotDisk,
  { name, byteLength }: FileFound,
  checksum: Checksum,
): Steps<(SnapshotHeader & SnapshotTrailer) | Malformed> {
  const file = yield* call<SnapshotFile>((done) => disk.file(name, 'read', done))
  const scanner = new SnapshotScanner(checksum)
  const prefix = yield* call<Uint8Array>((done) => file.read(0, HEADER_PREFIX_BYTES, done))
  const length = prefix.length < HEADER_PREFIX_BYTES ? { malformed: 'it ends in its header' } : headerLength(prefix)
  const header =
    typeof length === 'number' ? yield* call<Uint8Array>((done) => file.read(0, length, done)) : new Uint8Array()
  const trailerAt = Math.max(0, byteLength - TRAILER_BYTES)
  const last = yield* call<Uint8Array>((done) => file.read(trailerAt, TRAILER_BYTES, done))
  yield* call<void>((done) => file.close(done))
  if (typeof length !== 'number') return length
  const fault = scanner.push(header)
  if (fault !== undefined) return fault
  if (scanner.header === undefined) return { malformed: 'it ends in its header' }
  const trailer = decodeTrailer(last, checksum)
  if ('malformed' in trailer) return trailer
  if (trailer.byteLength !== byteLength) return { malformed: `it has ${byteLength} of ${trailer.byteLength} bytes` }
  return { ...scanner.header, ...trailer }
}
