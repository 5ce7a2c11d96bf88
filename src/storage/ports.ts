import type { EntryRun } from '../machines/entry-run.js'
import type {
  Boundary,
  Configuration,
  HardState,
  LogIndex,
  ServerId,
  SnapshotId,
  TermStart,
} from '../machines/types.js'

/** Called exactly once, perhaps before the method returns. */
export type Callback<Result = void> = (error: Error | undefined, result: Result) => void

/**
 * Where entries and HardState live, together, so that one step changes both or neither. The conformance suite in
 * testing/ says what an implementation must do.
 *
 * One write is in flight at a time: `write` is called again only after its callback. After a failed write the store is
 * not used again (a failed fsync cannot be retried into a success).
 */
export interface LogStore {
  /**
   * Opens or creates the store and recovers what it holds. `initial` counts only for an empty one. Errors are
   * ActorumErrors: LOCKED, CORRUPT, UNSUPPORTED_FORMAT, INVALID_ARGUMENT (another server's store), STORAGE_FAILED.
   */
  open(initial: InitialState, handler: LogStoreHandler, callback: Callback<Recovered>): void
  /** One atomic step. The callback comes once the write is as durable as the store's durability promises. */
  write(write: LogWrite, callback: Callback): void
  /**
   * Whole runs in order, from the one that contains `from` (which is in the log), until `bytesMax` is reached (at least one run).
   */
  read(from: LogIndex, bytesMax: number, callback: Callback<readonly EntryRun[]>): void
  /** Waits for the write in flight, syncs what is not synced, and lets go of the store. */
  close(callback: Callback): void
}

export interface LogStoreHandler {
  /** A background sync failed: the server must stop. */
  failed(error: Error): void
}

/** What an empty store starts from. */
export interface InitialState {
  readonly serverId: ServerId
  /** Random, made by the caller (chance stays at the edge). */
  readonly storeId: string
  readonly clusterId: string | undefined
  readonly configuration: Configuration
}

/** `truncateFrom` comes first, then `runs`; all of it or nothing is durable. */
export interface LogWrite {
  /** Always synced, whatever the durability. */
  readonly hardState?: HardState | undefined
  /** Drops every entry from here on (a conflicting suffix). Always the first index of a run. */
  readonly truncateFrom?: LogIndex | undefined
  /** Contiguous with what remains. */
  readonly runs: readonly EntryRun[]
  /** The cluster's id, once it is known. */
  readonly clusterId?: string | undefined
  /** Drops every entry up to its index (compaction). Always the last index of a run. */
  readonly boundary?: Boundary | undefined
}

/** What a store held when it was opened. */
export interface Recovered {
  /** True when the store was empty and has been made from `initial`. */
  readonly fresh: boolean
  readonly storeId: string
  readonly clusterId: string | undefined
  readonly hardState: HardState
  readonly boundary: Boundary
  readonly lastIndex: LogIndex
  /** Checksum of the last run, or the boundary's. */
  readonly lastChecksum: number
  readonly lastClusterTime: number
  /** Runs of equal terms above the boundary, in order. */
  readonly termStarts: readonly TermStart[]
  /** Configurations above the boundary with their indexes, in order. */
  readonly configurations: readonly { readonly index: LogIndex; readonly configuration: Configuration }[]
  /** What recovery did that a person should know, such as a torn tail that was cut. */
  readonly notices: readonly string[]
}

/**
 * `disk-first`: a write is complete once synced. `mem-first`: once handed to the operating system, with a sync every
 * `syncIntervalMs`; `kill -9` loses nothing, a machine's crash may lose that machine's last interval.
 */
export type Durability = 'disk-first' | 'mem-first'

/** A complete snapshot in the store. */
export interface StoredSnapshot {
  readonly id: SnapshotId
  /** Where a log goes on after it. Its index and term are the id's. */
  readonly boundary: Boundary
  readonly clusterId: string | undefined
}

/**
 * Where snapshots live: files of a format of their own that say what they are, every piece with a checksum. The newest
 * two are kept. A snapshot appears complete and durable, or not at all.
 */
export interface SnapshotStore {
  /** Finds what is complete, and the newest that another server's sending left incomplete. Call once, first. */
  open(callback: Callback<SnapshotsFound>): void
  /** Complete ones, newest first. */
  readonly stored: readonly StoredSnapshot[]
  /** Begins a snapshot of this server's own state; one at a time. */
  create(boundary: Boundary, clusterId: string | undefined): SnapshotWriter
  /**
   * Bytes of another server's snapshot; one call at a time. Those before what is there already are skipped, those
   * beyond a gap are not taken; a snapshot under another id replaces the incomplete one. `more` says from where to go
   * on. `complete` once the last byte is there, all checksums hold and the snapshot is durable; `refused` when they do
   * not (then nothing of it is kept). The bytes may be changed once called back.
   */
  receive(id: SnapshotId, offset: number, bytes: Uint8Array, callback: Callback<ReceiveOutcome>): void
  /** Bytes of a complete snapshot's file as they are, for another server; up to `bytesMax`, empty at the end. */
  read(id: SnapshotId, offset: number, bytesMax: number, callback: Callback<Uint8Array>): void
  /** Keeps a snapshot, though it be older than the newest two, until what is returned is called. */
  retain(id: SnapshotId): () => void
  /** The state in a snapshot, chunk by chunk as it was written, each checked. It is kept until the reader is closed. */
  openReader(id: SnapshotId, callback: Callback<SnapshotReader>): void
  /** Waits for the calls under way. Readers must be closed before. */
  close(callback: Callback): void
}

export interface SnapshotsFound {
  /** Newest first. */
  readonly stored: readonly StoredSnapshot[]
  /** What a person should know, such as a damaged snapshot that was set aside. */
  readonly notices: readonly string[]
}

export type ReceiveOutcome =
  | { readonly outcome: 'more'; readonly offset: number }
  | { readonly outcome: 'complete'; readonly stored: StoredSnapshot }
  | { readonly outcome: 'refused'; readonly reason: string }

/** One call at a time; each waits for the callback of the one before it. */
export interface SnapshotWriter {
  /** The chunk may be changed once called back. More than 16 MiB are TOO_LARGE, none are no chunk. */
  write(chunk: Uint8Array, callback: Callback): void
  /** Makes it durable and complete; older ones than the newest two go. */
  commit(callback: Callback<StoredSnapshot>): void
  /** Forgets what was written. */
  abandon(callback: Callback): void
}

export interface SnapshotReader {
  /** The next chunk, undefined after the last. A damaged one is an error CORRUPT; the snapshot is stored no more then. */
  next(callback: Callback<Uint8Array | undefined>): void
  close(): void
}
