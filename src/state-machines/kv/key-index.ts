import type { KeyChars } from './keys.js'

/** Keys of one chunk: small enough that shifting them is cheap, large enough that there are few chunks. */
const CHUNK_KEYS_MAX = 512

/** Where a key is, or would be: a chunk, and a place in it. */
interface Place {
  chunk: number
  at: number
}

/**
 * Keys in the order of their bytes: a list of sorted chunks, a B-tree of two levels.
 */
export class KeyIndex {
  /** None is empty. */
  readonly #chunks: KeyChars[][] = []

  /** A key that is not here. */
  add(key: KeyChars): void {
    const last = this.#chunks.at(-1)
    if (last === undefined || last.at(-1)! < key) {
      // Keys that come in order fill their chunks, and need no search.
      if (last === undefined || last.length === CHUNK_KEYS_MAX) this.#chunks.push([key])
      else last.push(key)
      return
    }
    const { chunk, at } = this.#placeOf(key)
    const keys = this.#chunks[chunk]!
    keys.splice(at, 0, key)
    if (keys.length > CHUNK_KEYS_MAX) this.#chunks.splice(chunk + 1, 0, keys.splice(CHUNK_KEYS_MAX >> 1))
  }

  /** A key that is here. */
  delete(key: KeyChars): void {
    const { chunk, at } = this.#placeOf(key)
    const keys = this.#chunks[chunk]
    if (keys?.[at] !== key) return
    keys.splice(at, 1)
    if (keys.length === 0) this.#chunks.splice(chunk, 1)
  }

  /** How many keys there are from `from` up to `to`. */
  count(from: KeyChars, to: KeyChars | undefined): number {
    const [first, last] = [this.#placeOf(from), this.#endOf(to)]
    if (last.chunk < first.chunk || (last.chunk === first.chunk && last.at <= first.at)) return 0
    let count = last.at - first.at
    for (let chunk = first.chunk; chunk < last.chunk; chunk++) count += this.#chunks[chunk]!.length
    return count
  }

  /** The keys from `from` up to `to`, in order. Nothing may be added or deleted meanwhile. */
  *ascending(from: KeyChars, to: KeyChars | undefined): Generator<KeyChars> {
    let { chunk, at } = this.#placeOf(from)
    for (let keys = this.#chunks[chunk]; keys !== undefined; keys = this.#chunks[++chunk]) {
      for (; at < keys.length; at++) {
        const key = keys[at]!
        if (to !== undefined && key >= to) return
        yield key
      }
      at = 0
    }
  }

  /** The same from the last to the first. */
  *descending(from: KeyChars, to: KeyChars | undefined): Generator<KeyChars> {
    const end = this.#endOf(to)
    let at = end.at - 1
    for (let { chunk } = end; chunk >= 0; chunk--) {
      const keys = this.#chunks[chunk] ?? []
      if (chunk < end.chunk) at = keys.length - 1
      for (; at >= 0; at--) {
        const key = keys[at]!
        if (key < from) return
        yield key
      }
    }
  }

  #endOf(to: KeyChars | undefined): Place {
    return to === undefined ? { chunk: this.#chunks.length, at: 0 } : this.#placeOf(to)
  }

  /** Of the first key that is not less: in the chunk after the last when there is none. */
  #placeOf(key: KeyChars): Place {
    const chunks = this.#chunks
    let [low, high] = [0, chunks.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const keys = chunks[middle]!
      if (keys[keys.length - 1]! < key) low = middle + 1
      else high = middle
    }
    const keys = chunks[low]
    return { chunk: low, at: keys === undefined ? 0 : placeIn(keys, key) }
  }
}

/** Where `key` is in a sorted list, or would be. Spelled out, since each new key comes through here. */
function placeIn(keys: readonly KeyChars[], key: KeyChars): number {
  let [low, high] = [0, keys.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}

/** The lowest number below `count` for which `holds`, which then holds for all that follow; `count` when for none. */
export function lowest(count: number, holds: (at: number) => boolean): number {
  let [low, high] = [0, count]
  while (low < high) {
    const middle = (low + high) >> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}
