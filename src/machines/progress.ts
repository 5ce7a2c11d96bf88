import type { EntryRun } from './entry-run.js'
import { firstIndexInMemory, firstIndexOfTermAt, lastIndexOfTermAtMost, runsInMemory, termAt, type Log } from './log.js'
import { invariant } from './invariant.js'
import type { AppendEntries, AppendEntriesRejected } from './messages.js'
import type { RaftSettings } from './context.js'
import type { LogIndex, ServerId, Term } from './types.js'

/** What a leader knows of one peer, and how it sends to it. */
export interface Progress {
  /** Monotonic while the peer runs: durably the same as the leader's log up to here. */
  readonly matchIndex: LogIndex
  /** Where the next AppendEntries begins. */
  readonly nextIndex: LogIndex
  /**
   * `probe`: one message at a time, until the peer's end is found. `replicate`: a window of messages, each taken for
   * granted. `fetch`: waits for entries from disk. `snapshot`: is sent a snapshot, since what it needs is compacted.
   * `down`: nothing is sent until the transport reports the peer up.
   */
  readonly mode: 'probe' | 'replicate' | 'fetch' | 'snapshot' | 'down'
  /** Sent and not answered, oldest first. */
  readonly inflight: readonly Inflight[]
  readonly inflightBytes: number
  /** When the oldest of those was sent, or an older one answered. */
  readonly waitingSince: number
  /** When the peer was last heard in this term. */
  readonly contactAt: number
  /** The newest heartbeat round it has answered, and when that was sent. */
  readonly confirmedRound: number
  readonly confirmedSentAt: number
  /** Of the peer's present incarnation, once the transport has told. */
  readonly nonce: number | undefined
  /** The commitIndex it was last told. */
  readonly toldCommit: LogIndex
  /** After entries from disk. */
  readonly rest: Rest
}

/** How long a peer that gets entries from disk waits for more, while clients write: until either has come. */
export interface Rest {
  readonly until: number
  /** The end of the log. */
  readonly untilIndex: LogIndex
}

const NO_REST: Rest = { until: -Infinity, untilIndex: 0 }

/** What a peer gets from disk while clients write, in bytes a millisecond: 16 MiB/s. */
const FETCHED_BYTES_PER_MS = (16 * 1024 * 1024) / 1000
/** Of entries from disk to new ones, at least: so a peer comes nearer, whatever clients write. */
const FETCHED_RATIO = 2

export interface Inflight {
  readonly lastIndex: LogIndex
  readonly byteLength: number
}

/** The progress of each peer, as a copy to change: `new Map(all)` makes an array of every entry on its way. */
export function copyOfProgress(all: ReadonlyMap<ServerId, Progress>): Map<ServerId, Progress> {
  const copy = new Map<ServerId, Progress>()
  all.forEach((progress, peer) => copy.set(peer, progress))
  return copy
}

/** Progress with some of its fields replaced. Written out for the reason that `amended` gives. */
export function progressWith(progress: Progress, changes: Partial<Progress>): Progress {
  return {
    matchIndex: changes.matchIndex ?? progress.matchIndex,
    nextIndex: changes.nextIndex ?? progress.nextIndex,
    mode: changes.mode ?? progress.mode,
    inflight: changes.inflight ?? progress.inflight,
    inflightBytes: changes.inflightBytes ?? progress.inflightBytes,
    waitingSince: changes.waitingSince ?? progress.waitingSince,
    contactAt: changes.contactAt ?? progress.contactAt,
    confirmedRound: changes.confirmedRound ?? progress.confirmedRound,
    confirmedSentAt: changes.confirmedSentAt ?? progress.confirmedSentAt,
    nonce: changes.nonce ?? progress.nonce,
    toldCommit: changes.toldCommit ?? progress.toldCommit,
    rest: changes.rest ?? progress.rest,
  }
}

/** A peer as a new leader sees it (§5.3: nextIndex starts at the end of the log). */
export function newProgress(nextIndex: LogIndex, now: number): Progress {
  return {
    matchIndex: 0,
    nextIndex,
    mode: 'probe',
    inflight: [],
    inflightBytes: 0,
    waitingSince: now,
    contactAt: now,
    confirmedRound: 0,
    confirmedSentAt: -Infinity,
    nonce: undefined,
    toldCommit: 0,
    rest: NO_REST,
  }
}

/**
 * Whether a peer is connected and was heard of late: within twice the election timeout, for a server that was itself held
 * up a moment ago and has answers yet to read. A new leader, and one with a new peer, waits for it as long.
 */
export function isWithinReach({ mode, contactAt }: Progress, settings: RaftSettings, now: number): boolean {
  return mode !== 'down' && now - contactAt <= 2 * settings.electionTimeoutMs
}

/** What to do next for one peer. */
export interface Sending {
  readonly progress: Progress
  readonly messages: readonly AppendEntries[]
  /** Entries that must be read from disk first. */
  readonly fetchFrom: LogIndex | undefined
  /** True when what the peer needs next is compacted. */
  readonly needsSnapshot: boolean
}

/** Sends what the peer lacks, as far as its window allows. A probe is sent even when there is nothing new. */
export function sendAppends(
  progress: Progress,
  log: Log,
  term: Term,
  commitIndex: LogIndex,
  settings: RaftSettings,
  now: number,
): Sending {
  const messages: AppendEntries[] = []
  let current = progress
  while (mayAppend(current, log, settings)) {
    if (current.nextIndex <= log.boundary.index) {
      return {
        progress: progressWith(current, { mode: 'snapshot' }),
        messages,
        fetchFrom: undefined,
        needsSnapshot: true,
      }
    }
    const isEmptyProbe = current.nextIndex > log.lastIndex
    const runs = isEmptyProbe ? [] : runsInMemory(log, current.nextIndex, settings.appendBytesMax)
    if (runs === undefined) {
      const fetchFrom = current.nextIndex
      return { progress: progressWith(current, { mode: 'fetch' }), messages, fetchFrom, needsSnapshot: false }
    }
    const message = appendMessage(log, current.nextIndex, runs, term, commitIndex)
    if (message === undefined) break
    messages.push(message)
    current = withInflight(current, message, now)
  }
  return { progress: current, messages, fetchFrom: undefined, needsSnapshot: false }
}

function mayAppend(progress: Progress, log: Log, settings: RaftSettings): boolean {
  switch (progress.mode) {
    case 'fetch':
    case 'snapshot':
    case 'down':
      return false
    case 'probe':
      return progress.inflight.length === 0
    case 'replicate':
      return (
        progress.nextIndex <= log.lastIndex &&
        progress.inflight.length < settings.inflightAppendsMax &&
        progress.inflightBytes < settings.inflightBytesMax
      )
  }
}

/** An AppendEntries with whole runs, so that it may begin before `nextIndex`; undefined where that is compacted. */
export function appendMessage(
  log: Log,
  nextIndex: LogIndex,
  runs: readonly EntryRun[],
  term: Term,
  commitIndex: LogIndex,
): AppendEntries | undefined {
  const prevLogIndex = (runs[0]?.firstIndex ?? nextIndex) - 1
  const prevLogTerm = termAt(log, prevLogIndex)
  if (prevLogTerm === undefined) return undefined
  return { type: 'appendEntries', term, prevLogIndex, prevLogTerm, commitIndex, runs }
}

/** Takes a message for sent. */
export function withInflight(progress: Progress, message: AppendEntries, now: number): Progress {
  const lastIndex = message.runs.at(-1)?.lastIndex ?? message.prevLogIndex
  const byteLength = message.runs.reduce((sum, run) => sum + run.bytes.length, 0)
  return progressWith(progress, {
    // A probe is not taken for granted: its nextIndex moves with the answer.
    nextIndex: (progress.mode === 'replicate' ? lastIndex : Math.max(progress.matchIndex, message.prevLogIndex)) + 1,
    inflight: [...progress.inflight, { lastIndex, byteLength }],
    waitingSince: progress.inflight.length === 0 ? now : progress.waitingSince,
    inflightBytes: progress.inflightBytes + byteLength,
    toldCommit: Math.max(progress.toldCommit, message.commitIndex),
  })
}

/** Takes entries that came from disk for sent. They are a probe, so that there is one such message at a time. */
export function withFetched(progress: Progress, message: AppendEntries, log: Log, now: number): Progress {
  const sent = withInflight(progressWith(progress, { mode: 'probe' }), message, now)
  const lastIndex = message.runs.at(-1)?.lastIndex ?? message.prevLogIndex
  const until = now + sent.inflightBytes / FETCHED_BYTES_PER_MS
  const untilIndex = log.lastIndex + (lastIndex - message.prevLogIndex) / FETCHED_RATIO
  return progressWith(sent, { rest: { until, untilIndex } })
}

/** True while a peer that needs entries from disk is to wait for them, if anybody writes. */
export function isResting({ rest, nextIndex }: Progress, log: Log, now: number): boolean {
  return now < rest.until && log.lastIndex < rest.untilIndex && nextIndex < firstIndexInMemory(log)
}

/**
 * The peer's log matches up to `matchIndex`: its window moves on, and a probe has found what it sought, be it by a late
 * answer to what was sent before it. What follows is sent from there: the probe itself may be lost.
 */
export function accepted(progress: Progress, matchIndex: LogIndex, now: number): Progress {
  const match = Math.max(progress.matchIndex, matchIndex)
  const inflight = progress.mode === 'probe' ? [] : progress.inflight.filter((sent) => sent.lastIndex > match)
  // Entries that are being read from disk for it, or a snapshot, are no longer what it needs when it has come beyond them.
  const isWaiting = progress.mode === 'fetch' || progress.mode === 'snapshot'
  const isFound = progress.mode === 'probe' || (isWaiting && match >= progress.nextIndex)
  return progressWith(progress, {
    matchIndex: match,
    nextIndex: progress.mode === 'probe' ? match + 1 : Math.max(progress.nextIndex, match + 1),
    mode: isFound ? 'replicate' : progress.mode,
    inflight,
    waitingSince: match > progress.matchIndex ? now : progress.waitingSince,
    inflightBytes: inflight.reduce((sum, sent) => sum + sent.byteLength, 0),
  })
}

/**
 * The peer's log does not match at the message's prevLogIndex: back to probing, from the end of the conflicting term in
 * our log or from the peer's hint (the fast backtracking of the paper's §5.3). Stale rejections change nothing.
 */
export function rejected(progress: Progress, reply: AppendEntriesRejected, log: Log): Progress {
  const isStale =
    reply.prevLogIndex <= progress.matchIndex ||
    (progress.mode === 'probe' && reply.prevLogIndex !== progress.nextIndex - 1) ||
    reply.prevLogIndex >= progress.nextIndex
  if (isStale || progress.mode === 'down' || progress.mode === 'snapshot') return progress
  return probing(progressWith(progress, { nextIndex: nextAfterRejection(reply, log) }))
}

function nextAfterRejection(reply: AppendEntriesRejected, log: Log): LogIndex {
  const shorter = Math.min(reply.conflictIndex, reply.prevLogIndex)
  if (reply.conflictTerm === 0) return shorter
  const last = lastIndexOfTermAtMost(log, reply.conflictTerm)
  // Where we have entries of that term too, the logs may agree up to our last one of it.
  return last < reply.prevLogIndex && termAt(log, last) === reply.conflictTerm ? last + 1 : shorter
}

/** What a follower answers where its log does not match at `prevLogIndex`. */
export function conflictAt(log: Log, prevLogIndex: LogIndex): { conflictTerm: Term; conflictIndex: LogIndex } {
  if (prevLogIndex > log.lastIndex) return { conflictTerm: 0, conflictIndex: log.lastIndex + 1 }
  const conflictTerm = termAt(log, prevLogIndex)
  invariant(conflictTerm !== undefined, 'a compacted entry is committed and cannot conflict', prevLogIndex)
  return { conflictTerm, conflictIndex: firstIndexOfTermAt(log, prevLogIndex) }
}

/** Back to one message at a time from where the peer is known to match; what was in flight is taken for lost. */
export function probing(progress: Progress): Progress {
  return progressWith(progress, {
    mode: 'probe',
    nextIndex: Math.max(progress.matchIndex + 1, progress.nextIndex),
    inflight: [],
    inflightBytes: 0,
  })
}

/** Starts again from what is known to match; a probe, which knows of no match yet, from the same place. */
function resend(progress: Progress): Progress {
  const nextIndex = progress.mode === 'probe' ? progress.nextIndex : progress.matchIndex + 1
  return probing(progressWith(progress, { nextIndex }))
}

/**
 * The peer answers heartbeats but has for long matched nothing more of what was sent: that, or its answer, was lost.
 * Heartbeats overtake appends, so a slow link is given time.
 */
export function resendIfLost(progress: Progress, settings: RaftSettings, now: number): Progress {
  const isLost = progress.inflight.length > 0 && now - progress.waitingSince > settings.electionTimeoutMs / 2
  return isLost ? resend(progress) : progress
}

/** The transport could not take all that was sent: a probe, but not before the peer has answered a heartbeat. */
export function dropped(progress: Progress, now: number): Progress {
  if (progress.mode !== 'probe' && progress.mode !== 'replicate') return progress
  const inflight = [{ lastIndex: progress.matchIndex, byteLength: 0 }]
  return progressWith(resend(progress), { inflight, waitingSince: now })
}

/** The peer is reachable. After a restart it may, in mem-first mode, have less than it had answered for. */
export function connected(progress: Progress, nonce: number): Progress {
  const matchIndex = progress.nonce === nonce ? progress.matchIndex : 0
  return progressWith(probing(progressWith(progress, { matchIndex })), { nonce })
}

export function disconnected(progress: Progress): Progress {
  return progressWith(probing(progress), { mode: 'down' })
}
