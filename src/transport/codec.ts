import { unreachable } from '../machines/invariant.js'
import type { AppendEntriesReply, Message, MessageType } from '../machines/messages.js'
import type { Checksum, SnapshotId } from '../machines/types.js'
import type { FrameFault } from './fault.js'
import {
  bodyOf,
  readAppendEntries,
  readChangeMembership,
  readChangeMembershipReply,
  readInstallSnapshot,
  readPropose,
  readSnapshotId,
  sealOf,
} from './frame-bodies.js'
import { packHeader, unpackHeader, type HeaderField } from './frame-header.js'
import { bytesOf, type FrameLimits } from './frame-limits.js'
import { HeaderReader } from './header-reader.js'
import { PROTOCOL_VERSIONS, versionOf } from './protocol-versions.js'

/**
 * A frame is one message in parts: the header [format, group, type, fields…], then the bytes of each run, or those of a
 * proposal or a piece of a snapshot, as they lie in memory, or what a header cannot hold. Runs carry their own checksums,
 * the checksum of any other part is in the header.
 */
const FRAME_FORMAT = 1

/** A type's place here is its number on the wire: append only. */
const TYPES: readonly MessageType[] = [
  'preVote',
  'preVoteReply',
  'requestVote',
  'requestVoteReply',
  'appendEntries',
  'appendEntriesReply',
  'heartbeat',
  'heartbeatReply',
  'timeoutNow',
  'readIndex',
  'readIndexReply',
  'propose',
  'proposeReply',
  'installSnapshot',
  'installSnapshotReply',
  'changeMembership',
  'changeMembershipReply',
  'notMember',
]
const TYPE_NUMBERS = new Map(TYPES.map((type, number) => [type, number]))
const REFUSALS = ['notLeader', 'busy'] as const
const OUTCOMES = ['more', 'installed', 'refused'] as const
const NO_PARTS: readonly Uint8Array[] = []

/** The parts of `message`'s frame. The header is new, the rest are the message's own bytes, uncopied. */
export function encodeMessage(message: Message, checksum: Checksum): Uint8Array[] {
  const body = bodyOf(message)
  const header: HeaderField[] = [FRAME_FORMAT, 0, TYPE_NUMBERS.get(message.type)!, message.term]
  writeFields(header, message, body, checksum)
  return [packHeader(header, checksum), ...body]
}

function writeFields(header: HeaderField[], message: Message, body: readonly Uint8Array[], checksum: Checksum): void {
  switch (message.type) {
    case 'preVote':
      header.push(message.lastLogIndex, message.lastLogTerm)
      return
    case 'requestVote':
      header.push(message.lastLogIndex, message.lastLogTerm, message.leadershipTransfer)
      return
    case 'preVoteReply':
    case 'requestVoteReply':
      header.push(message.granted)
      return
    case 'appendEntries':
      header.push(message.prevLogIndex, message.prevLogTerm, message.commitIndex, message.runs.length)
      return
    case 'appendEntriesReply':
      if (message.success) header.push(true, message.matchIndex)
      else header.push(false, message.prevLogIndex, message.conflictTerm, message.conflictIndex)
      return
    case 'heartbeat':
      header.push(message.round, message.commitIndex, message.promiseMs)
      return
    case 'heartbeatReply':
      header.push(message.round, message.lastLogIndex)
      return
    case 'timeoutNow':
      return
    case 'readIndex':
      header.push(message.nonce, message.id, message.lease)
      return
    case 'readIndexReply':
      header.push(message.nonce, message.id, message.index ?? null)
      return
    case 'propose':
      header.push(message.nonce, message.batch, message.count, checksum(message.bytes))
      return
    case 'proposeReply':
      header.push(message.nonce, message.batch, REFUSALS.indexOf(message.refused))
      return
    case 'installSnapshot':
      header.push(...fieldsOf(message.snapshot), message.offset, ...sealOf(body, checksum))
      return
    case 'installSnapshotReply':
      header.push(...fieldsOf(message.snapshot), OUTCOMES.indexOf(message.outcome), message.offset)
      return
    case 'changeMembership':
      header.push(message.nonce, message.id, ...sealOf(body, checksum))
      return
    case 'changeMembershipReply':
      header.push(message.nonce, message.id, message.index ?? null, ...sealOf(body, checksum))
      return
    case 'notMember':
      header.push(message.index)
      return
    default:
      unreachable(message)
  }
}

function fieldsOf({ index, term, byteLength, checksum }: SnapshotId): HeaderField[] {
  return [index, term, byteLength, checksum]
}

/**
 * Reads one frame, whatever the bytes: a valid message of the protocol `version`, or why it is none. Never throws. Runs,
 * proposals and pieces of snapshots are views of `parts`.
 */
export function decodeMessage(
  parts: readonly Uint8Array[],
  limits: FrameLimits,
  checksum: Checksum,
  version = PROTOCOL_VERSIONS.max,
): Message | FrameFault {
  const header = parts[0]
  if (header === undefined) return { malformed: 'a frame without a header', fault: 'length' }
  const bytes = bytesOf(parts)
  if (bytes > limits.frameBytesMax) {
    return { malformed: `a frame of ${bytes} bytes is longer than ${limits.frameBytesMax}`, fault: 'length' }
  }
  const fields = unpackHeader(header, checksum)
  if ('malformed' in fields) return { ...fields, fault: 'header' }
  const read = new HeaderReader(fields)
  const format = read.integer('frame format')
  if (format !== FRAME_FORMAT) {
    const malformed = `frame format ${format} is not known here (this version reads ${FRAME_FORMAT})`
    return { malformed, fault: 'format' }
  }
  const group = read.uint32('group')
  if (group !== 0) return { malformed: `group ${group} is not known here`, fault: 'group' }
  const number = read.integer('message type')
  const type = TYPES[number]
  if (type === undefined) return { malformed: `message type ${number} is not known here`, fault: 'type' }
  if (versionOf(type) > version) {
    return { malformed: `${type} is no message of protocol version ${version}`, fault: 'version' }
  }
  const body = parts.length === 1 ? NO_PARTS : parts.slice(1)
  const message = readMessage(type, read, body, limits, checksum)
  return read.fault === undefined ? message : { malformed: `${type}: ${read.fault}`, fault: type }
}

type BodilessType = Exclude<
  MessageType,
  'appendEntries' | 'propose' | 'installSnapshot' | 'changeMembership' | 'changeMembershipReply'
>

function readMessage(
  type: MessageType,
  read: HeaderReader,
  body: readonly Uint8Array[],
  limits: FrameLimits,
  checksum: Checksum,
): Message {
  switch (type) {
    case 'appendEntries':
      return readAppendEntries(read, body, limits, checksum)
    case 'propose':
      return readPropose(read, body, checksum)
    case 'installSnapshot':
      return readInstallSnapshot(read, body, checksum)
    case 'changeMembership':
      return readChangeMembership(read, body, checksum)
    case 'changeMembershipReply':
      return readChangeMembershipReply(read, body, checksum)
    default:
      if (body.length !== 0) read.refuse(`${body.length} parts too many`)
      return readBodiless(type, read)
  }
}

function readBodiless(type: BodilessType, read: HeaderReader): Message {
  // A reply may come from a server that has not seen its first term yet.
  const isReply = type.endsWith('Reply')
  const term = read.integer('term', isReply ? 0 : 1)
  switch (type) {
    case 'preVote': {
      const last = read.position('lastLog', term)
      return { type, term, lastLogIndex: last.index, lastLogTerm: last.term }
    }
    case 'requestVote': {
      const last = read.position('lastLog', term)
      const leadershipTransfer = read.boolean('leadershipTransfer')
      return { type, term, lastLogIndex: last.index, lastLogTerm: last.term, leadershipTransfer }
    }
    case 'preVoteReply':
    case 'requestVoteReply':
      return { type, term, granted: read.boolean('granted') }
    case 'appendEntriesReply':
      return readAppendEntriesReply(read, term)
    case 'heartbeat': {
      const round = read.integer('round')
      const commitIndex = read.integer('commitIndex')
      return { type, term, round, commitIndex, promiseMs: read.durationMs('promiseMs') }
    }
    case 'heartbeatReply':
      return { type, term, round: read.integer('round'), lastLogIndex: read.integer('lastLogIndex') }
    case 'timeoutNow':
      return { type, term }
    case 'readIndex':
      return { type, term, nonce: read.uint32('nonce'), id: read.integer('id'), lease: read.boolean('lease') }
    case 'readIndexReply':
      return { type, term, nonce: read.uint32('nonce'), id: read.integer('id'), index: read.optional('index') }
    case 'proposeReply': {
      const nonce = read.uint32('nonce')
      const batch = read.integer('batch')
      return { type, term, nonce, batch, refused: REFUSALS[read.integer('refused', 0, REFUSALS.length - 1)]! }
    }
    case 'installSnapshotReply': {
      const snapshot = readSnapshotId(read)
      const outcome = OUTCOMES[read.integer('outcome', 0, OUTCOMES.length - 1)]!
      return { type, term, snapshot, outcome, offset: read.integer('offset', 0, snapshot.byteLength) }
    }
    case 'notMember':
      return { type, term, index: read.integer('index') }
    default:
      return unreachable(type)
  }
}

function readAppendEntriesReply(read: HeaderReader, term: number): AppendEntriesReply {
  const type = 'appendEntriesReply'
  if (read.boolean('success')) return { type, term, success: true, matchIndex: read.integer('matchIndex') }
  return {
    type,
    term,
    success: false,
    prevLogIndex: read.integer('prevLogIndex'),
    conflictTerm: read.integer('conflictTerm'),
    conflictIndex: read.integer('conflictIndex', 1),
  }
}
