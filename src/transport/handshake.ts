import type { Malformed } from '../machines/entry-run.js'
import type { MessageType } from '../machines/messages.js'
import type { ServerId } from '../machines/types.js'
import type { HelloFault } from './fault.js'
import { readJoin, type Join } from './join.js'
import { isName, isServerId, isUint32, parseObject, printable } from './json-fields.js'
import type { Peer, TransportIdentity } from './ports.js'
import { agreedVersion, faultOfVersions, PROTOCOL_VERSIONS, SNAPSHOT_VERSION } from './protocol-versions.js'
import type { ProtocolVersions } from './protocol-versions.js'

/**
 * Before any frame, the dialler says who it is and whom it expects (`Hello`), and the acceptor answers who it is
 * (`Welcome`) or why not (`Refusal`). Both judge. A dialler sends frames only once welcomed, so that frames always come
 * from a server that was alive at the handshake: bytes left in a socket by an earlier incarnation hold none.
 */

/** Text above this is no handshake. */
export const HANDSHAKE_BYTES_MAX = 4096

/**
 * `control`: heartbeats, votes, replies, reads. `log`: entries and proposals, so that bulk delays no heartbeat.
 * `snapshot`: pieces of snapshots, so that they delay neither.
 */
export type Channel = 'control' | 'log' | 'snapshot'
const CHANNELS: readonly Channel[] = ['control', 'log', 'snapshot']

export function channelOf(type: MessageType): Channel {
  if (type === 'installSnapshot') return 'snapshot'
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
  /** Where the dialler listens; a server of an earlier release does not say. */
  readonly address?: string
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

export function helloOf(
  identity: TransportIdentity,
  to: ServerId,
  channel: Channel,
  versions: ProtocolVersions = PROTOCOL_VERSIONS,
): Hello {
  const { min: versionMin, max: versionMax } = versions
  const { address } = identity
  return {
    kind: 'hello',
    versionMin,
    versionMax,
    ...introductionOf(identity),
    to,
    channel,
    ...(isName(address) && { address }),
  }
}

export function welcomeOf(identity: TransportIdentity, version: number): Welcome {
  return { kind: 'welcome', version, ...introductionOf(identity) }
}

function introductionOf(identity: TransportIdentity): Introduction {
  const { id, clusterId, storeId, nonce } = identity
  return { id, clusterId: clusterId ?? null, storeId, nonce }
}

/**
 * The version that the server `own` speaks with the sender of `hello` from here on, or why it must not receive from it.
 * `peer` is what `own` knows of a server of that id.
 */
export function judgeHello(
  hello: Hello,
  own: TransportIdentity,
  versions: ProtocolVersions,
  peer: Peer | undefined,
): number | HelloFault {
  const version = agreedVersion(versions, { min: hello.versionMin, max: hello.versionMax })
  if (version === undefined) return { malformed: faultOfVersions(versions, hello), fault: 'version' }
  return faultOfHello(hello, version, own, peer) ?? version
}

/**
 * Where the sender of `hello` listens, when `own` must refuse it for no other reason than that it is no peer. Perhaps the
 * members are others by now, and `own` is behind.
 */
export function addressOfStranger(hello: Hello, own: TransportIdentity, peer: Peer | undefined): string | undefined {
  const isOfCluster = own.clusterId !== undefined && hello.clusterId === own.clusterId
  return peer === undefined && isOfCluster && hello.to === own.id ? hello.address : undefined
}

function faultOfHello(
  hello: Hello,
  version: number,
  own: TransportIdentity,
  peer: Peer | undefined,
): HelloFault | undefined {
  if (hello.channel === 'snapshot' && version < SNAPSHOT_VERSION) {
    return { malformed: `protocol version ${version} has no channel for snapshots`, fault: 'channel' }
  }
  if (hello.to !== own.id) {
    const malformed = `this is server ${own.id}, not server ${hello.to}: the addresses are mixed up`
    return { malformed, fault: 'addressee' }
  }
  if (peer === undefined) return { malformed: `server ${hello.id} is not a member known here`, fault: 'membership' }
  return faultOfIntroduction(hello, own, peer)
}

/** Why the server `own` must not send to the sender of `welcome`, whom it dialled as `peer`; undefined when it may. */
export function faultOfWelcome(
  welcome: Welcome,
  own: TransportIdentity,
  versions: ProtocolVersions,
  peer: Peer,
): string | undefined {
  if (welcome.version < versions.min || welcome.version > versions.max)
    return `protocol version ${welcome.version} is not spoken here`
  if (welcome.id !== peer.id) return `server ${welcome.id} answers at ${peer.address}, where server ${peer.id} should`
  return faultOfIntroduction(welcome, own, peer)?.malformed
}

export function faultOfIntroduction(said: Introduction, own: TransportIdentity, peer: Peer): HelloFault | undefined {
  if (said.clusterId !== null && own.clusterId !== undefined && said.clusterId !== own.clusterId) {
    const malformed = `server ${said.id} belongs to cluster ${said.clusterId}, server ${own.id} to cluster ${own.clusterId}`
    return { malformed, fault: 'cluster' }
  }
  if (peer.storeId !== undefined && said.storeId !== peer.storeId) {
    const malformed = `server ${said.id} has the data directory ${said.storeId}, not ${peer.storeId} as before: it was wiped or replaced`
    return { malformed, fault: 'store' }
  }
  return undefined
}

export function encodeHandshake(said: Hello | Welcome | Refusal | Join): string {
  return JSON.stringify(said)
}

/** Reads what a stranger sent as a handshake. Never throws. */
export function decodeHandshake(text: string): Hello | Welcome | Refusal | Join | Malformed {
  if (text.length > HANDSHAKE_BYTES_MAX) return { malformed: `a handshake of ${text.length} characters` }
  const said = parseObject(text)
  if (said === undefined) return { malformed: 'a handshake is not a JSON object' }
  if (said.kind === 'refusal') {
    if (typeof said.reason !== 'string') return { malformed: 'a refusal has no reason' }
    return { kind: 'refusal', reason: printable(said.reason) }
  }
  if (said.kind === 'join') return readJoin(said)
  const introduction = readIntroduction(said)
  if ('malformed' in introduction) return introduction
  if (said.kind === 'hello') return readHello(said, introduction)
  if (said.kind !== 'welcome') return { malformed: 'a handshake is neither hello nor welcome' }
  if (!isUint32(said.version)) return { malformed: 'a welcome has no version' }
  return { kind: 'welcome', ...introduction, version: said.version }
}

function readHello(said: Record<string, unknown>, introduction: Introduction): Hello | Malformed {
  const { versionMin, versionMax, to, address } = said
  if (!isUint32(versionMin) || !isUint32(versionMax) || versionMin > versionMax)
    return { malformed: 'a hello has no range of versions' }
  if (!isServerId(to)) return { malformed: 'a hello does not name whom it expects' }
  const channel = CHANNELS.find((known) => known === said.channel)
  if (channel === undefined) return { malformed: 'a hello names no channel that is known here' }
  const hello = { kind: 'hello', ...introduction, versionMin, versionMax, to, channel } as const
  if (address === undefined) return hello
  return isName(address) ? { ...hello, address } : { malformed: 'a hello has an address that is none' }
}

function readIntroduction(said: Record<string, unknown>): Introduction | Malformed {
  const { id, clusterId, storeId, nonce } = said
  if (!isServerId(id)) return { malformed: 'a handshake has no server id' }
  if (clusterId !== null && !isName(clusterId)) return { malformed: 'a handshake has no cluster id' }
  if (!isName(storeId)) return { malformed: 'a handshake has no store id' }
  if (!Number.isSafeInteger(nonce) || typeof nonce !== 'number') return { malformed: 'a handshake has no nonce' }
  return { id, clusterId, storeId, nonce }
}
