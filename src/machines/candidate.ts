import { preCandidateSetup } from './pre-candidate.js'
import { change, enter } from './setup.js'
import { campaign, countVote, electionResult } from './voting.js'

/** A candidate raises its term, votes for itself and asks the others (§5.2). */
export const candidateSetup = preCandidateSetup.extend({
  actions: {
    campaign: enter(campaign),
    countVote: change('requestVoteReply', (context, { from, message }) => countVote(context, from, message.granted)),
  },
  guards: {
    electionWon: ({ context }) => electionResult(context) === 'won',
    electionLost: ({ context }) => electionResult(context) === 'lost',
  },
})

export const candidate = candidateSetup.createStateConfig({
  entry: ['campaign', 'persist'],
  always: [
    { guard: 'electionWon', target: '#raft.leader' },
    { guard: 'electionLost', target: '#raft.follower' },
  ],
  on: {
    requestVoteReply: { actions: 'countVote' },
  },
  after: {
    campaignTimeout: '#raft.preCandidate',
  },
})
