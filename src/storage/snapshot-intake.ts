import type { Malformed } from '../machines/entry-run.js'
import type { SnapshotId } from '../machines/types.js'
import type { ReceiveOutcome } from './ports.js'
import { isSameSnapshot, nameOf } from './snapshot-catalogue.js'
import type { SnapshotFile } from './snapshot-disk.js'
import type { SnapshotHeader } from './snapshot-format.js'
import { GrowingFile } from './snapshot-growth.js'
import { SnapshotScanner } from './snapshot-scanner.js'
import { call, type Steps } from './snapshot-steps.js'
import type { SnapshotPlace } from './snapshot-writer.js'

/** What is read at once of a file that an earlier start left. */
const REREAD_BYTES = 1024 * 1024

/** A snapshot on its way in. */
interface Arriving {
  readonly id: SnapshotId
  readonly file: GrowingFile
  readonly scanner: SnapshotScanner
}

/**
 * Another server's snapshot, of which one at a time is kept incomplete. Its bytes are checked as they come, and it gets
 * the name of a complete one when the last of them is durable. A transfer that an earlier start began goes on from
 * the end of what is sound of it.
 */
export class SnapshotIntake {
  readonly #place: SnapshotPlace
  /** Incomplete, from an earlier start, and not looked at yet. */
  #left: SnapshotId | undefined
  #arriving: Arriving | undefined

  constructor(place: SnapshotPlace, left?: SnapshotId) {
    this.#place = place
    this.#left = left
  }

  *receive(id: SnapshotId, offset: number, bytes: Uint8Array): Steps<ReceiveOutcome> {
    const stored = this.#place.catalogue.find(id)
    if (stored !== undefined) return { outcome: 'complete', stored }
    const arriving = yield* this.#arrivingOf(id)
    const { file, scanner } = arriving
    // Beyond a gap there is nothing to begin with.
    const next = offset > file.length ? new Uint8Array() : bytes.subarray(file.length - offset)
    if (next.length > 0) {
      const fault = faultOf(arriving, next)
      if (fault !== undefined) return yield* this.#refuse(arriving, fault)
      yield* file.append(next)
    }
    if (file.length < id.byteLength) return { outcome: 'more', offset: file.length }
    const { header, trailer } = scanner
    if (header === undefined || trailer?.checksum !== id.checksum || !isFor(id, header)) {
      return yield* this.#refuse(arriving, { malformed: 'it is not the one that was announced' })
    }
    return yield* this.#complete(arriving, header)
  }

  /** Lets go of the file, as it is. */
  *close(): Steps<void> {
    const arriving = this.#arriving
    this.#arriving = undefined
    if (arriving !== undefined) yield* arriving.file.close()
  }

  *#arrivingOf(id: SnapshotId): Steps<Arriving> {
    if (this.#arriving !== undefined) {
      if (isSameSnapshot(this.#arriving.id, id)) return this.#arriving
      yield* this.#drop(this.#arriving)
    }
    const left = this.#left
    this.#left = undefined
    const { disk, checksum } = this.#place
    let arriving: Arriving
    if (left !== undefined && isSameSnapshot(left, id)) arriving = yield* this.#resume(id)
    else {
      if (left !== undefined) yield* call<void>((done) => disk.remove(nameOf(left, 'partial'), done))
      const file = yield* call<SnapshotFile>((done) => disk.file(nameOf(id, 'partial'), 'create', done))
      arriving = { id, file: new GrowingFile(file), scanner: new SnapshotScanner(checksum) }
    }
    this.#arriving = arriving
    return arriving
  }

  /** Rereads what is there, in pieces. A crash may have left its end in any state. */
  *#resume(id: SnapshotId): Steps<Arriving> {
    const { disk, checksum } = this.#place
    const file = yield* call<SnapshotFile>((done) => disk.file(nameOf(id, 'partial'), 'append', done))
    const scanner = new SnapshotScanner(checksum)
    let length = 0
    for (;;) {
      const at = length
      const bytes = yield* call<Uint8Array>((done) => file.read(at, REREAD_BYTES, done))
      if (bytes.length === 0) break
      length += bytes.length
      if (scanner.push(bytes) === undefined) continue
      scanner.rewind()
      length = scanner.soundLength
      const sound = length
      yield* call<void>((done) => file.truncate(sound, done))
      break
    }
    return { id, file: new GrowingFile(file, length), scanner }
  }

  *#complete({ id, file }: Arriving, header: SnapshotHeader): Steps<ReceiveOutcome> {
    const { disk, catalogue } = this.#place
    yield* file.sync()
    yield* this.close()
    yield* call<void>((done) => disk.rename(nameOf(id, 'partial'), nameOf(id, 'complete'), done))
    const stored = { id, ...header }
    catalogue.add(stored)
    return { outcome: 'complete', stored }
  }

  *#refuse(arriving: Arriving, { malformed, newer }: Malformed): Steps<ReceiveOutcome> {
    yield* this.#drop(arriving)
    const advice = newer === true ? ' It was made by a newer version: upgrade Actorum on this server.' : ''
    const which = `The snapshot up to entry ${arriving.id.index} that another server sent was refused`
    return { outcome: 'refused', reason: `${which}: ${malformed}.${advice}` }
  }

  *#drop({ id }: Arriving): Steps<void> {
    yield* this.close()
    yield* call<void>((done) => this.#place.disk.remove(nameOf(id, 'partial'), done))
  }
}

function faultOf({ id, file, scanner }: Arriving, bytes: Uint8Array): Malformed | undefined {
  const length = file.length + bytes.length
  if (length > id.byteLength) return { malformed: `it has ${length} of ${id.byteLength} bytes` }
  const fault = scanner.push(bytes)
  if (fault !== undefined || scanner.header === undefined) return fault
  if (isFor(id, scanner.header)) return undefined
  const { index, term } = scanner.header.boundary
  return { malformed: `it ends at entry ${index} of term ${term}, not ${id.index} of term ${id.term}` }
}

function isFor({ index, term }: SnapshotId, { boundary }: SnapshotHeader): boolean {
  return boundary.index === index && boundary.term === term
}
