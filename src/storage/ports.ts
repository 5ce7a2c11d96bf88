import type { EntryRun } from '../machines/entry-run.js'
import type { Boundary, Configuration, HardState, LogIndex, ServerId, TermStart } from '../machines/types.js'

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
  readonly hardState?: HardState
  /** Drops every entry from here on (a conflicting suffix). Always the first index of a run. */
  readonly truncateFrom?: LogIndex
  /** Contiguous with what remains. */
  readonly runs: readonly EntryRun[]
  /** The cluster's id, once it is known. */
  readonly clusterId?: string
  /** Drops every entry up to its index (compaction). Always the last index of a run. */
  readonly boundary?: Boundary
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
