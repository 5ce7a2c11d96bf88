import { ActorumError } from '../errors.js'
import { decodeRun } from '../machines/entry-run.js'
import type { EntryRun } from '../machines/entry-run.js'
import { InvariantBroken } from '../machines/invariant.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { Checksum, LogIndex, ServerId } from '../machines/types.js'
import { INITIAL_HARD_STATE } from '../machines/types.js'
import { damaged } from './damage.js'
import type { Callback, Durability, InitialState, LogStore, LogStoreHandler, LogWrite, Recovered } from './ports.js'
import { refuse } from './record-disk.js'
import type { DiskContents, RecordDisk } from './record-disk.js'
import { Recovery } from './recovery.js'
import type { RecoveredLog } from './recovery.js'
import { RunIndex } from './run-index.js'
import { encodeServerRecord } from './server-record.js'
import type { ServerRecord } from './server-record.js'
import { encodeWatermark, WATERMARK_SLOTS } from './watermark.js'
import type { Watermark } from './watermark.js'
import { planWrite } from './write-plan.js'
import type { WritePlan } from './write-plan.js'

export interface LogStoreOptions {
  readonly durability: Durability
  /** Milliseconds between background syncs in mem-first mode, while there is something to sync. */
  readonly syncIntervalMs: number
  readonly clock: Clock
  readonly checksum: Checksum
}

/** What of the log is the same on disk and in memory, once synced. */
type Reached = Pick<Watermark, 'lastIndex' | 'lastChecksum' | 'recordVersion'>

/** An open store's log: what the disk holds as soon as the write in flight is none. */
interface Open {
  readonly runs: RunIndex
  record: ServerRecord
  watermark: Watermark
}

/**
 * A log store over a `RecordDisk`: the order in which records, syncs and the watermark are written, which is all that
 * recovery stands on.
 *
 * - A write's callback comes after its sync and after the watermark is raised to it.
 * - The watermark is lowered, and synced, before a write truncates what it covers; else a crash between the two would
 *   look like a loss.
 * - In mem-first mode the watermark follows the syncs, not the writes; but a write that changes the server's record or
 *   has a configuration in it waits for a sync. A server that forgot who its peers are could elect itself without them.
 */
export class RecordLogStore implements LogStore {
  readonly #disk: RecordDisk
  readonly #options: LogStoreOptions
  readonly #outOfOrder: boolean
  #handler: LogStoreHandler | undefined
  #open: Open | undefined
  /** The disk is open, and holds no log. */
  #isEmpty = false
  #failure: ActorumError | undefined

  #writing = false
  /** A truncating or compacting write is in flight: memory and disk differ for a moment, and reads wait. */
  #reshaping = false
  readonly #waitingReads: (() => void)[] = []
  /** Rises with each truncating write, before it reaches the disk. */
  #truncations = 0
  /** Batches handed to the disk, and how many of them are synced. */
  #batches = 0
  #batchesSynced = 0
  #syncTimer: unknown
  #syncing = false
  #removedThrough: LogIndex = 0

  /** Writes, reads, syncs and removals under way; `close` waits for them. */
  #underWay = 0
  #closing: Callback[] | undefined
  #closed = false

  constructor(disk: RecordDisk, options: LogStoreOptions) {
    this.#disk = disk
    this.#options = options
    this.#outOfOrder = options.durability === 'mem-first'
  }

  open(initial: InitialState, handler: LogStoreHandler, callback: Callback<Recovered>): void {
    this.find(initial.serverId, handler, (error, recovered) => {
      if (error !== undefined) refuse(callback, error)
      else if (recovered === undefined) this.create(initial, callback)
      else callback(undefined, recovered)
    })
  }

  /**
   * The half of `open` that makes no log: where there is none it calls back with undefined. The place is locked then,
   * until `close`, and `create` makes one.
   */
  find(serverId: ServerId, handler: LogStoreHandler, callback: Callback<Recovered | undefined>): void {
    this.#handler = handler
    this.#disk.open((error, contents) => {
      if (error !== undefined) return refuse(callback, this.#asFailure('open', error))
      this.#recover(serverId, contents, callback)
    })
  }

  /** The other half, where `find` found none. */
  create(initial: InitialState, callback: Callback<Recovered>): void {
    if (!this.#isEmpty) return refuse(callback, new InvariantBroken('a log is made only where none was found'))
    this.#isEmpty = false
    this.#create(initial, callback)
  }

  write(write: LogWrite, callback: Callback): void {
    const open = this.#open
    if (open === undefined || this.#closing !== undefined || this.#failure !== undefined) {
      return callback(this.#failure ?? this.#notOpen())
    }
    if (this.#writing) return callback(new InvariantBroken('one write is in flight at a time'))
    const plan = planWrite(write, open.runs, open.record)
    if (typeof plan === 'string') return callback(new InvariantBroken(plan))
    this.#begin()
    this.#writing = true
    this.#reshaping = plan.truncated !== undefined || write.boundary !== undefined
    this.#lowerWatermark(open, plan, (error) => {
      if (error !== undefined) return this.#endWrite(error, callback)
      this.#writeBatch(open, plan, callback)
    })
  }

  read(from: LogIndex, bytesMax: number, callback: Callback<readonly EntryRun[]>): void {
    const open = this.#open
    if (open === undefined || this.#closing !== undefined || this.#failure !== undefined) {
      return refuse(callback, this.#failure ?? this.#notOpen())
    }
    if (this.#reshaping) {
      this.#waitingReads.push(() => this.read(from, bytesMax, callback))
      return
    }
    const first = open.runs.runAt(from)
    if (first === undefined) return callback(undefined, [])
    this.#begin()
    this.#disk.read(first.firstIndex, bytesMax, (error, records) => {
      if (error !== undefined) refuse(callback, this.#asFailure('read', error))
      else this.#deliver(records, first, callback)
      this.#finish()
    })
  }

  close(callback: Callback): void {
    if ((this.#open === undefined && !this.#isEmpty) || this.#closed) return callback(undefined)
    if (this.#closing !== undefined) return void this.#closing.push(callback)
    this.#clearTimer()
    this.#closing = [callback]
    this.#begin()
    this.#finish()
  }

  // ---- open

  #recover(serverId: ServerId, contents: DiskContents, callback: Callback<Recovered | undefined>): void {
    const { name } = this.#disk
    const recovery = new Recovery(contents, serverId, name, this.#options.checksum)
    const visit = (key: LogIndex, bytes: Uint8Array): void => recovery.take(key, bytes)
    this.#disk.scan(recovery.scanAbove, visit, (error) => {
      if (error !== undefined) return this.#abandon('read', error, callback)
      let found: RecoveredLog | 'empty'
      try {
        found = recovery.finish()
      } catch (refusal) {
        return this.#abandon('read', refusal, callback)
      }
      if (found !== 'empty') return this.#resume(found, callback)
      this.#isEmpty = true
      callback(undefined, undefined)
    })
  }

  /** A blank watermark comes first: a record without one would look like a loss. */
  #create(initial: InitialState, callback: Callback<Recovered>): void {
    const { serverId, storeId, clusterId, configuration } = initial
    const boundary = { index: 0, term: 0, checksum: 0, clusterTime: 0, configuration }
    const record = { version: 1, serverId, storeId, clusterId, hardState: INITIAL_HARD_STATE, boundary }
    const blank = { sequence: 0, lastIndex: 0, lastChecksum: 0, recordVersion: 0, outOfOrder: this.#outOfOrder }
    const open: Open = { runs: new RunIndex(boundary), record, watermark: blank }
    const recovered: Recovered = {
      fresh: true,
      storeId,
      clusterId,
      hardState: INITIAL_HARD_STATE,
      boundary,
      lastIndex: 0,
      lastChecksum: 0,
      lastClusterTime: 0,
      termStarts: [],
      configurations: [],
      notices: [],
    }
    this.#setWatermarkSynced(open, blank, (error) => {
      if (error !== undefined) return this.#abandon('create', error, callback)
      const serverRecord = encodeServerRecord(record, this.#options.checksum)
      this.#disk.write({ serverRecord, removed: [], runs: [] }, true, (error) => {
        if (error !== undefined) return this.#abandon('create', error, callback)
        this.#enter(open, recovered, callback)
      })
    })
  }

  #resume({ cut, recovered, record, runs, watermark }: RecoveredLog, callback: Callback<Recovered>): void {
    const open: Open = { runs, record, watermark }
    if (cut.length === 0) return this.#enter(open, recovered, callback)
    this.#disk.write({ serverRecord: undefined, removed: cut, runs: [] }, true, (error) => {
      if (error !== undefined) return this.#abandon('cut', error, callback)
      this.#enter(open, recovered, callback)
    })
  }

  /** All that is believed is on disk now, so the watermark covers it from here on. */
  #enter(open: Open, recovered: Recovered, callback: Callback<Recovered>): void {
    this.#setWatermarkSynced(open, reachedBy(open), (error) => {
      if (error !== undefined) return this.#abandon('open', error, callback)
      this.#open = open
      this.#removeCompacted(open.record.boundary.index)
      callback(undefined, recovered)
    })
  }

  #abandon<Result>(doing: string, error: unknown, callback: Callback<Result>): void {
    const failure = this.#asFailure(doing, error)
    this.#disk.close(() => refuse(callback, failure))
  }

  // ---- write

  #lowerWatermark(open: Open, plan: WritePlan, callback: Callback): void {
    if (plan.truncated === undefined) return callback(undefined)
    this.#truncations++
    const { index, checksum } = plan.truncated
    if (index >= open.watermark.lastIndex) return callback(undefined)
    this.#setWatermarkSynced(open, { ...open.watermark, lastIndex: index, lastChecksum: checksum }, callback)
  }

  #writeBatch(open: Open, plan: WritePlan, callback: Callback): void {
    const changed = plan.record !== open.record
    const serverRecord = changed ? encodeServerRecord(plan.record, this.#options.checksum) : undefined
    const batch = { serverRecord, removed: plan.removed, runs: plan.runs }
    if (!changed && batch.removed.length === 0 && batch.runs.length === 0) return this.#endWrite(undefined, callback)
    this.#disk.write(batch, !this.#outOfOrder, (error) => {
      if (error !== undefined) return this.#endWrite(error, callback)
      this.#batches++
      adopt(open, plan)
      this.#endReshaping()
      if (!this.#outOfOrder) return this.#endWrite(this.#raise(open, reachedBy(open), this.#batches), callback)
      if (changed || hasConfiguration(plan)) return this.#syncWritten(open, (error) => this.#endWrite(error, callback))
      this.#startSyncTimer(open)
      this.#endWrite(undefined, callback)
    })
  }

  #endWrite(error: Error | undefined, callback: Callback): void {
    const outcome = error === undefined ? this.#failure : this.#fail('write', error)
    this.#writing = false
    this.#endReshaping()
    // Last: it may begin the next write.
    callback(outcome)
    this.#finish()
  }

  #endReshaping(): void {
    this.#reshaping = false
    for (const read of this.#waitingReads.splice(0)) read()
  }

  // ---- sync and watermark

  #startSyncTimer(open: Open): void {
    if (this.#syncTimer !== undefined || this.#syncing || this.#closing !== undefined) return
    this.#syncTimer = this.#options.clock.setTimeout(() => {
      this.#syncTimer = undefined
      this.#syncing = true
      this.#begin()
      this.#syncWritten(open, (error) => {
        this.#syncing = false
        if (error !== undefined) this.#failInBackground('sync', error)
        else if (this.#batchesSynced < this.#batches) this.#startSyncTimer(open)
        this.#finish()
      })
    }, this.#options.syncIntervalMs)
  }

  /** Syncs what has been written so far. The watermark follows only if no truncation came between. */
  #syncWritten(open: Open, callback: Callback): void {
    const batches = this.#batches
    const truncations = this.#truncations
    const reached = this.#writing && this.#reshaping ? undefined : reachedBy(open)
    this.#disk.sync((error) => {
      if (error !== undefined) return callback(error)
      if (reached === undefined || truncations !== this.#truncations) return callback(undefined)
      callback(this.#raise(open, reached, batches))
    })
  }

  #raise(open: Open, reached: Reached, batches: number): Error | undefined {
    this.#batchesSynced = Math.max(this.#batchesSynced, batches)
    const { lastIndex, recordVersion } = open.watermark
    if (reached.lastIndex < lastIndex || reached.recordVersion < recordVersion) return undefined
    try {
      this.#setWatermark(open, reached)
    } catch (error) {
      return asError(error)
    }
    if (reached.recordVersion === open.record.version) this.#removeCompacted(open.record.boundary.index)
    return undefined
  }

  #setWatermark(open: Open, reached: Reached): void {
    const sequence = open.watermark.sequence + 1
    const { lastIndex, lastChecksum, recordVersion } = reached
    const watermark = { sequence, lastIndex, lastChecksum, recordVersion, outOfOrder: this.#outOfOrder }
    this.#disk.writeWatermark(sequence % WATERMARK_SLOTS, encodeWatermark(watermark, this.#options.checksum))
    open.watermark = watermark
  }

  #setWatermarkSynced(open: Open, reached: Reached, callback: Callback): void {
    try {
      this.#setWatermark(open, reached)
    } catch (error) {
      return callback(asError(error))
    }
    this.#disk.syncWatermark(callback)
  }

  /** The boundary is durable: what it covers is not read again, and may go a record at a time. */
  #removeCompacted(through: LogIndex): void {
    if (through <= this.#removedThrough || this.#closing !== undefined) return
    this.#removedThrough = through
    this.#begin()
    this.#disk.removeThrough(through, (error) => {
      if (error !== undefined) this.#failInBackground('compact', error)
      this.#finish()
    })
  }

  // ---- read

  #deliver(
    records: readonly Uint8Array[],
    first: { readonly firstIndex: LogIndex; readonly checksum: number },
    callback: Callback<readonly EntryRun[]>,
  ): void {
    const runs: EntryRun[] = []
    for (const bytes of records) {
      const run = decodeRun(bytes, this.#options.checksum)
      const before = runs.at(-1)
      const sound =
        !('malformed' in run) &&
        (before === undefined
          ? run.firstIndex === first.firstIndex && run.checksum === first.checksum
          : run.firstIndex === before.lastIndex + 1 && run.previousChecksum === before.checksum)
      if (!sound) return refuse(callback, this.#damaged(before === undefined ? first.firstIndex : before.lastIndex + 1))
      runs.push(run)
    }
    if (runs.length === 0) return refuse(callback, this.#damaged(first.firstIndex))
    callback(undefined, runs)
  }

  #damaged(index: LogIndex): ActorumError {
    const what = `the record of entry ${index} is lost or does not match its checksum`
    return damaged(this.#disk.name, what)
  }

  // ---- close and failure

  #begin(): void {
    this.#underWay++
  }

  #finish(): void {
    this.#underWay--
    if (this.#underWay === 0 && this.#closing !== undefined && !this.#closed) this.#letGo(this.#closing)
  }

  #letGo(callbacks: readonly Callback[]): void {
    this.#begin()
    this.#syncBeforeClosing((unsynced) => {
      this.#disk.close((unclosed) => {
        this.#closed = true
        const error = unsynced ?? unclosed
        for (const callback of callbacks) callback(error && this.#asFailure('close', error))
      })
    })
  }

  #syncBeforeClosing(callback: Callback): void {
    if (this.#open === undefined || this.#failure !== undefined) return callback(undefined)
    const syncWatermark = (error: Error | undefined): void =>
      error === undefined ? this.#disk.syncWatermark(callback) : callback(error)
    if (this.#outOfOrder && this.#batchesSynced < this.#batches) this.#syncWritten(this.#open, syncWatermark)
    else syncWatermark(undefined)
  }

  #clearTimer(): void {
    if (this.#syncTimer !== undefined) this.#options.clock.clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
  }

  #failInBackground(doing: string, error: Error): void {
    if (this.#failure === undefined) this.#handler?.failed(this.#fail(doing, error))
  }

  /** Nothing is written after a failure: a failed fsync cannot be retried into a success. */
  #fail(doing: string, error: Error): ActorumError {
    this.#clearTimer()
    this.#failure ??= this.#asFailure(doing, error)
    return this.#failure
  }

  #asFailure(doing: string, cause: unknown): ActorumError {
    if (cause instanceof ActorumError) return cause
    const advice = 'Nothing was retried: free space or repair the disk, then start this server again'
    const message = `The ${this.#disk.name} failed (${doing}): ${asError(cause).message}. ${advice}.`
    return new ActorumError('STORAGE_FAILED', message, { cause })
  }

  #notOpen(): ActorumError {
    return new ActorumError('STOPPED', `The ${this.#disk.name} is not open.`)
  }
}

function reachedBy({ runs, record }: Open): Reached {
  return { lastIndex: runs.last.index, lastChecksum: runs.last.checksum, recordVersion: record.version }
}

function hasConfiguration({ runs }: WritePlan): boolean {
  return runs.some(({ kind }) => kind === 'configuration')
}

function adopt(open: Open, plan: WritePlan): void {
  if (plan.truncated !== undefined) open.runs.truncateAfter(plan.truncated)
  if (plan.record.boundary !== open.record.boundary) open.runs.compact(plan.record.boundary)
  for (const run of plan.runs) open.runs.push(run.firstIndex, run.lastIndex, run.checksum)
  open.record = plan.record
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
