import { FileDisk } from './file-disk.js'
import { RecordLogStore } from './record-log-store.js'
import type { LogStoreOptions } from './record-log-store.js'

export interface FileLogStoreOptions extends LogStoreOptions {
  /** Created when missing. Holds the segments in `segments/`, `watermark`, and while it is open a socket `lock-…`. */
  readonly directory: string
  /** Length of a segment's file, written full of zeros before it is used. Default 16 MiB. */
  readonly segmentBytes?: number | undefined
}

/** A log store on append-only segment files: one write a batch, and no native code. */
export class FileLogStore extends RecordLogStore {
  constructor(options: FileLogStoreOptions) {
    super(new FileDisk(options), options)
  }
}
