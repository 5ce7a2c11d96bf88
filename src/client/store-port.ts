import type { Observable } from 'rxjs'
import type { Clock } from '../machines/time-and-chance.js'
import type { LogIndex, ServerId } from '../machines/types.js'
import type { CallOptions, Consistency, ReadOptions } from '../options.js'
import type { KvCommand, LeaseId } from '../state-machines/kv/commands.js'
import type { KeyChars, KeyRange } from '../state-machines/kv/keys.js'
import type { RangeQuery } from '../state-machines/kv/range.js'
import type { KvEntry, KvResult, RangeResult, RefusedResult } from '../state-machines/kv/results.js'
import type { ChangesSince, RevisionChanges } from '../state-machines/kv/change-feed.js'
import type { LeaseStatus } from './client-api.js'
import type { ClusterMember, Membership } from './cluster-view.js'

/** What a read looks for, as data, so that it can go to another process. */
export type StoreQuery =
  | { readonly type: 'values'; readonly keys: readonly KeyChars[]; readonly revision?: LogIndex | undefined }
  | { readonly type: 'entry'; readonly key: KeyChars; readonly revision?: LogIndex | undefined }
  | { readonly type: 'range'; readonly query: RangeQuery; readonly revision?: LogIndex | undefined }
  | { readonly type: 'lease'; readonly lease: LeaseId }
  | { readonly type: 'leases' }
  | { readonly type: 'changes'; readonly from: LogIndex; readonly range: KeyRange; readonly limit: number }
  | { readonly type: 'revision' }

/** What is found, by the kind of query. Bytes are the caller's own. */
export interface StoreAnswers {
  values: (Uint8Array | undefined)[]
  entry: KvEntry | undefined
  range: RangeResult
  lease: LeaseStatus | undefined
  leases: readonly LeaseId[]
  changes: ChangesSince
  revision: LogIndex
}

/** Who is told of changes as they are applied, in order. Called within a turn of the loop: neither throws nor takes long. */
export interface StoreListener {
  /** The changes are shared with other listeners: who hands them on copies their bytes. */
  changed(changes: RevisionChanges): void
  /** What happened up to now is in the history or nowhere: ask for `changes`. */
  lost(): void
  /** Nothing more will come. */
  ended(error: Error): void
}

/** Names and bounds that a client checks its calls by. */
export interface StoreLimits {
  readonly keyBytesMax: number
  readonly valueBytesMax: number
  readonly requestTimeoutMs: number
  /** How much faster one clock may run than another (per cent): what is held by a lease is held that much shorter. */
  readonly clockDriftBoundPercent: number
}

/** Who made a call: exactly one of the two is called, once, perhaps before the call returns. */
export interface Caller<Result> {
  resolve(result: Result): void
  reject(error: Error): void
}

/** Who made a read: is told, too, up to which revision the state was that the answer was found in. */
export interface Reader<Answer> {
  resolve(answer: Answer, revision: LogIndex): void
  reject(error: Error): void
}

/** What a committed command resulted in. A refusal is a rejection: `refusalError`. */
export type CommandResult = Exclude<KvResult, RefusedResult>

/**
 * A cluster as clients are built on: the embedded one is a server in this process, a remote one a connection; a session,
 * a namespace and a causal view are ports that lie over another. All that `ClientApi` offers is made of these. What is wrong with a
 * call is thrown, as `BUSY` and `STOPPED` are; what becomes of it later comes by its caller. Bytes in answers are the
 * caller's own.
 */
export interface StorePort {
  readonly limits: StoreLimits
  readonly clock: Clock
  /** Throws STOPPED, or the error that stopped the server, once no call can be made any more. */
  assertOpen(): void
  propose(command: KvCommand, options: CallOptions | undefined, caller: Caller<CommandResult>): void
  read<Query extends StoreQuery>(
    query: Query,
    options: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Query['type']]>,
  ): void
  /** The value of one key: what nearly all reads are, and so a way of its own. Rejects what it finds wrong. */
  getValue(key: KeyChars, options: ReadOptions | undefined, consistency: Consistency): Promise<Uint8Array | undefined>
  /** The last revision applied where `watch` looks. But within a listener's call, all up to it has been told. */
  readonly appliedRevision: LogIndex
  /** What whoever uses this store has seen already, perhaps elsewhere: what is new to them comes after it. 0: nothing. */
  readonly seenRevision: LogIndex
  /** Tells of every change in a range from now on: after `appliedRevision`. Gives the way to end it. */
  watch(range: KeyRange, listener: StoreListener): () => void
  /** Makes sure that somebody leads, by a round to a quorum. */
  refresh(options: CallOptions | undefined, caller: Caller<void>): void
  members(): readonly ClusterMember[]
  leaderId(): ServerId | undefined
  membership$(): Observable<Membership>
}
