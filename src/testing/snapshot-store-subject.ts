import type { Boundary, LogIndex, SnapshotId } from '../machines/types.js'
import type {
  Callback,
  ReceiveOutcome,
  SnapshotReader,
  SnapshotsFound,
  SnapshotStore,
  SnapshotWriter,
  StoredSnapshot,
} from '../storage/ports.js'

/** What the suite is run on: a maker of places, each for one store. */
export interface SnapshotStoreSubject {
  place(): Promise<SnapshotStorePlace>
}

export interface SnapshotStorePlace {
  /** A store on this place, not yet open. Its checksum is CRC-32. */
  store(): SnapshotStore
  /** Ends the last store's process as `kill -9` would: it is not heard of again, and another may be opened. */
  kill(): Promise<void>
  /** Flips a bit of a complete snapshot's file. */
  corrupt(id: SnapshotId, offset: number): Promise<void>
  dispose(): Promise<void>
}

/** A sentence that a store makes true, and how to see that it does. */
export interface SnapshotStoreClaim {
  readonly name: string
  /** Rejects, saying what was found, unless the claim holds. */
  readonly check: (subject: SnapshotStoreSubject) => Promise<void>
}

/** A claim with two places, of which the second is another server's; both are disposed of however it ends. */
export function snapshotClaim(
  name: string,
  check: (place: SnapshotStorePlace, other: SnapshotStorePlace) => Promise<void>,
): SnapshotStoreClaim {
  return {
    name,
    check: async (subject) => {
      const [place, other] = [await subject.place(), await subject.place()]
      try {
        await check(place, other)
      } finally {
        await place.dispose()
        await other.dispose()
      }
    },
  }
}

/** A store's methods as promises. */
export class OpenSnapshots {
  readonly store: SnapshotStore
  readonly found: SnapshotsFound

  private constructor(store: SnapshotStore, found: SnapshotsFound) {
    this.store = store
    this.found = found
  }

  static async open(place: Pick<SnapshotStorePlace, 'store'>): Promise<OpenSnapshots> {
    const store = place.store()
    return new OpenSnapshots(store, await promised((done) => store.open(done)))
  }

  /** Indexes of the complete ones, newest first. */
  get indexes(): readonly LogIndex[] {
    return this.store.stored.map(({ id }) => id.index)
  }

  /** Writes and completes a snapshot. */
  async keep(boundary: Boundary, chunks: readonly Uint8Array[], clusterId?: string): Promise<StoredSnapshot> {
    const writer = this.store.create(boundary, clusterId)
    for (const chunk of chunks) await write(writer, chunk)
    return promised((done) => writer.commit(done))
  }

  receive(id: SnapshotId, offset: number, bytes: Uint8Array): Promise<ReceiveOutcome> {
    return promised((done) => this.store.receive(id, offset, bytes, done))
  }

  read(id: SnapshotId, offset = 0, bytesMax = id.byteLength): Promise<Uint8Array> {
    return promised((done) => this.store.read(id, offset, bytesMax, done))
  }

  reader(id: SnapshotId): Promise<SnapshotReader> {
    return promised((done) => this.store.openReader(id, done))
  }

  /** All chunks of a snapshot, each checked. */
  async chunks(id: SnapshotId): Promise<readonly Uint8Array[]> {
    const reader = await this.reader(id)
    const chunks: Uint8Array[] = []
    try {
      for (;;) {
        const chunk = await promised<Uint8Array | undefined>((done) => reader.next(done))
        if (chunk === undefined) return chunks
        chunks.push(chunk)
      }
    } finally {
      reader.close()
    }
  }

  close(): Promise<void> {
    return promised((done) => this.store.close(done))
  }
}

export function write(writer: SnapshotWriter, chunk: Uint8Array): Promise<void> {
  return promised((done) => writer.write(chunk, done))
}

export function promised<Result>(begin: (callback: Callback<Result>) => void): Promise<Result> {
  return new Promise((resolve, reject) => {
    begin((error, result) => (error === undefined ? resolve(result) : reject(error)))
  })
}

/** Where a log goes on after the entry at `index`. */
export function boundaryOf(index: LogIndex, term = 1): Boundary {
  const configuration = { voters: [1, 2, 3], learners: [4], members: [{ id: 4, address: 'four:4', promotable: true }] }
  return { index, term, checksum: index * 7, clusterTime: index * 10, configuration }
}

/** Chunks of some lengths whose bytes all differ from their neighbours'. */
export function chunksOf(...lengths: readonly number[]): Uint8Array[] {
  return lengths.map((length, chunk) => Uint8Array.from({ length }, (_, at) => (at * 31 + chunk * 7) & 0xff))
}

export function hexOf(chunks: readonly Uint8Array[]): readonly string[] {
  return chunks.map((chunk) => Array.from(chunk, (byte) => byte.toString(16).padStart(2, '0')).join(''))
}
