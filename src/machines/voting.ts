import {
  configurationOf,
  endOf,
  hasNamedStore,
  isHardStateDurable,
  respond,
  type Contact,
  type RaftContext,
} from './context.js'
import { NO_EFFECTS } from './effects.js'
import { isUpToDate, lastTerm } from './log.js'
import type { Envelope, PreVote, RequestVote } from './messages.js'
import { isVoter, voteResult, type VoteResult } from './quorum.js'
import { draw } from './time-and-chance.js'
import type { HardState, ServerId } from './types.js'

/** An election timeout in [T, 2T), drawn anew for every wait (§5.2). */
export function drawTimeout({ chance, settings }: RaftContext): Pick<RaftContext, 'chance'> {
  const drawn = draw(chance.state)
  const { electionTimeoutMs, electionPriority: priority } = settings
  // A preference keeps to one end of [T, 2T), never beyond it: no server waits for another that may be dead.
  const width = 1 - Math.abs(priority) / 2
  const value = (priority < 0 ? 1 - width : 0) + width * drawn.value
  return { chance: { state: drawn.state, electionTimeoutMs: electionTimeoutMs * (1 + value) } }
}

/** Asks who would vote for this server, without raising its term (thesis §9.6). Reveals nothing that is not durable. */
export function askPreVotes(context: RaftContext): Partial<RaftContext> {
  const { hardState, log } = context
  const message: PreVote = {
    type: 'preVote',
    term: hardState.term + 1,
    lastLogIndex: log.lastIndex,
    lastLogTerm: lastTerm(log),
  }
  const votes = new Map<ServerId, boolean>([[context.id, true]])
  return { ...drawTimeout(context), leaderId: undefined, votes, effects: respond(context, toVoters(context, message)) }
}

/** A promise that has run out is forgotten with the next write: a restart would otherwise wait for it for ever. */
function remainingPromise({ promiseMs }: HardState, { promisedUntil }: Contact, now: number): number {
  return now >= promisedUntil ? 0 : promiseMs
}

/** Raises the term and votes for itself; the requests leave once that is durable (§5.2, thesis §3.8). */
export function campaign(context: RaftContext): Partial<RaftContext> {
  const { id, log } = context
  const { hardState: before, contact, instant } = context
  const hardState = { term: before.term + 1, votedFor: id, promiseMs: remainingPromise(before, contact, instant.now) }
  const message: RequestVote = {
    type: 'requestVote',
    term: hardState.term,
    lastLogIndex: log.lastIndex,
    lastLogTerm: lastTerm(log),
    leadershipTransfer: context.campaign.leadershipTransfer,
  }
  const persist = { hardState, runs: [], messages: toVoters(context, message), ...endOf(log) }
  return {
    ...drawTimeout(context),
    hardState,
    leaderId: undefined,
    // What matched the last term's leader says nothing of the next one's log.
    contact: { ...context.contact, matchIndex: 0 },
    votes: new Map(),
    campaign: { ...context.campaign, leadershipTransfer: false },
    effects: { ...NO_EFFECTS, persists: [persist] },
  }
}

function toVoters(context: RaftContext, message: PreVote | RequestVote): Envelope[] {
  const { voters, votersOutgoing = [] } = configurationOf(context)
  return [...new Set([...voters, ...votersOutgoing])].filter((to) => to !== context.id).map((to) => ({ to, message }))
}

/** How the campaign stands. Nothing is decided before this server's own vote and its term are durable. */
export function electionResult(context: RaftContext): VoteResult {
  if (!isHardStateDurable(context)) return 'pending'
  return voteResult(configurationOf(context), (id) => (id === context.id ? true : context.votes.get(id)))
}

export function preElectionResult(context: RaftContext): VoteResult {
  return voteResult(configurationOf(context), (id) => context.votes.get(id))
}

/**
 * Counts one answer of a voter; a second one from the same server changes nothing. Nor does one from another data
 * directory than the configuration names: a server that was wiped has forgotten what it voted for and what it held.
 */
export function countVote(context: RaftContext, from: ServerId, granted: boolean): Partial<RaftContext> {
  if (context.votes.has(from) || !isVoter(configurationOf(context), from)) return { effects: NO_EFFECTS }
  if (!hasNamedStore(context, from)) return { effects: NO_EFFECTS }
  return { votes: new Map(context.votes).set(from, granted), effects: NO_EFFECTS }
}

/** A pre-vote changes nothing here: it only says whether a vote would be granted (thesis §9.6). */
export function answerPreVote(context: RaftContext, from: ServerId, message: PreVote): Partial<RaftContext> {
  const { term, votedFor } = context.hardState
  const wouldVote = message.term > term || (message.term === term && (votedFor === undefined || votedFor === from))
  const granted = wouldVote && isUpToDate(context.log, message.lastLogTerm, message.lastLogIndex)
  const reply = { type: 'preVoteReply', term: granted ? message.term : term, granted } as const
  return { effects: respond(context, [{ to: from, message: reply }]) }
}

/** §5.2, §5.4.1: one vote a term, first come first served, to a log at least as up to date. Durable before it is sent. */
export function answerRequestVote(
  context: RaftContext,
  from: ServerId,
  message: RequestVote,
  now: number,
): Partial<RaftContext> {
  const { hardState, log, contact } = context
  const isFree = hardState.votedFor === undefined || hardState.votedFor === from
  const granted = isFree && context.leaderId === undefined && isUpToDate(log, message.lastLogTerm, message.lastLogIndex)
  const reply = { to: from, message: { type: 'requestVoteReply', term: hardState.term, granted } } as const
  if (!granted || hardState.votedFor === from) return { effects: respond(context, [reply]) }
  const voted = { ...hardState, votedFor: from, promiseMs: remainingPromise(hardState, contact, now) }
  return {
    hardState: voted,
    contact: { ...contact, at: now },
    effects: { ...NO_EFFECTS, persists: [{ hardState: voted, runs: [], messages: [reply], ...endOf(log) }] },
  }
}
