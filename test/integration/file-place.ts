import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { crc32 } from '../../src/machines/checksum.js'
import type { Clock } from '../../src/machines/time-and-chance.js'
import { isLockName } from '../../src/storage/file/directory-lock.js'
import { FileLogStore } from '../../src/storage/file-log-store.js'
import type { Durability } from '../../src/storage/ports.js'
import type { LogStorePlace, LogStoreSubject } from '../../src/testing/log-store-suite.js'

const REAL_CLOCK: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
  defer: (callback) => setImmediate(callback),
}

/** Small enough for a test's log to have several. */
export const SEGMENT_BYTES = 4096

export interface FilePlaceOptions {
  readonly durability?: Durability
  readonly segmentBytes?: number
}

export function storeIn(directory: string, options: FilePlaceOptions = {}): FileLogStore {
  const { durability = 'disk-first', segmentBytes = SEGMENT_BYTES } = options
  return new FileLogStore({
    directory,
    durability,
    segmentBytes,
    syncIntervalMs: 20,
    clock: REAL_CLOCK,
    checksum: crc32,
  })
}

/**
 * Copies a data directory as a crash would leave it. The lock's socket is no file that could be copied, and an
 * unfinished segment may get its name meanwhile.
 */
export function copyDirectory(from: string, to: string): Promise<void> {
  const isCopied = (path: string): boolean => !isLockName(basename(path)) && !path.endsWith('.unfinished')
  return cp(from, to, { recursive: true, filter: isCopied })
}

/** A data directory of its own for file stores. */
export class FilePlace implements LogStorePlace {
  readonly #options: FilePlaceOptions
  readonly #root: string
  readonly #stores: FileLogStore[] = []
  #copies = 0
  directory: string

  private constructor(options: FilePlaceOptions, root: string) {
    this.#options = options
    this.#root = root
    this.directory = join(root, 'data')
  }

  static async make(options: FilePlaceOptions = {}): Promise<FilePlace> {
    return new FilePlace(options, await mkdtemp(join(tmpdir(), 'actorum-file-')))
  }

  store(): FileLogStore {
    const store = storeIn(this.directory, this.#options)
    this.#stores.push(store)
    return store
  }

  /** What the operating system holds at this moment is what an ended process leaves: go on with a copy of it. */
  async kill(): Promise<void> {
    await this.goOnWithCopy()
  }

  async goOnWithCopy(): Promise<void> {
    const copy = join(this.#root, `copy-${++this.#copies}`)
    await copyDirectory(this.directory, copy)
    this.directory = copy
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#stores.map((store) => new Promise((resolve) => store.close(resolve))))
    await rm(this.#root, { recursive: true, force: true })
  }
}

export function fileSubject(options: FilePlaceOptions): LogStoreSubject {
  return { place: () => FilePlace.make(options) }
}
