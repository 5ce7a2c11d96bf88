import type { Clock } from '../machines/time-and-chance.js'
import type { MemorySnapshotDisk } from './memory-snapshot-disk.js'
import { DiskSnapshotStore, type SnapshotStoreOptions } from './snapshot-store.js'

export { MemorySnapshotDisk } from './memory-snapshot-disk.js'

export interface MemorySnapshotStoreOptions extends SnapshotStoreOptions {
  readonly clock: Clock
}

/** A snapshot store on a disk in memory: the same files and rules as on a real one. Portable, deterministic. */
export class MemorySnapshotStore extends DiskSnapshotStore {
  constructor(disk: MemorySnapshotDisk, options: MemorySnapshotStoreOptions) {
    super(disk.session(options.clock), options)
  }
}
