import { followerSetup } from './follower.js'
import { change, enter } from './setup.js'
import { askPreVotes, countVote, preElectionResult } from './voting.js'

/**
 * A pre-candidate asks whether it would be elected before it raises its term, so that a server cut off and back
 * deposes no working leader (thesis §9.6).
 */
export const preCandidateSetup = followerSetup.extend({
  actions: {
    askPreVotes: enter(askPreVotes),
    countPreVote: change('preVoteReply', (context, { from, message }) => {
      const isForThisCampaign = !message.granted || message.term === context.hardState.term + 1
      return isForThisCampaign ? countVote(context, from, message.granted) : {}
    }),
  },
  guards: {
    preElectionWon: ({ context }) => preElectionResult(context) === 'won',
    preElectionLost: ({ context }) => preElectionResult(context) === 'lost',
  },
  delays: {
    campaignTimeout: ({ context }) => context.chance.electionTimeoutMs,
  },
})

export const preCandidate = preCandidateSetup.createStateConfig({
  entry: ['askPreVotes', 'persist', 'sendMessages'],
  always: [
    { guard: 'isLearner', target: '#raft.follower' },
    { guard: 'preElectionWon', target: '#raft.candidate' },
    { guard: 'preElectionLost', target: '#raft.follower' },
  ],
  on: {
    preVoteReply: { actions: 'countPreVote' },
  },
  after: {
    campaignTimeout: { target: '#raft.preCandidate', reenter: true },
  },
})
