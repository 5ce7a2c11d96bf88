import type { SnapshotFile } from './snapshot-disk.js'
import { call, type Steps } from './snapshot-steps.js'

/** Synced in passing, so that the last sync is short, and the log's own syncs beside it are. */
const SYNC_EVERY_BYTES = 1024 * 1024

/** A file that grows at its end. */
export class GrowingFile {
  readonly #file: SnapshotFile
  #length: number
  #unsyncedBytes = 0

  constructor(file: SnapshotFile, length = 0) {
    this.#file = file
    this.#length = length
  }

  get length(): number {
    return this.#length
  }

  *append(bytes: Uint8Array): Steps<void> {
    yield* call<void>((done) => this.#file.write(this.#length, bytes, done))
    this.#length += bytes.length
    this.#unsyncedBytes += bytes.length
    if (this.#unsyncedBytes >= SYNC_EVERY_BYTES) yield* this.sync()
  }

  *sync(): Steps<void> {
    this.#unsyncedBytes = 0
    yield* call<void>((done) => this.#file.sync(done))
  }

  *close(): Steps<void> {
    yield* call<void>((done) => this.#file.close(done))
  }
}
