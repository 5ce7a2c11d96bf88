import { heardFrom } from './appending.js'
import { configurationAsOf, endOf, isHardStateDurable, respond, type RaftContext } from './context.js'
import { NO_EFFECTS, type PendingEffects, type Persist } from './effects.js'
import { leadershipOf } from './leadership.js'
import { replicateTo, withProgress } from './leading.js'
import { beginAnew, compact, runsBetween, termAt } from './log.js'
import type { Envelope, InstallSnapshot } from './messages.js'
import { accepted } from './progress.js'
import type { EventOf } from './setup.js'
import type { Boundary, LogIndex, ServerId, SnapshotId } from './types.js'

/**
 * Log compaction and InstallSnapshot (§7, thesis §5). The bytes of snapshots pass by on their way to and from whoever
 * keeps them; what they mean for the log is decided here.
 */

/** A piece of the leader's snapshot: kept, unless this server has come as far by itself. */
export function takePiece(
  context: RaftContext,
  from: ServerId,
  message: InstallSnapshot,
  now: number,
): Partial<RaftContext> {
  const heard = heardFrom(context, from, now, context.settings.electionTimeoutMs)
  const { snapshot } = message
  if (snapshot.index <= context.commitIndex) {
    return { ...heard, effects: respondInstalled(context, from, snapshot) }
  }
  return { ...heard, effects: { ...NO_EFFECTS, snapshots: [{ type: 'receive', from, message }] } }
}

/** What was kept of a snapshot shows nothing but this server's term. */
export function answerProgress(context: RaftContext, event: EventOf<'snapshotProgress'>): Partial<RaftContext> {
  const { to, snapshot, outcome, offset } = event
  const { term } = context.hardState
  const message = { type: 'installSnapshotReply', term, snapshot, outcome, offset } as const
  return { effects: respond(context, [{ to, message }]) }
}

/**
 * A whole snapshot, durable. Where the log has its last entry the log goes on as it is, now known to be committed so
 * far; otherwise both log and state begin anew after it. A server in another role has no need of it.
 */
export function installSnapshot(context: RaftContext, event: EventOf<'snapshotReceived'>): Partial<RaftContext> {
  const { from } = event
  const { id, boundary } = event.stored
  const { log, commitIndex } = context
  if (boundary.index <= commitIndex) return { effects: respondInstalled(context, from, id) }
  if (termAt(log, boundary.index) === boundary.term) {
    const commits = [{ index: boundary.index, runs: runsBetween(log, commitIndex, boundary.index) }]
    const next = { ...context, commitIndex: boundary.index }
    return { commitIndex: boundary.index, effects: { ...respondInstalled(next, from, id), commits } }
  }
  return beginAfter(context, from, id, boundary)
}

function beginAfter(context: RaftContext, from: ServerId, id: SnapshotId, boundary: Boundary): Partial<RaftContext> {
  const log = beginAnew(context.log, boundary)
  const oldest = context.log.boundary.index + 1
  const persist: Persist = {
    truncateFrom: context.log.lastIndex >= oldest ? oldest : undefined,
    runs: [],
    boundary,
    messages: [installedReply(context, from, id)],
    ...endOf(log),
  }
  return {
    log,
    configurations: [{ index: boundary.index, configuration: boundary.configuration }],
    commitIndex: boundary.index,
    // The snapshot's file is durable, and a restart would begin from it too.
    durable: { ...context.durable, index: boundary.index },
    contact: { ...context.contact, matchIndex: Math.max(context.contact.matchIndex, boundary.index) },
    effects: { ...NO_EFFECTS, persists: [persist], snapshots: [{ type: 'restore', id, boundary }] },
  }
}

/** The leader may count on entries up to the snapshot's end once they are durable here. */
function respondInstalled(context: RaftContext, to: ServerId, snapshot: SnapshotId): PendingEffects {
  const reply = installedReply(context, to, snapshot)
  if (isHardStateDurable(context) && snapshot.index <= context.durable.index) return respond(context, [reply])
  return { ...NO_EFFECTS, persists: [{ runs: [], messages: [reply], ...endOf(context.log) }] }
}

function installedReply({ hardState }: RaftContext, to: ServerId, snapshot: SnapshotId): Envelope {
  const { term } = hardState
  return { to, message: { type: 'installSnapshotReply', term, snapshot, outcome: 'installed', offset: 0 } }
}

/** Snapshots cover the log up to the end of a run that is durable here. */
export function compactLog(context: RaftContext, event: EventOf<'compactLog'>): Partial<RaftContext> {
  const { end } = event
  const { log, commitIndex, durable } = context
  const isPossible = end.index > log.boundary.index && end.index <= Math.min(commitIndex, durable.index)
  const configuration = isPossible ? configurationAsOf(context, end.index) : undefined
  // A server that joined does not know who ruled before it was a member.
  const isKnown = configuration !== undefined && configuration.voters.length > 0
  if (!isKnown || termAt(log, end.index) !== end.term) return { effects: NO_EFFECTS }
  const boundary: Boundary = { ...end, configuration }
  const compacted = compact(log, boundary)
  return {
    log: compacted,
    configurations: configurationsAfter(context, boundary),
    effects: { ...NO_EFFECTS, persists: [{ runs: [], boundary, messages: [], ...endOf(compacted) }] },
  }
}

function configurationsAfter({ configurations }: RaftContext, boundary: Boundary): RaftContext['configurations'] {
  // What ruled at the boundary keeps the index of its entry, by which servers that were left out are told.
  const kept = configurations.findLast(({ index }) => index <= boundary.index)
  const later = configurations.filter(({ index }) => index > boundary.index)
  return kept === undefined ? later : [kept, ...later]
}

/** A peer's word on the snapshot that it is sent. */
export function recordSnapshotReply(
  context: RaftContext,
  event: EventOf<'installSnapshotReply'>,
): Partial<RaftContext> {
  const { from, message, now } = event
  const before = leadershipOf(context).progress.get(from)
  if (before === undefined) return { effects: NO_EFFECTS }
  const snapshots = [{ type: 'streamReplied', peer: from, reply: message }] as const
  const effects: PendingEffects = { ...NO_EFFECTS, snapshots }
  const heard = { ...before, contactAt: now }
  const index: LogIndex = message.snapshot.index
  const isInstalled = message.outcome === 'installed' && index <= context.commitIndex
  if (before.mode !== 'snapshot' || !isInstalled) return { ...withProgress(context, from, heard), effects }
  const found = accepted({ ...heard, mode: 'probe' }, index, now)
  return replicateTo({ ...withProgress(context, from, found), effects }, from, now)
}
