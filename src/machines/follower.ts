import { acceptEntries, answerHeartbeat } from './appending.js'
import { configurationOf, respond, type RaftContext } from './context.js'
import { NO_EFFECTS } from './effects.js'
import type { Instant } from './events.js'
import { refuseReads } from './reads.js'
import { isSoleVoter, isVoter } from './quorum.js'
import { change, enter, raftSetup } from './setup.js'
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
    campaignForTransfer: change('timeoutNow', ({ campaign }) => ({
      campaign: { ...campaign, leadershipTransfer: true },
      effects: NO_EFFECTS,
    })),
  },
  guards: {
    leaderIsSilent: ({ context }) => context.instant.now >= electionDue(context),
    isLearner: ({ context }) => !isVoter(configurationOf(context), context.id),
    isVoter: ({ context }) => isVoter(configurationOf(context), context.id),
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
  return { contact, leaderId, leadership: undefined, effects: { ...respond(context, messages), answers } }
}

/** When this server campaigns unless it hears from a leader; a sole voter need not wait for anyone. */
function electionDue(context: RaftContext): number {
  if (isSoleVoter(configurationOf(context), context.id)) return context.contact.at
  return Math.max(context.contact.at + context.chance.electionTimeoutMs, context.contact.promisedUntil)
}
