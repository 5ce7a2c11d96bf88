import { parseConfiguration } from '../machines/entry-run.js'
import type { Malformed } from '../machines/entry-run.js'
import type { Boundary, Checksum, HardState, ServerId } from '../machines/types.js'

/**
 * Everything a server remembers beside its entries, in one record, so that no part can be lost alone. Each rewrite
 * raises `version`, which the watermark repeats: an older version brought back by a damaged disk shows.
 *
 *     0 u8  format   4 u32 checksum of all other bytes   12 f64 version   (all big-endian)
 *     1 u24 0        8 u32 group                         20 JSON
 *
 * The checksum keeps its place in every format, so that a newer format is told from damage.
 */
export interface ServerRecord {
  readonly version: number
  readonly serverId: ServerId
  readonly storeId: string
  readonly clusterId: string | undefined
  readonly hardState: HardState
  readonly boundary: Boundary
}

export const SERVER_RECORD_FORMAT = 1
const CHECKSUM_AT = 4
const BODY_AT = 20

/** Seals a record into bytes of its own. */
export function encodeServerRecord(record: ServerRecord, checksum: Checksum): Uint8Array {
  const { version, ...rest } = record
  const body = new TextEncoder().encode(JSON.stringify(rest))
  const bytes = new Uint8Array(BODY_AT + body.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, SERVER_RECORD_FORMAT)
  view.setFloat64(12, version)
  bytes.set(body, BODY_AT)
  view.setUint32(CHECKSUM_AT, sumOf(bytes, checksum))
  return bytes
}

/** Reads a record, checking its checksum and every field. */
export function decodeServerRecord(bytes: Uint8Array, checksum: Checksum): ServerRecord | Malformed {
  if (bytes.length <= BODY_AT) return { malformed: `${bytes.length} bytes are too few` }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(CHECKSUM_AT) !== sumOf(bytes, checksum)) return { malformed: 'it does not match its checksum' }
  const format = view.getUint8(0)
  const group = view.getUint32(8)
  if (format !== SERVER_RECORD_FORMAT || group !== 0) {
    return { malformed: `format ${format} of group ${group} is not known here`, newer: true }
  }
  return parseBody(view.getFloat64(12), new TextDecoder().decode(bytes.subarray(BODY_AT)))
}

function sumOf(bytes: Uint8Array, checksum: Checksum): number {
  return checksum(bytes.subarray(CHECKSUM_AT + 4), checksum(bytes.subarray(0, CHECKSUM_AT)))
}

function parseBody(version: number, json: string): ServerRecord | Malformed {
  const body = parseObject(json)
  const hardState = body && parseHardState(body['hardState'])
  const boundary = body && parseBoundary(body['boundary'])
  if (body === undefined || hardState === undefined || boundary === undefined || !isCount(version)) {
    return { malformed: 'its fields are not those of a server record' }
  }
  const { serverId, storeId, clusterId } = body
  if (!isCount(serverId) || typeof storeId !== 'string') return { malformed: 'it does not say whose it is' }
  if (clusterId !== undefined && typeof clusterId !== 'string') return { malformed: 'its cluster id is not a string' }
  return { version, serverId, storeId, clusterId, hardState, boundary }
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(json))
  } catch {
    return undefined
  }
}

function parseHardState(value: unknown): HardState | undefined {
  const { term, votedFor, promiseMs } = asObject(value) ?? {}
  if (!isCount(term) || typeof promiseMs !== 'number') return undefined
  return votedFor === undefined || isCount(votedFor) ? { term, votedFor, promiseMs } : undefined
}

/** Checks that `value`, from disk, is a boundary. */
export function parseBoundary(value: unknown): Boundary | undefined {
  const { index, term, checksum, clusterTime, configuration } = asObject(value) ?? {}
  const parsed = parseConfiguration(configuration, index === 0 ? 0 : 1)
  if (!isCount(index) || !isCount(term) || !isCount(checksum) || typeof clusterTime !== 'number') return undefined
  return 'malformed' in parsed ? undefined : { index, term, checksum, clusterTime, configuration: parsed }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}
