import type { Malformed } from '../machines/entry-run.js'
import type { Checksum } from '../machines/types.js'
import {
  CHUNK_BYTES_MAX,
  CHUNK_HEAD_BYTES,
  decodeHeader,
  decodeTrailer,
  HEADER_PREFIX_BYTES,
  headerLength,
  TRAILER_BYTES,
  TRAILER_MARK,
  type SnapshotHeader,
  type SnapshotTrailer,
} from './snapshot-format.js'

type Part = 'prefix' | 'header' | 'chunk head' | 'chunk' | 'trailer' | 'end'

/** A place between two chunks up to which all checksums hold. */
interface SoundEnd {
  readonly length: number
  readonly count: number
  readonly sum: number
}

/**
 * Checks a snapshot's file as its bytes come, however they are cut. Holds a header or a trailer, never a chunk. After
 * bytes that it refused it takes no more before `rewind`.
 */
export class SnapshotScanner {
  readonly #checksum: Checksum
  #part: Part = 'prefix'
  /** The part under way, but for chunks. */
  #gathered = new Uint8Array(HEADER_PREFIX_BYTES)
  #filled = 0
  #chunk = { left: 0, expected: 0, sum: 0 }
  #length = 0
  #count = 0
  /** Of all bytes so far. */
  #sum = 0
  #sound: SoundEnd = { length: 0, count: 0, sum: 0 }
  #header: SnapshotHeader | undefined
  #trailer: SnapshotTrailer | undefined

  constructor(checksum: Checksum) {
    this.#checksum = checksum
  }

  /** Once it has come. */
  get header(): SnapshotHeader | undefined {
    return this.#header
  }

  /** Once all has come and every checksum holds. */
  get trailer(): SnapshotTrailer | undefined {
    return this.#trailer
  }

  /** Bytes to the end of the part under way; 0 at the end of the file. */
  get wanted(): number {
    if (this.#part === 'end') return 0
    return this.#part === 'chunk' ? this.#chunk.left : this.#gathered.length - this.#filled
  }

  get isInChunk(): boolean {
    return this.#part === 'chunk'
  }

  /** The end of the last chunk, or of the header, up to which all is sound; 0 before. */
  get soundLength(): number {
    return this.#sound.length
  }

  /** The next bytes. Says what is wrong with them, if anything is. */
  push(bytes: Uint8Array): Malformed | undefined {
    for (let at = 0; at < bytes.length;) {
      if (this.#part === 'end') return { malformed: 'it goes on after its trailer' }
      const taken = bytes.subarray(at, at + this.wanted)
      at += taken.length
      this.#length += taken.length
      const fault = this.#part === 'chunk' ? this.#takeOfChunk(taken) : this.#gather(taken)
      if (fault !== undefined) return fault
    }
    return undefined
  }

  /** Goes on from `soundLength`, as if nothing had come after it. */
  rewind(): void {
    const { length, count, sum } = this.#sound
    this.#length = length
    this.#count = count
    this.#sum = sum
    this.#trailer = undefined
    if (length === 0) this.#expect('prefix', HEADER_PREFIX_BYTES)
    else this.#expect('chunk head', CHUNK_HEAD_BYTES)
  }

  #expect(part: Part, length: number): void {
    this.#part = part
    this.#gathered = new Uint8Array(length)
    this.#filled = 0
  }

  #gather(bytes: Uint8Array): Malformed | undefined {
    this.#gathered.set(bytes, this.#filled)
    this.#filled += bytes.length
    if (this.#filled < this.#gathered.length) return undefined
    switch (this.#part) {
      case 'prefix':
        return this.#endOfPrefix(this.#gathered)
      case 'header':
        return this.#endOfHeader(this.#gathered)
      case 'chunk head':
        return this.#endOfChunkHead(this.#gathered)
      default:
        return this.#endOfTrailer(this.#gathered)
    }
  }

  #endOfPrefix(prefix: Uint8Array): Malformed | undefined {
    const length = headerLength(prefix)
    if (typeof length !== 'number') return length
    this.#expect('header', length)
    this.#gathered.set(prefix)
    this.#filled = prefix.length
    return length === prefix.length ? this.#endOfHeader(this.#gathered) : undefined
  }

  #endOfHeader(bytes: Uint8Array): Malformed | undefined {
    const header = decodeHeader(bytes, this.#checksum)
    if ('malformed' in header) return header
    this.#header = header
    this.#sum = this.#checksum(bytes)
    this.#endSoundly()
    return undefined
  }

  #endOfChunkHead(head: Uint8Array): Malformed | undefined {
    const view = new DataView(head.buffer)
    const length = view.getUint32(0)
    if (length === TRAILER_MARK) {
      this.#expect('trailer', TRAILER_BYTES)
      this.#gathered.set(head)
      this.#filled = head.length
      return undefined
    }
    if (length === 0 || length > CHUNK_BYTES_MAX) {
      return { malformed: `chunk ${this.#count} claims ${length} bytes` }
    }
    this.#sum = this.#checksum(head, this.#sum)
    this.#part = 'chunk'
    this.#chunk = { left: length, expected: view.getUint32(4), sum: 0 }
    return undefined
  }

  #takeOfChunk(bytes: Uint8Array): Malformed | undefined {
    const chunk = this.#chunk
    this.#sum = this.#checksum(bytes, this.#sum)
    chunk.sum = this.#checksum(bytes, chunk.sum)
    chunk.left -= bytes.length
    if (chunk.left > 0) return undefined
    if (chunk.sum !== chunk.expected) return { malformed: `chunk ${this.#count} does not match its checksum` }
    this.#count++
    this.#endSoundly()
    return undefined
  }

  #endOfTrailer(bytes: Uint8Array): Malformed | undefined {
    const trailer = decodeTrailer(bytes, this.#checksum)
    if ('malformed' in trailer) return trailer
    if (trailer.count !== this.#count) return { malformed: `it has ${this.#count} of ${trailer.count} chunks` }
    if (trailer.byteLength !== this.#length) {
      return { malformed: `it has ${this.#length} of ${trailer.byteLength} bytes` }
    }
    if (trailer.checksum !== this.#checksum(bytes.subarray(0, 16), this.#sum)) {
      return { malformed: 'it does not match its checksum as a whole' }
    }
    this.#part = 'end'
    this.#trailer = trailer
    return undefined
  }

  #endSoundly(): void {
    this.#sound = { length: this.#length, count: this.#count, sum: this.#sum }
    this.#expect('chunk head', CHUNK_HEAD_BYTES)
  }
}
