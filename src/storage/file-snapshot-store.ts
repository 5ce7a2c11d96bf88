import { FileSnapshotDisk } from './file-snapshot-disk.js'
import { DiskSnapshotStore, type SnapshotStoreOptions } from './snapshot-store.js'

export interface FileSnapshotStoreOptions extends SnapshotStoreOptions {
  /** Created when missing. Holds one file a snapshot, and those under way. */
  readonly directory: string
}

/** A snapshot store in a directory. Whoever opens it has seen to it that no other process does. */
export class FileSnapshotStore extends DiskSnapshotStore {
  constructor(options: FileSnapshotStoreOptions) {
    super(new FileSnapshotDisk(options.directory), options)
  }
}
