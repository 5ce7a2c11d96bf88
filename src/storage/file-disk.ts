import { realpath } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { ActorumError } from '../errors.js'
import type { Checksum, LogIndex } from '../machines/types.js'
import { DirectoryLock } from './file/directory-lock.js'
import { Replay } from './file/replay.js'
import type { RunPlace } from './file/run-places.js'
import { SegmentFiles } from './file/segment-files.js'
import { SegmentedLog } from './file/segmented-log.js'
import { Unproven } from './file/unproven.js'
import { syncDirectory } from './file-directories.js'
import type { DirectorySystem } from './file-directories.js'
import { makeLogFolder } from './file-log-folder.js'
import { LOG_FOLDERS } from './file-or-level.js'
import type { Callback } from './ports.js'
import { refuse } from './record-disk.js'
import type { DiskContents, RecordBatch, RecordDisk } from './record-disk.js'
import { newestWatermark } from './watermark.js'
import { WatermarkFile } from './watermark-file.js'

export interface FileDiskOptions {
  readonly directory: string
  readonly checksum: Checksum
  /** Length of a segment's file. Default 16 MiB. */
  readonly segmentBytes?: number | undefined
  readonly directorySystem?: DirectorySystem | undefined
  /** It is only to be scanned, once: nothing is opened for writing, nor is what is believed made sure to be on the disk. */
  readonly isForReading?: boolean | undefined
}

const SEGMENT_BYTES = 16 * 1024 * 1024
const SCAN_BYTES = 4 * 1024 * 1024
/** Handed to recovery in the place of a batch that is not sound. */
const NO_RUN = new Uint8Array()

let locksTaken = 0

/** Records in segment files (`<directory>/segments`), the watermark in a file beside them (`<directory>/watermark`). */
export class FileDisk implements RecordDisk {
  readonly name: string
  readonly #directory: string
  readonly #checksum: Checksum
  readonly #segmentBytes: number
  readonly #directorySystem: DirectorySystem | undefined
  readonly #isForReading: boolean
  readonly #files: SegmentFiles
  readonly #watermark: WatermarkFile
  #lock: DirectoryLock | undefined
  #replay: Replay | undefined
  #log: SegmentedLog | undefined

  constructor(options: FileDiskOptions) {
    const { directory, checksum, segmentBytes = SEGMENT_BYTES, directorySystem, isForReading = false } = options
    this.#directory = resolve(directory)
    this.name = `data directory ${this.#directory}`
    this.#checksum = checksum
    this.#segmentBytes = segmentBytes
    this.#directorySystem = directorySystem
    this.#isForReading = isForReading
    this.#files = new SegmentFiles(join(this.#directory, LOG_FOLDERS.file), checksum)
    this.#watermark = new WatermarkFile(join(this.#directory, 'watermark'))
  }

  open(callback: Callback<DiskContents>): void {
    settle(this.#openFiles(), callback)
  }

  scan(above: LogIndex, visit: (firstIndex: LogIndex, bytes: Uint8Array) => void, callback: Callback): void {
    settle(this.#scan(above, visit), callback)
  }

  read(firstIndex: LogIndex, bytesMax: number, callback: Callback<readonly Uint8Array[]>): void {
    settle(this.#files.read(this.#opened().places.from(firstIndex, bytesMax)), callback)
  }

  write(batch: RecordBatch, sync: boolean, callback: Callback): void {
    this.#opened().write(batch, sync, callback)
  }

  removeThrough(index: LogIndex, callback: Callback): void {
    settle(this.#opened().removeThrough(index), callback)
  }

  sync(callback: Callback): void {
    settle(this.#opened().sync(), callback)
  }

  writeWatermark(slot: number, bytes: Uint8Array): void {
    this.#watermark.write(slot, bytes)
  }

  syncWatermark(callback: Callback): void {
    this.#watermark.sync(callback)
  }

  close(callback: Callback): void {
    settle(this.#closeFiles(), callback)
  }

  async #openFiles(): Promise<DiskContents> {
    await makeLogFolder(this.#directory, 'file')
    const nonce = `${process.pid}-${process.hrtime.bigint().toString(36)}-${++locksTaken}`
    this.#lock = await DirectoryLock.take(await realpath(this.#directory), nonce)
    if (this.#lock === undefined) throw this.#locked()
    try {
      const sequences = await this.#files.list()
      await this.#syncNames()
      const watermark = this.#watermark.open()
      const replay = await this.#replayAll(sequences, watermark)
      this.#replay = replay
      if (!this.#isForReading) {
        this.#log = new SegmentedLog(replay, this.#files, this.#segmentBytes, this.#checksum)
      }
      return { serverRecord: replay.serverRecord, watermark }
    } catch (error) {
      await this.#closeFiles()
      throw error
    }
  }

  async #replayAll(sequences: readonly number[], slots: readonly Uint8Array[] | undefined): Promise<Replay> {
    const mark = slots && newestWatermark(slots, this.#checksum)
    // Without one there is nothing to believe: recovery refuses what it finds.
    const unproven = typeof mark === 'object' ? new Unproven(mark, this.#checksum) : undefined
    const replay = new Replay(this.name, this.#checksum, unproven)
    // The bytes that were believed: read once more they may be others, of the disk and no longer of the cache.
    const believed = new Map<number, Uint8Array>()
    for (const sequence of sequences) {
      const bytes = await this.#files.load(sequence, this.#isForReading)
      replay.take(sequence, bytes)
      if (unproven?.from !== undefined) believed.set(sequence, bytes)
    }
    const { end } = replay
    if (!this.#isForReading && unproven?.from && end) await this.#files.rewrite(unproven.from, end, believed)
    return replay
  }

  /** A start that was killed may have made any of them, down to the data directory, and not have come to sync it. */
  async #syncNames(): Promise<void> {
    const parent = dirname(this.#directory)
    for (const directory of [dirname(parent), parent, this.#directory, join(this.#directory, LOG_FOLDERS.file)]) {
      await syncDirectory(directory, this.#directorySystem)
    }
  }

  /** After the runs that are believed comes the batch that is not, as a run without bytes, and the first run behind it. */
  async #scan(above: LogIndex, visit: (firstIndex: LogIndex, bytes: Uint8Array) => void): Promise<void> {
    const { places } = this.#replay ?? this.#opened()
    for (let from = above + 1; ;) {
      const batch = places.from(from, SCAN_BYTES)
      await this.#visit(batch, from, visit)
      const last = batch.at(-1)
      if (last === undefined) break
      from = last.firstIndex + 1
    }
    const { faultIndex = 0, runAfterFault } = this.#replay ?? {}
    this.#replay = undefined
    // What is behind may begin below, where it was to truncate: recovery is told of records in order.
    const least = Math.max(faultIndex, above + 1)
    if (faultIndex > 0) visit(least, NO_RUN)
    if (runAfterFault !== undefined) await this.#visit([runAfterFault], least, visit)
  }

  async #visit(
    places: readonly RunPlace[],
    least: LogIndex,
    visit: (firstIndex: LogIndex, bytes: Uint8Array) => void,
  ): Promise<void> {
    const records = await this.#files.read(places)
    let key = least
    for (const [at, bytes] of records.entries()) {
      key = Math.max(key, places[at]?.firstIndex ?? 0)
      visit(key, bytes)
    }
  }

  async #closeFiles(): Promise<void> {
    const log = this.#log
    const lock = this.#lock
    this.#log = this.#lock = this.#replay = undefined
    try {
      this.#watermark.close()
      await log?.close()
    } finally {
      await lock?.release()
    }
  }

  #opened(): SegmentedLog {
    if (this.#log === undefined) throw new ActorumError('STOPPED', `The ${this.name} is not open.`)
    return this.#log
  }

  #locked(): ActorumError {
    const advice = 'Stop that one first, or give this one a data directory of its own'
    return new ActorumError('LOCKED', `The ${this.name} is in use by another engine. ${advice}.`)
  }
}

/** From a promise to a callback. What the callback itself throws is nobody's to swallow. */
function settle<Result>(promise: Promise<Result>, callback: Callback<Result>): void {
  promise.then(
    (result) => callback(undefined, result),
    (error: unknown) => refuse(callback, error instanceof Error ? error : new Error(String(error))),
  )
}
