/** Values up to this length are copied into slabs; longer ones have a buffer of their own. */
const SLAB_VALUE_BYTES_MAX = 512
const SLAB_BYTES = 4096

let slab = new ArrayBuffer(0)
let used = 0
let protect: (slab: ArrayBuffer) => void = () => undefined

/** Has each slab protected against being transferred, by one caller, from under the values of others. */
export function protectSlabs(by: (slab: ArrayBuffer) => void): void {
  protect = by
}

/**
 * A copy of a value for a caller. Small ones share buffers of 4 KiB, as Node's own small Buffers do: a buffer for each
 * cost 1.1–1.9 µs, most of a read, against 0.3 µs (docs/adr/0007). Only copies already given away are ever in a slab.
 */
export function copyOut(value: Uint8Array): Uint8Array {
  const { length } = value
  if (length > SLAB_VALUE_BYTES_MAX || length === 0) return value.slice()
  // What cannot be protected against, such as a byte stream that takes it, leaves a detached one.
  if (used + length > slab.byteLength) {
    slab = new ArrayBuffer(SLAB_BYTES)
    protect(slab)
    used = 0
  }
  // `subarray` would look for a constructor in its class first.
  const copy = new Uint8Array(slab, used, length)
  copy.set(value)
  used += length
  return copy
}

/** Up to here a loop, which for 16 bytes beats `set` with its call and its view (measured on Node 20). */
const LOOP_BYTES_MAX = 48

/** Copies `source[start, end)` to `target` at `at`. */
export function copyInto(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): void {
  if (end - start > LOOP_BYTES_MAX) {
    target.set(start === 0 && end === source.length ? source : source.subarray(start, end), at)
    return
  }
  for (let from = start, to = at; from < end; from++, to++) target[to] = source[from]!
}
