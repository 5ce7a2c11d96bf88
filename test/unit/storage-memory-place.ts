import { crc32 } from '../../src/machines/checksum.js'
import type { EntryRun } from '../../src/machines/entry-run.js'
import { MemoryDisk, MemoryLogStore } from '../../src/storage/memory-log-store.js'
import type { Durability } from '../../src/storage/ports.js'
import { hardStateOf, LogWriter, OpenStore } from '../../src/testing/log-store-subject.js'
import { VirtualTime } from './virtual-time.js'

/** A disk in memory, the time it lives in, and stores on it. */
export class MemoryPlace {
  readonly disk = new MemoryDisk()
  readonly clock = new VirtualTime()
  readonly failures: Error[] = []
  readonly #durability: Durability

  readonly #syncIntervalMs: number

  constructor(durability: Durability = 'disk-first', syncIntervalMs = 50) {
    this.#durability = durability
    this.#syncIntervalMs = syncIntervalMs
  }

  store(): MemoryLogStore {
    return new MemoryLogStore(this.disk, {
      durability: this.#durability,
      syncIntervalMs: this.#syncIntervalMs,
      clock: this.clock,
      checksum: crc32,
    })
  }

  open(): Promise<OpenStore> {
    return OpenStore.open(this.store(), undefined, { failed: (error) => this.failures.push(error) })
  }

  /** A store with these runs, in term 1. */
  async openWith(runs: readonly EntryRun[]): Promise<OpenStore> {
    const opened = await this.open()
    await opened.write({ hardState: hardStateOf(1) })
    for (const run of runs) await opened.write({ runs: [run] })
    return opened
  }
}

/** Runs of two entries each, one after the other: they begin at 1, 3, 5, … */
export function pairs(count: number): EntryRun[] {
  const writer = new LogWriter()
  return Array.from({ length: count }, () => writer.run(2))
}
