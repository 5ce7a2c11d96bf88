import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from '../../src/machines/checksum.js'
import type { Clock } from '../../src/machines/time-and-chance.js'
import { LevelLogStore } from '../../src/storage/level-log-store.js'
import type { Durability } from '../../src/storage/ports.js'
import type { LogStorePlace, LogStoreSubject } from '../../src/testing/log-store-suite.js'

const REAL_CLOCK: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
  defer: (callback) => setImmediate(callback),
}

export function storeIn(directory: string, durability: Durability = 'disk-first'): LevelLogStore {
  return new LevelLogStore({ directory, durability, syncIntervalMs: 20, clock: REAL_CLOCK, checksum: crc32 })
}

/** A data directory of its own for Level stores. */
export class LevelPlace implements LogStorePlace {
  readonly #durability: Durability
  readonly #root: string
  readonly #stores: LevelLogStore[] = []
  #copies = 0
  directory: string

  private constructor(durability: Durability, root: string) {
    this.#durability = durability
    this.#root = root
    this.directory = join(root, 'data')
  }

  static async make(durability: Durability = 'disk-first'): Promise<LevelPlace> {
    return new LevelPlace(durability, await mkdtemp(join(tmpdir(), 'actorum-level-')))
  }

  store(): LevelLogStore {
    const store = storeIn(this.directory, this.#durability)
    this.#stores.push(store)
    return store
  }

  /** What the operating system holds at this moment is what an ended process leaves: go on with a copy of it. */
  async kill(): Promise<void> {
    await this.goOnWithCopy()
  }

  async goOnWithCopy(): Promise<void> {
    const copy = join(this.#root, `copy-${++this.#copies}`)
    await cp(this.directory, copy, { recursive: true })
    this.directory = copy
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#stores.map((store) => new Promise((resolve) => store.close(resolve))))
    await rm(this.#root, { recursive: true, force: true })
  }
}

export function levelSubject(durability: Durability): LogStoreSubject {
  return { place: () => LevelPlace.make(durability) }
}
