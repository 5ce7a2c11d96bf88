import { amended, configurationOf, latestConfiguration, type RaftContext } from './context.js'
import { NO_EFFECTS, type Answer } from './effects.js'
import {
  advanceCommit,
  appendAndReplicate,
  leadershipOf,
  leadershipWith,
  noticeCommits,
  replicate,
  sentAtOf,
  type Leadership,
  type RunDraft,
} from './leadership.js'
import { APPEND_RUNS_MAX, firstIndexInMemory } from './log.js'
import { recordPersisted } from './appending.js'
import {
  accepted,
  appendMessage,
  connected,
  copyOfProgress,
  disconnected,
  dropped,
  isWithinReach,
  probing,
  progressWith,
  rejected,
  resendIfLost,
  withFetched,
  type Progress,
} from './progress.js'
import { isJoint, isVoter, quorumValue } from './quorum.js'
import { releaseReads } from './reads.js'
import type { EventOf } from './setup.js'
import type { ServerId } from './types.js'

/** What a leader does with each event. */

/** Client requests (§5.3): append, and replicate at once. */
export function appendProposals(context: RaftContext, event: EventOf<'proposals'>): Partial<RaftContext> {
  const drafts: RunDraft[] = event.batches.map(({ batch, nonce, count, bytes }) => ({
    kind: 'command',
    count,
    bytes,
    origin: { server: context.id, nonce, batch },
  }))
  return appendAndReplicate(context, drafts, event)
}

/** No new entries while leadership is handed over (thesis §3.10); the proposals wait for the next leader. */
export function refuseProposals({ batches }: EventOf<'proposals'>): Partial<RaftContext> {
  const answers = batches.map(({ nonce, batch }): Answer => ({
    type: 'proposalsRefused',
    nonce,
    batch,
    reason: 'transferring',
  }))
  return { effects: { ...NO_EFFECTS, answers } }
}

export function recordAppendReply(context: RaftContext, event: EventOf<'appendEntriesReply'>): Partial<RaftContext> {
  const { from, message, now } = event
  const before = leadershipOf(context).progress.get(from)
  if (before === undefined) return { effects: NO_EFFECTS }
  if (message.success && message.matchIndex > context.log.lastIndex) {
    const text = `server ${from} says it matches entry ${message.matchIndex}, beyond the log's end at ${context.log.lastIndex}`
    return { effects: { ...NO_EFFECTS, notices: [text] } }
  }
  const after = message.success ? accepted(before, message.matchIndex, now) : rejected(before, message, context.log)
  const heard = withProgress(context, from, progressWith(after, { contactAt: now }))
  return replicateTo(advanceCommit(heard, NO_EFFECTS), from, now)
}

/** An answered heartbeat confirms that this server led when the round was sent: contact, lease and reads. */
export function recordHeartbeatReply(context: RaftContext, event: EventOf<'heartbeatReply'>): Partial<RaftContext> {
  const { from, message, now } = event
  const leadership = leadershipOf(context)
  const before = leadership.progress.get(from)
  if (before === undefined || message.round > leadership.round) return { effects: NO_EFFECTS }
  const sentAt = sentAtOf(leadership.sentRounds, message.round)
  const after = progressWith(resendIfLost(before, context.settings, now), {
    contactAt: now,
    confirmedRound: Math.max(before.confirmedRound, message.round),
    confirmedSentAt: Math.max(before.confirmedSentAt, sentAt),
  })
  const heard = renewLease(withProgress(amended(context, { effects: NO_EFFECTS }), from, after))
  return releaseReads(replicateTo(heard, from, now), now)
}

/** The lease lasts from the quorum-th newest confirmed sending, for what was promised less the drift (thesis §6.4.1). */
export function renewLease(context: RaftContext): RaftContext {
  const leadership = leadershipOf(context)
  const sentAt = quorumValue(configurationOf(context), (id) =>
    id === context.id ? Infinity : (leadership.progress.get(id)?.confirmedSentAt ?? -Infinity),
  )
  const lease = { until: sentAt + context.settings.leaseMs, isGivenUp: leadership.lease.isGivenUp }
  return amended(context, { leadership: leadershipWith(leadership, { lease }) })
}

/** The leader's own write counts once it is durable (thesis §10.2.1). */
export function recordOwnWrite(context: RaftContext, event: EventOf<'persisted'>): Partial<RaftContext> {
  const recorded = renewLeaseAlone(recordPersisted(context, event))
  return noticeCommits(advanceCommit(recorded, NO_EFFECTS))
}

function renewLeaseAlone(context: RaftContext): RaftContext {
  return leadershipOf(context).progress.size === 0 ? renewLease(context) : context
}

/** Entries came from disk for a peer that is far behind. */
export function sendRead(context: RaftContext, event: EventOf<'entriesRead'>): Partial<RaftContext> {
  const { peer, runs } = event
  const { log, hardState, commitIndex } = context
  const progress = leadershipOf(context).progress.get(peer)
  const isCurrent = event.term === hardState.term && event.truncations === log.truncations
  if (!isCurrent || progress?.mode !== 'fetch') return { effects: NO_EFFECTS }
  const { nextIndex } = progress
  // What is in memory is taken from there: on disk a truncation of what it replaced may still be on its way.
  const sendable = runs.filter(({ lastIndex }) => lastIndex >= nextIndex && lastIndex < firstIndexInMemory(log))
  const message = appendMessage(log, nextIndex, sendable.slice(0, APPEND_RUNS_MAX), hardState.term, commitIndex)
  if (message === undefined) {
    // Compacted while it was read.
    return replicateTo(
      withProgress(amended(context, { effects: NO_EFFECTS }), peer, probing(progress)),
      peer,
      event.now,
    )
  }
  const sent = withFetched(progress, message, log, event.now)
  const { leadership } = withProgress(context, peer, sent)
  return { leadership, effects: { ...NO_EFFECTS, messages: [{ to: peer, message }] } }
}

/** Whoever leads later writes down which data directory each member has. */
export function noteStore({ identity }: RaftContext, event: EventOf<'peerUp'>): Pick<RaftContext, 'identity'> {
  return { identity: { ...identity, storeIds: new Map(identity.storeIds).set(event.peer, event.storeId) } }
}

/** Once it is gone another data directory may come under its id. */
export function forgetStore({ identity }: RaftContext, event: EventOf<'peerDown'>): Pick<RaftContext, 'identity'> {
  const storeIds = new Map(identity.storeIds)
  storeIds.delete(event.peer)
  return { identity: { ...identity, storeIds } }
}

export function recordPeerUp(context: RaftContext, event: EventOf<'peerUp'>): Partial<RaftContext> {
  const { identity } = noteStore(context, event)
  return { ...adjustPeer(context, event, (progress) => connected(progress, event.nonce)), identity }
}

export function recordPeerDown(context: RaftContext, event: EventOf<'peerDown'>): Partial<RaftContext> {
  return { ...adjustPeer(context, event, disconnected), ...forgetStore(context, event) }
}

export function recordPeerDropped(context: RaftContext, event: EventOf<'peerDropped'>): Partial<RaftContext> {
  return adjustPeer(context, event, (progress) => dropped(progress, event.now))
}

function adjustPeer(
  context: RaftContext,
  { peer, now }: { readonly peer: ServerId; readonly now: number },
  adjust: (progress: Progress) => Progress,
): Partial<RaftContext> {
  const progress = leadershipOf(context).progress.get(peer)
  if (progress === undefined) return { effects: NO_EFFECTS }
  return replicateTo(withProgress(amended(context, { effects: NO_EFFECTS }), peer, adjust(progress)), peer, now)
}

/** CheckQuorum (thesis §6.2): a leader that a quorum has not answered for an election timeout leads nobody. */
export function hasLostQuorum(context: RaftContext): boolean {
  const { progress } = leadershipOf(context)
  const { now } = context.instant
  const contactAt = quorumValue(configurationOf(context), (id) =>
    id === context.id ? now : (progress.get(id)?.contactAt ?? -Infinity),
  )
  return now - contactAt > context.settings.electionTimeoutMs
}

/** Whom to hand leadership to: the one asked for, or the voter within reach that matches most. */
export function transferTarget(context: RaftContext, to: ServerId | undefined): ServerId | undefined {
  const configuration = configurationOf(context)
  let best: ServerId | undefined
  let bestMatch = -1
  for (const [id, progress] of leadershipOf(context).progress) {
    if (!isVoter(configuration, id) || (to !== undefined && id !== to)) continue
    if (progress.matchIndex > bestMatch && isWithinReach(progress, context.settings, context.instant.now)) {
      best = id
      bestMatch = progress.matchIndex
    }
  }
  return best
}

/**
 * Sends TimeoutNow once the target has every entry (thesis §3.10). From then on it may be elected within the lease, so
 * the lease is given up for the rest of the term.
 */
export function handOver(context: RaftContext): Partial<RaftContext> {
  const leadership = leadershipOf(context)
  const { transfer, progress, lease } = leadership
  const isMatched = transfer !== undefined && progress.get(transfer.to)?.matchIndex === context.log.lastIndex
  if (!isMatched || transfer.isSent) return { effects: NO_EFFECTS }
  return {
    leadership: { ...leadership, transfer: { ...transfer, isSent: true }, lease: { ...lease, isGivenUp: true } },
    effects: {
      ...NO_EFFECTS,
      messages: [{ to: transfer.to, message: { type: 'timeoutNow', term: context.hardState.term } }],
    },
  }
}

export function withTransfer(context: RaftContext, to: ServerId | undefined): Partial<RaftContext> {
  const transfer = to === undefined ? undefined : { to, isSent: false }
  return { leadership: { ...leadershipOf(context), transfer }, effects: NO_EFFECTS }
}

/** True while another region waits for what `progress` raises; otherwise raising it would only cost time. */
export function isSettling(context: RaftContext): boolean {
  const { noopIndex, transfer } = leadershipOf(context)
  const { index, configuration } = latestConfiguration(context)
  const isChanging = context.commitIndex < index || isJoint(configuration)
  return isChanging || transfer !== undefined || context.commitIndex < noopIndex
}

export function withProgress(context: RaftContext, peer: ServerId, progress: Progress): RaftContext {
  const leadership: Leadership = leadershipOf(context)
  return amended(context, {
    leadership: leadershipWith(leadership, { progress: copyOfProgress(leadership.progress).set(peer, progress) }),
  })
}

export function replicateTo(context: RaftContext, peer: ServerId, now: number): RaftContext {
  return noticeCommits(replicate(context, [peer], context.effects, now))
}
