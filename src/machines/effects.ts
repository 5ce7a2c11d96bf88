import type { EntryRun } from './entry-run.js'
import type { Envelope, InstallSnapshot, InstallSnapshotReply } from './messages.js'
import type { Boundary, HardState, LogIndex, ServerId, SnapshotId, Term } from './types.js'

/**
 * What leaves a machine, as data. One XState event may emit several; whoever runs them keeps their order. Payloads are
 * arrays, empty when there is nothing to do.
 */
export type Effect =
  SendMessages | PersistEffect | CommitEffect | AnswerRequests | ReadEntries | WorkOnSnapshots | Notices

/** Send now: reveals nothing that is not durable. */
export interface SendMessages {
  readonly type: 'sendMessages'
  readonly messages: readonly Envelope[]
}

export interface PersistEffect {
  readonly type: 'persist'
  readonly steps: readonly Persist[]
}

/**
 * One atomic step of the log store; steps complete in order and may be merged. With nothing to write it only makes its
 * messages wait for the steps before it.
 */
export interface Persist {
  readonly hardState?: HardState | undefined
  readonly truncateFrom?: LogIndex | undefined
  readonly runs: readonly EntryRun[]
  /** Compacts the log up to here, or begins it anew from here where it ends before. */
  readonly boundary?: Boundary | undefined
  /** The end of the log and its truncation count as of this step, for the completion. */
  readonly lastIndex: LogIndex
  readonly truncations: number
  /** Sent once this step is durable (thesis §3.8): they reveal a term, a vote or entries that it makes so. */
  readonly messages: readonly Envelope[]
}

export interface CommitEffect {
  readonly type: 'commit'
  readonly commits: readonly Commit[]
}

/** Apply up to `index`. The newest runs come along; earlier ones not yet applied are on disk. */
export interface Commit {
  readonly index: LogIndex
  readonly runs: readonly EntryRun[]
}

export interface AnswerRequests {
  readonly type: 'answerRequests'
  readonly answers: readonly Answer[]
}

/** What became of a batch of this server's own clients' requests. */
export type Answer =
  | { readonly type: 'readsReady'; readonly nonce: number; readonly id: number; readonly index: LogIndex }
  | { readonly type: 'readsRefused'; readonly nonce: number; readonly id: number; readonly reason: RefusalReason }
  | {
      readonly type: 'proposalsRefused'
      readonly nonce: number
      readonly batch: number
      readonly reason: RefusalReason
    }
  | MembershipAnswer

/** What became of a request for another membership: the configuration it leads to is committed at `index`, or not. */
export interface MembershipAnswer {
  readonly type: 'membershipAnswered'
  readonly nonce: number
  readonly id: number
  readonly index: LogIndex | undefined
  /** `unknown`: leadership was lost first, and the next leader may complete the change. */
  readonly reason: 'noLeader' | 'refused' | 'unknown' | undefined
  /** For a person; '' when nothing was refused. */
  readonly refusal: string
}

/** Certainly not proposed, or not read. */
export type RefusalReason = 'noLeader' | 'notLeader' | 'busy' | 'transferring'

/** Read entries that are no longer in memory, for a peer that is behind. */
export interface ReadEntries {
  readonly type: 'readEntries'
  readonly requests: readonly EntriesRequest[]
}

export interface EntriesRequest {
  readonly peer: ServerId
  readonly from: LogIndex
  readonly bytesMax: number
  /** Of the leader that asks: the answer carries both back, and counts only if neither has changed. */
  readonly term: Term
  readonly truncations: number
}

export interface WorkOnSnapshots {
  readonly type: 'workOnSnapshots'
  readonly works: readonly SnapshotWork[]
}

/** What the machine leaves to whoever keeps snapshots. */
export type SnapshotWork =
  /** Send the newest snapshot to a peer that needs entries from before the boundary; idempotent. */
  | { readonly type: 'stream'; readonly peer: ServerId }
  | { readonly type: 'streamReplied'; readonly peer: ServerId; readonly reply: InstallSnapshotReply }
  /** Keep this piece of the leader's snapshot. */
  | { readonly type: 'receive'; readonly from: ServerId; readonly message: InstallSnapshot }
  /** The log begins anew after this snapshot: the state does too. */
  | { readonly type: 'restore'; readonly id: SnapshotId; readonly boundary: Boundary }

/** Something a person should know. */
export interface Notices {
  readonly type: 'notices'
  readonly texts: readonly string[]
}

/** The effects of the latest transition, filled by its assign and emitted by the actions named after it. */
export interface PendingEffects {
  readonly messages: readonly Envelope[]
  readonly persists: readonly Persist[]
  readonly commits: readonly Commit[]
  readonly answers: readonly Answer[]
  readonly reads: readonly EntriesRequest[]
  readonly snapshots: readonly SnapshotWork[]
  readonly notices: readonly string[]
}

export const NO_EFFECTS: PendingEffects = {
  messages: [],
  persists: [],
  commits: [],
  answers: [],
  reads: [],
  snapshots: [],
  notices: [],
}

/** Effects with some of their kinds replaced. Written out for the reason that `amended` gives. */
export function effectsWith(effects: PendingEffects, changes: Partial<PendingEffects>): PendingEffects {
  return {
    messages: changes.messages ?? effects.messages,
    persists: changes.persists ?? effects.persists,
    commits: changes.commits ?? effects.commits,
    answers: changes.answers ?? effects.answers,
    reads: changes.reads ?? effects.reads,
    snapshots: changes.snapshots ?? effects.snapshots,
    notices: changes.notices ?? effects.notices,
  }
}
