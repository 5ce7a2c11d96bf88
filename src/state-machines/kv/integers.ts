/** Big-endian integers without a DataView, which would cost an object for each command. */

const UINT32_COUNT = 2 ** 32

export function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

export function writeUint32(value: number, target: Uint8Array, at: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}

/** Eight bytes, perhaps more than the safe integers hold: the caller checks. */
export function readUint64(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) * UINT32_COUNT + readUint32(bytes, at + 4)
}

/** @param value - a safe integer, not negative */
export function writeUint64(value: number, target: Uint8Array, at: number): void {
  writeUint32(Math.floor(value / UINT32_COUNT), target, at)
  writeUint32(value % UINT32_COUNT, target, at + 4)
}
