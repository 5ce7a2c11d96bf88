import type { EntryRun } from '../machines/entry-run.js'
import type { LogIndex } from '../machines/types.js'
import type { Callback } from './ports.js'

/**
 * What a log store needs of a place that keeps bytes: runs under their first index, one server record, and beside them
 * a watermark. Level and memory are such places; all rules of what is written when are in record-log-store.ts, and of
 * what is believed afterwards in recovery.ts. Errors are passed as the place reports them.
 */
export interface RecordDisk {
  /** How errors name it, such as "data directory ./data". */
  readonly name: string
  /** Locks the place. What it hands out, here and by `scan`, must be durable. */
  open(callback: Callback<DiskContents>): void
  /** Visits every run record whose first index is above `above`, in order. */
  scan(above: LogIndex, visit: (firstIndex: LogIndex, bytes: Uint8Array) => void, callback: Callback): void
  /** Records in order from the one under `firstIndex`, as of now, until `bytesMax` is reached (at least one). */
  read(firstIndex: LogIndex, bytesMax: number, callback: Callback<readonly Uint8Array[]>): void
  /** One atomic step: removals first. With `sync` it is durable when the callback comes. */
  write(batch: RecordBatch, sync: boolean, callback: Callback): void
  /** Removes every run record up to `index`; need be neither atomic nor durable. May overlap with writes. */
  removeThrough(index: LogIndex, callback: Callback): void
  /** Everything written before is durable when the callback comes. May overlap with writes. */
  sync(callback: Callback): void
  /** Overwrites a slot, outside any batch, and leaves syncing to the operating system. Throws. */
  writeWatermark(slot: number, bytes: Uint8Array): void
  syncWatermark(callback: Callback): void
  close(callback: Callback): void
}

export interface DiskContents {
  readonly serverRecord: Uint8Array | undefined
  /** Both slots as they are; undefined where there is no watermark at all. */
  readonly watermark: readonly Uint8Array[] | undefined
}

export interface RecordBatch {
  readonly serverRecord: Uint8Array | undefined
  /** First indexes of the records to remove. */
  readonly removed: readonly LogIndex[]
  readonly runs: readonly EntryRun[]
}

/** Calls back with an error and no result. */
export function refuse<Result>(callback: Callback<Result>, error: Error): void {
  callback(error, undefined as Result)
}
