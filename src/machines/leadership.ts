import { amended, configurationOf, type RaftContext } from './context.js'
import {
  effectsWith,
  NO_EFFECTS,
  type Commit,
  type EntriesRequest,
  type PendingEffects,
  type Persist,
  type SnapshotWork,
} from './effects.js'
import { encodeNoop, sealRun, type EntryRun, type Origin, type RunKind } from './entry-run.js'
import type { Instant } from './events.js'
import { append, runsBetween, termAt } from './log.js'
import type { Envelope } from './messages.js'
import { copyOfProgress, isResting, newProgress, progressWith, sendAppends, type Progress } from './progress.js'
import { isVoter, peersOf, quorumValue, voteResult } from './quorum.js'
import type { LogIndex, ServerId } from './types.js'

/** A leader's bookkeeping: made at election, gone with the role. */
export interface Leadership {
  readonly progress: ReadonlyMap<ServerId, Progress>
  /** The index of this leader's own no-op: nothing is read before it is committed (thesis §6.4). */
  readonly noopIndex: LogIndex
  /** The newest heartbeat round, and when some of the recent ones were sent, oldest first. */
  readonly round: number
  readonly sentRounds: readonly SentRound[]
  readonly reads: ReadBatches
  readonly lease: Lease
  /** Cluster time stood at `time` when the leader's clock showed `at`; it runs with that clock. */
  readonly clusterClock: { readonly time: number; readonly at: number }
  readonly transfer: Transfer | undefined
  /** The newest proposals taken from each peer in this term, so that a duplicate is not appended again. */
  readonly forwarded: ReadonlyMap<ServerId, ForwardedBatches>
  readonly membership: MembershipBooks
}

/** What a leader knows of changes of its cluster's membership. */
export interface MembershipBooks {
  /** Whose change is under way; it is answered once the configuration it leads to is committed. */
  readonly change: ChangeOrigin | undefined
  /** The newest request taken from each server in this term, so that a duplicate changes nothing. */
  readonly taken: ReadonlyMap<ServerId, { readonly nonce: number; readonly id: number }>
  /** Peers that a configuration left out: told so, up to its index, until `until`. */
  readonly departing: ReadonlyMap<ServerId, { readonly index: LogIndex; readonly until: number }>
  /** Since when each promotable learner has been caught up. */
  readonly caughtUp: ReadonlyMap<ServerId, number>
  /** When a server was last added: who answers what was sent earlier may be one that was under its id before. */
  readonly addedAt: number
}

export interface ChangeOrigin {
  readonly from: ServerId
  readonly nonce: number
  readonly id: number
}

const NO_MEMBERSHIP_BOOKS: MembershipBooks = {
  change: undefined,
  taken: new Map(),
  departing: new Map(),
  caughtUp: new Map(),
  addedAt: -Infinity,
}

export interface SentRound {
  readonly round: number
  readonly sentAt: number
}

export interface Lease {
  /** Lease reads are served before this instant. */
  readonly until: number
  /** True once TimeoutNow was sent: whoever gets it may be elected within the lease. Stays so for the term. */
  readonly isGivenUp: boolean
}

export interface Transfer {
  readonly to: ServerId
  readonly isSent: boolean
}

export interface ForwardedBatches {
  readonly nonce: number
  /** Batches up to here are taken, but for those that may still be on their way in `missing`. */
  readonly newest: number
  readonly missing: ReadonlySet<number>
}

/** Reads wait for the start of a round, then ride it (DESIGN.md §5: only a round sent after they arrived). */
export interface ReadBatches {
  readonly waiting: readonly ReadRequest[]
  readonly riding: readonly ReadRound[]
}

export interface ReadRequest {
  /** Who asked: this server itself for its own clients. */
  readonly from: ServerId
  readonly nonce: number
  readonly id: number
}

export interface ReadRound {
  readonly round: number
  readonly index: LogIndex
  readonly requests: readonly ReadRequest[]
}

const SENT_ROUNDS_MAX = 64

/** Takes office: a no-op of the new term goes into the log and out to everyone (thesis §3.6.2, §6.4). */
export function becomeLeader(context: RaftContext, { now, wallTime }: Instant): Partial<RaftContext> {
  const nextIndex = context.log.lastIndex + 1
  const progress = new Map<ServerId, Progress>()
  for (const peer of peersOf(configurationOf(context), context.id)) progress.set(peer, newProgress(nextIndex, now))
  const leadership: Leadership = {
    progress,
    noopIndex: nextIndex,
    round: 0,
    sentRounds: [],
    reads: { waiting: [], riding: [] },
    lease: { until: -Infinity, isGivenUp: false },
    clusterClock: { time: context.log.lastClusterTime, at: now },
    transfer: undefined,
    forwarded: new Map(),
    membership: NO_MEMBERSHIP_BOOKS,
  }
  const campaign = { ...context.campaign, ledTerm: context.hardState.term }
  const led: RaftContext = { ...context, instant: { now, wallTime }, leaderId: context.id, campaign, leadership }
  const noop = { bytes: encodeNoop(context.identity.clusterId), kind: 'noop', count: 1, origin: NO_ORIGIN } as const
  return appendAndReplicate(led, [noop], { now, wallTime })
}

export const NO_ORIGIN: Origin = { server: 0, nonce: 0, batch: 0 }

/** A run to be: everything but its place in the log. */
export interface RunDraft {
  readonly kind: RunKind
  readonly count: number
  readonly origin: Origin
  readonly bytes: Uint8Array
}

/** The cluster's time (ms) when the leader's clock shows `now`: what it stamps on entries. */
export function clusterTimeAt({ clusterClock }: Leadership, now: number): number {
  return clusterClock.time + (now - clusterClock.at)
}

/** Appends drafts as runs of this term; to disk and to the peers at the same time (thesis §10.2.1). */
export function appendAndReplicate(
  context: RaftContext,
  drafts: readonly RunDraft[],
  { now, wallTime }: Instant,
): Partial<RaftContext> {
  const leadership = leadershipOf(context)
  const clusterTime = clusterTimeAt(leadership, now)
  const runs: EntryRun[] = []
  let firstIndex = context.log.lastIndex + 1
  let previousChecksum = context.log.lastChecksum
  for (const draft of drafts) {
    const { kind, count, origin, bytes } = draft
    const term = context.hardState.term
    const spec = { kind, count, origin, term, firstIndex, previousChecksum, clusterTime, wallTime }
    const run = sealRun(bytes, spec, context.settings.checksum)
    runs.push(run)
    firstIndex += count
    previousChecksum = run.checksum
  }
  const log = append(context.log, runs)
  const persist: Persist = { runs, messages: [], lastIndex: log.lastIndex, truncations: log.truncations }
  return replicate(
    amended(context, { log, instant: { now, wallTime } }),
    peersIn(leadership),
    effectsWith(NO_EFFECTS, { persists: [persist] }),
    now,
  )
}

function peersIn({ progress }: Leadership): readonly ServerId[] {
  const peers: ServerId[] = []
  progress.forEach((_, peer) => peers.push(peer))
  return peers
}

/** Sends each of `peers` what it lacks, after `effects`. */
export function replicate(
  context: RaftContext,
  peers: readonly ServerId[],
  effects: PendingEffects,
  now: number,
): RaftContext {
  const leadership = leadershipOf(context)
  const { log, settings, hardState, commitIndex } = context
  let progress: Map<ServerId, Progress> | undefined
  const messages: Envelope[] = [...effects.messages]
  const reads: EntriesRequest[] = [...effects.reads]
  let snapshots: readonly SnapshotWork[] = effects.snapshots
  for (const peer of peers) {
    const before = leadership.progress.get(peer)
    if (before === undefined) continue
    if (isResting(before, log, now) && areClientsFirst(context, peer, now)) continue
    const sending = sendAppends(before, log, hardState.term, commitIndex, settings, now)
    if (sending.progress === before) continue
    progress ??= copyOfProgress(leadership.progress)
    progress.set(peer, sending.progress)
    for (const message of sending.messages) messages.push({ to: peer, message })
    if (sending.needsSnapshot) snapshots = [...snapshots, { type: 'stream', peer }]
    if (sending.fetchFrom !== undefined) {
      const from = sending.fetchFrom
      reads.push({ peer, from, bytesMax: settings.appendBytesMax, term: hardState.term, truncations: log.truncations })
    }
  }
  if (progress === undefined) return effects === context.effects ? context : amended(context, { effects })
  return amended(context, {
    leadership: leadershipWith(leadership, { progress }),
    effects: effectsWith(effects, { messages, reads, snapshots }),
  })
}

/** Whether clients have written of late, and need `peer` for it no more than anybody: the others have what is committed. */
function areClientsFirst(context: RaftContext, peer: ServerId, now: number): boolean {
  const { log, commitIndex, settings } = context
  const leadership = leadershipOf(context)
  if (clusterTimeAt(leadership, now) - log.lastClusterTime >= settings.heartbeatIntervalMs) return false
  const isAbreast = (id: ServerId): boolean => {
    const progress = leadership.progress.get(id)
    return progress?.mode === 'replicate' && progress.matchIndex >= commitIndex
  }
  const configuration = configurationOf(context)
  return voteResult(configuration, (id) => id === context.id || (id !== peer && isAbreast(id)) || undefined) === 'won'
}

/**
 * §5.4.2: a leader commits only entries of its own term by counting; earlier ones are committed with them. Its own
 * matchIndex is what its disk holds.
 */
export function quorumIndex(context: RaftContext): LogIndex {
  const { progress } = leadershipOf(context)
  const index = quorumValue(configurationOf(context), (id) =>
    id === context.id ? context.durable.index : (progress.get(id)?.matchIndex ?? 0),
  )
  const isOwnTerm = index > context.commitIndex && termAt(context.log, index) === context.hardState.term
  return isOwnTerm ? index : context.commitIndex
}

/** Moves commitIndex to what a quorum has; the entries go to be applied. */
export function advanceCommit(context: RaftContext, effects: PendingEffects): RaftContext {
  const index = quorumIndex(context)
  if (index === context.commitIndex) return effects === context.effects ? context : amended(context, { effects })
  const commit: Commit = { index, runs: runsBetween(context.log, context.commitIndex, index) }
  return amended(context, {
    commitIndex: index,
    effects: effectsWith(effects, { commits: [...effects.commits, commit] }),
  })
}

/** Leadership with some of its fields replaced; `transfer` stays. Written out for the reason that `amended` gives. */
export function leadershipWith(leadership: Leadership, changes: Omit<Partial<Leadership>, 'transfer'>): Leadership {
  return {
    progress: changes.progress ?? leadership.progress,
    noopIndex: leadership.noopIndex,
    round: changes.round ?? leadership.round,
    sentRounds: changes.sentRounds ?? leadership.sentRounds,
    reads: changes.reads ?? leadership.reads,
    lease: changes.lease ?? leadership.lease,
    clusterClock: leadership.clusterClock,
    transfer: leadership.transfer,
    forwarded: changes.forwarded ?? leadership.forwarded,
    membership: changes.membership ?? leadership.membership,
  }
}

/** The leader's own part of the context; only a leader's handlers ask for it. */
export function leadershipOf(context: RaftContext): Leadership {
  return context.leadership!
}

/** A new round of heartbeats to everyone, which waiting reads ride if this leader may serve them. */
export function beginRound(context: RaftContext, now: number): Partial<RaftContext> {
  return beginRoundTo(context, peersIn(leadershipOf(context)), now)
}

/**
 * A round for reads alone: to no more peers than make a quorum with this server, those that answered last, since every
 * peer asked costs both sides a frame and a turn. Should one of them not answer, the next heartbeat asks everyone, and
 * the reads ride that too.
 */
export function beginReadRound(context: RaftContext, now: number): Partial<RaftContext> {
  const configuration = configurationOf(context)
  const asked = new Set([context.id])
  const byAnswer = [...leadershipOf(context).progress]
    .filter(([id, { mode }]) => mode !== 'down' && isVoter(configuration, id))
    .sort(([, first], [, second]) => second.confirmedRound - first.confirmedRound)
  for (const [id] of byAnswer) {
    if (voteResult(configuration, (voter) => asked.has(voter) || undefined) === 'won') break
    asked.add(id)
  }
  asked.delete(context.id)
  return beginRoundTo(context, [...asked], now)
}

function beginRoundTo(context: RaftContext, peers: readonly ServerId[], now: number): Partial<RaftContext> {
  const leadership = leadershipOf(context)
  const round = leadership.round + 1
  const { waiting, riding } = leadership.reads
  const messages: Envelope[] = []
  for (const to of peers) {
    const progress = leadership.progress.get(to)
    if (progress !== undefined && progress.mode !== 'down') messages.push(heartbeatTo(context, to, progress, round))
  }
  const board = isServing(context) && waiting.length > 0
  return {
    instant: { now, wallTime: context.instant.wallTime },
    leadership: leadershipWith(leadership, {
      round,
      sentRounds: recordSent(leadership.sentRounds, { round, sentAt: now }, context.settings.heartbeatIntervalMs),
      reads: board
        ? { waiting: [], riding: [...riding, { round, index: context.commitIndex, requests: waiting }] }
        : leadership.reads,
    }),
    effects: effectsWith(NO_EFFECTS, { messages }),
  }
}

function heartbeatTo(context: RaftContext, to: ServerId, { matchIndex }: Progress, round: number): Envelope {
  const commitIndex = Math.min(context.commitIndex, matchIndex)
  const promiseMs = context.settings.electionTimeoutMs
  return { to, message: { type: 'heartbeat', term: context.hardState.term, round, commitIndex, promiseMs } }
}

/**
 * Tells peers whose clients wait for it what is committed, where no append will. It goes as a heartbeat of the newest
 * round: answering that once more confirms nothing newer.
 */
export function noticeCommits(context: RaftContext): RaftContext {
  const leadership = leadershipOf(context)
  if (leadership.forwarded.size === 0) return context
  const messages: Envelope[] = [...context.effects.messages]
  let progress: Map<ServerId, Progress> | undefined
  for (const peer of leadership.forwarded.keys()) {
    const known = leadership.progress.get(peer)
    if (known === undefined || known.inflight.length > 0 || known.mode === 'down') continue
    const toldCommit = Math.min(context.commitIndex, known.matchIndex)
    if (toldCommit <= known.toldCommit) continue
    messages.push(heartbeatTo(context, peer, known, leadership.round))
    progress ??= copyOfProgress(leadership.progress)
    progress.set(peer, progressWith(known, { toldCommit }))
  }
  if (progress === undefined) return context
  const effects = effectsWith(context.effects, { messages })
  return amended(context, { leadership: leadershipWith(leadership, { progress }), effects })
}

/** Reads can make thousands of rounds a second: enough to remember when one in each eighth of an interval was sent. */
function recordSent(rounds: readonly SentRound[], sent: SentRound, heartbeatIntervalMs: number): readonly SentRound[] {
  const latest = rounds.at(-1)
  if (latest !== undefined && sent.sentAt - latest.sentAt < heartbeatIntervalMs / 8) return rounds
  return [...rounds.slice(1 - SENT_ROUNDS_MAX), sent]
}

/** When `round` was sent, or a little before: never after, since leases count from here. */
export function sentAtOf(rounds: readonly SentRound[], round: number): number {
  for (let at = rounds.length - 1; at >= 0; at--) {
    const sent = rounds[at]
    if (sent !== undefined && sent.round <= round) return sent.sentAt
  }
  return -Infinity
}

/** Serving: the no-op is committed, so that commitIndex is known to cover every entry committed before this term. */
export function isServing(context: RaftContext): boolean {
  return context.leadership !== undefined && context.commitIndex >= context.leadership.noopIndex
}

/**
 * True when this server may answer reads at `now` by its lease (thesis §6.4.1): it leads, its no-op is committed, and
 * a quorum still keeps its promise to elect no one else.
 */
export function holdsLease(context: RaftContext, now: number): boolean {
  const { leadership } = context
  return leadership !== undefined && isServing(context) && !leadership.lease.isGivenUp && now < leadership.lease.until
}
