import { copyInto } from './copies.js'

export const SLAB_BYTES = 64 * 1024
/** Slabs that are free again and kept for what comes: the system clears each new one. */
const SPARES_MAX = 64

/** Bytes in the order they came, and forgotten in that order: in slabs, each with a number that counts up from 1. */
export class Slabs {
  #slabs: Uint8Array[] = []
  #first = 1
  #used = SLAB_BYTES
  readonly #spares: Uint8Array[] = []
  /** A frozen view may still show slabs up to this one. */
  #frozenUpTo = 0

  /** The slab that the last bytes went to. */
  get last(): number {
    return this.#first + this.#slabs.length - 1
  }

  /** Copies bytes in, and gives their place in the last slab. */
  add(bytes: Uint8Array): number {
    const { length } = bytes
    let slab = this.#slabs[this.#slabs.length - 1]
    if (slab === undefined || this.#used + length > slab.length) {
      slab = (length <= SLAB_BYTES ? this.#spares.pop() : undefined) ?? new Uint8Array(Math.max(SLAB_BYTES, length))
      this.#slabs.push(slab)
      this.#used = 0
    }
    const offset = this.#used
    copyInto(slab, offset, bytes, 0, length)
    this.#used += length
    return offset
  }

  get(slab: number): Uint8Array | undefined {
    return this.#slabs[slab - this.#first]
  }

  /** Nothing in earlier slabs is asked for again. */
  forgetBefore(slab: number): void {
    while (this.#first < slab) {
      const free = this.#slabs.shift()
      if (free?.length === SLAB_BYTES && this.#first > this.#frozenUpTo && this.#spares.length < SPARES_MAX) {
        this.#spares.push(free)
      }
      this.#first++
    }
  }

  /** The slabs as they are: what comes later does not change what is in them. */
  frozen(): Pick<Slabs, 'get'> {
    this.#frozenUpTo = this.last
    const [slabs, first] = [this.#slabs.slice(), this.#first]
    return { get: (slab) => slabs[slab - first] }
  }
}
