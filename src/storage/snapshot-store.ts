import { ActorumError } from '../errors.js'
import type { Malformed } from '../machines/entry-run.js'
import type { Boundary, Checksum, SnapshotId } from '../machines/types.js'
import type {
  Callback,
  ReceiveOutcome,
  SnapshotReader,
  SnapshotsFound,
  SnapshotStore,
  SnapshotWriter,
  StoredSnapshot,
} from './ports.js'
import { refuse } from './record-disk.js'
import {
  isSameSnapshot,
  nameOf,
  newestFirst,
  parseName,
  SnapshotCatalogue,
  WRITING_NAME,
} from './snapshot-catalogue.js'
import type { FileFound, SnapshotDisk, SnapshotFile } from './snapshot-disk.js'
import { readEnds, SnapshotFileReader } from './snapshot-file-reader.js'
import { SnapshotIntake } from './snapshot-intake.js'
import { call, perform, type Steps } from './snapshot-steps.js'
import { OwnSnapshot, type SnapshotPlace } from './snapshot-writer.js'

export interface SnapshotStoreOptions {
  readonly checksum: Checksum
}

/**
 * A snapshot store over a `SnapshotDisk`. A file gets the name of a complete snapshot only once all of it is durable,
 * and older ones go only after that. The ends of files are checked when the store is opened, what is between them when
 * it is read. A damaged file is kept under another name, for a person to look at.
 */
export class DiskSnapshotStore implements SnapshotStore {
  readonly #disk: SnapshotDisk
  readonly #catalogue = new SnapshotCatalogue()
  readonly #place: SnapshotPlace
  #intake: SnapshotIntake
  #own: OwnSnapshot | undefined
  /** What the disk reported: nothing is tried again after it. */
  #failure: ActorumError | undefined
  #underWay = 0
  #closing: Callback[] | undefined
  #isClosed = false

  constructor(disk: SnapshotDisk, { checksum }: SnapshotStoreOptions) {
    this.#disk = disk
    this.#place = { disk, checksum, catalogue: this.#catalogue }
    this.#intake = new SnapshotIntake(this.#place)
  }

  get stored(): readonly StoredSnapshot[] {
    return this.#catalogue.stored
  }

  open(callback: Callback<SnapshotsFound>): void {
    this.#perform(this.#find(), callback)
  }

  create(boundary: Boundary, clusterId: string | undefined): SnapshotWriter {
    if (this.#own !== undefined && !this.#own.hasEnded) {
      throw new ActorumError('INVALID_ARGUMENT', 'A snapshot is being written; commit or abandon it before another.')
    }
    const own = new OwnSnapshot(this.#place, { boundary, clusterId })
    this.#own = own
    return {
      write: (chunk, callback) => this.#perform(own.write(chunk), callback),
      commit: (callback) => this.#perform(this.#commit(own), callback),
      abandon: (callback) => this.#perform(own.abandon(), callback),
    }
  }

  receive(id: SnapshotId, offset: number, bytes: Uint8Array, callback: Callback<ReceiveOutcome>): void {
    this.#perform(this.#receive(id, offset, bytes), callback)
  }

  read(id: SnapshotId, offset: number, bytesMax: number, callback: Callback<Uint8Array>): void {
    this.#perform(this.#read(id, offset, bytesMax), callback)
  }

  retain(id: SnapshotId): () => void {
    const release = this.#catalogue.retain(id)
    return () => {
      release()
      // A failure stops whatever is asked of the store next.
      if (this.#failure === undefined && !this.#isClosed) this.#perform(this.#prune(), () => undefined)
    }
  }

  openReader(id: SnapshotId, callback: Callback<SnapshotReader>): void {
    this.#perform(this.#openReader(id), callback)
  }

  close(callback: Callback): void {
    if (this.#isClosed && this.#closing === undefined) return callback(undefined)
    this.#isClosed = true
    this.#closing = [...(this.#closing ?? []), callback]
    this.#closeWhenIdle()
  }

  *#find(): Steps<SnapshotsFound> {
    const notices: string[] = []
    const partial: SnapshotId[] = []
    for (const file of yield* call<readonly FileFound[]>((done) => this.#disk.open(done))) {
      const named = parseName(file.name)
      if (file.name === WRITING_NAME) yield* this.#remove(file.name)
      else if (named?.stage === 'partial') partial.push(named.id)
      else if (named?.stage === 'complete') {
        const notice = yield* this.#lookAt(file, named.id)
        if (notice !== undefined) notices.push(notice)
      }
    }
    // One that is no further than a complete one will not be sent again.
    const wanted = partial.sort(newestFirst).find(({ index }) => index > (this.stored[0]?.id.index ?? 0))
    for (const id of partial) if (id !== wanted) yield* this.#remove(nameOf(id, 'partial'))
    this.#intake = new SnapshotIntake(this.#place, wanted)
    yield* this.#prune()
    return { stored: this.stored, notices }
  }

  /** Counts a file that is sound at both ends; sets another aside, and says so. */
  *#lookAt(file: FileFound, id: SnapshotId): Steps<string | undefined> {
    const ends = yield* readEnds(this.#disk, file, this.#place.checksum)
    if (!('malformed' in ends)) {
      const { boundary, clusterId, byteLength, checksum } = ends
      if (isSameSnapshot(id, { index: boundary.index, term: boundary.term, byteLength, checksum })) {
        this.#catalogue.add({ id, boundary, clusterId })
        return undefined
      }
    }
    const fault = 'malformed' in ends ? ends : { malformed: 'it is not the one that its name says' }
    if (fault.newer === true) throw this.#newer(file.name, fault)
    return yield* this.#setAside(id, fault)
  }

  *#commit(own: OwnSnapshot): Steps<StoredSnapshot> {
    const stored = yield* own.commit()
    yield* this.#prune()
    return stored
  }

  *#receive(id: SnapshotId, offset: number, bytes: Uint8Array): Steps<ReceiveOutcome> {
    const outcome = yield* this.#intake.receive(id, offset, bytes)
    if (outcome.outcome === 'complete') yield* this.#prune()
    return outcome
  }

  *#read(id: SnapshotId, offset: number, bytesMax: number): Steps<Uint8Array> {
    const length = Math.max(0, Math.min(bytesMax, id.byteLength - offset))
    const release = this.retain(id)
    try {
      const file = yield* this.#openToRead(id)
      const bytes = yield* call<Uint8Array>((done) => file.read(offset, length, done))
      yield* call<void>((done) => file.close(done))
      return bytes
    } finally {
      release()
    }
  }

  *#openReader(id: SnapshotId): Steps<SnapshotReader> {
    const release = this.retain(id)
    let file: SnapshotFile
    try {
      file = yield* this.#openToRead(id)
    } catch (error) {
      release()
      throw error
    }
    const reader = new SnapshotFileReader(file, this.#place.checksum)
    let isReading = false
    let isClosing = false
    const close = (): void => {
      release()
      this.#run(reader.close(), () => undefined)
    }
    return {
      next: (callback) => {
        isReading = true
        this.#perform(this.#next(id, reader), (error, chunk) => {
          isReading = false
          if (isClosing) close()
          callback(error, chunk)
        })
      },
      close: () => {
        if (isClosing) return
        isClosing = true
        if (!isReading) close()
      },
    }
  }

  *#next(id: SnapshotId, reader: SnapshotFileReader): Steps<Uint8Array | undefined> {
    const found = yield* reader.next()
    if (found === undefined || !('malformed' in found)) return found
    // Of several who read it, the first that came to the damage has set it aside.
    const isStored = this.#catalogue.find(id) !== undefined
    throw new ActorumError('CORRUPT', isStored ? yield* this.#setAside(id, found) : this.#whatOf(id, found))
  }

  /** Whose file was set aside meanwhile, because somebody else found it damaged, is gone: the disk has not failed. */
  *#openToRead(id: SnapshotId): Steps<SnapshotFile> {
    const name = this.#nameOfStored(id)
    try {
      return yield* call<SnapshotFile>((done) => this.#disk.file(name, 'read', done))
    } catch (error) {
      if (this.#catalogue.find(id) !== undefined) throw error
      throw this.#gone(id)
    }
  }

  /** What remains of it is kept, but never again taken for a snapshot. Returns what a person should know. */
  *#setAside(id: SnapshotId, fault: Malformed): Steps<string> {
    const name = nameOf(id, 'complete')
    this.#catalogue.remove(id)
    yield* call<void>((done) => this.#disk.rename(name, `${name}.damaged`, done))
    return this.#whatOf(id, fault)
  }

  #whatOf(id: SnapshotId, { malformed }: Malformed): string {
    const name = nameOf(id, 'complete')
    const what = `The snapshot ${name} in the ${this.#disk.name} is damaged: ${malformed}`
    return `${what}. It was set aside as ${name}.damaged and counts no more; delete that file once it is of no use.`
  }

  *#prune(): Steps<void> {
    for (const name of this.#catalogue.strikeSurplus()) yield* this.#remove(name)
  }

  *#remove(name: string): Steps<void> {
    yield* call<void>((done) => this.#disk.remove(name, done))
  }

  #nameOfStored(id: SnapshotId): string {
    if (this.#catalogue.find(id) !== undefined) return nameOf(id, 'complete')
    throw this.#gone(id)
  }

  #gone({ index, term }: SnapshotId): ActorumError {
    const which = `snapshot up to entry ${index} of term ${term}`
    return new ActorumError('INVALID_ARGUMENT', `The ${this.#disk.name} has no ${which}; it may have been replaced.`)
  }

  #newer(name: string, { malformed }: Malformed): ActorumError {
    const what = `The snapshot ${name} in the ${this.#disk.name} was written by a newer version: ${malformed}`
    return new ActorumError('UNSUPPORTED_FORMAT', `${what}. Upgrade Actorum on this server.`)
  }

  /** Takes steps unless the store is closed or has failed; whatever the disk reports is the store's end. */
  #perform<Result>(steps: Steps<Result>, callback: Callback<Result>): void {
    const refusal = this.#isClosed ? new ActorumError('STOPPED', `The ${this.#disk.name} is closed.`) : this.#failure
    if (refusal === undefined) this.#run(steps, callback)
    else refuse(callback, refusal)
  }

  #run<Result>(steps: Steps<Result>, callback: Callback<Result>): void {
    this.#underWay++
    perform(steps, (error, result) => {
      this.#underWay--
      if (error === undefined) callback(undefined, result)
      else refuse(callback, this.#failureOf(error))
      this.#closeWhenIdle()
    })
  }

  #failureOf(error: Error): ActorumError {
    if (error instanceof ActorumError) return error
    this.#failure ??= new ActorumError('STORAGE_FAILED', `The ${this.#disk.name} failed: ${error.message}`, {
      cause: error,
    })
    return this.#failure
  }

  #closeWhenIdle(): void {
    const callbacks = this.#closing
    if (callbacks === undefined || this.#underWay > 0) return
    this.#underWay++
    perform(this.#closeFiles(), (error) => {
      this.#underWay--
      const waiting = this.#closing ?? []
      this.#closing = undefined
      for (const callback of waiting) callback(error === undefined ? undefined : this.#failureOf(error))
    })
  }

  *#closeFiles(): Steps<void> {
    if (this.#own !== undefined) yield* this.#own.close()
    yield* this.#intake.close()
    yield* call<void>((done) => this.#disk.close(done))
  }
}
