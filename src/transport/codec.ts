import { decodeRun, faultOfCommands, type EntryRun, type Malformed } from '../machines/entry-run.js'
import { unreachable } from '../machines/invariant.js'
import type { AppendEntries, AppendEntriesReply, Message, MessageType, Propose } from '../machines/messages.js'
import type { Checksum } from '../machines/types.js'
import { packHeader, unpackHeader, type HeaderField } from './frame-header.js'
import { bytesOf, type FrameLimits } from './frame-limits.js'
import { HeaderReader } from './header-reader.js'

/**
 * A frame is one message in parts: the header [format, group, type, fields…], then the bytes of each run, or those of a
 * proposal, as they lie in memory. Runs carry their own checksums, a proposal's is in the header.
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
]
const TYPE_NUMBERS = new Map(TYPES.map((type, number) => [type, number]))
const REFUSALS = ['notLeader', 'busy'] as const
const NO_PARTS: readonly Uint8Array[] = []

/** The parts of `message`'s frame. The header is new, the rest are the message's own bytes, uncopied. */
export function encodeMessage(message: Message, checksum: Checksum): Uint8Array[] {
  const header: HeaderField[] = [FRAME_FORMAT, 0, TYPE_NUMBERS.get(message.type)!, message.term]
  writeFields(header, message, checksum)
  const parts = [packHeader(header, checksum)]
  if (message.type === 'appendEntries') for (const run of message.runs) parts.push(run.bytes)
  if (message.type === 'propose') parts.push(message.bytes)
  return parts
}

function writeFields(header: HeaderField[], message: Message, checksum: Checksum): void {
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
    default:
      unreachable(message)
  }
}

/**
 * Reads one frame, whatever the bytes: a valid message, or why it is none. Never throws. Runs and proposals are views
 * of `parts`.
 */
export function decodeMessage(
  parts: readonly Uint8Array[],
  limits: FrameLimits,
  checksum: Checksum,
): Message | Malformed {
  const header = parts[0]
  if (header === undefined) return { malformed: 'a frame without a header' }
  const bytes = bytesOf(parts)
  if (bytes > limits.frameBytesMax) {
    return { malformed: `a frame of ${bytes} bytes is longer than ${limits.frameBytesMax}` }
  }
  const fields = unpackHeader(header, checksum)
  if ('malformed' in fields) return fields
  const read = new HeaderReader(fields)
  const format = read.integer('frame format')
  if (format !== FRAME_FORMAT) {
    return { malformed: `frame format ${format} is not known here (this version reads ${FRAME_FORMAT})` }
  }
  const group = read.uint32('group')
  if (group !== 0) return { malformed: `group ${group} is not known here` }
  const number = read.integer('message type')
  const type = TYPES[number]
  if (type === undefined) return { malformed: `message type ${number} is not known here` }
  const body = parts.length === 1 ? NO_PARTS : parts.slice(1)
  const message = readMessage(type, read, body, limits, checksum)
  return read.fault === undefined ? message : { malformed: `${type}: ${read.fault}` }
}

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
    default:
      if (body.length !== 0) read.refuse(`${body.length} parts too many`)
      return readBodiless(type, read)
  }
}

function readBodiless(type: Exclude<MessageType, 'appendEntries' | 'propose'>, read: HeaderReader): Message {
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

function readAppendEntries(
  read: HeaderReader,
  body: readonly Uint8Array[],
  limits: FrameLimits,
  checksum: Checksum,
): AppendEntries {
  const term = read.integer('term', 1)
  const prev = read.position('prevLog', term)
  const commitIndex = read.integer('commitIndex')
  const count = read.integer('number of runs', 0, limits.runsMax)
  if (count !== body.length) read.refuse(`${count} runs in ${body.length} parts`)
  const runs: EntryRun[] = []
  for (let at = 0; at < body.length && read.fault === undefined; at++) {
    const run = decodeRun(body[at]!, checksum)
    if ('malformed' in run) read.refuse(run.malformed)
    else {
      const fault = faultOfPlace(run, runs[at - 1], prev, term)
      if (fault !== undefined) read.refuse(fault)
      runs.push(run)
    }
  }
  return { type: 'appendEntries', term, prevLogIndex: prev.index, prevLogTerm: prev.term, commitIndex, runs }
}

/** Why `run` cannot follow `previous`, or the entry at prevLogIndex, in a message of `term`. */
function faultOfPlace(
  run: EntryRun,
  previous: EntryRun | undefined,
  prev: { readonly index: number; readonly term: number },
  term: number,
): string | undefined {
  const expected = (previous?.lastIndex ?? prev.index) + 1
  if (run.firstIndex !== expected) return `a run begins at ${run.firstIndex} where ${expected} comes next`
  const termMin = previous?.term ?? prev.term
  if (run.term < termMin) return `a run of term ${run.term} after one of term ${termMin}`
  if (run.term > term) return `a run of term ${run.term} in a message of term ${term}`
  if (previous !== undefined && run.previousChecksum !== previous.checksum) {
    return `the run at ${run.firstIndex} is not chained to the run before it`
  }
  return undefined
}

function readPropose(read: HeaderReader, body: readonly Uint8Array[], checksum: Checksum): Propose {
  const term = read.integer('term', 1)
  const nonce = read.uint32('nonce')
  const batch = read.integer('batch')
  const count = read.uint32('count', 1)
  const sum = read.uint32('checksum')
  const bytes = body[0] ?? new Uint8Array()
  if (body.length !== 1) read.refuse(`a proposal in ${body.length} parts`)
  else if (read.fault === undefined) {
    const fault = sum === checksum(bytes) ? faultOfCommands(bytes, count) : 'a proposal does not match its checksum'
    if (fault !== undefined) read.refuse(fault)
  }
  return { type: 'propose', term, nonce, batch, count, bytes }
}
