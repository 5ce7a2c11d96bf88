import type { LogIndex } from '../machines/types.js'

/** An index and the checksum of the run that ends there (the boundary's, where no run is left). */
export interface RunEnd {
  readonly index: LogIndex
  readonly checksum: number
}

const ROOM_MIN = 64

/**
 * Where each run of the log begins, and its checksum: 12 bytes a run, so a million runs take 12 MB. Everything a store
 * must know about its runs without reading them.
 */
export class RunIndex {
  #firsts = new Float64Array(ROOM_MIN)
  #checksums = new Uint32Array(ROOM_MIN)
  /** Runs in use are [#start, #end). */
  #start = 0
  #end = 0
  #boundary: RunEnd
  #last: RunEnd

  constructor(boundary: RunEnd) {
    this.#boundary = boundary
    this.#last = boundary
  }

  /** The end of the log: the boundary's when there is no run. */
  get last(): RunEnd {
    return this.#last
  }

  /** Adds the run that follows the last one. */
  push(firstIndex: LogIndex, lastIndex: LogIndex, checksum: number): void {
    if (this.#end === this.#firsts.length) this.#makeRoom()
    this.#firsts[this.#end] = firstIndex
    this.#checksums[this.#end] = checksum
    this.#end++
    this.#last = { index: lastIndex, checksum }
  }

  /** The first index and checksum of the run that contains `index`; undefined where the log has none. */
  runAt(index: LogIndex): { readonly firstIndex: LogIndex; readonly checksum: number } | undefined {
    const at = this.#positionOf(index)
    const firstIndex = this.#firsts[at]
    const checksum = this.#checksums[at]
    return at < 0 || firstIndex === undefined || checksum === undefined ? undefined : { firstIndex, checksum }
  }

  /** The run or boundary that ends at `index`, if one does. */
  endAt(index: LogIndex): RunEnd | undefined {
    if (index === this.#boundary.index) return this.#boundary
    if (index === this.#last.index) return this.#last
    const at = this.#positionOf(index)
    const checksum = this.#checksums[at]
    if (at < 0 || at + 1 === this.#end || checksum === undefined) return undefined
    return this.#firsts[at + 1] === index + 1 ? { index, checksum } : undefined
  }

  /** The first indexes of the runs from the one that begins at `index`. */
  firstsFrom(index: LogIndex): LogIndex[] {
    const at = this.#positionOf(index)
    return at < 0 ? [] : Array.from(this.#firsts.subarray(at, this.#end))
  }

  /** Drops the suffix that follows `end`, an end that `endAt` gave. */
  truncateAfter(end: RunEnd): void {
    const at = this.#positionOf(end.index + 1)
    if (at >= 0) this.#end = at
    this.#last = end
  }

  /** Drops the prefix up to `boundary`; all of the log when it ends before that. */
  compact(boundary: RunEnd): void {
    const at = this.#positionOf(boundary.index + 1)
    this.#start = at < 0 ? this.#end : at
    this.#boundary = boundary
    if (this.#start === this.#end) this.#last = boundary
  }

  /** The position of the run that contains `index`, or -1. */
  #positionOf(index: LogIndex): number {
    if (index <= this.#boundary.index || index > this.#last.index) return -1
    let low = this.#start
    let high = this.#end - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#firsts[middle] ?? Infinity) <= index) low = middle
      else high = middle - 1
    }
    return low
  }

  #makeRoom(): void {
    const used = this.#end - this.#start
    const room = Math.max(ROOM_MIN, used * 2)
    const firsts = new Float64Array(room)
    const checksums = new Uint32Array(room)
    firsts.set(this.#firsts.subarray(this.#start, this.#end))
    checksums.set(this.#checksums.subarray(this.#start, this.#end))
    this.#firsts = firsts
    this.#checksums = checksums
    this.#start = 0
    this.#end = used
  }
}
