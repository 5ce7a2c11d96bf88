import { unreachable } from '../machines/invariant.js'
import type { MessageType } from '../machines/messages.js'
import type { ServerId } from '../machines/types.js'

/**
 * Version 1: elections, log, reads and proposals, on the channels control and log. Version 2 adds snapshots with a
 * channel of their own, membership changes and joining. Two servers speak the highest version that both know.
 */
export interface ProtocolVersions {
  readonly min: number
  readonly max: number
}

export const PROTOCOL_VERSIONS: ProtocolVersions = { min: 1, max: 2 }
/** The first version in which a server that is no member can ask to become one. */
export const JOIN_VERSION = 2
/** The first version with a channel for snapshots. */
export const SNAPSHOT_VERSION = 2

/** The version that both sides speak, or undefined when there is none. */
export function agreedVersion(own: ProtocolVersions, other: ProtocolVersions): number | undefined {
  const version = Math.min(own.max, other.max)
  return version >= Math.max(own.min, other.min) ? version : undefined
}

export function faultOfVersions(
  own: ProtocolVersions,
  said: { readonly versionMin: number; readonly versionMax: number },
): string {
  const { versionMin, versionMax } = said
  return `protocol versions ${versionMin} to ${versionMax} include none of ${own.min} to ${own.max}, spoken here`
}

/** To a person, when messages cannot be sent to server `id` because it speaks too old a `version`. */
export function faultOfAge(id: ServerId, version: number): string {
  return `server ${id} speaks protocol version ${version}: what that version does not know, such as snapshots and changes of membership, is not sent to it until it is upgraded`
}

/** The first version that knows messages of this type; to a peer of an earlier one they are not sent. */
export function versionOf(type: MessageType): number {
  switch (type) {
    case 'preVote':
    case 'preVoteReply':
    case 'requestVote':
    case 'requestVoteReply':
    case 'appendEntries':
    case 'appendEntriesReply':
    case 'heartbeat':
    case 'heartbeatReply':
    case 'timeoutNow':
    case 'readIndex':
    case 'readIndexReply':
    case 'propose':
    case 'proposeReply':
      return 1
    case 'installSnapshot':
    case 'installSnapshotReply':
    case 'changeMembership':
    case 'changeMembershipReply':
    case 'notMember':
      return 2
    default:
      return unreachable(type)
  }
}
