import { LevelDisk } from './level-disk.js'
import { RecordLogStore } from './record-log-store.js'
import type { LogStoreOptions } from './record-log-store.js'

export interface LevelLogStoreOptions extends LogStoreOptions {
  /** Created when missing. Holds LevelDB's files in `log/`, and `watermark`. */
  readonly directory: string
}

/** A log store on LevelDB. Its native code is loaded when the store is opened. */
export class LevelLogStore extends RecordLogStore {
  constructor(options: LevelLogStoreOptions) {
    super(new LevelDisk(options.directory), options)
  }
}
