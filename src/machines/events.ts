import type { EntryRun } from './entry-run.js'
import type { MembershipChange, Message } from './messages.js'
import type { Boundary, HardState, LogIndex, ServerId, SnapshotId, Term } from './types.js'

/** Every event carries when it was handled; one instant a batch. */
export interface Instant {
  /** Monotonic milliseconds. */
  readonly now: number
  /** Milliseconds since 1970, stamped on entries for people to read. */
  readonly wallTime: number
}

/** What enters a machine. */
export type RaftEvent = (MessageEvent | LocalEvent) & Instant

/** A message from a peer, its term settled by step.ts before a role sees it. */
export type MessageEvent = {
  [Kind in Message['type']]: {
    readonly type: Kind
    readonly from: ServerId
    readonly message: Extract<Message, { readonly type: Kind }>
  }
}[Message['type']]

export type LocalEvent =
  | ClockEvent
  | TermObserved
  | StaleMessage
  | Proposals
  | Reads
  | Persisted
  | EntriesRead
  | PeerUp
  | PeerDown
  | PeerDropped
  | TransferLeadership
  | ChangeRequested
  | OutsiderCampaigned
  | SnapshotProgress
  | SnapshotReceived
  | CompactLog
  | StorageFailed
  | CommitAdvanced
  | PeerMatched
  | RoundBegun
  | ConfigurationAppended

/** Time has passed: sent before a timer fires, since XState's own timer events carry no time. */
export interface ClockEvent {
  readonly type: 'clock'
}

/** A message showed a higher term: adopt it and follow (the paper's rule for all servers). From step.ts alone. */
export interface TermObserved {
  readonly type: 'termObserved'
  readonly term: Term
}

/** A message of an older term, to be answered with ours. From step.ts alone. */
export interface StaleMessage {
  readonly type: 'staleMessage'
  readonly from: ServerId
  readonly message: Message
}

/** What this server's clients proposed in one turn. */
export interface Proposals {
  readonly type: 'proposals'
  readonly batches: readonly ProposalBatch[]
}

export interface ProposalBatch {
  readonly batch: number
  readonly nonce: number
  readonly count: number
  /** Room for a run's header, then the commands. The log takes ownership. */
  readonly bytes: Uint8Array
}

/** What this server's clients want to read: one id for all that arrived in one turn. */
export interface Reads {
  readonly type: 'reads'
  readonly requests: readonly { readonly id: number; readonly nonce: number; readonly lease: boolean }[]
}

/** The log store completed a step. */
export interface Persisted {
  readonly type: 'persisted'
  readonly hardState: HardState | undefined
  /** The log was durable up to here when it had been truncated this many times. */
  readonly index: LogIndex
  readonly truncations: number
  /** How far this server has applied by now, or will from disk: what the tail may forget once it is durable. */
  readonly lastApplied: LogIndex
}

export interface EntriesRead {
  readonly type: 'entriesRead'
  readonly peer: ServerId
  readonly term: Term
  readonly truncations: number
  readonly runs: readonly EntryRun[]
}

export interface PeerUp {
  readonly type: 'peerUp'
  readonly peer: ServerId
  /** New when the peer was restarted: in mem-first mode it may have forgotten what it had matched. */
  readonly nonce: number
  /** Of its data directory. */
  readonly storeId: string
}

export interface PeerDown {
  readonly type: 'peerDown'
  readonly peer: ServerId
}

export interface PeerDropped {
  readonly type: 'peerDropped'
  readonly peer: ServerId
}

/** Hand leadership to `to`, or to whoever matches most. Ignored by a server that does not lead. */
export interface TransferLeadership {
  readonly type: 'transferLeadership'
  readonly to: ServerId | undefined
}

/** A caller on this server wants another membership. */
export interface ChangeRequested {
  readonly type: 'changeRequested'
  readonly nonce: number
  readonly id: number
  readonly change: MembershipChange
}

/** A server campaigns that the committed configuration leaves out. From step.ts alone. */
export interface OutsiderCampaigned {
  readonly type: 'outsiderCampaigned'
  readonly from: ServerId
}

/** How far this server has come with a leader's snapshot: to be answered. */
export interface SnapshotProgress {
  readonly type: 'snapshotProgress'
  readonly to: ServerId
  readonly snapshot: SnapshotId
  readonly outcome: 'more' | 'refused'
  readonly offset: number
}

/** A leader's snapshot is here, verified and durable. */
export interface SnapshotReceived {
  readonly type: 'snapshotReceived'
  readonly from: ServerId
  readonly stored: { readonly id: SnapshotId; readonly boundary: Boundary }
}

/** Snapshots cover the log up to here, the end of a run: it need not be kept. */
export interface CompactLog {
  readonly type: 'compactLog'
  readonly end: Omit<Boundary, 'configuration'>
}

export interface StorageFailed {
  readonly type: 'storageFailed'
  readonly reason: string
}

/** Raised by the leader's progress region. */
export interface CommitAdvanced {
  readonly type: 'commitAdvanced'
}

/** Raised by the leader's progress region. */
export interface PeerMatched {
  readonly type: 'peerMatched'
}

/** Raised by the leader's heartbeat region with every round. */
export interface RoundBegun {
  readonly type: 'roundBegun'
}

/** Raised by the leader's membership region. */
export interface ConfigurationAppended {
  readonly type: 'configurationAppended'
}
