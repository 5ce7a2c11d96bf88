import { forEachCommand } from './frame.js'

/** The map that every process of the limit applies batches to. */
export class Store {
  readonly #values = new Map<string, Uint8Array>()

  apply(batch: Buffer): void {
    forEachCommand(batch, (keyAt, valueAt, end) => {
      const key = latin1(batch, keyAt, valueAt)
      const present = this.#values.get(key)
      const value = batch.subarray(valueAt, end)
      // Values leave as copies only, so one of the same size can be overwritten in place.
      if (present?.length === value.length) present.set(value)
      else this.#values.set(key, new Uint8Array(value))
    })
  }

  /** A copy of the value, in a slab that Node shares among small buffers: an ArrayBuffer of its own costs eight times as much. */
  get(key: Uint8Array): Uint8Array | undefined {
    const value = this.#values.get(latin1(key, 0, key.length))
    if (value === undefined) return undefined
    const copy = Buffer.allocUnsafe(value.length)
    copy.set(value)
    return copy
  }
}

function latin1(bytes: Uint8Array, at: number, end: number): string {
  let text = ''
  for (; at < end; at++) text += String.fromCharCode(bytes[at]!)
  return text
}
