import type { Callback } from './ports.js'

/**
 * What a snapshot store needs of a place that keeps files: a directory, or memory. All rules of what is written when
 * and of what is believed afterwards are in snapshot-store.ts and what it imports. Errors are passed as the place
 * reports them.
 */
export interface SnapshotDisk {
  /** How errors name it, such as "snapshot directory ./data/snapshots". */
  readonly name: string
  /** Makes the place where there is none, and says what it holds, in any order. */
  open(callback: Callback<readonly FileFound[]>): void
  /** `create`: an empty file, in the place of whatever has that name. The others need one that is there. */
  file(name: string, use: 'create' | 'append' | 'read', callback: Callback<SnapshotFile>): void
  /** The file has its new name, durably, when the callback comes; what had that name is gone. */
  rename(from: string, to: string, callback: Callback): void
  /** Need not be durable. */
  remove(name: string, callback: Callback): void
  close(callback: Callback): void
}

export interface FileFound {
  readonly name: string
  readonly byteLength: number
}

/** An open file. Calls on one file do not overlap. */
export interface SnapshotFile {
  /** Fewer bytes than `length` only at the end of the file. */
  read(offset: number, length: number, callback: Callback<Uint8Array>): void
  /** At the file's end. The bytes may be changed once called back. */
  write(offset: number, bytes: Uint8Array, callback: Callback): void
  /** Drops what is beyond `length`. */
  truncate(length: number, callback: Callback): void
  /** What was written is durable when the callback comes; the name need not be before a rename. */
  sync(callback: Callback): void
  close(callback: Callback): void
}
