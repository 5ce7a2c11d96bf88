import { amended, configurationOf, type RaftContext } from './context.js'
import { effectsWith, NO_EFFECTS, type Answer, type PendingEffects } from './effects.js'
import { beginReadRound, holdsLease, isServing, leadershipOf, leadershipWith, type ReadRequest } from './leadership.js'
import type { Envelope } from './messages.js'
import { isSoleVoter, quorumValue } from './quorum.js'
import type { LogIndex } from './types.js'

/**
 * Linearizable reads without a log entry (ReadIndex, thesis §6.4): the leader notes its commitIndex, makes sure by a
 * round of heartbeats sent after the read arrived that it still leads, and lets the read see the state from there.
 */

/** Takes reads on the leader: answered at once by lease or a sole voter's word, or put to wait for a round. */
export function takeReads(
  context: RaftContext,
  requests: readonly (ReadRequest & { readonly lease: boolean })[],
  now: number,
): Partial<RaftContext> {
  const leadership = leadershipOf(context)
  const isSure = isServing(context) && isSoleVoter(configurationOf(context), context.id)
  const ready = requests.filter(({ lease }) => isSure || (lease && holdsLease(context, now)))
  const waiting = [...leadership.reads.waiting]
  for (const request of requests) if (!ready.includes(request)) waiting.push(request)
  const held = amended(context, {
    leadership: leadershipWith(leadership, { reads: { waiting, riding: leadership.reads.riding } }),
    effects: answerReads(context, ready, context.commitIndex, NO_EFFECTS),
  })
  return boardRound(held, now)
}

/** The no-op is committed: reads that came before it are served now. */
export function serveWaiting(context: RaftContext, now: number): Partial<RaftContext> {
  const leadership = leadershipOf(context)
  const { waiting } = leadership.reads
  if (!isSoleVoter(configurationOf(context), context.id)) return boardRound({ ...context, effects: NO_EFFECTS }, now)
  const reads = { ...leadership.reads, waiting: [] }
  return {
    leadership: { ...leadership, reads },
    effects: answerReads(context, waiting, context.commitIndex, NO_EFFECTS),
  }
}

/**
 * Starts a round for the reads that wait, unless one is under way: reads that arrive meanwhile share the next.
 * Keeps the context's effects.
 */
function boardRound(context: RaftContext, now: number): RaftContext {
  const { waiting, riding } = leadershipOf(context).reads
  if (waiting.length === 0 || riding.length > 0 || !isServing(context)) return context
  const begun = beginReadRound(context, now)
  const messages = [...context.effects.messages, ...(begun.effects?.messages ?? [])]
  return amended(context, {
    instant: begun.instant,
    leadership: begun.leadership,
    effects: effectsWith(context.effects, { messages }),
  })
}

/** Answers the reads whose rounds a quorum has confirmed, and starts a round for those that have waited for it. */
export function releaseReads(context: RaftContext, now: number): RaftContext {
  const leadership = leadershipOf(context)
  const { riding, waiting } = leadership.reads
  if (riding.length === 0 && waiting.length === 0) return context
  const confirmed = quorumValue(configurationOf(context), (id) =>
    id === context.id ? Infinity : (leadership.progress.get(id)?.confirmedRound ?? 0),
  )
  let effects = context.effects
  for (const { round, index, requests } of riding) {
    if (round <= confirmed) effects = answerReads(context, requests, index, effects)
  }
  const stillRiding = riding.filter(({ round }) => round > confirmed)
  const reads = { waiting, riding: stillRiding }
  return boardRound(amended(context, { leadership: leadershipWith(leadership, { reads }), effects }), now)
}

function answerReads(
  context: RaftContext,
  requests: readonly ReadRequest[],
  index: LogIndex,
  effects: PendingEffects,
): PendingEffects {
  if (requests.length === 0) return effects
  const answers: Answer[] = [...effects.answers]
  const messages: Envelope[] = [...effects.messages]
  for (const { from, nonce, id } of requests) {
    if (from === context.id) answers.push({ type: 'readsReady', nonce, id, index })
    else {
      const term = context.hardState.term
      messages.push({ to: from, message: { type: 'readIndexReply', term, nonce, id, index } })
    }
  }
  return effectsWith(effects, { answers, messages })
}

/** A leader that steps down refuses the reads it has not answered; their servers ask again. */
export function refuseReads(context: RaftContext): Pick<PendingEffects, 'answers' | 'messages'> {
  const { waiting, riding } = leadershipOf(context).reads
  const answers: Answer[] = []
  const messages: Envelope[] = []
  for (const { from, nonce, id } of [...waiting, ...riding.flatMap(({ requests }) => requests)]) {
    if (from === context.id) answers.push({ type: 'readsRefused', nonce, id, reason: 'notLeader' })
    else
      messages.push({
        to: from,
        message: { type: 'readIndexReply', term: context.hardState.term, nonce, id, index: undefined },
      })
  }
  return { answers, messages }
}
