import type { Observable } from 'rxjs'
import type { LogIndex, ServerId } from '../machines/types.js'
import type { CallOptions, ReadOptions } from '../options.js'
import type { LeaseId, SessionId } from '../state-machines/kv/commands.js'
import type { KvEntry } from '../state-machines/kv/results.js'
import type { ClusterMember, Membership } from './cluster-view.js'
import type { Txn } from './txn.js'
import type { Observation, Watch, WatchOptions } from './watch-api.js'

/** Bytes, or a string that stands for its UTF-8. */
export type Bytes = string | Uint8Array

/** Keys: one, all that begin with a prefix ('' is every key), or those from `from` (included) to `to` (not included). */
export type KeySelector =
  | { readonly key: Bytes }
  | { readonly prefix: Bytes }
  | { readonly from?: Bytes | undefined; readonly to?: Bytes | undefined }

/** What a read of single keys takes. */
export interface KeyReadOptions extends ReadOptions {
  /**
   * As of which revision: waits for it where it has not been applied yet, and fails with COMPACTED where it is no longer
   * kept. Default: the newest that the consistency allows.
   */
  readonly revision?: LogIndex | undefined
}

export interface PutOptions extends CallOptions {
  /** The key goes when this lease ends: LEASE_NOT_FOUND when there is no such lease. Not together with `ttlMs`. */
  readonly lease?: LeaseId | { readonly id: LeaseId } | undefined
  /** The key goes after so many milliseconds of cluster time. Not together with `lease`. */
  readonly ttlMs?: number | undefined
  /** Whether to answer with what the key was before. Default false. */
  readonly previous?: boolean | undefined
}

export interface DeleteOptions extends CallOptions {
  /** Whether to answer with what was deleted. Default false. */
  readonly previous?: boolean | undefined
}

/** One page of a range. The keys are given as `prefix`, or as `from` and `to`; neither: every key. */
export interface RangeOptions extends KeyReadOptions {
  readonly prefix?: Bytes | undefined
  readonly from?: Bytes | undefined
  readonly to?: Bytes | undefined
  /** Entries at most, 1 to 10,000. Default 1,000. */
  readonly limit?: number | undefined
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined
  /** Entries without their values. Default false. */
  readonly keysOnly?: boolean | undefined
  /** No entries, only their number. Default false. */
  readonly countOnly?: boolean | undefined
  /** Where the page before ended, as it said; the rest of the query as it was. It is read as of that page's revision. */
  readonly cursor?: string | undefined
}

export interface RangePage {
  readonly entries: readonly KvEntry[]
  /** Keys in what is left of the range, those beyond the limit included. */
  readonly count: number
  readonly more: boolean
  /** For the next page; undefined when there is none. */
  readonly cursor: string | undefined
  /** What the entries are as of, the same on all pages. */
  readonly revision: LogIndex
}

export interface ScanResult {
  readonly entries: readonly KvEntry[]
  readonly revision: LogIndex
}

export interface PutAnswer {
  readonly revision: LogIndex
  /** With `previous`: what the key was before, undefined when there was none. */
  readonly previous?: KvEntry | undefined
}

export interface DeleteAnswer {
  readonly deleted: boolean
  readonly revision: LogIndex
  readonly previous?: KvEntry | undefined
}

export interface DeleteRangeAnswer {
  readonly deletedCount: number
  readonly revision: LogIndex
  /** With `previous`: what was deleted, in the order of keys. */
  readonly previous?: readonly KvEntry[] | undefined
}

export interface LeaseOptions extends CallOptions {
  /** Whether the handle keeps the lease alive by itself until it is released or revoked. Default true. */
  readonly keepAlive?: boolean | undefined
}

export interface LeaseStatus {
  /** What it was granted, in milliseconds. */
  readonly ttlMs: number
  /** What is left of it by the cluster time of the last command applied, in milliseconds; at least 0. */
  readonly remainingMs: number
  readonly keys: readonly Uint8Array[]
}

/**
 * A lease, and the hold on it: kept alive every third of its time to live. Disposing of it revokes it.
 */
export interface Lease extends AsyncDisposable {
  readonly id: LeaseId
  readonly ttlMs: number
  /**
   * Fires while the lease is still surely held by everybody's reckoning: before its time to live, counted from when the
   * last answered grant or keep-alive was *sent* and shortened by the clock drift bound, is over; when the cluster says
   * that it is gone; or when its holder lets go of it. Its reason is an ActorumError LEASE_NOT_FOUND.
   */
  readonly signal: AbortSignal
  /** False from the moment at which `signal` should have fired, also when a pause kept the timer from firing. */
  readonly isHeld: boolean
  /** Milliseconds for which the lease is surely held, by the local clock. 0 when that is over. */
  readonly heldForMs: number
  /** Keeps it alive once, now. @throws ActorumError LEASE_NOT_FOUND */
  keepAlive(options?: CallOptions): Promise<void>
  /** @throws ActorumError LEASE_NOT_FOUND */
  timeToLive(options?: ReadOptions): Promise<LeaseStatus>
  /** Ends it, with all its keys. One that is gone already is no error. */
  revoke(options?: CallOptions): Promise<void>
  /** Lets go of the handle: it is no longer kept alive, and ends when its time is over. */
  release(): void
}

export interface SessionOptions extends CallOptions {
  /** The session ends after so long without any command, in cluster time. 1,000 to 2^31 − 1, default 60,000 ms. */
  readonly sessionTimeoutMs?: number | undefined
}

/**
 * A client whose writes are applied once, however often they are sent (thesis §6.3): one whose outcome is unknown is sent
 * again, under the same number, until its time runs out. Kept alive by itself until closed.
 */
export interface Session extends ClientApi, AsyncDisposable {
  readonly id: SessionId
  /** Fires once the session has expired: calls fail with SESSION_EXPIRED from then on. */
  readonly signal: AbortSignal
}

export interface CausalOptions {
  /** The `revision` of another view of the same cluster: what that has seen, this one never goes back on. Default 0. */
  readonly since?: LogIndex | undefined
}

/**
 * A client whose reads, eventual ones too, never see less than what was written, read or watched through it, or through
 * what is made of it, on whichever server: read your writes, monotonic reads, writes follow reads.
 */
export interface CausalView extends ClientApi {
  /**
   * The newest revision that it has seen. Never goes down. For the view of another server's client, or to be sent along
   * with a message: `other.causal({ since: revision })`.
   */
  readonly revision: LogIndex
}

/**
 * A cluster's key-value store as a client sees it, embedded or remote. Every call may fail with an `ActorumError`;
 * docs/errors.md says for each code what has happened and what to do. Buffers given may be changed once a call has
 * returned, bytes got are the caller's own. Small values may share an ArrayBuffer, as Node's small Buffers do, so use a
 * value's `byteOffset` and `byteLength` with its `buffer`, and keep many of them for long only as copies
 * (`value.slice()`).
 */
export interface ClientApi {
  /** Sets a key. `revision` is the write's log index: later writes have higher ones, on every key. */
  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<PutAnswer>
  /**
   * Sets a key that goes after `ttlSecs` seconds of cluster time, a number above 0 and at most 3,162,240,000 (about a
   * hundred years). The same as `put` with `ttlMs`.
   */
  putWithTtl(key: Bytes, value: Bytes, ttlSecs: number, options?: CallOptions): Promise<PutAnswer>
  /** Removes a key. `deleted` is false when there was none. */
  delete(key: Bytes, options?: DeleteOptions): Promise<DeleteAnswer>
  /** Removes many keys at one revision. */
  deleteRange(keys: KeySelector, options?: DeleteOptions): Promise<DeleteRangeAnswer>
  /** Sets the key to `value` if its value is `expected` (undefined: if there is no such key), and says whether it did. */
  compareAndSwap(key: Bytes, expected: Bytes | undefined, value: Bytes, options?: CallOptions): Promise<boolean>
  /** `txn().if(...comparisons).then(...operations).else(...operations).commit()`: all of it at one revision. */
  txn(): Txn

  /** The key's value, undefined when there is none. Linearizable unless `consistency` says otherwise. */
  get(key: Bytes, options?: KeyReadOptions): Promise<Uint8Array | undefined>
  /** Sees every write that was answered before the call, on whichever server. */
  getLinearizable(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined>
  /** The same as long as the servers' clocks run within the drift bound of one another; no round trip on the leader. */
  getLease(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined>
  /** What this server has applied: perhaps old, never wrong, and never going back on one server. */
  getEventual(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined>
  /** The key's value with its revisions, version and lease. */
  getEntry(key: Bytes, options?: KeyReadOptions): Promise<KvEntry | undefined>
  /** Several keys as of one moment, in the order given. */
  getMulti(keys: readonly Bytes[], options?: KeyReadOptions): Promise<(Uint8Array | undefined)[]>
  /** All keys that begin with `prefix`, in order, at once. For many keys take `range` or `entries`. */
  scanPrefix(prefix: Bytes, options?: KeyReadOptions): Promise<ScanResult>
  /** One page of keys in order. */
  range(query?: RangeOptions): Promise<RangePage>
  /** Every entry of a range, of any size, as of one revision; it is read in pages of `limit`. */
  entries(query?: Omit<RangeOptions, 'countOnly' | 'cursor'>): AsyncIterable<KvEntry>
  /** Forgets what can be read before `revision`, on every server. */
  compact(revision: LogIndex, options?: CallOptions): Promise<{ readonly compactedRevision: LogIndex }>

  /** A lease of `ttlMs` of cluster time, held by the handle. 1,000 to about a hundred years. */
  grantLease(ttlMs: number, options?: LeaseOptions): Promise<Lease>
  /** Gives a lease its whole time to live again. @throws ActorumError LEASE_NOT_FOUND */
  keepAlive(lease: LeaseId, options?: CallOptions): Promise<{ readonly ttlMs: number }>
  /** Ends a lease, with all its keys. @throws ActorumError LEASE_NOT_FOUND */
  revoke(lease: LeaseId, options?: CallOptions): Promise<{ readonly deletedCount: number; readonly revision: LogIndex }>
  /** @throws ActorumError LEASE_NOT_FOUND */
  timeToLive(lease: LeaseId, options?: ReadOptions): Promise<LeaseStatus>
  /** The leases that were granted and are not over, oldest first. */
  leases(options?: ReadOptions): Promise<readonly LeaseId[]>

  /**
   * The changes of a key (`'a'` or `{ key: 'a' }`), a prefix or a range, in order, without gap or repeat, all of one
   * revision together. Works on any server.
   */
  watch(keys: Bytes | KeySelector, options?: WatchOptions): Watch
  /** The present state of all keys that begin with a prefix, or of a selection, and then every change: no race between. */
  observe(keys: Bytes | KeySelector, options?: WatchOptions): Observation

  /** Opens a session. */
  openSession(options?: SessionOptions): Promise<Session>
  /**
   * The same client within the keys that begin with `prefix`, which it neither takes nor gives: what it reads, writes and
   * watches is there, and nothing else can be reached.
   */
  namespace(prefix: Bytes): ClientApi
  /**
   * The same client, whose eventual reads wait until their server has applied what this view has seen, at most until their
   * time is up (TIMEOUT). Calls that fail have shown nothing, `OUTCOME_UNKNOWN` included. Its watches from now on begin
   * after what it has seen.
   */
  causal(options?: CausalOptions): CausalView

  /** Makes sure that there is a leader and that this client knows it, and the members, by a round to a quorum. */
  refresh(options?: CallOptions): Promise<void>
  listMembers(): Promise<readonly ClusterMember[]>
  /** As far as this client knows; undefined once its engine has stopped. It never throws, also once the client is closed. */
  leaderId(): ServerId | undefined
  /** Who belongs to the cluster: now, and whenever that changes. */
  watchMembership(): Observable<Membership>
  /**
   * Ends watches and keep-alives; later calls fail with STOPPED, but for `leaderId()`. An embedded client closes with its
   * engine, too.
   */
  close(): Promise<void>
}
