/** Whether nothing but zeros follows. Eight bytes at a time where they lie so: a segment may end with many megabytes of zeros. */
export function isZeros(bytes: Uint8Array, from: number): boolean {
  let at = from
  for (; at < bytes.length && (bytes.byteOffset + at) % 8 !== 0; at++) if (bytes[at] !== 0) return false
  const words = Math.max(0, bytes.length - at) >>> 3
  if (words > 0) {
    const wide = new Float64Array(bytes.buffer, bytes.byteOffset + at, words)
    // Minus zero is no zero here, and NaN none either.
    for (let word = 0; word < words; word++) if (!Object.is(wide[word], 0)) return false
  }
  for (at += words * 8; at < bytes.length; at++) if (bytes[at] !== 0) return false
  return true
}
