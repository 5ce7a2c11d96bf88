/**
 * What the three processes of the limit say to each other. A batch is one frame on the wire and one record on disk:
 *
 *     0 u8  BATCH       9 u32 count       13 `count` times { u32 keyLength, u32 valueLength, key, value }
 *     1 f64 number
 *
 * The other frames are a type and a number: 9 bytes.
 */
export const BATCH = 1
/** A follower has written every batch up to this number. */
export const WRITTEN = 2
/** The leader asks whether a follower still listens; the answer repeats the number. */
export const ROUND = 3

const HEADER_BYTES = 13
const COMMAND_HEADER_BYTES = 8

export function encodeSignal(type: number, number: number): Buffer {
  const frame = Buffer.allocUnsafe(9)
  frame[0] = type
  frame.writeDoubleBE(number, 1)
  return frame
}

export function numberOf(frame: Buffer): number {
  return frame.readDoubleBE(1)
}

/** A batch under construction: the caller's bytes are copied once, to where they will be sent and written from. */
export class Batch {
  readonly settle: (() => void)[] = []
  #bytes: Buffer
  #length = HEADER_BYTES

  constructor(expectedBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(expectedBytes, 4096))
  }

  add(key: Uint8Array, value: Uint8Array, settle: () => void): void {
    const at = this.#length
    const end = at + COMMAND_HEADER_BYTES + key.length + value.length
    if (end > this.#bytes.length) this.#grow(end)
    const bytes = this.#bytes
    bytes.writeUInt32BE(key.length, at)
    bytes.writeUInt32BE(value.length, at + 4)
    bytes.set(key, at + COMMAND_HEADER_BYTES)
    bytes.set(value, at + COMMAND_HEADER_BYTES + key.length)
    this.#length = end
    this.settle.push(settle)
  }

  seal(number: number): Buffer {
    this.#bytes[0] = BATCH
    this.#bytes.writeDoubleBE(number, 1)
    this.#bytes.writeUInt32BE(this.settle.length, 9)
    return this.#bytes.subarray(0, this.#length)
  }

  #grow(bytesMin: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(bytesMin, this.#bytes.length * 2))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }
}

export function forEachCommand(batch: Buffer, visit: (keyAt: number, valueAt: number, end: number) => void): void {
  const count = batch.readUInt32BE(9)
  let at = HEADER_BYTES
  for (let command = 0; command < count; command++) {
    const keyAt = at + COMMAND_HEADER_BYTES
    const valueAt = keyAt + batch.readUInt32BE(at)
    const end = valueAt + batch.readUInt32BE(at + 4)
    visit(keyAt, valueAt, end)
    at = end
  }
}
