import { setTimeout as delay } from 'node:timers/promises'

/** In MB (2^20 bytes). */
export interface MemorySeen {
  /** The most that was resident since the watch began. */
  readonly rssMaxMb: number
  /** Resident now, after a garbage collection. */
  readonly rssMb: number
}

const SAMPLE_MS = 10
/** Node lets go of buffers some time after they were collected. */
const SETTLE_MS = 200

/** Samples this process's resident memory. */
export class MemoryWatch {
  #rssMax = 0
  #timer: NodeJS.Timeout | undefined

  /** Returns what is resident now, after a garbage collection, in MB. */
  async begin(): Promise<number> {
    const rss = await settledRss()
    this.#rssMax = rss
    clearInterval(this.#timer)
    this.#timer = setInterval(() => (this.#rssMax = Math.max(this.#rssMax, process.memoryUsage.rss())), SAMPLE_MS)
    return rss / 2 ** 20
  }

  async seen(): Promise<MemorySeen> {
    clearInterval(this.#timer)
    const before = process.memoryUsage.rss()
    const rss = await settledRss()
    // A collection that moves what it finds may need more than there was.
    return { rssMaxMb: Math.max(this.#rssMax, before, rss) / 2 ** 20, rssMb: rss / 2 ** 20 }
  }
}

/** Needs `--expose-gc`. */
async function settledRss(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error('start this process with --expose-gc, or its memory cannot be told')
  globalThis.gc()
  await delay(SETTLE_MS)
  globalThis.gc()
  return process.memoryUsage.rss()
}
