import { SERVER_ID_MAX, type ServerId } from '../machines/types.js'
import type { Malformed } from '../machines/entry-run.js'
import type { MessageType } from '../machines/messages.js'
import type { Peer, TransportIdentity } from './ports.js'

/**
 * Before any frame, the dialler says who it is and whom it expects (`Hello`), and the acceptor answers who it is
 * (`Welcome`) or why not (`Refusal`). Both judge. A dialler sends frames only once welcomed, so that frames always come
 * from a server that was alive at the handshake: bytes left in a socket by an earlier incarnation hold none.
 */
export const PROTOCOL_VERSION = 1
/** Text above this is no handshake. */
export const HANDSHAKE_BYTES_MAX = 4096
/** Names of clusters and data directories end up in logs and messages: no control characters, and not long. */
const NAME = /^\P{C}{1,256}$/u

/** `control`: heartbeats, votes, replies, reads. `log`: entries and proposals, so that bulk delays no heartbeat. */
export type Channel = 'control' | 'log'
export const CHANNELS: readonly Channel[] = ['control', 'log']

export function channelOf(type: MessageType): Channel {
  return type === 'appendEntries' || type === 'propose' ? 'log' : 'control'
}

/** Who a server says it is. */
export interface Introduction {
  readonly id: ServerId
  /** null while the server knows none; then it is no reason to refuse. */
  readonly clusterId: string | null
  readonly storeId: string
  readonly nonce: number
}

export interface Hello extends Introduction {
  readonly kind: 'hello'
  readonly versionMin: number
  readonly versionMax: number
  /** The id that the dialler expects to find at this address. */
  readonly to: ServerId
  readonly channel: Channel
}

export interface Welcome extends Introduction {
  readonly kind: 'welcome'
  /** The version both speak from here on. */
  readonly version: number
}

export interface Refusal {
  readonly kind: 'refusal'
  readonly reason: string
}

export function helloOf(identity: TransportIdentity, to: ServerId, channel: Channel): Hello {
  const versions = { versionMin: PROTOCOL_VERSION, versionMax: PROTOCOL_VERSION }
  return { kind: 'hello', ...versions, ...introductionOf(identity), to, channel }
}

export function welcomeOf(identity: TransportIdentity): Welcome {
  return { kind: 'welcome', version: PROTOCOL_VERSION, ...introductionOf(identity) }
}

function introductionOf(identity: TransportIdentity): Introduction {
  const { id, clusterId, storeId, nonce } = identity
  return { id, clusterId: clusterId ?? null, storeId, nonce }
}

/** Why the server `own` must not receive from the sender of `hello`, or undefined when it may. */
export function faultOfHello(
  hello: Hello,
  own: TransportIdentity,
  peerOf: (id: ServerId) => Peer | undefined,
): string | undefined {
  if (hello.versionMin > PROTOCOL_VERSION || hello.versionMax < PROTOCOL_VERSION) {
    return `protocol versions ${hello.versionMin} to ${hello.versionMax} do not include ${PROTOCOL_VERSION}, spoken here`
  }
  if (hello.to !== own.id) return `this is server ${own.id}, not server ${hello.to}: the addresses are mixed up`
  const peer = peerOf(hello.id)
  if (peer === undefined) return `server ${hello.id} is not a member known here`
  return faultOfIntroduction(hello, own, peer)
}

/** Why the server `own` must not send to the sender of `welcome`, whom it dialled as `peer`; undefined when it may. */
export function faultOfWelcome(welcome: Welcome, own: TransportIdentity, peer: Peer): string | undefined {
  if (welcome.version !== PROTOCOL_VERSION) return `protocol version ${welcome.version} is not spoken here`
  if (welcome.id !== peer.id) return `server ${welcome.id} answers at ${peer.address}, where server ${peer.id} should`
  return faultOfIntroduction(welcome, own, peer)
}

export function faultOfIntroduction(said: Introduction, own: TransportIdentity, peer: Peer): string | undefined {
  if (said.clusterId !== null && own.clusterId !== undefined && said.clusterId !== own.clusterId) {
    return `server ${said.id} belongs to cluster ${said.clusterId}, server ${own.id} to cluster ${own.clusterId}`
  }
  if (peer.storeId !== undefined && said.storeId !== peer.storeId) {
    return `server ${said.id} has the data directory ${said.storeId}, not ${peer.storeId} as before: it was wiped or replaced`
  }
  return undefined
}

export function encodeHandshake(said: Hello | Welcome | Refusal): string {
  return JSON.stringify(said)
}

/** Reads what a stranger sent as a handshake. Never throws. */
export function decodeHandshake(text: string): Hello | Welcome | Refusal | Malformed {
  if (text.length > HANDSHAKE_BYTES_MAX) return { malformed: `a handshake of ${text.length} characters` }
  const said = parseObject(text)
  if (said === undefined) return { malformed: 'a handshake is not a JSON object' }
  if (said.kind === 'refusal') {
    if (typeof said.reason !== 'string') return { malformed: 'a refusal has no reason' }
    return { kind: 'refusal', reason: printable(said.reason) }
  }
  const introduction = readIntroduction(said)
  if ('malformed' in introduction) return introduction
  if (said.kind === 'hello') return readHello(said, introduction)
  if (said.kind !== 'welcome') return { malformed: 'a handshake is neither hello nor welcome' }
  if (!isUint32(said.version)) return { malformed: 'a welcome has no version' }
  return { kind: 'welcome', ...introduction, version: said.version }
}

function readHello(said: Record<string, unknown>, introduction: Introduction): Hello | Malformed {
  const { versionMin, versionMax, to } = said
  if (!isUint32(versionMin) || !isUint32(versionMax)) return { malformed: 'a hello has no range of versions' }
  if (!isServerId(to)) return { malformed: 'a hello does not name whom it expects' }
  const channel = CHANNELS.find((known) => known === said.channel)
  if (channel === undefined) return { malformed: 'a hello names no channel that is known here' }
  return { kind: 'hello', ...introduction, versionMin, versionMax, to, channel }
}

function readIntroduction(said: Record<string, unknown>): Introduction | Malformed {
  const { id, clusterId, storeId, nonce } = said
  if (!isServerId(id)) return { malformed: 'a handshake has no server id' }
  if (clusterId !== null && !isName(clusterId)) return { malformed: 'a handshake has no cluster id' }
  if (!isName(storeId)) return { malformed: 'a handshake has no store id' }
  if (!Number.isSafeInteger(nonce) || typeof nonce !== 'number') return { malformed: 'a handshake has no nonce' }
  return { id, clusterId, storeId, nonce }
}

/** What somebody else wrote, made fit for a line of a log. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, '?').slice(0, 500)
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value)
}

function isUint32(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff
}

function isServerId(value: unknown): value is ServerId {
  return isUint32(value) && value >= 1 && value <= SERVER_ID_MAX
}
