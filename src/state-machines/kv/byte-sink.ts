import { ActorumError } from '../../errors.js'
import { writeUint32, writeUint64 } from './integers.js'
import { type KeyChars, writeChars } from './keys.js'
import { utf8Length, writeUtf8 } from './utf8.js'

/**
 * Where a format is written to: once to be measured, by a `ByteCounter`, and once for its bytes, by a `ByteWriter`. So
 * each format is written down once. Numbers are big-endian.
 */
export interface ByteSink {
  u8(value: number): void
  u32(value: number): void
  /** A safe integer, not negative. */
  u64(value: number): void
  f64(value: number): void
  /** The bytes alone; a string stands for its UTF-8. */
  bytes(value: string | Uint8Array): void
  /** The bytes after their length, a u32. */
  field(value: string | Uint8Array): void
  /** As `field`, for a key of one character a byte. */
  chars(value: KeyChars): void
  /** What `write` writes to this sink, after its length. */
  nested(write: () => void): void
}

/** Measures. */
export class ByteCounter implements ByteSink {
  size = 0

  u8(): void {
    this.size += 1
  }

  u32(): void {
    this.size += 4
  }

  u64(): void {
    this.size += 8
  }

  f64(): void {
    this.size += 8
  }

  bytes(value: string | Uint8Array): void {
    this.size += byteLength(value)
  }

  field(value: string | Uint8Array): void {
    this.size += 4 + byteLength(value)
  }

  chars(value: KeyChars): void {
    this.size += 4 + value.length
  }

  nested(write: () => void): void {
    this.size += 4
    write()
  }
}

/** Writes into `target`, which has room for all of it. */
export class ByteWriter implements ByteSink {
  at: number
  readonly #target: Uint8Array

  constructor(target: Uint8Array, at: number) {
    this.#target = target
    this.at = at
  }

  u8(value: number): void {
    this.#target[this.at++] = value
  }

  u32(value: number): void {
    writeUint32(value, this.#target, this.at)
    this.at += 4
  }

  u64(value: number): void {
    writeUint64(value, this.#target, this.at)
    this.at += 8
  }

  f64(value: number): void {
    new DataView(this.#target.buffer, this.#target.byteOffset + this.at, 8).setFloat64(0, value)
    this.at += 8
  }

  bytes(value: string | Uint8Array): void {
    writeBytes(value, this.#target, this.at)
    this.at += byteLength(value)
  }

  field(value: string | Uint8Array): void {
    this.u32(byteLength(value))
    this.bytes(value)
  }

  chars(value: KeyChars): void {
    this.u32(value.length)
    writeChars(value, this.#target, this.at)
    this.at += value.length
  }

  nested(write: () => void): void {
    const lengthAt = this.at
    this.at += 4
    write()
    writeUint32(this.at - lengthAt - 4, this.#target, lengthAt)
  }
}

/** @throws ActorumError INVALID_ARGUMENT: a string without UTF-8 */
export function byteLength(bytes: string | Uint8Array): number {
  if (typeof bytes !== 'string') return bytes.length
  const length = utf8Length(bytes)
  if (length < 0) throw new ActorumError('INVALID_ARGUMENT', 'a string with half a surrogate pair has no UTF-8')
  return length
}

export function writeBytes(bytes: string | Uint8Array, target: Uint8Array, at: number): void {
  if (typeof bytes === 'string') writeUtf8(bytes, target, at)
  else target.set(bytes, at)
}
