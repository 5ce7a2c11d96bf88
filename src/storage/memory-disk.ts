import { ActorumError } from '../errors.js'
import type { EntryRun } from '../machines/entry-run.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { LogIndex } from '../machines/types.js'
import type { Callback } from './ports.js'
import { refuse } from './record-disk.js'
import type { DiskContents, RecordBatch, RecordDisk } from './record-disk.js'
import { WATERMARK_SLOTS } from './watermark.js'

/** What becomes of the write in flight when a machine or a process dies. */
export type InFlight = 'lost' | 'torn' | 'whole'

export interface CrashOptions {
  /** `torn`: its last run is cut in half. Default `lost`. */
  readonly inFlight?: InFlight
  /** What becomes of watermark writes that were not synced; `stale`: the last of them is lost. Default `lost`. */
  readonly watermark?: 'kept' | 'stale' | 'lost'
  /** Asked for each unsynced step, in order, whether the disk has it after all. Default: no. */
  readonly survives?: () => boolean
}

const SERVER_RECORD: LogIndex = 0

/** What one write or removal changed, to be taken back should the machine crash. */
type Step = {
  readonly key: LogIndex
  readonly before: Uint8Array | undefined
  readonly after: Uint8Array | undefined
}[]

/** A process that has the disk open. */
interface Session {
  alive: boolean
  inFlight: RecordBatch | undefined
}

/**
 * A disk in memory. It outlives the stores that use it, as a disk does, and fails in all the ways a test or a
 * simulation asks for. Run bytes are shared with the log, not copied; damage is done to a copy.
 */
export class MemoryDisk {
  /** How errors name it. */
  readonly name: string
  /** Milliseconds that the next write, sync or read takes. Undefined (default): it completes before the call returns. */
  latencyMs: (() => number) | undefined
  /** No write that needs room succeeds. Default false. */
  full = false
  /** No write at all succeeds. Default false. */
  readOnly = false

  /** The server record under 0, runs under their first index. */
  readonly #records = new Map<LogIndex, Uint8Array>()
  /** First indexes of the runs, in order. */
  #firsts: LogIndex[] = []
  #unsynced: Step[] = []
  /** How many steps there have been; the last of them are the unsynced ones. */
  #steps = 0
  #slots: Uint8Array[] | undefined
  #slotsBefore: Uint8Array[] | undefined
  #slotsSynced: Uint8Array[] | undefined
  #session: Session | undefined
  #nextWrite: 'sound' | 'fails' | 'torn' = 'sound'
  #nextSyncFails = false

  constructor(name = 'memory disk') {
    this.name = name
  }

  /** One process's use of the disk: ends with the process, which then hears nothing more. */
  session(clock: Clock): RecordDisk {
    const session: Session = { alive: true, inFlight: undefined }
    const later = (act: () => void): void => this.#later(session, clock, act)
    return {
      name: this.name,
      open: (callback) => {
        if (session.alive) attempt(() => this.#begin(session), callback)
      },
      scan: (above, visit, callback) => {
        for (const [first, bytes] of this.#recordsAbove(above)) visit(first, bytes)
        callback(undefined)
      },
      read: (firstIndex, bytesMax, callback) => {
        const records = this.#recordsFrom(firstIndex, bytesMax)
        later(() => callback(undefined, records))
      },
      write: (batch, sync, callback) => {
        session.inFlight = batch
        later(() => {
          session.inFlight = undefined
          attempt(() => this.#perform(batch, sync), callback)
        })
      },
      removeThrough: (index, callback) => later(() => attempt(() => this.#performRemoval(index), callback)),
      sync: (callback) => {
        const steps = this.#steps
        later(() => attempt(() => this.#performSync(steps), callback))
      },
      writeWatermark: (slot, bytes) => {
        if (session.alive) this.#setSlot(slot, bytes)
      },
      syncWatermark: (callback) => {
        const slots = this.#slots
        later(() => attempt(() => this.#syncSlots(slots), callback))
      },
      close: (callback) => {
        if (!session.alive) return
        if (this.#session === session) this.#session = undefined
        callback(undefined)
      },
    }
  }

  /** Power loss: what was not synced is gone, and the store never calls back again. */
  crash({ inFlight = 'lost', watermark = 'lost', survives = () => false }: CrashOptions = {}): void {
    const batch = this.#endSession()
    const steps = this.#unsynced
    for (const step of steps.toReversed()) for (const { key, before } of step.toReversed()) this.#set(key, before)
    for (const step of steps) if (survives()) for (const { key, after } of step) this.#set(key, after)
    if (batch !== undefined && inFlight !== 'lost') this.#apply(inFlight === 'torn' ? torn(batch) : batch)
    if (watermark === 'lost') this.#slots = this.#slotsSynced
    if (watermark === 'stale') this.#slots = this.#slotsBefore
    this.#settle()
  }

  /** The process dies: what was handed to the disk stays, and the store never calls back again. */
  kill({ inFlight = 'lost' }: Pick<CrashOptions, 'inFlight'> = {}): void {
    const batch = this.#endSession()
    if (batch !== undefined && inFlight !== 'lost') this.#apply(inFlight === 'torn' ? torn(batch) : batch)
  }

  /** The next write fails, and nothing of it is kept. */
  failNextWrite(): void {
    this.#nextWrite = 'fails'
  }

  /** The next write fails, and its last run is kept by half. */
  tearNextWrite(): void {
    this.#nextWrite = 'torn'
  }

  /** The next sync, of a write or of the background, fails: what it should have synced may or may not survive. */
  failNextSync(): void {
    this.#nextSyncFails = true
  }

  /** No fault is armed any more, and every step takes no time. What is damaged stays so. */
  heal(): void {
    this.latencyMs = undefined
    this.full = this.readOnly = this.#nextSyncFails = false
    this.#nextWrite = 'sound'
  }

  /** Whether a crash now could lose something of what was written. */
  get hasUnsynced(): boolean {
    return this.#unsynced.length > 0
  }

  /** Flips a bit in the record of the run that begins at `firstIndex`, or in the server record for 0. */
  corruptRecord(firstIndex: LogIndex, offset: number): void {
    const bytes = this.#records.get(firstIndex)
    if (bytes !== undefined) this.#records.set(firstIndex, flipped(bytes, offset))
  }

  /** What it would hold of the run that begins at `firstIndex`, or of the server record for 0, after a crash now. */
  durableRecord(firstIndex: LogIndex): Uint8Array | undefined {
    for (const step of this.#unsynced) {
      const change = step.find(({ key }) => key === firstIndex)
      if (change !== undefined) return change.before
    }
    return this.#records.get(firstIndex)
  }

  /** What it holds of it now, synced or not. */
  writtenRecord(firstIndex: LogIndex): Uint8Array | undefined {
    return this.#records.get(firstIndex)
  }

  /** Bytes of the record that `corruptRecord` would change. */
  recordLength(firstIndex: LogIndex): number {
    return this.#bytesOf(firstIndex).length
  }

  /** Loses a record without a word, as LevelDB does with one that is damaged. */
  removeRecord(firstIndex: LogIndex): void {
    this.#set(firstIndex, undefined)
  }

  /** Puts a run's record where another was, or was not: an old one that comes back. */
  replaceRun({ firstIndex, bytes }: Pick<EntryRun, 'firstIndex' | 'bytes'>): void {
    this.#set(firstIndex, bytes)
  }

  replaceServerRecord(bytes: Uint8Array): void {
    this.#set(SERVER_RECORD, bytes)
  }

  /** Flips a bit in both slots. */
  corruptWatermark(offset: number): void {
    this.#slots = this.#slotsSynced = this.#slots?.map((slot) => flipped(slot, offset))
  }

  removeWatermark(): void {
    this.#slots = this.#slotsSynced = undefined
  }

  /** First indexes of the run records on the disk, in order. */
  firstIndexes(): readonly LogIndex[] {
    return [...this.#firsts]
  }

  #begin(session: Session): DiskContents {
    if (this.#session !== undefined) {
      throw new ActorumError('LOCKED', `The ${this.name} is in use by another engine. Stop that one first.`)
    }
    this.#session = session
    this.#settle()
    return { serverRecord: this.#records.get(SERVER_RECORD), watermark: this.#slots }
  }

  #recordsAbove(index: LogIndex): [LogIndex, Uint8Array][] {
    return this.#firsts.slice(this.#placeOf(index + 1)).map((first) => [first, this.#bytesOf(first)])
  }

  #recordsFrom(firstIndex: LogIndex, bytesMax: number): Uint8Array[] {
    const records: Uint8Array[] = []
    let bytes = 0
    for (let at = this.#placeOf(firstIndex); at < this.#firsts.length; at++) {
      const record = this.#bytesOf(this.#firsts[at] ?? 0)
      records.push(record)
      bytes += record.length
      if (bytes >= bytesMax) break
    }
    return records
  }

  /** Throws what a disk would report. */
  #perform(batch: RecordBatch, sync: boolean): void {
    const fate = this.#nextWrite
    this.#nextWrite = 'sound'
    if (this.readOnly) throw new Error('EROFS: read-only file system')
    if (this.full && (batch.runs.length > 0 || batch.serverRecord !== undefined)) {
      throw new Error('ENOSPC: no space left on device')
    }
    if (fate === 'fails') throw new Error('EIO: write failed')
    this.#apply(fate === 'torn' ? torn(batch) : batch)
    if (fate === 'torn') throw new Error('EIO: write failed in part')
    if (sync) this.#performSync(this.#steps)
  }

  #performRemoval(through: LogIndex): void {
    const step = this.#newStep()
    for (const first of this.#firsts.slice(0, this.#placeOf(through + 1))) this.#change(step, first, undefined)
  }

  /** Makes the first `steps` steps durable. */
  #performSync(steps: number): void {
    if (this.#nextSyncFails) {
      this.#nextSyncFails = false
      throw new Error('EIO: fsync failed')
    }
    const stillUnsynced = this.#steps - steps
    if (stillUnsynced < this.#unsynced.length) this.#unsynced.splice(0, this.#unsynced.length - stillUnsynced)
  }

  #setSlot(slot: number, bytes: Uint8Array): void {
    if (this.readOnly) throw new Error('EROFS: read-only file system')
    const slots = this.#slots ?? Array.from({ length: WATERMARK_SLOTS }, () => new Uint8Array())
    this.#slotsBefore = this.#slots
    this.#slots = slots.map((before, at) => (at === slot ? bytes : before))
  }

  #syncSlots(slots: Uint8Array[] | undefined): void {
    this.#slotsSynced = slots
    if (this.#slots === slots) this.#slotsBefore = slots
  }

  #later(session: Session, clock: Clock, act: () => void): void {
    const whileAlive = (): void => {
      if (session.alive) act()
    }
    const delayMs = this.latencyMs?.()
    if (delayMs === undefined) whileAlive()
    else if (delayMs > 0) clock.setTimeout(whileAlive, delayMs)
    else clock.defer(whileAlive)
  }

  #endSession(): RecordBatch | undefined {
    const session = this.#session
    if (session === undefined) return undefined
    session.alive = false
    this.#session = undefined
    return session.inFlight
  }

  /** All that the disk holds is durable. */
  #settle(): void {
    this.#unsynced = []
    this.#slotsSynced = this.#slotsBefore = this.#slots
  }

  #apply({ serverRecord, removed, runs }: RecordBatch): void {
    const step = this.#newStep()
    if (serverRecord !== undefined) this.#change(step, SERVER_RECORD, serverRecord)
    for (const key of removed) this.#change(step, key, undefined)
    for (const run of runs) this.#change(step, run.firstIndex, run.bytes)
  }

  #newStep(): Step {
    const step: Step = []
    this.#unsynced.push(step)
    this.#steps++
    return step
  }

  #change(step: Step, key: LogIndex, after: Uint8Array | undefined): void {
    step.push({ key, before: this.#records.get(key), after })
    this.#set(key, after)
  }

  #set(key: LogIndex, bytes: Uint8Array | undefined): void {
    const known = this.#records.has(key)
    if (bytes === undefined) this.#records.delete(key)
    else this.#records.set(key, bytes)
    if (key === SERVER_RECORD || known === (bytes !== undefined)) return
    const place = this.#placeOf(key)
    if (bytes === undefined) this.#firsts.splice(place, 1)
    else this.#firsts.splice(place, 0, key)
  }

  /** The position of the first run that begins at `index` or later. */
  #placeOf(index: LogIndex): number {
    let low = 0
    let high = this.#firsts.length
    if (high === 0 || (this.#firsts[high - 1] ?? 0) < index) return high
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#firsts[middle] ?? Infinity) < index) low = middle + 1
      else high = middle
    }
    return low
  }

  #bytesOf(firstIndex: LogIndex): Uint8Array {
    return this.#records.get(firstIndex) ?? new Uint8Array()
  }
}

function attempt<Result>(act: () => Result, callback: Callback<Result>): void {
  let result: Result
  try {
    result = act()
  } catch (error) {
    return refuse(callback, error instanceof Error ? error : new Error(String(error)))
  }
  callback(undefined, result)
}

function torn(batch: RecordBatch): RecordBatch {
  const runs = batch.runs.map((run, at) =>
    at === batch.runs.length - 1 ? { ...run, bytes: run.bytes.slice(0, run.bytes.length >>> 1) } : run,
  )
  return { ...batch, runs }
}

function flipped(bytes: Uint8Array, offset: number): Uint8Array {
  const copy = bytes.slice()
  copy[offset] = (copy[offset] ?? 0) ^ 1
  return copy
}
