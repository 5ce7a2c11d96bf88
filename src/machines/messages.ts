import type { EntryRun } from './entry-run.js'
import type { LogIndex, Member, ServerId, SnapshotId, Term } from './types.js'

/**
 * What crosses the wire between servers. Requests and their replies carry the sender's term; a PreVote, and a granted
 * reply to one, the term that the pre-candidate would campaign in (thesis §9.6).
 */
export type Message =
  | PreVote
  | PreVoteReply
  | RequestVote
  | RequestVoteReply
  | AppendEntries
  | AppendEntriesReply
  | Heartbeat
  | HeartbeatReply
  | TimeoutNow
  | ReadIndex
  | ReadIndexReply
  | Propose
  | ProposeReply
  | InstallSnapshot
  | InstallSnapshotReply
  | ChangeMembership
  | ChangeMembershipReply
  | NotMember

export interface PreVote {
  readonly type: 'preVote'
  /** The sender's term + 1. */
  readonly term: Term
  readonly lastLogIndex: LogIndex
  readonly lastLogTerm: Term
}

export interface PreVoteReply {
  readonly type: 'preVoteReply'
  /** The term asked for when granted; the replier's own term when not. */
  readonly term: Term
  readonly granted: boolean
}

export interface RequestVote {
  readonly type: 'requestVote'
  readonly term: Term
  readonly lastLogIndex: LogIndex
  readonly lastLogTerm: Term
  /** Set when TimeoutNow started the campaign: then a living leader is no reason to refuse (§4.2.3). */
  readonly leadershipTransfer: boolean
}

export interface RequestVoteReply {
  readonly type: 'requestVoteReply'
  readonly term: Term
  readonly granted: boolean
}

export interface AppendEntries {
  readonly type: 'appendEntries'
  readonly term: Term
  readonly prevLogIndex: LogIndex
  readonly prevLogTerm: Term
  readonly commitIndex: LogIndex
  /** Contiguous, the first beginning at prevLogIndex + 1; empty for a probe. */
  readonly runs: readonly EntryRun[]
}

export type AppendEntriesReply = AppendEntriesAccepted | AppendEntriesRejected

export interface AppendEntriesAccepted {
  readonly type: 'appendEntriesReply'
  readonly term: Term
  readonly success: true
  /** The log matches the leader's, durably, up to here. */
  readonly matchIndex: LogIndex
}

export interface AppendEntriesRejected {
  readonly type: 'appendEntriesReply'
  readonly term: Term
  readonly success: false
  /** The request's prevLogIndex, so that the leader can tell a stale rejection. */
  readonly prevLogIndex: LogIndex
  /** The term found at prevLogIndex, 0 where the log has no entry there. */
  readonly conflictTerm: Term
  /** The first index of conflictTerm, or one past the log's end (the paper's §5.3 fast backtracking). */
  readonly conflictIndex: LogIndex
}

export interface Heartbeat {
  readonly type: 'heartbeat'
  readonly term: Term
  /** Rises with every round of heartbeats in a term; the reply echoes it. */
  readonly round: number
  /** No further than what this peer is known to match. */
  readonly commitIndex: LogIndex
  /** The receiver is asked to grant no vote for this long (ms) after receipt: the leader's lease stands on it. */
  readonly promiseMs: number
}

export interface HeartbeatReply {
  readonly type: 'heartbeatReply'
  readonly term: Term
  readonly round: number
  /** The end of the replier's log, durable or not: shows the leader what was lost on the way. */
  readonly lastLogIndex: LogIndex
}

export interface TimeoutNow {
  readonly type: 'timeoutNow'
  readonly term: Term
}

/** A follower asks its leader for a read index, for a batch of reads. */
export interface ReadIndex {
  readonly type: 'readIndex'
  readonly term: Term
  /** Random per start of the asking server. */
  readonly nonce: number
  readonly id: number
  /** True when a valid lease is enough. */
  readonly lease: boolean
}

export interface ReadIndexReply {
  readonly type: 'readIndexReply'
  readonly term: Term
  readonly nonce: number
  readonly id: number
  /** undefined: refused, ask again. */
  readonly index: LogIndex | undefined
}

/** A follower hands its clients' proposals to the leader. */
export interface Propose {
  readonly type: 'propose'
  /** Only the leader of this very term may append it: a duplicate cannot reach a later leadership. */
  readonly term: Term
  readonly nonce: number
  readonly batch: number
  readonly count: number
  /** Room for a run's header, then the body of commands. */
  readonly bytes: Uint8Array
}

/** Only refusals are answered, all of them certainly not proposed: success shows when the sender applies the run. */
export interface ProposeReply {
  readonly type: 'proposeReply'
  readonly term: Term
  readonly nonce: number
  readonly batch: number
  readonly refused: 'notLeader' | 'busy'
}

/**
 * A piece of a snapshot's file (§7). One without bytes asks how much of it the receiver has, so that a transfer goes on
 * where an earlier one broke off, whoever led then.
 */
export interface InstallSnapshot {
  readonly type: 'installSnapshot'
  readonly term: Term
  readonly snapshot: SnapshotId
  readonly offset: number
  readonly bytes: Uint8Array
}

export interface InstallSnapshotReply {
  readonly type: 'installSnapshotReply'
  readonly term: Term
  readonly snapshot: SnapshotId
  /** `more`: send from `offset`. `installed`: the log matches up to the snapshot's index. `refused`: damaged, begin again. */
  readonly outcome: 'more' | 'installed' | 'refused'
  readonly offset: number
}

/** Asks the leader for another membership; each list may be empty. */
export interface MembershipChange {
  /** Members that listen only: new ones, with `promotable` given either way, and voters to be demoted, without it. */
  readonly learners: readonly Member[]
  /** Learners that shall vote. */
  readonly promote: readonly ServerId[]
  readonly remove: readonly ServerId[]
  /** Members that moved. */
  readonly addresses: readonly { readonly id: ServerId; readonly address: string }[]
  /** Goes ahead although no quorum of the new configuration can be reached. */
  readonly force: boolean
}

/** A member hands its caller's wish to the leader, or a joining server's. */
export interface ChangeMembership {
  readonly type: 'changeMembership'
  readonly term: Term
  /** Random per start of the asking server, and its number for the request. */
  readonly nonce: number
  readonly id: number
  readonly change: MembershipChange
}

export interface ChangeMembershipReply {
  readonly type: 'changeMembershipReply'
  readonly term: Term
  readonly nonce: number
  readonly id: number
  /** Where the new configuration is committed; undefined when it was refused. */
  readonly index: LogIndex | undefined
  /** Why it was refused, for a person; '' when it was not. */
  readonly refusal: string
}

/**
 * To a server that campaigns although a committed configuration leaves it out: it stops. `index` is that
 * configuration's; a server that knows a later one ignores this.
 */
export interface NotMember {
  readonly type: 'notMember'
  readonly term: Term
  readonly index: LogIndex
}

export type MessageType = Message['type']

/** A message and where it goes. */
export interface Envelope {
  readonly to: ServerId
  readonly message: Message
}
