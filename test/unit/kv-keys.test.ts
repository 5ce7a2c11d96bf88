import { describe, expect, it } from 'vitest'
import {
  type Bytes,
  charsOf,
  keyChars,
  validateKey,
  validateValue,
  writeChars,
} from '../../src/state-machines/kv/keys.js'
import { utf8 } from './kv-batch.js'

const refusal = (code: string, message: RegExp): unknown =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as string })
/** As a caller without types may call it. */
const untyped = (value: unknown) => value as Bytes

describe('keys and values of the key-value store', () => {
  it('count in bytes of UTF-8', () => {
    expect(validateKey('aж😀', 10)).toBe(7)
    expect(validateValue('', 10)).toBe(0)
    expect(validateValue(new Uint8Array(3), 10)).toBe(3)
  })

  it('refuses an empty key', () => {
    expect(() => validateKey('', 10)).toThrow(refusal('INVALID_ARGUMENT', /key is empty/))
    expect(() => validateKey(new Uint8Array(0), 10)).toThrow(refusal('INVALID_ARGUMENT', /key is empty/))
  })

  it('refuses what is neither string nor bytes, and names it', () => {
    expect(() => validateKey(untyped(7), 10)).toThrow(refusal('INVALID_ARGUMENT', /key is of type number/))
    expect(() => validateValue(untyped(null), 10)).toThrow(refusal('INVALID_ARGUMENT', /value is null/))
    expect(() => validateValue(untyped([1]), 10)).toThrow(refusal('INVALID_ARGUMENT', /value is an array/))
    expect(() => validateValue(untyped(undefined), 10)).toThrow(refusal('INVALID_ARGUMENT', /of type undefined/))
    expect(() => validateValue(untyped(new ArrayBuffer(1)), 10)).toThrow(refusal('INVALID_ARGUMENT', /of type object/))
  })

  it('refuses an array whose buffer was transferred, and knows it from an empty one', () => {
    const detached = [new Uint8Array(3), Buffer.alloc(3)]
    for (const bytes of detached) structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    for (const bytes of detached) {
      expect(() => validateKey(bytes, 10)).toThrow(refusal('INVALID_ARGUMENT', /key is detached/))
      expect(() => validateValue(bytes, 10)).toThrow(refusal('INVALID_ARGUMENT', /value is detached/))
    }
    expect(validateValue(new Uint8Array(0), 10)).toBe(0)
    expect(validateValue(Buffer.alloc(0), 10)).toBe(0)
  })

  it('refuses half a surrogate pair, which has no UTF-8', () => {
    for (const text of ['\ud83d', 'a\udc00', '\ud83d\ud83d\udc00', 'x'.repeat(50) + '\udfff']) {
      expect(() => validateKey(text, 100)).toThrow(refusal('INVALID_ARGUMENT', /surrogate/))
    }
  })

  it('names size, limit and option of what is too large', () => {
    expect(() => validateKey('ж'.repeat(6), 11)).toThrow(refusal('TOO_LARGE', /key has 12 bytes.* 11 .*keyBytesMax/))
    expect(() => validateValue(new Uint8Array(12), 11)).toThrow(
      refusal('TOO_LARGE', /value has 12 .* 11 .*valueBytesMax/),
    )
    expect(validateKey('ж'.repeat(6), 12)).toBe(12)
  })

  it('are the same key in the map, as a string and as bytes, of any length', () => {
    for (const text of ['a', 'twelve chars', 'thirteen char', 'ж', 'x'.repeat(8192), 'y'.repeat(20_000) + 'ж']) {
      const chars = keyChars(text, 100_000)
      expect(chars).toBe(keyChars(utf8(text), 100_000))
      const bytes = new Uint8Array(chars.length)
      writeChars(chars, bytes, 0)
      expect(bytes).toEqual(utf8(text))
    }
  })

  it('keep every byte apart from every other', () => {
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    expect(new Set(charsOf(all, 0, 256)).size).toBe(256)
  })

  it('do not change with the buffer they came from', () => {
    const buffer = utf8('key')
    const chars = keyChars(buffer, 10)
    buffer.fill(0)
    expect(chars).toBe('key')
  })
})
