import { raise } from 'xstate'
import {
  finishChange,
  hasLeft,
  isJointCommitted,
  isSettled,
  learnersToPromote,
  leave,
  leaveJoint,
  promoteLearners,
  recordStores,
  reviewMembers,
  takeChange,
  unrecordedStores,
} from './changing.js'
import { configurationOf, type RaftContext } from './context.js'
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
import { isJoint } from './quorum.js'
import { serveWaiting, takeReads } from './reads.js'
import { recordSnapshotReply } from './snapshots.js'
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
    beginRound: enter((context, { now }) => reviewMembers({ ...context, ...beginRound(context, now) }, now)),
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
    recordSnapshotReply: change('installSnapshotReply', recordSnapshotReply),
    recordPeerUp: change('peerUp', recordPeerUp),
    recordPeerDown: change('peerDown', recordPeerDown),
    recordPeerDropped: change('peerDropped', recordPeerDropped),
    serveWaitingReads: change('commitAdvanced', (context, { now }) => serveWaiting(context, now)),
    beginTransfer: change('transferLeadership', (context, { to }) =>
      withTransfer(context, transferTarget(context, to)),
    ),
    abortTransfer: enter((context) => withTransfer(context, undefined)),
    handOver: enter(handOver),
    takeRequestedChange: change('changeRequested', (context, event) =>
      takeChange(context, { from: context.id, nonce: event.nonce, id: event.id }, event.change, event),
    ),
    takeForwardedChange: change('changeMembership', (context, event) => {
      const { nonce, id, change: wanted } = event.message
      return takeChange(context, { from: event.from, nonce, id }, wanted, event)
    }),
    leaveJoint: change('commitAdvanced', leaveJoint),
    finishChange: change('commitAdvanced', finishChange),
    leave: change('commitAdvanced', leave),
    promoteLearners: change('roundBegun', promoteLearners),
    recordStores: change('roundBegun', recordStores),
    raiseCommitAdvanced: raise(({ context }: { context: RaftContext }): RaftEvent => ({
      type: 'commitAdvanced',
      ...context.instant,
    })),
    raiseRoundBegun: raise(({ context }: { context: RaftContext }): RaftEvent => ({
      type: 'roundBegun',
      ...context.instant,
    })),
    raiseConfigurationAppended: raise(({ context }: { context: RaftContext }): RaftEvent => ({
      type: 'configurationAppended',
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
    isJoint: ({ context }) => isJoint(configurationOf(context)),
    isSimple: ({ context }) => !isJoint(configurationOf(context)),
    isJointCommitted: ({ context }) => isJointCommitted(context),
    isChangeCommitted: ({ context }) => isSettled(context) && context.leadership?.membership.change !== undefined,
    hasLeft: ({ context }) => hasLeft(context),
    mayPromote: ({ context }) => isSettled(context) && learnersToPromote(context).length > 0,
    mayRecordStores: ({ context }) =>
      isServing(context) &&
      isSettled(context) &&
      context.leadership?.transfer === undefined &&
      unrecordedStores(context) !== undefined,
  },
  delays: {
    heartbeatInterval: ({ context }) => context.settings.heartbeatIntervalMs,
    transferTimeout: ({ context }) => context.settings.electionTimeoutMs,
  },
})

/** What follows an appended configuration. */
const changed = ['persist', 'sendMessages', 'readEntries', 'workOnSnapshots', 'raiseConfigurationAppended'] as const

export const leader = leaderSetup.createStateConfig({
  type: 'parallel',
  entry: ['becomeLeader', 'persist', 'sendMessages'],
  states: {
    progress: {
      on: {
        proposals: [
          { guard: 'isTransferring', actions: ['refuseProposals', 'answerRequests'] },
          { actions: ['appendProposals', 'persist', 'sendMessages', 'readEntries', 'workOnSnapshots'] },
        ],
        propose: { actions: ['appendForwarded', 'persist', 'sendMessages', 'readEntries', 'workOnSnapshots'] },
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
              'workOnSnapshots',
              'notify',
              'raiseCommitAdvanced',
              'raisePeerMatched',
            ],
          },
          { actions: ['recordAppendReply', 'sendMessages', 'commit', 'readEntries', 'workOnSnapshots', 'notify'] },
        ],
        heartbeatReply: {
          actions: ['recordHeartbeatReply', 'sendMessages', 'readEntries', 'workOnSnapshots', 'answerRequests'],
        },
        installSnapshotReply: {
          actions: ['recordSnapshotReply', 'sendMessages', 'readEntries', 'workOnSnapshots', 'raisePeerMatched'],
        },
        persisted: [
          { guard: 'isSettling', actions: ['recordOwnWrite', 'sendMessages', 'commit', 'raiseCommitAdvanced'] },
          { actions: ['recordOwnWrite', 'sendMessages', 'commit'] },
        ],
        entriesRead: { actions: ['sendRead', 'sendMessages', 'readEntries', 'workOnSnapshots'] },
        peerUp: { actions: ['recordPeerUp', 'sendMessages', 'readEntries', 'workOnSnapshots'] },
        peerDown: { actions: 'recordPeerDown' },
        peerDropped: { actions: ['recordPeerDropped', 'sendMessages', 'readEntries', 'workOnSnapshots'] },
      },
    },
    /**
     * One change at a time (thesis §4.3): through C_old,new where the voters change. Before `authority`, since of two
     * transitions on one event XState takes the first region's where one of them leaves the role.
     */
    membership: {
      initial: 'settled',
      entry: 'raiseConfigurationAppended',
      on: {
        changeRequested: { actions: ['takeRequestedChange', ...changed, 'answerRequests'] },
        changeMembership: { actions: ['takeForwardedChange', ...changed, 'answerRequests'] },
      },
      states: {
        settled: {
          on: {
            configurationAppended: { guard: 'isJoint', target: 'joint' },
            commitAdvanced: [
              { guard: 'hasLeft', target: '#raft.follower', actions: ['leave', 'answerRequests', 'sendMessages'] },
              { guard: 'isChangeCommitted', actions: ['finishChange', 'answerRequests', 'persist', 'sendMessages'] },
            ],
            roundBegun: [
              { guard: 'mayPromote', actions: ['promoteLearners', ...changed] },
              { guard: 'mayRecordStores', actions: ['recordStores', ...changed] },
            ],
          },
        },
        /** Both majorities decide, until they know it; then the new configuration goes on alone. */
        joint: {
          on: {
            configurationAppended: { guard: 'isSimple', target: 'settled' },
            commitAdvanced: { guard: 'isJointCommitted', actions: ['leaveJoint', ...changed] },
          },
        },
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
          entry: ['beginRound', 'sendMessages', 'raiseRoundBegun'],
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
