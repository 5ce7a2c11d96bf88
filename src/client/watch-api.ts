import type { Observable } from 'rxjs'
import type { LogIndex } from '../machines/types.js'
import type { KvEntry } from '../state-machines/kv/results.js'

export interface WatchOptions {
  /** The first revision whose changes are wanted. Default: the first after what this server has applied at the call. */
  readonly fromRevision?: LogIndex | undefined
  /** Whether changes carry what the key was before. Default false. */
  readonly previous?: boolean | undefined
  /** Only puts, or only deletes, which expiries are among. Default: both. */
  readonly only?: 'puts' | 'deletes' | undefined
  /**
   * After so long without an event, a `progress` event says up to which revision there is nothing to tell. 10 to 2^31 − 1.
   * Default: none.
   */
  readonly progressIntervalMs?: number | undefined
  /** Changes that wait for a consumer who is slower than they come. 1 to 1,000,000, default 1,000. */
  readonly bufferedChangesMax?: number | undefined
  /**
   * What becomes of a consumer too slow for that: `true` goes on from the history, so that nothing is missed; `false` ends
   * with CANCELED, whose `revision` is where to resume. Default true. COMPACTED ends either when the history is gone.
   */
  readonly resume?: boolean | undefined
  /** Ends the watch, quietly. */
  readonly signal?: AbortSignal | undefined
}

/** What became of a key at a revision. What one command did to it counts once. */
export type Change =
  | { readonly type: 'put'; readonly entry: KvEntry; readonly previous?: KvEntry | undefined }
  | {
      readonly type: 'delete'
      readonly key: Uint8Array
      readonly revision: LogIndex
      readonly previous?: KvEntry | undefined
    }

export type WatchEvent =
  /** All changes of one revision within what is watched. */
  | { readonly type: 'changes'; readonly revision: LogIndex; readonly changes: readonly Change[] }
  /** All changes up to this revision have been told. */
  | { readonly type: 'progress'; readonly revision: LogIndex }

/**
 * A watch that has begun. It is for one consumer: iterate it, or subscribe to `asObservable()`. Leaving the loop,
 * unsubscribing, disposing or `cancel` ends it. It fails with COMPACTED, CANCELED or STOPPED; each error that can be
 * resumed after carries `revision`.
 */
export interface Watch extends AsyncIterable<WatchEvent, undefined>, AsyncDisposable {
  /** Where to resume: all changes before this revision have been handed over. */
  readonly nextRevision: LogIndex
  asObservable(): Observable<WatchEvent>
  cancel(): void
}

export type ObserveEvent =
  /** Everything there is, as of `revision`: first, and again after a COMPACTED gap. */
  { readonly type: 'state'; readonly entries: readonly KvEntry[]; readonly revision: LogIndex } | WatchEvent

/** As `Watch`, beginning with the present state. Where the history is gone it begins anew with the state of then. */
export interface Observation extends AsyncIterable<ObserveEvent, undefined>, AsyncDisposable {
  readonly nextRevision: LogIndex
  asObservable(): Observable<ObserveEvent>
  cancel(): void
}
