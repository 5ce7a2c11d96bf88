import type { StatsFs } from 'node:fs'
import type { Clock } from './machines/time-and-chance.js'

export interface DiskSpacePorts {
  readonly statfs: (path: string) => Promise<Pick<StatsFs, 'blocks' | 'bavail' | 'bsize'>>
  readonly clock: Pick<Clock, 'setTimeout' | 'clearTimeout'>
  readonly notice: (text: string) => void
}

/** Between an answer and the next question. */
const PAUSE_MS = 1000

/**
 * How much is free on the disk of a directory, asked about once a second. Never twice at a time: a disk that hangs would
 * soon hold up every one of the few threads that all files share.
 */
export class DiskSpace {
  readonly #directory: string
  readonly #ports: DiskSpacePorts
  #freeBytes: number | undefined
  #timer: unknown
  #isStopped = false
  #hasFailed = false

  constructor(directory: string, ports: DiskSpacePorts) {
    this.#directory = directory
    this.#ports = ports
  }

  /** What was free when it was last asked, as far as a quota allows; undefined while that is not known. */
  get freeBytes(): number | undefined {
    return this.#freeBytes
  }

  /** Resolves once it has been asked for the first time, whatever the answer; goes on until it is stopped. */
  async watch(): Promise<void> {
    this.#freeBytes = await this.#ask()
    if (this.#isStopped) return
    this.#timer = this.#ports.clock.setTimeout(() => void this.watch(), PAUSE_MS)
  }

  stop(): void {
    this.#isStopped = true
    this.#ports.clock.clearTimeout(this.#timer)
  }

  async #ask(): Promise<number | undefined> {
    try {
      const { blocks, bavail, bsize } = await this.#ports.statfs(this.#directory)
      // File systems without a size of their own say 0 to everything.
      if (blocks === 0) throw new Error('its file system does not say')
      // Rounded from 2^53 on, which is more than any bound.
      return bavail * bsize
    } catch (error) {
      this.#failed(error)
      return undefined
    }
  }

  #failed(error: unknown): void {
    if (this.#isStopped || this.#hasFailed) return
    this.#hasFailed = true
    const why = error instanceof Error ? error.message : String(error)
    const advice = 'as long as that is so, a disk that fills is not noticed in time (lowDiskBytes)'
    this.#ports.notice(`how much is free on the disk of ${this.#directory} is not known: ${why}; ${advice}`)
  }
}
