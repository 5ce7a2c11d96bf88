import type { MemoryDisk } from './memory-disk.js'
import { RecordLogStore } from './record-log-store.js'
import type { LogStoreOptions } from './record-log-store.js'

export { MemoryDisk } from './memory-disk.js'
export type { CrashOptions, InFlight } from './memory-disk.js'

/** A log store on a disk in memory: the same records, rules and recovery as on a real one. Portable, deterministic. */
export class MemoryLogStore extends RecordLogStore {
  constructor(disk: MemoryDisk, options: LogStoreOptions) {
    super(disk.session(options.clock), options)
  }
}
