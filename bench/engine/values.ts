import { randomBytes } from 'node:crypto'

/** Enough that no two neighbouring writes have the same value. */
const VALUES = 64

/** Values of random bytes to write in turn. */
export class Values {
  readonly #values: readonly Uint8Array[]

  constructor(valueBytes: number) {
    this.#values = Array.from({ length: VALUES }, () => new Uint8Array(randomBytes(valueBytes)))
  }

  of(sequence: number): Uint8Array {
    return this.#values[sequence % VALUES]!
  }
}

/** Eight characters. */
export function keyOf(key: number): string {
  return String(key).padStart(8, '0')
}
