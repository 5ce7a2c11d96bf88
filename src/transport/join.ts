import type { Malformed } from '../machines/entry-run.js'
import type { EntryPlace } from '../machines/types.js'
import type { HelloFault } from './fault.js'
import { isName, isUint32, objectOf, parseObject, printable, readList, readMember } from './json-fields.js'
import type { JoinAnswer, JoinRequest, TransportIdentity } from './ports.js'
import { agreedVersion, faultOfVersions, JOIN_VERSION, type ProtocolVersions } from './protocol-versions.js'

/**
 * A server that is no member yet cannot greet its peers: they do not know it. It opens a connection, says `Join` in
 * place of a hello, is answered once, and the connection ends.
 */
export interface Join extends JoinRequest {
  readonly kind: 'join'
  readonly versionMin: number
  readonly versionMax: number
}

/** Between asking and an answer: a change of membership takes a few round trips and syncs. */
export const JOIN_TIMEOUT_MS = 10_000
/** Far above 1,024 members with long names. */
export const JOIN_ANSWER_BYTES_MAX = 4 * 1024 * 1024

function isCount(said: unknown): said is number {
  return typeof said === 'number' && Number.isSafeInteger(said) && said >= 0
}

function readEntryPlace(said: unknown): EntryPlace | undefined {
  const { index, term } = objectOf(said) ?? {}
  return isCount(index) && isCount(term) ? { index, term } : undefined
}

/** The words in which a server that speaks `versions` asks, or undefined when none of them knows of joining. */
export function joinOf(
  { clusterId, member, isMember, isMoving }: JoinRequest,
  versions: ProtocolVersions,
): Join | undefined {
  const { id, address, storeId, promotable } = member
  if (versions.max < JOIN_VERSION) return undefined
  return {
    kind: 'join',
    versionMin: Math.max(versions.min, JOIN_VERSION),
    versionMax: versions.max,
    clusterId,
    ...(isMember === true && { isMember }),
    ...(isMoving === true && { isMoving }),
    member: { id, address, ...(storeId !== undefined && { storeId }), ...(promotable !== undefined && { promotable }) },
  }
}

/** The version in which the server `own` answers, or why it must refuse without asking anybody. */
export function judgeJoin(join: Join, own: TransportIdentity, versions: ProtocolVersions): number | HelloFault {
  const version = agreedVersion(versions, { min: join.versionMin, max: join.versionMax })
  if (version === undefined) return { malformed: faultOfVersions(versions, join), fault: 'version' }
  if (version < JOIN_VERSION) return { malformed: `protocol version ${version} knows of no joining`, fault: 'version' }
  const { clusterId, member } = join
  if (clusterId !== null && own.clusterId !== undefined && clusterId !== own.clusterId) {
    const malformed = `server ${member.id} belongs to cluster ${clusterId}, server ${own.id} to ${own.clusterId}`
    return { malformed, fault: 'cluster' }
  }
  return version
}

/** Reads what a stranger said, an object of the kind `join`. */
export function readJoin(said: Record<string, unknown>): Join | Malformed {
  const { versionMin, versionMax, clusterId } = said
  if (!isUint32(versionMin) || !isUint32(versionMax) || versionMin > versionMax) {
    return { malformed: 'a wish to join has no range of versions' }
  }
  if (clusterId !== null && !isName(clusterId)) return { malformed: 'a wish to join has no cluster id' }
  const member = readMember(said.member)
  if (member === undefined) return { malformed: 'a wish to join does not say who would be the member' }
  return { kind: 'join', versionMin, versionMax, ...wishOf({ clusterId, member }, said) }
}

/** What was asked, without the words around it. */
export function requestOf({ clusterId, member, ...said }: Join): JoinRequest {
  return wishOf({ clusterId, member }, said)
}

function wishOf(
  asker: Pick<JoinRequest, 'clusterId' | 'member'>,
  { isMember, isMoving }: { readonly isMember?: unknown; readonly isMoving?: unknown },
): JoinRequest {
  return { ...asker, ...(isMember === true && { isMember }), ...(isMoving === true && { isMoving }) }
}

export function encodeJoinAnswer(answer: JoinAnswer, version: number): string {
  // What a hello would be refused with, so that a server of any version understands it.
  if (answer.kind === 'refused') {
    const { reason, removedBy } = answer
    return JSON.stringify({ kind: 'refusal', reason: printable(reason), removedBy })
  }
  return JSON.stringify({ version, ...answer })
}

/** Reads an answer. Never throws. */
export function decodeJoinAnswer(text: string, versions: ProtocolVersions): JoinAnswer | Malformed {
  const said = parseObject(text)
  if (said === undefined) return { malformed: 'its answer is not a JSON object' }
  const { kind, version, reason, address, clusterId } = said
  if (kind === 'refusal' && typeof reason === 'string') {
    const { removedBy } = said
    return { kind: 'refused', reason: printable(reason), ...(isCount(removedBy) && { removedBy }) }
  }
  if (!isUint32(version) || version < JOIN_VERSION || version > versions.max) {
    return { malformed: `its answer is in protocol version ${printable(String(version))}, not spoken here` }
  }
  if (kind === 'redirect' && isName(address)) return { kind, address }
  const members = readList(said.members, readMember)
  if (kind === 'accepted' && members !== undefined && (clusterId === null || isName(clusterId))) {
    const asOf = readEntryPlace(said.asOf)
    return { kind, clusterId, members, ...(asOf && { asOf }) }
  }
  return { malformed: 'its answer neither accepts nor redirects nor refuses' }
}
