const VALUE_BYTES = 256

/** A value that carries its write's sequence and, in every other byte, something to know it by. */
export function encodeValue(sequence: number): Uint8Array {
  const value = new Uint8Array(VALUE_BYTES).fill(sequence % 251)
  new DataView(value.buffer).setFloat64(0, sequence)
  return value
}

/** The sequence of the write that put this value, 0 for none. Throws on a value that no write has put. */
export function decodeValue(value: Uint8Array | undefined): number {
  if (value === undefined) return 0
  const sequence = new DataView(value.buffer, value.byteOffset, value.length).getFloat64(0)
  const isWhole = value.length === VALUE_BYTES && value.every((byte, at) => at < 8 || byte === sequence % 251)
  if (!isWhole) throw new Error(`a value of ${value.length} bytes that begins with ${sequence} was never written`)
  return sequence
}
