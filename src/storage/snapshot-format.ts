import type { Malformed } from '../machines/entry-run.js'
import type { Boundary, Checksum } from '../machines/types.js'
import { parseBoundary } from './server-record.js'

/**
 * A snapshot's file, all big-endian. The header's checksum keeps its place in every format, so that a newer format is
 * told from damage.
 *
 *     header    0 u8 format   4 u32 checksum of all its other bytes   12 u32 length of the body
 *               1 u24 0       8 u32 group                             16 body: JSON { clusterId, boundary }
 *     chunk     0 u32 length  4 u32 checksum of the chunk              8 the chunk, as its state machine made it
 *       …
 *     trailer   0 u32 0xffff_ffff   8 f64 length of the file                        20 u32 checksum of bytes 0–19
 *               4 u32 chunks       16 u32 checksum of all the file before this field
 *
 * Nothing in it says where or when it was taken: servers of one state make the same file, and a transfer begun by one
 * leader may be finished by another.
 */
export interface SnapshotHeader {
  readonly clusterId: string | undefined
  readonly boundary: Boundary
}

export interface SnapshotTrailer {
  readonly count: number
  readonly byteLength: number
  /** The snapshot id's. */
  readonly checksum: number
}

export const SNAPSHOT_FORMAT = 1
export const HEADER_PREFIX_BYTES = 16
export const CHUNK_HEAD_BYTES = 8
export const TRAILER_BYTES = 24
/** In the place of a chunk's length. */
export const TRAILER_MARK = 0xffff_ffff
/** A chunk is read back whole. */
export const CHUNK_BYTES_MAX = 16 * 1024 * 1024
const HEADER_BODY_BYTES_MAX = 1024 * 1024
const HEADER_CHECKSUM_AT = 4

export function encodeHeader({ clusterId, boundary }: SnapshotHeader, checksum: Checksum): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify({ clusterId, boundary }, withSortedKeys))
  const bytes = new Uint8Array(HEADER_PREFIX_BYTES + body.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, SNAPSHOT_FORMAT)
  view.setUint32(12, body.length)
  bytes.set(body, HEADER_PREFIX_BYTES)
  view.setUint32(HEADER_CHECKSUM_AT, sumOfHeader(bytes, checksum))
  return bytes
}

/** Bytes of the header that begins with `prefix`. */
export function headerLength(prefix: Uint8Array): number | Malformed {
  const length = viewOf(prefix).getUint32(12)
  if (length > HEADER_BODY_BYTES_MAX) return { malformed: `its header claims ${length} bytes` }
  return HEADER_PREFIX_BYTES + length
}

/** Reads a whole header. */
export function decodeHeader(bytes: Uint8Array, checksum: Checksum): SnapshotHeader | Malformed {
  const view = viewOf(bytes)
  if (view.getUint32(HEADER_CHECKSUM_AT) !== sumOfHeader(bytes, checksum)) {
    return { malformed: 'its header does not match its checksum' }
  }
  const format = view.getUint8(0)
  const group = view.getUint32(8)
  if (format !== SNAPSHOT_FORMAT || group !== 0) {
    return { malformed: `format ${format} of group ${group} is not known here`, newer: true }
  }
  return parseBody(new TextDecoder().decode(bytes.subarray(HEADER_PREFIX_BYTES)))
}

/** What goes before a chunk. */
export function encodeChunkHead(chunk: Uint8Array, checksum: Checksum): Uint8Array {
  const bytes = new Uint8Array(CHUNK_HEAD_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, chunk.length)
  view.setUint32(4, checksum(chunk))
  return bytes
}

/** Ends a file of `count` chunks that has `byteLength` bytes so far, whose checksum is `sum`. */
export function encodeTrailer(count: number, byteLength: number, sum: number, checksum: Checksum): Uint8Array {
  const bytes = new Uint8Array(TRAILER_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, TRAILER_MARK)
  view.setUint32(4, count)
  view.setFloat64(8, byteLength + TRAILER_BYTES)
  view.setUint32(16, checksum(bytes.subarray(0, 16), sum))
  view.setUint32(20, checksum(bytes.subarray(0, 20)))
  return bytes
}

export function decodeTrailer(bytes: Uint8Array, checksum: Checksum): SnapshotTrailer | Malformed {
  const view = viewOf(bytes)
  if (bytes.length !== TRAILER_BYTES || view.getUint32(20) !== checksum(bytes.subarray(0, 20))) {
    return { malformed: 'its trailer does not match its checksum, or is missing' }
  }
  if (view.getUint32(0) !== TRAILER_MARK) return { malformed: 'it does not end with a trailer' }
  return { count: view.getUint32(4), byteLength: view.getFloat64(8), checksum: view.getUint32(16) }
}

function parseBody(json: string): SnapshotHeader | Malformed {
  let body: unknown
  try {
    body = JSON.parse(json)
  } catch {
    return { malformed: 'its header is not JSON' }
  }
  if (typeof body !== 'object' || body === null || !('boundary' in body))
    return { malformed: 'its header says nothing' }
  const boundary = parseBoundary(body.boundary)
  const clusterId = 'clusterId' in body ? body.clusterId : undefined
  if (boundary === undefined) return { malformed: 'its header does not say where the log goes on' }
  if (clusterId !== undefined && typeof clusterId !== 'string') return { malformed: 'its cluster id is not a string' }
  return { clusterId, boundary }
}

/** The same bytes, whoever put the configuration together. */
function withSortedKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
}

function sumOfHeader(bytes: Uint8Array, checksum: Checksum): number {
  return checksum(bytes.subarray(HEADER_CHECKSUM_AT + 4), checksum(bytes.subarray(0, HEADER_CHECKSUM_AT)))
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
