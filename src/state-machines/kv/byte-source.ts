import type { ActorumError } from '../../errors.js'
import { readUint32, readUint64 } from './integers.js'
import { charsOf, type KeyChars } from './keys.js'

/** Reads what a `ByteSink` wrote, checking every length. What it gives of the bytes are views. */
export class ByteSource {
  readonly bytes: Uint8Array
  at: number
  readonly #end: number
  readonly #malformed: (fault: string) => ActorumError

  /** @param malformed - makes the error of a fault, such as "ends within a number" */
  constructor(bytes: Uint8Array, at: number, end: number, malformed: (fault: string) => ActorumError) {
    this.bytes = bytes
    this.at = at
    this.#end = end
    this.#malformed = malformed
  }

  get left(): number {
    return this.#end - this.at
  }

  u8(): number {
    return this.bytes[this.#advance(1)]!
  }

  u32(): number {
    return readUint32(this.bytes, this.#advance(4))
  }

  u64(): number {
    const value = readUint64(this.bytes, this.#advance(8))
    if (!Number.isSafeInteger(value)) throw this.fault(`has the number ${value}, which is not a safe integer`)
    return value
  }

  f64(): number {
    const at = this.#advance(8)
    const value = new DataView(this.bytes.buffer, this.bytes.byteOffset + at, 8).getFloat64(0)
    if (!Number.isFinite(value)) throw this.fault(`has the number ${value}`)
    return value
  }

  field(): Uint8Array {
    const length = this.u32()
    const at = this.#advance(length)
    return this.bytes.subarray(at, at + length)
  }

  rest(): Uint8Array {
    const at = this.#advance(this.left)
    return this.bytes.subarray(at, this.#end)
  }

  /** A key after its length. It has at least one byte. */
  key(): KeyChars {
    const length = this.u32()
    const at = this.#advance(length)
    return this.#checked(charsOf(this.bytes, at, at + length))
  }

  restAsKey(): KeyChars {
    const at = this.#advance(this.left)
    return this.#checked(charsOf(this.bytes, at, this.#end))
  }

  /** One end of a range of keys, which may be empty. */
  bound(): KeyChars {
    const length = this.u32()
    const at = this.#advance(length)
    return charsOf(this.bytes, at, at + length)
  }

  /** Nothing may follow. */
  end(): void {
    if (this.left > 0) throw this.fault(`goes on for ${this.left} bytes after its end`)
  }

  fault(text: string): ActorumError {
    return this.#malformed(text)
  }

  #checked(key: KeyChars): KeyChars {
    if (key.length === 0) throw this.fault('has an empty key')
    return key
  }

  #advance(length: number): number {
    const { at } = this
    if (length > this.#end - at) throw this.fault(`has a field that ends ${at + length - this.#end} bytes beyond it`)
    this.at = at + length
    return at
  }
}
