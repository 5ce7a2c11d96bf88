import { open, readdir, realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Iterator, Level } from 'level'
import { ActorumError } from '../errors.js'
import type { LogIndex } from '../machines/types.js'
import { damaged } from './damage.js'
import { makeLogFolder } from './file-log-folder.js'
import { LOG_FOLDERS } from './file-or-level.js'
import { damageAtOpen, hasTables, isDamage, saidBy } from './level-faults.js'
import { RUNS_END, runIndexOf, runKey, SERVER_RECORD_KEY } from './level-keys.js'
import type { Callback } from './ports.js'
import { refuse } from './record-disk.js'
import type { DiskContents, RecordBatch, RecordDisk } from './record-disk.js'
import { WatermarkFile } from './watermark-file.js'

/**
 * A larger buffer means fewer, larger table files and, after a crash, a longer start. Up to two are held in memory.
 * Entries are seldom text, and mostly read back only once: no compression, a small cache.
 */
const LEVEL_OPTIONS = {
  keyEncoding: 'view',
  valueEncoding: 'view',
  compression: false,
  writeBufferSize: 16 * 1024 * 1024,
  cacheSize: 1024 * 1024,
} as const
const SYNCED = { sync: true } as const
const UNSYNCED = { sync: false } as const
const SCAN_RECORDS = 1000
const SCAN_BYTES = 4 * 1024 * 1024

type Operation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

/**
 * Directories that this process has open. LevelDB refuses a second opening too, but opens and closes its lock file to find
 * out, and POSIX lets go of a process's locks on a file when the process closes it: another process could then get in.
 */
const inUse = new Set<string>()

/** Whether LevelDB has the directory, by its real path, open in this process. */
export function isOpenHere(directory: string): boolean {
  return inUse.has(directory)
}

/** Records in LevelDB (`<directory>/log`), the watermark in a file beside it (`<directory>/watermark`). */
export class LevelDisk implements RecordDisk {
  readonly name: string
  readonly #directory: string
  readonly #logDirectory: string
  readonly #watermark: WatermarkFile
  #level: Level<Uint8Array, Uint8Array> | undefined
  /** Where it really is, while it is open here. */
  #place: string | undefined
  /** LevelDB passes over what was removed only slowly: the next removal begins where the last one ended. */
  #removedThrough: LogIndex = 0

  constructor(directory: string) {
    this.#directory = resolve(directory)
    this.name = `data directory ${this.#directory}`
    this.#logDirectory = join(this.#directory, LOG_FOLDERS.level)
    this.#watermark = new WatermarkFile(join(this.#directory, 'watermark'))
  }

  open(callback: Callback<DiskContents>): void {
    this.#settle(this.#openFiles(), callback)
  }

  scan(above: LogIndex, visit: (firstIndex: LogIndex, bytes: Uint8Array) => void, callback: Callback): void {
    this.#settle(this.#scan(above, visit), callback)
  }

  read(firstIndex: LogIndex, bytesMax: number, callback: Callback<readonly Uint8Array[]>): void {
    // Made here and not later: an iterator sees the records as of its making.
    const iterator = this.#opened().iterator({
      gte: runKey(firstIndex),
      lt: RUNS_END,
      highWaterMarkBytes: Math.min(bytesMax, SCAN_BYTES),
    })
    this.#settle(collect(iterator, bytesMax), callback)
  }

  write(batch: RecordBatch, sync: boolean, callback: Callback): void {
    const operations: Operation[] = []
    if (batch.serverRecord !== undefined) {
      operations.push({ type: 'put', key: SERVER_RECORD_KEY, value: batch.serverRecord })
    }
    for (const firstIndex of batch.removed) operations.push({ type: 'del', key: runKey(firstIndex) })
    for (const run of batch.runs) operations.push({ type: 'put', key: runKey(run.firstIndex), value: run.bytes })
    this.#settle(this.#perform(operations, sync ? SYNCED : UNSYNCED), callback)
  }

  removeThrough(index: LogIndex, callback: Callback): void {
    const from = this.#removedThrough
    this.#removedThrough = index
    this.#settle(this.#opened().clear({ gte: runKey(from), lte: runKey(index) }), callback)
  }

  sync(callback: Callback): void {
    this.#settle(syncLogFiles(this.#logDirectory), callback)
  }

  writeWatermark(slot: number, bytes: Uint8Array): void {
    this.#watermark.write(slot, bytes)
  }

  syncWatermark(callback: Callback): void {
    this.#watermark.sync(callback)
  }

  close(callback: Callback): void {
    this.#settle(this.#closeFiles(), callback)
  }

  /** One write, whole or not at all. A put by itself costs Level a third of what a batch of one does. */
  #perform(operations: Operation[], options: typeof SYNCED | typeof UNSYNCED): Promise<void> {
    const level = this.#opened()
    const [only] = operations
    if (operations.length === 1 && only?.type === 'put') return level.put(only.key, only.value, options)
    return level.batch(operations, options)
  }

  async #openFiles(): Promise<DiskContents> {
    // First: where there is none of its native code, no folder shall make the directory one of Level's.
    const { Level } = await import('level')
    await makeLogFolder(this.#directory, 'level')
    const place = await realpath(this.#logDirectory)
    const names = await readdir(place)
    if (inUse.has(place)) throw this.#locked()
    inUse.add(place)
    this.#place = place
    const options = { ...LEVEL_OPTIONS, createIfMissing: !hasTables(names) }
    const level = new Level<Uint8Array, Uint8Array>(this.#logDirectory, options)
    try {
      await level.open()
    } catch (error) {
      this.#leave()
      throw this.#openFailure(error, names)
    }
    this.#level = level
    try {
      return { serverRecord: await level.get(SERVER_RECORD_KEY), watermark: this.#watermark.open() }
    } catch (error) {
      await this.#closeFiles()
      throw error
    }
  }

  async #scan(above: LogIndex, visit: (firstIndex: LogIndex, bytes: Uint8Array) => void): Promise<void> {
    const iterator = this.#opened().iterator({ gt: runKey(above), lt: RUNS_END, highWaterMarkBytes: SCAN_BYTES })
    try {
      for (;;) {
        const records = await iterator.nextv(SCAN_RECORDS)
        if (records.length === 0) return
        for (const [key, value] of records) visit(this.#indexOf(key), value)
      }
    } finally {
      await iterator.close()
    }
  }

  #indexOf(key: Uint8Array): LogIndex {
    const index = runIndexOf(key)
    if (Number.isSafeInteger(index)) return index
    throw this.#damaged('a key is not one of this log')
  }

  async #closeFiles(): Promise<void> {
    this.#watermark.close()
    await this.#level?.close()
    this.#level = undefined
    this.#leave()
  }

  #leave(): void {
    if (this.#place !== undefined) inUse.delete(this.#place)
    this.#place = undefined
  }

  /** From a promise to a callback. What the callback itself throws is nobody's to swallow. */
  #settle<Result>(promise: Promise<Result>, callback: Callback<Result>): void {
    promise.then(
      (result) => callback(undefined, result),
      (error: unknown) => refuse(callback, this.#failureOf(error)),
    )
  }

  #opened(): Level<Uint8Array, Uint8Array> {
    if (this.#level === undefined) throw new ActorumError('STOPPED', `The ${this.name} is not open.`)
    return this.#level
  }

  #openFailure(thrown: unknown, names: readonly string[]): unknown {
    const error = asError(thrown)
    const cause = asError(error.cause ?? error)
    if (codeOf(cause) === 'LEVEL_LOCKED') return this.#locked(cause)
    const damage = damageAtOpen(cause, names)
    return damage === undefined ? cause : this.#damaged(damage, cause)
  }

  #locked(cause?: unknown): ActorumError {
    const advice = 'Stop that one first, or give this one a data directory of its own'
    return new ActorumError('LOCKED', `The ${this.name} is in use by another engine. ${advice}.`, { cause })
  }

  #failureOf(thrown: unknown): Error {
    const error = asError(thrown)
    return isDamage(error) ? this.#damaged(saidBy(error), error) : error
  }

  #damaged(what: string, cause?: unknown): ActorumError {
    return damaged(this.name, what, cause)
  }
}

type Records = Pick<Iterator<Level<Uint8Array, Uint8Array>, Uint8Array, Uint8Array>, 'nextv' | 'close'>

async function collect(iterator: Records, bytesMax: number): Promise<Uint8Array[]> {
  const records: Uint8Array[] = []
  try {
    for (let bytes = 0; bytes < bytesMax || records.length === 0;) {
      const next = await iterator.nextv(SCAN_RECORDS)
      if (next.length === 0) break
      for (const [, value] of next) {
        if (records.length > 0 && bytes >= bytesMax) break
        // A plain Uint8Array, where Level gives a Buffer.
        records.push(new Uint8Array(value.buffer, value.byteOffset, value.length))
        bytes += value.length
      }
    }
  } finally {
    await iterator.close()
  }
  return records
}

/**
 * A synced write would sync LevelDB's newest log file alone: an older one, full but not yet turned into a table, would
 * be left out. A file that is gone by now has become a table, which LevelDB syncs.
 */
async function syncLogFiles(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.log')) continue
    try {
      const file = await open(join(directory, name), 'r+')
      await file.datasync().finally(() => file.close())
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}
