import type { CallOptions, ReadOptions } from '../options.js'

/** Bytes, or a string that stands for its UTF-8. */
export type Bytes = string | Uint8Array

/**
 * The key-value store as a client sees it. Every call may fail with an `ActorumError`; docs/errors.md says for each
 * code what has happened and what to do. Buffers given may be changed once a call has returned, bytes got are the
 * caller's own. Small values may share an ArrayBuffer, as Node's small Buffers do, so use a value's `byteOffset` and
 * `byteLength` with its `buffer`, and keep many of them for long only as copies (`value.slice()`).
 */
export interface ClientApi {
  /** Sets a key. `revision` is the write's log index: later writes have higher ones, on every key. */
  put(key: Bytes, value: Bytes, options?: CallOptions): Promise<{ readonly revision: number }>
  /** The key's value, undefined when there is none. Linearizable unless `consistency` says otherwise. */
  get(key: Bytes, options?: ReadOptions): Promise<Uint8Array | undefined>
  /** Sees every write that was answered before the call, on whichever server. */
  getLinearizable(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined>
  /** The same as long as the servers' clocks run within the drift bound of one another; no round trip on the leader. */
  getLease(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined>
  /** What this server has applied: perhaps old, never wrong, and never going back on one server. */
  getEventual(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined>
  /** Several keys as of one moment, in the order given. */
  getMulti(keys: readonly Bytes[], options?: ReadOptions): Promise<(Uint8Array | undefined)[]>
  /** Removes a key. `deleted` is false when there was none. */
  delete(key: Bytes, options?: CallOptions): Promise<{ readonly deleted: boolean; readonly revision: number }>
  /** Sets the key to `value` if its value is `expected` (undefined: if there is no such key), and says whether it did. */
  compareAndSwap(key: Bytes, expected: Bytes | undefined, value: Bytes, options?: CallOptions): Promise<boolean>
}
