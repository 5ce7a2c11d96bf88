import { ActorumError } from '../../errors.js'
import type { Checksum, LogIndex } from '../../machines/types.js'
import { damaged } from '../damage.js'
import { decodeFrame, FRAME_ALIGNMENT, nextHead } from './format.js'
import type { Frame } from './format.js'
import { RunPlaces } from './run-places.js'
import type { RunPlace } from './run-places.js'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from './segment-header.js'
import type { Salt } from './segment-header.js'
import type { Unproven } from './unproven.js'
import { isZeros } from './zeros.js'

/** A place in the log's files. */
export interface LogPosition {
  readonly segment: number
  readonly at: number
}

/**
 * Makes of the segments' frames, taken in order, what they have written: where each run is, and the newest server
 * record. It believes frames up to the first that is not sound or not chained to the one before. What comes after that
 * is kept apart, for recovery to decide whether it can have been a write cut short.
 */
export class Replay {
  readonly #place: string
  readonly #checksum: Checksum
  readonly #unproven: Unproven | undefined
  readonly places = new RunPlaces()
  readonly sequences: number[] = []
  serverRecord: Uint8Array | undefined
  /** Of the last frame that is believed; undefined before the first. */
  lastChecksum: number | undefined
  /** Where the log ends; undefined where there is no segment. */
  end: LogPosition | undefined
  #lastIndex: LogIndex = 0
  /** What follows `end` is not zeros. */
  faulty = false
  /** The first sound run behind the fault. */
  runAfterFault: RunPlace | undefined

  /** `place` is how errors name the store; `unproven` is told of each frame that is believed. */
  constructor(place: string, checksum: Checksum, unproven?: Unproven) {
    this.#place = place
    this.#checksum = checksum
    this.#unproven = unproven
  }

  /** The index under which the fault is shown to recovery: the next one. Undefined where nothing is to be shown. */
  get faultIndex(): LogIndex | undefined {
    // Before the first sound frame it may be a creation cut short; if it is not, the watermark tells.
    return this.faulty && this.lastChecksum !== undefined ? this.#lastIndex + 1 : undefined
  }

  /** The next segment, whole. Throws CORRUPT or UNSUPPORTED_FORMAT. */
  take(sequence: number, bytes: Uint8Array): void {
    const salt = this.#saltOf(sequence, bytes)
    this.sequences.push(sequence)
    this.end ??= { segment: sequence, at: SEGMENT_HEADER_BYTES }
    let at = SEGMENT_HEADER_BYTES
    for (;;) {
      const frame = decodeFrame(bytes, at, salt, this.#checksum)
      if (frame === undefined) {
        if (!this.faulty && isZeros(bytes, at)) return
        this.#fault({ segment: sequence, at })
        const next = nextHead(bytes, at + FRAME_ALIGNMENT, salt, this.#checksum)
        if (next === undefined) return
        at = next
      } else {
        if (this.#follows(frame)) this.#believe(frame, { segment: sequence, at })
        else this.#passOver(frame, { segment: sequence, at })
        at = frame.end
      }
    }
  }

  #saltOf(sequence: number, bytes: Uint8Array): Salt {
    const expected = (this.sequences.at(-1) ?? sequence - 1) + 1
    if (sequence !== expected) throw this.#damaged(`its log's segment ${expected} is missing`)
    const header = decodeSegmentHeader(bytes, sequence, this.#checksum)
    if (!('malformed' in header)) return header
    const { malformed, newer } = header
    if (newer !== true) throw this.#damaged(`its log's segment ${sequence} is no longer one (${malformed})`)
    const what = `its log's segment ${sequence} has a format not known here (${malformed})`
    const message = `The ${this.#place} was written by a newer version: ${what}. Upgrade Actorum on this server.`
    throw new ActorumError('UNSUPPORTED_FORMAT', message)
  }

  #follows({ previousChecksum }: Frame): boolean {
    return !this.faulty && (this.lastChecksum === undefined || previousChecksum === this.lastChecksum)
  }

  #believe(frame: Frame, position: LogPosition): void {
    this.#unproven?.take(frame, position)
    const { segment } = position
    const { truncateFrom, runs, serverRecord, end, checksum } = frame
    if (truncateFrom !== undefined) {
      this.places.truncateFrom(truncateFrom)
      this.#lastIndex = Math.min(this.#lastIndex, truncateFrom - 1)
    }
    for (const { firstIndex, lastIndex, at, length } of runs) {
      this.places.push({ firstIndex, segment, at, length })
      this.#lastIndex = lastIndex
    }
    this.serverRecord = serverRecord ?? this.serverRecord
    this.lastChecksum = checksum
    this.end = { segment, at: end }
  }

  #passOver({ runs }: Frame, position: LogPosition): void {
    this.#fault(position)
    const [run] = runs
    if (run === undefined) return
    this.runAfterFault ??= { firstIndex: run.firstIndex, segment: position.segment, at: run.at, length: run.length }
  }

  #fault(position: LogPosition): void {
    if (this.faulty) return
    this.faulty = true
    this.end = position
  }

  #damaged(what: string): ActorumError {
    return damaged(this.#place, what)
  }
}
