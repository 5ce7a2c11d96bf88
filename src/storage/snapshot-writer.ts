import { ActorumError } from '../errors.js'
import type { Checksum } from '../machines/types.js'
import type { StoredSnapshot } from './ports.js'
import { nameOf, WRITING_NAME, type SnapshotCatalogue } from './snapshot-catalogue.js'
import type { SnapshotDisk, SnapshotFile } from './snapshot-disk.js'
import {
  CHUNK_BYTES_MAX,
  encodeChunkHead,
  encodeHeader,
  encodeTrailer,
  type SnapshotHeader,
} from './snapshot-format.js'
import { GrowingFile } from './snapshot-growth.js'
import { call, type Steps } from './snapshot-steps.js'

/** What reads and writes snapshots' files. */
export interface SnapshotPlace {
  readonly disk: SnapshotDisk
  readonly checksum: Checksum
  readonly catalogue: SnapshotCatalogue
}

/** A snapshot of this server's own state on its way to the disk, under a name that the next start removes. */
export class OwnSnapshot {
  readonly #place: SnapshotPlace
  readonly #header: SnapshotHeader
  #file: GrowingFile | undefined
  #count = 0
  /** Of all bytes so far. */
  #sum = 0
  #hasEnded = false

  constructor(place: SnapshotPlace, header: SnapshotHeader) {
    this.#place = place
    this.#header = header
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  *write(chunk: Uint8Array): Steps<void> {
    const file = yield* this.#opened()
    if (chunk.length === 0) return
    if (chunk.length > CHUNK_BYTES_MAX) throw tooLarge(chunk.length)
    yield* this.#append(file, encodeChunkHead(chunk, this.#place.checksum))
    yield* this.#append(file, chunk)
    this.#count++
  }

  *commit(): Steps<StoredSnapshot> {
    const { checksum, disk, catalogue } = this.#place
    const file = yield* this.#opened()
    const trailer = encodeTrailer(this.#count, file.length, this.#sum, checksum)
    const { boundary, clusterId } = this.#header
    const sum = new DataView(trailer.buffer).getUint32(16)
    yield* file.append(trailer)
    yield* file.sync()
    yield* this.#end(file)
    const id = { index: boundary.index, term: boundary.term, byteLength: file.length, checksum: sum }
    yield* call<void>((done) => disk.rename(WRITING_NAME, nameOf(id, 'complete'), done))
    const stored = { id, boundary, clusterId }
    catalogue.add(stored)
    return stored
  }

  *abandon(): Steps<void> {
    if (this.#hasEnded) return
    const file = this.#file
    if (file === undefined) {
      this.#hasEnded = true
      return
    }
    yield* this.#end(file)
    yield* call<void>((done) => this.#place.disk.remove(WRITING_NAME, done))
  }

  /** Lets go of the file, as it is. */
  *close(): Steps<void> {
    if (!this.#hasEnded && this.#file !== undefined) yield* this.#end(this.#file)
  }

  *#opened(): Steps<GrowingFile> {
    if (this.#hasEnded) {
      throw new ActorumError('INVALID_ARGUMENT', 'This snapshot has been committed or abandoned; create another one.')
    }
    if (this.#file !== undefined) return this.#file
    const { disk, checksum } = this.#place
    const file = new GrowingFile(yield* call<SnapshotFile>((done) => disk.file(WRITING_NAME, 'create', done)))
    this.#file = file
    yield* this.#append(file, encodeHeader(this.#header, checksum))
    return file
  }

  *#append(file: GrowingFile, bytes: Uint8Array): Steps<void> {
    this.#sum = this.#place.checksum(bytes, this.#sum)
    yield* file.append(bytes)
  }

  *#end(file: GrowingFile): Steps<void> {
    this.#hasEnded = true
    yield* file.close()
  }
}

function tooLarge(byteLength: number): ActorumError {
  const limit = `a chunk of a snapshot may have ${CHUNK_BYTES_MAX} bytes at most`
  return new ActorumError('TOO_LARGE', `${limit}, and this one has ${byteLength}; write it in pieces.`)
}
