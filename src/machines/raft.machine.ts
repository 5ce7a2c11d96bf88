import { stateIn } from 'xstate'
import { followReadIndex, recordPersisted } from './appending.js'
import { candidate } from './candidate.js'
import { endOf, initialContext, respond, type RaftContext } from './context.js'
import { NO_EFFECTS, type Answer } from './effects.js'
import { follower } from './follower.js'
import { invariant } from './invariant.js'
import { leader, leaderSetup } from './leader.js'
import { forgetStore, noteStore } from './leading.js'
import { leftOutAt } from './membership.js'
import type { Envelope, Message } from './messages.js'
import { preCandidate } from './pre-candidate.js'
import { change, type EventOf } from './setup.js'
import { answerProgress, compactLog, installSnapshot } from './snapshots.js'
import type { ServerId } from './types.js'
import { answerPreVote, answerRequestVote } from './voting.js'

/**
 * One server's role, as an XState machine. Each role's setup extends the one before it, so that here every name is known. Pure: no clock, chance or I/O; effects leave as emitted data. Events come
 * through `step`, which settles their terms first.
 */
const rootSetup = leaderSetup.extend({
  actions: {
    adoptTerm: change('termObserved', adoptTerm),
    answerStale: change('staleMessage', answerStale),
    answerPreVote: change('preVote', (context, { from, message }) => answerPreVote(context, from, message)),
    answerRequestVote: change('requestVote', (context, { from, message, now }) =>
      answerRequestVote(context, from, message, now),
    ),
    forwardProposals: change('proposals', forwardProposals),
    forwardReads: change('reads', forwardReads),
    refuseForwarded: change('propose', refuseForwarded),
    refuseReadIndex: change('readIndex', refuseReadIndex),
    passRefusal: change('proposeReply', passRefusal),
    passReadIndex: change('readIndexReply', passReadIndex),
    answerProgress: change('snapshotProgress', answerProgress),
    installSnapshot: change('snapshotReceived', installSnapshot),
    compactLog: change('compactLog', compactLog),
    answerOutsider: change('outsiderCampaigned', answerOutsider),
    noteLeftOut: change('notMember', noteLeftOut),
    forwardChange: change('changeRequested', forwardChange),
    refuseChange: change('changeMembership', refuseChange),
    passChange: change('changeMembershipReply', passChange),
    recordPersisted: change('persisted', recordPersisted),
    noteStore: change('peerUp', noteStore),
    forgetStore: change('peerDown', forgetStore),
    noteTime: change('clock', () => ({ effects: NO_EFFECTS })),
    noteSecondLeader: change('appendEntries', (context, event) => noteSecondLeader(context, event.from)),
    recordFailure: change('storageFailed', (_, { reason }) => ({ effects: { ...NO_EFFECTS, notices: [reason] } })),
    refuseUnknownEvent: ({ event }) => invariant(false, 'every event has a handler', event.type),
  },
  guards: {
    leads: ({ context }) => context.leadership !== undefined,
    follows: stateIn('#raft.follower'),
  },
})

export const raftMachine = rootSetup.createMachine({
  id: 'raft',
  context: ({ input }) => initialContext(input),
  initial: 'follower',
  states: {
    follower,
    preCandidate,
    candidate,
    leader,
    /** The store failed or an invariant broke: this server says and does nothing more. */
    failed: { type: 'final' },
  },
  on: {
    clock: { actions: 'noteTime' },
    termObserved: { target: '.follower', actions: ['adoptTerm', 'persist'] },
    staleMessage: { actions: ['answerStale', 'persist', 'sendMessages'] },
    storageFailed: { target: '.failed', actions: ['recordFailure', 'notify'] },

    preVote: { actions: ['answerPreVote', 'persist', 'sendMessages'] },
    requestVote: { actions: ['answerRequestVote', 'persist', 'sendMessages'] },
    // A follower handles these two itself; in any other role they show that this term has a leader.
    appendEntries: [
      { guard: 'leads', actions: ['noteSecondLeader', 'notify'] },
      { target: '.follower', actions: ['acceptEntries', 'persist', 'sendMessages', 'commit', 'notify'] },
    ],
    heartbeat: [
      { guard: 'leads' },
      { target: '.follower', actions: ['answerHeartbeat', 'persist', 'sendMessages', 'commit'] },
    ],

    installSnapshot: [
      { guard: 'leads' },
      { target: '.follower', actions: ['takePiece', 'persist', 'sendMessages', 'workOnSnapshots'] },
    ],
    snapshotProgress: { actions: ['answerProgress', 'persist', 'sendMessages'] },
    // Whoever leads has every committed entry (Leader Completeness), and whoever campaigns hears of it again.
    snapshotReceived: [
      { guard: 'follows', actions: ['installSnapshot', 'persist', 'sendMessages', 'commit', 'workOnSnapshots'] },
      {},
    ],
    compactLog: { actions: ['compactLog', 'persist'] },
    outsiderCampaigned: { actions: ['answerOutsider', 'persist', 'sendMessages'] },
    notMember: { actions: 'noteLeftOut' },

    // A leader handles these itself.
    changeRequested: { actions: ['forwardChange', 'persist', 'sendMessages', 'answerRequests'] },
    changeMembership: { actions: ['refuseChange', 'persist', 'sendMessages'] },
    proposals: { actions: ['forwardProposals', 'persist', 'sendMessages', 'answerRequests'] },
    reads: { actions: ['forwardReads', 'persist', 'sendMessages', 'answerRequests'] },
    propose: { actions: ['refuseForwarded', 'persist', 'sendMessages'] },
    readIndex: { actions: ['refuseReadIndex', 'persist', 'sendMessages'] },
    persisted: { actions: 'recordPersisted' },

    proposeReply: { actions: ['passRefusal', 'answerRequests'] },
    readIndexReply: { actions: ['passReadIndex', 'commit', 'answerRequests'] },
    changeMembershipReply: { actions: ['passChange', 'answerRequests'] },

    // Late answers, and events that concern only a role which this server no longer has.
    preVoteReply: {},
    requestVoteReply: {},
    appendEntriesReply: {},
    heartbeatReply: {},
    installSnapshotReply: {},
    timeoutNow: {},
    entriesRead: {},
    peerUp: { actions: 'noteStore' },
    peerDown: { actions: 'forgetStore' },
    peerDropped: {},
    transferLeadership: {},
    commitAdvanced: {},
    peerMatched: {},
    roundBegun: {},
    configurationAppended: {},
    '*': { actions: 'refuseUnknownEvent' },
  },
})

/** The paper's rule for all servers: a higher term is adopted, and its server follows. */
function adoptTerm(context: RaftContext, { term }: EventOf<'termObserved'>): Partial<RaftContext> {
  invariant(term > context.hardState.term, 'terms never go back', [term, context.hardState.term])
  const hardState = { ...context.hardState, term, votedFor: undefined }
  return {
    hardState,
    leaderId: undefined,
    votes: new Map(),
    campaign: { ...context.campaign, leadershipTransfer: false },
    contact: { ...context.contact, matchIndex: 0 },
    effects: { ...NO_EFFECTS, persists: [{ hardState, runs: [], messages: [], ...endOf(context.log) }] },
  }
}

/** A message of an older term is answered with ours, so that its sender catches up and no election deadlocks. */
function answerStale(context: RaftContext, { from, message }: EventOf<'staleMessage'>): Partial<RaftContext> {
  const reply = refusalOf(context, message)
  return { effects: reply === undefined ? NO_EFFECTS : respond(context, [{ to: from, message: reply }]) }
}

function refusalOf(context: RaftContext, message: Message): Message | undefined {
  const { term } = context.hardState
  switch (message.type) {
    case 'preVote':
      return { type: 'preVoteReply', term, granted: false }
    case 'requestVote':
      return { type: 'requestVoteReply', term, granted: false }
    case 'appendEntries': {
      const { prevLogIndex } = message
      return { type: 'appendEntriesReply', term, success: false, prevLogIndex, conflictTerm: 0, conflictIndex: 1 }
    }
    case 'heartbeat':
      return { type: 'heartbeatReply', term, round: message.round, lastLogIndex: context.log.lastIndex }
    case 'installSnapshot':
      return { type: 'installSnapshotReply', term, snapshot: message.snapshot, outcome: 'more', offset: message.offset }
    case 'changeMembership': {
      const { nonce, id } = message
      const refusal = 'this server no longer leads; ask again'
      return { type: 'changeMembershipReply', term, nonce, id, index: undefined, refusal }
    }
    case 'propose':
      // A server that led in that term, or later, may have appended this very batch before: then silence, since a
      // refusal would say that it is certainly not proposed.
      if (message.term <= context.campaign.ledTerm) return undefined
      return { type: 'proposeReply', term, nonce: message.nonce, batch: message.batch, refused: 'notLeader' }
    case 'readIndex':
      return { type: 'readIndexReply', term, nonce: message.nonce, id: message.id, index: undefined }
    default:
      return undefined
  }
}

function noteSecondLeader(context: RaftContext, from: ServerId): Partial<RaftContext> {
  const text = `server ${from} acts as leader of term ${context.hardState.term}, which this server leads: its messages are ignored`
  return { effects: { ...NO_EFFECTS, notices: [text] } }
}

/** A follower hands its clients' proposals to the leader it knows, in that leader's term alone. */
export function forwardProposals(context: RaftContext, { batches }: EventOf<'proposals'>): Partial<RaftContext> {
  const { leaderId, hardState } = context
  if (leaderId === undefined) {
    const answers = batches.map(({ nonce, batch }): Answer => ({
      type: 'proposalsRefused',
      nonce,
      batch,
      reason: 'noLeader',
    }))
    return { effects: { ...NO_EFFECTS, answers } }
  }
  const messages = batches.map(({ batch, nonce, count, bytes }): Envelope => {
    return { to: leaderId, message: { type: 'propose', term: hardState.term, nonce, batch, count, bytes } }
  })
  return { effects: respond(context, messages) }
}

export function forwardReads(context: RaftContext, { requests }: EventOf<'reads'>): Partial<RaftContext> {
  const { leaderId, hardState } = context
  if (leaderId === undefined) {
    const answers = requests.map(({ nonce, id }): Answer => ({ type: 'readsRefused', nonce, id, reason: 'noLeader' }))
    return { effects: { ...NO_EFFECTS, answers } }
  }
  const messages = requests.map(({ nonce, id, lease }): Envelope => {
    return { to: leaderId, message: { type: 'readIndex', term: hardState.term, nonce, id, lease } }
  })
  return { effects: respond(context, messages) }
}

function refuseForwarded(context: RaftContext, { from, message }: EventOf<'propose'>): Partial<RaftContext> {
  const reply = refusalOf(context, message)
  return { effects: reply === undefined ? NO_EFFECTS : respond(context, [{ to: from, message: reply }]) }
}

function refuseReadIndex(context: RaftContext, { from, message }: EventOf<'readIndex'>): Partial<RaftContext> {
  const reply = refusalOf(context, message)
  return { effects: reply === undefined ? NO_EFFECTS : respond(context, [{ to: from, message: reply }]) }
}

function passRefusal(_: RaftContext, { message }: EventOf<'proposeReply'>): Partial<RaftContext> {
  const { nonce, batch, refused } = message
  return { effects: { ...NO_EFFECTS, answers: [{ type: 'proposalsRefused', nonce, batch, reason: refused }] } }
}

/** The leader's answer: its index tells also what is committed, as far as this server matches. */
export function passReadIndex(
  context: RaftContext,
  { from, message }: EventOf<'readIndexReply'>,
): Partial<RaftContext> {
  const { nonce, id, index } = message
  if (index === undefined) {
    return { effects: { ...NO_EFFECTS, answers: [{ type: 'readsRefused', nonce, id, reason: 'notLeader' }] } }
  }
  const followed = from === context.leaderId ? followReadIndex(context, index) : {}
  const { commits = [] } = followed.effects ?? NO_EFFECTS
  return { ...followed, effects: { ...NO_EFFECTS, commits, answers: [{ type: 'readsReady', nonce, id, index }] } }
}

/** A caller's change goes to the leader; without one it is refused. */
function forwardChange(context: RaftContext, event: EventOf<'changeRequested'>): Partial<RaftContext> {
  const { leaderId, hardState } = context
  const { nonce, id, change: wanted } = event
  if (leaderId !== undefined) {
    const message = { type: 'changeMembership', term: hardState.term, nonce, id, change: wanted } as const
    return { effects: respond(context, [{ to: leaderId, message }]) }
  }
  const refusal = 'no leader is known'
  const answer: Answer = { type: 'membershipAnswered', nonce, id, index: undefined, reason: 'noLeader', refusal }
  return { effects: { ...NO_EFFECTS, answers: [answer] } }
}

function refuseChange(context: RaftContext, { from, message }: EventOf<'changeMembership'>): Partial<RaftContext> {
  const reply = refusalOf(context, message)
  return { effects: reply === undefined ? NO_EFFECTS : respond(context, [{ to: from, message: reply }]) }
}

function passChange(_: RaftContext, { message }: EventOf<'changeMembershipReply'>): Partial<RaftContext> {
  const { nonce, id, index, refusal } = message
  const reason = index === undefined ? 'refused' : undefined
  const answer: Answer = { type: 'membershipAnswered', nonce, id, index, reason, refusal }
  return { effects: { ...NO_EFFECTS, answers: [answer] } }
}

/** Tells a server that campaigns in vain that it is no member any more. */
function answerOutsider(context: RaftContext, { from }: EventOf<'outsiderCampaigned'>): Partial<RaftContext> {
  const index = leftOutAt(context, from)
  if (index === undefined) return { effects: NO_EFFECTS }
  const message = { type: 'notMember', term: context.hardState.term, index } as const
  return { effects: respond(context, [{ to: from, message }]) }
}

function noteLeftOut({ campaign }: RaftContext, { message }: EventOf<'notMember'>): Partial<RaftContext> {
  return { campaign: { ...campaign, leftAt: Math.max(campaign.leftAt, message.index) }, effects: NO_EFFECTS }
}
