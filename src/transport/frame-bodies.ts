import { decodeRun, faultOfCommands, type EntryRun } from '../machines/entry-run.js'
import type {
  AppendEntries,
  ChangeMembership,
  ChangeMembershipReply,
  InstallSnapshot,
  MembershipChange,
  Message,
  Propose,
} from '../machines/messages.js'
import type { Checksum, SnapshotId, Term } from '../machines/types.js'
import type { HeaderField } from './frame-header.js'
import type { FrameLimits } from './frame-limits.js'
import type { HeaderReader } from './header-reader.js'
import { printable } from './json-fields.js'
import { decodeChange, encodeChange } from './membership-change.js'

/** The messages whose frames have more than a header: their bodies written and, whatever the bytes, read. */

const NO_PARTS: readonly Uint8Array[] = []
const NO_BYTES = new Uint8Array()
const NO_CHANGE: MembershipChange = { learners: [], promote: [], remove: [], addresses: [], force: false }

/** What follows the header. A part of no bytes would get lost on the way: it is left out. */
export function bodyOf(message: Message): readonly Uint8Array[] {
  switch (message.type) {
    case 'appendEntries':
      return message.runs.map((run) => run.bytes)
    case 'propose':
      return [message.bytes]
    case 'installSnapshot':
      return message.bytes.length === 0 ? NO_PARTS : [message.bytes]
    case 'changeMembership':
      return [encodeChange(message.change)]
    case 'changeMembershipReply':
      return message.refusal === '' ? NO_PARTS : [new TextEncoder().encode(printable(message.refusal))]
    default:
      return NO_PARTS
  }
}

/** Length and checksum of a body of at most one part, so that none can be lost or added unnoticed. */
export function sealOf(body: readonly Uint8Array[], checksum: Checksum): HeaderField[] {
  const bytes = body[0] ?? NO_BYTES
  return [bytes.length, checksum(bytes)]
}

export function readAppendEntries(
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

export function readPropose(read: HeaderReader, body: readonly Uint8Array[], checksum: Checksum): Propose {
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

export function readInstallSnapshot(
  read: HeaderReader,
  body: readonly Uint8Array[],
  checksum: Checksum,
): InstallSnapshot {
  const term = read.integer('term', 1)
  const snapshot = readSnapshotId(read, term)
  const offset = read.integer('offset', 0, snapshot.byteLength)
  const bytes = readSealed(read, body, checksum)
  if (bytes.length > snapshot.byteLength - offset) {
    read.refuse(`${bytes.length} bytes from ${offset} on are more than the ${snapshot.byteLength} of the snapshot`)
  }
  return { type: 'installSnapshot', term, snapshot, offset, bytes }
}

export function readSnapshotId(read: HeaderReader, termMax: Term = Number.MAX_SAFE_INTEGER): SnapshotId {
  return {
    index: read.integer('snapshot index', 1),
    term: read.integer('snapshot term', 1, termMax),
    byteLength: read.integer('snapshot byteLength', 1),
    checksum: read.uint32('snapshot checksum'),
  }
}

export function readChangeMembership(
  read: HeaderReader,
  body: readonly Uint8Array[],
  checksum: Checksum,
): ChangeMembership {
  const term = read.integer('term', 1)
  const nonce = read.uint32('nonce')
  const id = read.integer('id')
  const bytes = readSealed(read, body, checksum)
  const change = read.fault === undefined ? decodeChange(bytes) : NO_CHANGE
  if (!('malformed' in change)) return { type: 'changeMembership', term, nonce, id, change }
  read.refuse(change.malformed)
  return { type: 'changeMembership', term, nonce, id, change: NO_CHANGE }
}

export function readChangeMembershipReply(
  read: HeaderReader,
  body: readonly Uint8Array[],
  checksum: Checksum,
): ChangeMembershipReply {
  const term = read.integer('term')
  const nonce = read.uint32('nonce')
  const id = read.integer('id')
  const index = read.optional('index')
  const refusal = printable(new TextDecoder().decode(readSealed(read, body, checksum)))
  return { type: 'changeMembershipReply', term, nonce, id, index, refusal }
}

/** The one part of a body, or no bytes where the header says that there is none. */
function readSealed(read: HeaderReader, body: readonly Uint8Array[], checksum: Checksum): Uint8Array {
  const length = read.integer('length of the body')
  const sum = read.uint32('checksum of the body')
  const bytes = body[0] ?? NO_BYTES
  if (body.length !== (length === 0 ? 0 : 1)) read.refuse(`a body of ${length} bytes in ${body.length} parts`)
  else if (bytes.length !== length) read.refuse(`a body of ${bytes.length} bytes, not ${length}`)
  else if (sum !== checksum(bytes)) read.refuse('its body does not match its checksum')
  return bytes
}
