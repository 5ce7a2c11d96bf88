import type { LogIndex } from '../../machines/types.js'

/** Where a run is: in which segment, at which byte of it, and how many. */
export interface RunPlace {
  readonly firstIndex: LogIndex
  readonly segment: number
  readonly at: number
  readonly length: number
}

const ROOM_MIN = 64

/** Where each run of the log is on disk: 20 bytes a run. */
export class RunPlaces {
  #firsts = new Float64Array(ROOM_MIN)
  #segments = new Uint32Array(ROOM_MIN)
  #ats = new Uint32Array(ROOM_MIN)
  #lengths = new Uint32Array(ROOM_MIN)
  /** Runs in use are [#start, #end). */
  #start = 0
  #end = 0

  /** The segment of the first run; undefined where there is no run. */
  get firstSegment(): number | undefined {
    return this.#start === this.#end ? undefined : this.#segments[this.#start]
  }

  /** Adds a run after the last one. */
  push({ firstIndex, segment, at, length }: RunPlace): void {
    if (this.#end === this.#firsts.length) this.#makeRoom()
    this.#firsts[this.#end] = firstIndex
    this.#segments[this.#end] = segment
    this.#ats[this.#end] = at
    this.#lengths[this.#end] = length
    this.#end++
  }

  /** Drops the runs that begin at `index` or later. */
  truncateFrom(index: LogIndex): void {
    this.#end = this.#placeOf(index)
  }

  /** Drops the runs that begin at `index` or before. */
  removeThrough(index: LogIndex): void {
    this.#start = this.#placeOf(index + 1)
  }

  /** In order from the first run that begins at `index` or later, until they have `bytesMax`; one at least. */
  from(index: LogIndex, bytesMax: number): RunPlace[] {
    const places: RunPlace[] = []
    let bytes = 0
    for (let i = this.#placeOf(index); i < this.#end; i++) {
      const place = this.#placeAt(i)
      places.push(place)
      bytes += place.length
      if (bytes >= bytesMax) break
    }
    return places
  }

  #placeAt(i: number): RunPlace {
    const [firstIndex = 0, segment = 0] = [this.#firsts[i], this.#segments[i]]
    const [at = 0, length = 0] = [this.#ats[i], this.#lengths[i]]
    return { firstIndex, segment, at, length }
  }

  #placeOf(index: LogIndex): number {
    let low = this.#start
    let high = this.#end
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#firsts[middle] ?? Infinity) < index) low = middle + 1
      else high = middle
    }
    return low
  }

  #makeRoom(): void {
    const room = Math.max(ROOM_MIN, (this.#end - this.#start) * 2)
    const [start, end] = [this.#start, this.#end]
    const moved = <List extends Float64Array | Uint32Array>(to: List, from: List): List => {
      to.set(from.subarray(start, end))
      return to
    }
    this.#firsts = moved(new Float64Array(room), this.#firsts)
    this.#segments = moved(new Uint32Array(room), this.#segments)
    this.#ats = moved(new Uint32Array(room), this.#ats)
    this.#lengths = moved(new Uint32Array(room), this.#lengths)
    this.#start = 0
    this.#end = end - start
  }
}
