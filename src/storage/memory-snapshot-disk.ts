import type { Clock } from '../machines/time-and-chance.js'
import type { CrashOptions } from './memory-disk.js'
import { MemorySnapshotFile } from './memory-snapshot-file.js'
import type { Callback } from './ports.js'
import { refuse } from './record-disk.js'
import type { FileFound, SnapshotDisk, SnapshotFile } from './snapshot-disk.js'

/** A change on its way, and what of it may have happened when the machine or the process dies. */
interface Change {
  readonly whole: () => void
  readonly torn?: () => void
}

/** An empty file under a new name: nobody would miss it. */
const NO_CHANGE: Change = { whole: () => undefined }

/** A process that uses the disk. */
interface Session {
  readonly clock: Clock
  isAlive: boolean
  readonly inFlight: Set<Change>
}

type Fault = 'sound' | 'fails' | 'torn'

/**
 * A disk in memory for snapshots. It outlives the stores that use it, as a disk does, and fails in the ways of
 * `MemoryDisk`, by the same names.
 */
export class MemorySnapshotDisk {
  /** How errors name it. */
  readonly name: string
  /** Milliseconds that the next step takes. Undefined (default): it completes before the call returns. */
  latencyMs: (() => number) | undefined
  /** No write that needs room succeeds. Default false. */
  full = false
  /** No change at all succeeds. Default false. */
  readOnly = false

  #files = new Map<string, MemorySnapshotFile>()
  /** Removed, which a crash may undo. */
  readonly #removed = new Map<string, MemorySnapshotFile>()
  #session: Session | undefined
  #nextWrite: Fault = 'sound'
  #nextSyncFails = false

  constructor(name = 'snapshot disk in memory') {
    this.name = name
  }

  /** One process's use of the disk: ends with the process, which then hears nothing more. */
  session(clock: Clock): SnapshotDisk {
    const session: Session = { clock, isAlive: true, inFlight: new Set() }
    return {
      name: this.name,
      open: (callback) => {
        this.#session = session
        this.#later(session, () => this.#found(), callback)
      },
      file: (name, use, callback) => {
        if (use === 'create') this.#change(session, NO_CHANGE, () => this.#create(session, name), callback)
        else this.#later(session, () => this.#opened(session, this.#fileOf(name)), callback)
      },
      rename: (from, to, callback) => {
        const whole = (): void => this.#rename(from, to)
        this.#change(session, { whole }, () => this.#sync(whole), callback)
      },
      remove: (name, callback) => {
        const whole = (): void => this.#remove(name)
        this.#change(session, { whole }, whole, callback)
      },
      close: (callback) => {
        if (!session.isAlive) return
        session.isAlive = false
        callback(undefined)
      },
    }
  }

  /** Power loss: what was not synced is gone, and the store never calls back again. `watermark` says nothing here. */
  crash({ inFlight = 'lost', survives = () => false }: CrashOptions = {}): void {
    const changes = this.#endSession()
    for (const [name, file] of this.#removed) if (!this.#files.has(name) && !survives()) this.#files.set(name, file)
    this.#removed.clear()
    for (const [name, file] of this.#files) if (!file.crash(survives)) this.#files.delete(name)
    land(changes, inFlight)
  }

  /** The process dies: what was handed to the disk stays, and the store never calls back again. */
  kill({ inFlight = 'lost' }: Pick<CrashOptions, 'inFlight'> = {}): void {
    land(this.#endSession(), inFlight)
  }

  /** The next write fails, and nothing of it is kept. */
  failNextWrite(): void {
    this.#nextWrite = 'fails'
  }

  /** The next write fails, and half of it is kept. */
  tearNextWrite(): void {
    this.#nextWrite = 'torn'
  }

  /** The next sync, of a file or of a new name, fails: what it should have synced may or may not survive. */
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
    return [...this.#files.values()].some((file) => file.hasUnsynced)
  }

  /** Flips a bit of a file. */
  corruptFile(name: string, offset: number): void {
    this.#files.get(name)?.corrupt(offset)
  }

  /** Names of the files on the disk, in order. */
  fileNames(): readonly string[] {
    return [...this.#files.keys()].sort()
  }

  /** Bytes of a file, 0 where there is none. */
  fileLength(name: string): number {
    return this.#files.get(name)?.length ?? 0
  }

  #opened(session: Session, file: MemorySnapshotFile): SnapshotFile {
    return {
      read: (offset, length, callback) => this.#later(session, () => file.read(offset, length), callback),
      write: (offset, bytes, callback) => {
        const whole = (): void => file.write(offset, bytes)
        const torn = (): void => file.write(offset, bytes.subarray(0, bytes.length >>> 1))
        this.#change(session, { whole, torn }, () => this.#write(whole, torn), callback)
      },
      truncate: (length, callback) => {
        const whole = (): void => file.truncate(length)
        this.#change(session, { whole }, whole, callback)
      },
      sync: (callback) => this.#later(session, () => this.#sync(() => file.sync()), callback),
      close: (callback) => this.#later(session, () => undefined, callback),
    }
  }

  #found(): FileFound[] {
    return [...this.#files].map(([name, file]) => ({ name, byteLength: file.length }))
  }

  #create(session: Session, name: string): SnapshotFile {
    if (this.full) throw noSpace()
    const file = new MemorySnapshotFile()
    this.#files.set(name, file)
    return this.#opened(session, file)
  }

  #fileOf(name: string): MemorySnapshotFile {
    const file = this.#files.get(name)
    if (file === undefined) throw new Error(`ENOENT: no such file: ${name}`)
    return file
  }

  #write(whole: () => void, torn: () => void): void {
    const fate = this.#nextWrite
    this.#nextWrite = 'sound'
    if (this.full) throw noSpace()
    if (fate === 'fails') throw new Error('EIO: write failed')
    if (fate === 'sound') return whole()
    torn()
    throw new Error('EIO: write failed in part')
  }

  #rename(from: string, to: string): void {
    const file = this.#fileOf(from)
    this.#files.delete(from)
    this.#files.set(to, file)
    file.name()
    this.#removed.clear()
  }

  #remove(name: string): void {
    const file = this.#files.get(name)
    if (file === undefined) return
    this.#files.delete(name)
    this.#removed.set(name, file)
  }

  #sync(act: () => void): void {
    const fails = this.#nextSyncFails
    this.#nextSyncFails = false
    if (fails) throw new Error('EIO: fsync failed')
    act()
  }

  #change<Result>(session: Session, change: Change, act: () => Result, callback: Callback<Result>): void {
    session.inFlight.add(change)
    const unlessReadOnly = (): Result => {
      session.inFlight.delete(change)
      if (this.readOnly) throw new Error('EROFS: read-only file system')
      return act()
    }
    this.#later(session, unlessReadOnly, callback)
  }

  #later<Result>(session: Session, act: () => Result, callback: Callback<Result>): void {
    const whileAlive = (): void => {
      if (session.isAlive) attempt(act, callback)
    }
    const delayMs = this.latencyMs?.()
    if (delayMs === undefined) whileAlive()
    else if (delayMs > 0) session.clock.setTimeout(whileAlive, delayMs)
    else session.clock.defer(whileAlive)
  }

  #endSession(): readonly Change[] {
    const session = this.#session
    if (session === undefined) return []
    session.isAlive = false
    this.#session = undefined
    return [...session.inFlight]
  }
}

function land(changes: readonly Change[], inFlight: CrashOptions['inFlight']): void {
  for (const change of changes) {
    if (inFlight === 'whole') change.whole()
    if (inFlight === 'torn') change.torn?.()
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

function noSpace(): Error {
  return new Error('ENOSPC: no space left on device')
}
