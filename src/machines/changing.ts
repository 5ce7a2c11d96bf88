import { configurationOf, latestConfiguration, respond, type RaftContext } from './context.js'
import { NO_EFFECTS, type Answer, type PendingEffects } from './effects.js'
import { encodeConfiguration, faultOfConfiguration } from './entry-run.js'
import type { Instant } from './events.js'
import {
  appendAndReplicate,
  isServing,
  leadershipOf,
  NO_ORIGIN,
  type ChangeOrigin,
  type MembershipBooks,
} from './leadership.js'
import { renewLease, transferTarget } from './leading.js'
import { configurationAfter, firstStep, lastStep, sameConfiguration } from './membership.js'
import type { MembershipChange } from './messages.js'
import { isWithinReach, newProgress, progressWith, type Progress } from './progress.js'
import { isJoint, isVoter, peersOf, voteResult } from './quorum.js'
import { type Configuration, type LogIndex, type Member, MEMBERS_MAX, type ServerId } from './types.js'

/** What a leader does to change its cluster's membership: one change at a time, by joint consensus (thesis §4.3). */

/** Takes a request: appends the first configuration on the way, or says why not. */
export function takeChange(
  context: RaftContext,
  origin: ChangeOrigin,
  change: MembershipChange,
  instant: Instant,
): Partial<RaftContext> {
  const { membership } = leadershipOf(context)
  const newest = membership.taken.get(origin.from)
  if (newest?.nonce === origin.nonce && origin.id <= newest.id) return { effects: NO_EFFECTS }
  const taken = new Map(membership.taken).set(origin.from, { nonce: origin.nonce, id: origin.id })
  const noted = withBooks(context, { taken })
  const before = configurationOf(context)
  const next = configurationAfter(before, change)
  const refusal = typeof next === 'string' ? next : whyNot(context, change, next, instant.now)
  if (refusal !== undefined) return { ...noted, effects: answerChange(context, origin, undefined, refusal) }
  if (typeof next === 'string') return noted
  if (sameConfiguration(before, next)) {
    return { ...noted, effects: answerChange(context, origin, latestConfiguration(context).index, '') }
  }
  return appendConfiguration(withBooks(noted, { change: origin }), firstStep(before, next), instant)
}

/** What cannot be read again is not written, whoever asks for it: no server could start on it, and none would tell of it. */
function whyNot(context: RaftContext, change: MembershipChange, next: Configuration, now: number): string | undefined {
  return faultOfConfiguration(next) ?? tooMany(configurationOf(context), next) ?? whyNotNow(context, change, next, now)
}

/** A cluster that has more may become smaller. */
function tooMany(before: Configuration, next: Configuration): string | undefined {
  const { members = [] } = firstStep(before, next)
  if (members.length <= Math.max(MEMBERS_MAX, before.members?.length ?? 0)) return undefined
  return `there would be ${members.length} members, those included that leave; at most ${MEMBERS_MAX} are allowed`
}

function whyNotNow(
  context: RaftContext,
  { force }: MembershipChange,
  next: Configuration,
  now: number,
): string | undefined {
  const { index, configuration } = latestConfiguration(context)
  if (!isServing(context)) return 'the leader has only just been elected; ask again'
  if (leadershipOf(context).transfer !== undefined) return 'leadership is being handed over; ask again'
  if (isJoint(configuration) || index > context.commitIndex) {
    return 'another change of the membership is under way; ask again once it is done'
  }
  if (force) return undefined
  const unreachable = next.voters.filter((id) => !isReachable(context, id, now))
  const without = 'and without them the new configuration has no quorum'
  if (voteResult(next, (id) => !unreachable.includes(id)) !== 'won') {
    return `servers ${unreachable.join(', ')} cannot be reached, ${without}; bring them up, or force the change`
  }
  const behind = next.voters.filter((id) => !unreachable.includes(id) && !isCloseToCommitted(context, id))
  if (voteResult(next, (id) => !unreachable.includes(id) && !behind.includes(id)) === 'won') return undefined
  return `servers ${behind.join(', ')} are more than ${context.settings.promotionLagEntries} entries behind, ${without} until they have caught up; wait until they have, or force the change`
}

/** Nothing can be committed while those who count have yet to receive what is committed already. */
function isCloseToCommitted(context: RaftContext, id: ServerId): boolean {
  const matchIndex = id === context.id ? context.log.lastIndex : leadershipOf(context).progress.get(id)?.matchIndex
  return (matchIndex ?? 0) >= context.commitIndex - context.settings.promotionLagEntries
}

function isReachable(context: RaftContext, id: ServerId, now: number): boolean {
  if (id === context.id) return true
  const progress = leadershipOf(context).progress.get(id)
  if (progress === undefined || !isWithinReach(progress, context.settings, now)) return false
  // A new peer may only be waited for yet.
  return progress.matchIndex > 0 || progress.confirmedRound > 0
}

/** A configuration takes effect as soon as it is appended (§4.1): from here on it says who is sent to and who counts. */
function appendConfiguration(
  context: RaftContext,
  configuration: Configuration,
  instant: Instant,
): Partial<RaftContext> {
  const index = context.log.lastIndex + 1
  const leadership = leadershipOf(context)
  const peers = peersOf(configuration, context.id)
  const progress = new Map(leadership.progress)
  const departing = new Map(leadership.membership.departing)
  const added = peers.filter((peer) => departing.delete(peer) || !progress.has(peer))
  for (const peer of added) progress.set(peer, progressAnew(progress.get(peer), index, instant.now))
  const addedAt = added.length > 0 ? instant.now : leadership.membership.addedAt
  const until = instant.now + 2 * context.settings.electionTimeoutMs
  for (const peer of progress.keys())
    if (!peers.includes(peer) && !departing.has(peer)) departing.set(peer, { index, until })
  const appended = withBooks(
    {
      ...context,
      configurations: [...context.configurations, { index, configuration }],
      leadership: { ...leadership, progress },
    },
    { departing, addedAt },
  )
  const draft = {
    kind: 'configuration',
    count: 1,
    origin: NO_ORIGIN,
    bytes: encodeConfiguration(configuration),
  } as const
  // A leader that was alone needed no lease to end; now others count.
  return appendAndReplicate(renewLease(appended), [draft], instant)
}

/** Of a peer that has just been left out only the connection counts: it may come back as another. */
function progressAnew(before: Progress | undefined, index: LogIndex, now: number): Progress {
  const anew = newProgress(index, now)
  if (before === undefined) return anew
  return progressWith(anew, { mode: before.mode === 'down' ? 'down' : 'probe', nonce: before.nonce })
}

/** The joint configuration is committed: both majorities know of the change, and the new one may go on alone. */
export function leaveJoint(context: RaftContext, instant: Instant): Partial<RaftContext> {
  return appendConfiguration(context, lastStep(configurationOf(context)), instant)
}

export function isJointCommitted(context: RaftContext): boolean {
  const { index, configuration } = latestConfiguration(context)
  return isJoint(configuration) && index <= context.commitIndex && isServing(context)
}

export function isSettled(context: RaftContext): boolean {
  const { index, configuration } = latestConfiguration(context)
  return !isJoint(configuration) && index <= context.commitIndex
}

/** The change has come to its end: whoever asked for it is told. */
export function finishChange(context: RaftContext): Partial<RaftContext> {
  const { change } = leadershipOf(context).membership
  if (change === undefined) return { effects: NO_EFFECTS }
  const effects = answerChange(context, change, latestConfiguration(context).index, '')
  return { ...withBooks(context, { change: undefined }), effects }
}

/** A leader that the committed configuration leaves out has done its part: it names a successor, and follows. */
export function hasLeft(context: RaftContext): boolean {
  return isSettled(context) && !isVoter(configurationOf(context), context.id)
}

export function leave(context: RaftContext): Partial<RaftContext> {
  const finished = finishChange(context)
  const effects = finished.effects ?? NO_EFFECTS
  const to = transferTarget(context, undefined)
  if (to === undefined) return finished
  const timeoutNow = { to, message: { type: 'timeoutNow', term: context.hardState.term } } as const
  return { ...finished, effects: { ...effects, messages: [...effects.messages, timeoutNow] } }
}

/** Leadership is lost: nobody can tell what becomes of the change. Other servers see by themselves that it is. */
export function loseChange(context: RaftContext): readonly Answer[] {
  const { change } = leadershipOf(context).membership
  if (change === undefined || change.from !== context.id) return []
  const { nonce, id } = change
  const refusal = 'leadership was lost before the change was committed; the next leader may complete it'
  return [{ type: 'membershipAnswered', nonce, id, index: undefined, reason: 'unknown', refusal }]
}

export function answerChange(
  context: RaftContext,
  { from, nonce, id }: ChangeOrigin,
  index: number | undefined,
  refusal: string,
): PendingEffects {
  if (from === context.id) {
    const reason = index === undefined ? 'refused' : undefined
    return { ...NO_EFFECTS, answers: [{ type: 'membershipAnswered', nonce, id, index, reason, refusal }] }
  }
  const { term } = context.hardState
  const message = { type: 'changeMembershipReply', term, nonce, id, index, refusal } as const
  return respond(context, [{ to: from, message }])
}

/** Learners that have been caught up for long enough. */
export function learnersToPromote(context: RaftContext): readonly ServerId[] {
  const { membership } = leadershipOf(context)
  const { now } = context.instant
  return [...membership.caughtUp]
    .filter(([, since]) => now - since >= context.settings.promotionAfterMs)
    .map(([id]) => id)
}

export function promoteLearners(context: RaftContext, instant: Instant): Partial<RaftContext> {
  return changeOurselves(context, { ...NO_CHANGE, promote: learnersToPromote(context) }, instant)
}

const NO_CHANGE: MembershipChange = { learners: [], promote: [], remove: [], addresses: [], force: false }

/** A change that this leader wants itself: nobody waits for an answer. */
function changeOurselves(context: RaftContext, change: MembershipChange, instant: Instant): Partial<RaftContext> {
  const before = configurationOf(context)
  const next = configurationAfter(before, change)
  if (typeof next === 'string' || whyNotNow(context, change, next, instant.now) !== undefined) {
    return { effects: NO_EFFECTS }
  }
  return appendConfiguration(context, firstStep(before, next), instant)
}

/**
 * Members whose data directories are seen and not yet written down: later a wiped one under an old id shows. Those of all
 * in one entry, where all come within two election timeouts; one that stays away does not keep the others unknown. A
 * connection may not have noticed yet that the server at its other end is gone, so its directory counts once the member
 * has answered.
 */
export function unrecordedStores(context: RaftContext): Configuration | undefined {
  const configuration = configurationOf(context)
  const { id: own, identity, instant, settings } = context
  const { progress, membership, clusterClock } = leadershipOf(context)
  const seen = (id: ServerId): string | undefined => {
    if (id === own) return identity.storeId || undefined
    const known = progress.get(id)
    const hasAnswered = known !== undefined && (known.matchIndex > 0 || known.confirmedRound > 0)
    return hasAnswered && known.confirmedSentAt >= membership.addedAt ? identity.storeIds.get(id) : undefined
  }
  const { members } = configuration
  const missing = members?.filter(({ storeId }) => storeId === undefined) ?? []
  const found = missing.filter(({ id }) => seen(id) !== undefined)
  const ledSince = clusterClock.at
  const isOver = instant.now - Math.max(ledSince, membership.addedAt) >= 2 * settings.electionTimeoutMs
  if (members === undefined || found.length === 0 || (found.length < missing.length && !isOver)) return undefined
  const withStore = (member: Member): Member => {
    const storeId = member.storeId ?? seen(member.id)
    return storeId === undefined ? member : { ...member, storeId }
  }
  return { ...configuration, members: members.map(withStore) }
}

export function recordStores(context: RaftContext, instant: Instant): Partial<RaftContext> {
  const configuration = unrecordedStores(context)
  if (configuration === undefined) return { effects: NO_EFFECTS }
  return appendConfiguration(context, configuration, instant)
}

/** Once a round of heartbeats has begun: who has caught up, and whom that round tells that it is left out. */
export function reviewMembers(context: RaftContext, now: number): RaftContext {
  const { members, learners } = configurationOf(context)
  const { membership, progress } = leadershipOf(context)
  const isPromotable = members?.some(({ promotable }) => promotable === true) ?? false
  if (!isPromotable && membership.departing.size === 0 && membership.caughtUp.size === 0) return context
  const caughtUp = new Map<ServerId, number>()
  for (const { id, promotable } of members ?? []) {
    const matchIndex = progress.get(id)?.matchIndex ?? 0
    const isClose = matchIndex > 0 && matchIndex >= context.log.lastIndex - context.settings.promotionLagEntries
    const isPresent = isClose && isReachable(context, id, now)
    if (promotable === true && learners.includes(id) && isPresent) caughtUp.set(id, membership.caughtUp.get(id) ?? now)
  }
  return dismissDeparted(withBooks(context, { caughtUp }), now)
}

/** A peer that was left out hears no more once a heartbeat has told it that this is committed, or it stays silent. */
function dismissDeparted(context: RaftContext, now: number): RaftContext {
  const leadership = leadershipOf(context)
  const progress = new Map(leadership.progress)
  const departing = new Map(leadership.membership.departing)
  for (const [peer, { index, until }] of departing) {
    const told = Math.min(context.commitIndex, progress.get(peer)?.matchIndex ?? 0)
    if (told < index && now < until) continue
    departing.delete(peer)
    progress.delete(peer)
  }
  return withBooks({ ...context, leadership: { ...leadership, progress } }, { departing })
}

function withBooks(context: RaftContext, change: Partial<MembershipBooks>): RaftContext {
  const leadership = leadershipOf(context)
  return { ...context, leadership: { ...leadership, membership: { ...leadership.membership, ...change } } }
}
