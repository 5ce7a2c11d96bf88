import { raise } from 'xstate'
import type { RaftContext } from './context.js'
import type { RaftEvent } from './events.js'
import { takeForwarded } from './forwarding.js'
import { becomeLeader, beginRound, isServing } from './leadership.js'
import {
  appendProposals,
  handOver,
  hasLostQuorum,
  isSettling,
  recordAppendReply,
  recordHeartbeatReply,
  recordOwnWrite,
  recordPeerDown,
  recordPeerDropped,
  recordPeerUp,
  refuseProposals,
  sendRead,
  transferTarget,
  withTransfer,
} from './leading.js'
import { serveWaiting, takeReads } from './reads.js'
import { candidateSetup } from './candidate.js'
import { change, enter } from './setup.js'

/**
 * A leader, as parallel regions. `progress` keeps all the books and handles everything that comes from outside; the
 * other regions handle only their timers and what `progress` raises, since a guard in one region sees the context from
 * before another region's assigns.
 */
export const leaderSetup = candidateSetup.extend({
  actions: {
    becomeLeader: enter(becomeLeader),
    beginRound: enter((context, { now }) => beginRound(context, now)),
    appendProposals: change('proposals', appendProposals),
    refuseProposals: change('proposals', (_, event) => refuseProposals(event)),
    appendForwarded: change('propose', (context, event) => takeForwarded(context, event.from, event.message, event)),
    takeReads: change('reads', (context, { requests, now }) => {
      return takeReads(
        context,
        requests.map((request) => ({ ...request, from: context.id })),
        now,
      )
    }),
    takeReadIndex: change('readIndex', (context, { from, message, now }) => {
      return takeReads(context, [{ from, nonce: message.nonce, id: message.id, lease: message.lease }], now)
    }),
    recordAppendReply: change('appendEntriesReply', recordAppendReply),
    recordHeartbeatReply: change('heartbeatReply', recordHeartbeatReply),
    recordOwnWrite: change('persisted', recordOwnWrite),
    sendRead: change('entriesRead', sendRead),
    recordPeerUp: change('peerUp', recordPeerUp),
    recordPeerDown: change('peerDown', recordPeerDown),
    recordPeerDropped: change('peerDropped', recordPeerDropped),
    serveWaitingReads: change('commitAdvanced', (context, { now }) => serveWaiting(context, now)),
    beginTransfer: change('transferLeadership', (context, { to }) =>
      withTransfer(context, transferTarget(context, to)),
    ),
    abortTransfer: enter((context) => withTransfer(context, undefined)),
    handOver: enter(handOver),
    raiseCommitAdvanced: raise(({ context }: { context: RaftContext }): RaftEvent => ({
      type: 'commitAdvanced',
      ...context.instant,
    })),
    raisePeerMatched: raise(({ context }: { context: RaftContext }): RaftEvent => ({
      type: 'peerMatched',
      ...context.instant,
    })),
  },
  guards: {
    isServing: ({ context }) => isServing(context),
    isSettling: ({ context }) => isSettling(context),
    isTransferring: ({ context }) => context.leadership?.transfer !== undefined,
    hasTransferTarget: ({ context, event }) =>
      event.type === 'transferLeadership' && transferTarget(context, event.to) !== undefined,
    quorumLost: ({ context }) => hasLostQuorum(context),
  },
  delays: {
    heartbeatInterval: ({ context }) => context.settings.heartbeatIntervalMs,
    transferTimeout: ({ context }) => context.settings.electionTimeoutMs,
  },
})

export const leader = leaderSetup.createStateConfig({
  type: 'parallel',
  entry: ['becomeLeader', 'persist', 'sendMessages'],
  states: {
    progress: {
      on: {
        proposals: [
          { guard: 'isTransferring', actions: ['refuseProposals', 'answerRequests'] },
          { actions: ['appendProposals', 'persist', 'sendMessages', 'readEntries'] },
        ],
        propose: { actions: ['appendForwarded', 'persist', 'sendMessages', 'readEntries'] },
        reads: { actions: ['takeReads', 'answerRequests', 'sendMessages'] },
        readIndex: { actions: ['takeReadIndex', 'answerRequests', 'sendMessages'] },
        appendEntriesReply: [
          {
            guard: 'isSettling',
            actions: [
              'recordAppendReply',
              'sendMessages',
              'commit',
              'readEntries',
              'notify',
              'raiseCommitAdvanced',
              'raisePeerMatched',
            ],
          },
          { actions: ['recordAppendReply', 'sendMessages', 'commit', 'readEntries', 'notify'] },
        ],
        heartbeatReply: { actions: ['recordHeartbeatReply', 'sendMessages', 'readEntries', 'answerRequests'] },
        persisted: [
          { guard: 'isSettling', actions: ['recordOwnWrite', 'sendMessages', 'commit', 'raiseCommitAdvanced'] },
          { actions: ['recordOwnWrite', 'sendMessages', 'commit'] },
        ],
        entriesRead: { actions: ['sendRead', 'sendMessages'] },
        peerUp: { actions: ['recordPeerUp', 'sendMessages', 'readEntries'] },
        peerDown: { actions: 'recordPeerDown' },
        peerDropped: { actions: ['recordPeerDropped', 'sendMessages', 'readEntries'] },
      },
    },
    authority: {
      initial: 'establishing',
      states: {
        /** Its own no-op is not yet committed: it cannot know how far earlier terms were (thesis §6.4). */
        establishing: {
          on: {
            commitAdvanced: {
              guard: 'isServing',
              target: 'serving',
              actions: ['serveWaitingReads', 'sendMessages', 'answerRequests'],
            },
          },
        },
        serving: {},
      },
    },
    heartbeat: {
      initial: 'beating',
      states: {
        beating: {
          entry: ['beginRound', 'sendMessages'],
          after: {
            heartbeatInterval: [
              { guard: 'quorumLost', target: '#raft.follower' },
              { target: 'beating', reenter: true },
            ],
          },
        },
      },
    },
    transfer: {
      initial: 'idle',
      states: {
        idle: {
          on: {
            transferLeadership: { guard: 'hasTransferTarget', target: 'transferring', actions: 'beginTransfer' },
          },
        },
        /** Bounded: whether or not the target answers, this leader takes proposals again after an election timeout. */
        transferring: {
          entry: ['handOver', 'sendMessages'],
          on: {
            peerMatched: { actions: ['handOver', 'sendMessages'] },
          },
          after: {
            transferTimeout: { target: 'idle', actions: 'abortTransfer' },
          },
        },
      },
    },
  },
})
