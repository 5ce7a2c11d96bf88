import { acceptEntries, answerHeartbeat } from './appending.js'
import { loseChange } from './changing.js'
import { configurationOf, respond, type RaftContext } from './context.js'
import { NO_EFFECTS } from './effects.js'
import type { Instant } from './events.js'
import { refuseReads } from './reads.js'
import { mayCampaign } from './membership.js'
import { isSoleVoter } from './quorum.js'
import { change, enter, raftSetup } from './setup.js'
import { takePiece } from './snapshots.js'
import { drawTimeout } from './voting.js'

/** A follower answers its leader, and looks for a new one when it has not heard from it for an election timeout (§5.2). */
export const followerSetup = raftSetup.extend({
  actions: {
    follow: enter(follow),
    drawElectionTimeout: enter(drawTimeout),
    acceptEntries: change('appendEntries', (context, { from, message, now }) =>
      acceptEntries(context, from, message, now),
    ),
    answerHeartbeat: change('heartbeat', (context, { from, message, now }) =>
      answerHeartbeat(context, from, message, now),
    ),
    takePiece: change('installSnapshot', (context, { from, message, now }) => takePiece(context, from, message, now)),
    campaignForTransfer: change('timeoutNow', ({ campaign }) => ({
      campaign: { ...campaign, leadershipTransfer: true },
      effects: NO_EFFECTS,
    })),
  },
  guards: {
    leaderIsSilent: ({ context }) => context.instant.now >= electionDue(context),
    isLearner: ({ context }) => !mayCampaign(context),
    isVoter: ({ context }) => mayCampaign(context),
  },
  delays: {
    electionTimeout: ({ context }) => Math.max(0, electionDue(context) - context.instant.now),
  },
})

export const follower = followerSetup.createStateConfig({
  entry: ['follow', 'drawElectionTimeout', 'persist', 'sendMessages', 'answerRequests'],
  on: {
    appendEntries: { actions: ['acceptEntries', 'persist', 'sendMessages', 'commit', 'notify'] },
    heartbeat: { actions: ['answerHeartbeat', 'persist', 'sendMessages', 'commit'] },
    installSnapshot: { actions: ['takePiece', 'persist', 'sendMessages', 'workOnSnapshots'] },
  },
  initial: 'voting',
  states: {
    voting: {
      always: { guard: 'isLearner', target: 'learning' },
      on: {
        timeoutNow: { target: '#raft.candidate', actions: 'campaignForTransfer' },
      },
      after: {
        // The timer is not rearmed at every message: when it fires it looks how long the leader has been silent.
        electionTimeout: [
          { guard: 'leaderIsSilent', target: '#raft.preCandidate' },
          { target: 'voting', reenter: true },
        ],
      },
    },
    /** Never campaigns, but votes when asked: it may have been promoted without knowing it yet. */
    learning: {
      always: { guard: 'isVoter', target: 'voting' },
    },
  },
})

/** Whoever comes here waits a full election timeout. A leader's unanswered requests are refused. */
function follow(context: RaftContext, { now }: Instant): Partial<RaftContext> {
  const contact = { ...context.contact, at: now }
  if (context.leadership === undefined) return { contact, effects: NO_EFFECTS }
  const { answers, messages } = refuseReads(context)
  const leaderId = context.leaderId === context.id ? undefined : context.leaderId
  const effects = { ...respond(context, messages), answers: [...answers, ...loseChange(context)] }
  return { contact, leaderId, leadership: undefined, effects }
}

/**
 * When this server campaigns unless it hears from a leader. A sole voter waits for nobody, but for what it promised to
 * a leader that made it one: that leader's lease stands on it.
 */
function electionDue(context: RaftContext): number {
  const { contact, hardState, chance } = context
  const isSole = isSoleVoter(configurationOf(context), context.id)
  if (isSole && hardState.promiseMs === 0) return contact.at
  return Math.max(isSole ? contact.at : contact.at + chance.electionTimeoutMs, contact.promisedUntil)
}
