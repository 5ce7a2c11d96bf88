import type { LogIndex, Term } from '../machines/types.js'
import type { HeaderField } from './frame-header.js'

const UINT32_MAX = 0xffff_ffff
/** The longest delay that timers can hold. */
const DURATION_MS_MAX = 0x7fff_ffff

/**
 * Takes a header's fields one after another, each checked. The first fault is kept and the fields after it read as
 * zeros, so that a message is read in one expression and judged once. Fields left over are those of a later version.
 */
export class HeaderReader {
  readonly #fields: readonly HeaderField[]
  #at = 0
  #fault: string | undefined

  constructor(fields: readonly HeaderField[]) {
    this.#fields = fields
  }

  /** Why the fields read so far are no valid message, or undefined. */
  get fault(): string | undefined {
    return this.#fault
  }

  integer(name: string, min = 0, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#fields[this.#at++]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    this.refuse(`${name} is ${String(value)}, not an integer from ${min} to ${max}`)
    return min
  }

  uint32(name: string, min = 0): number {
    return this.integer(name, min, UINT32_MAX)
  }

  durationMs(name: string): number {
    const value = this.#fields[this.#at++]
    if (typeof value === 'number' && value >= 0 && value <= DURATION_MS_MAX) return value
    this.refuse(`${name} is ${String(value)}, not milliseconds from 0 to ${DURATION_MS_MAX}`)
    return 0
  }

  boolean(name: string): boolean {
    const value = this.#fields[this.#at++]
    if (typeof value === 'boolean') return value
    this.refuse(`${name} is ${String(value)}, not a boolean`)
    return false
  }

  /** An integer, or undefined where the sender wrote nil. */
  optional(name: string): number | undefined {
    if (this.#fields[this.#at] !== null) return this.integer(name)
    this.#at++
    return undefined
  }

  /** An index and the term of its entry, neither of which is 0 without the other. */
  position(name: string, termMax: Term): { readonly index: LogIndex; readonly term: Term } {
    const index = this.integer(`${name}Index`)
    const term = this.integer(`${name}Term`, 0, termMax)
    if ((index === 0) !== (term === 0)) this.refuse(`${name}Index is ${index} with ${name}Term ${term}`)
    return { index, term }
  }

  refuse(fault: string): void {
    this.#fault ??= fault
  }
}
