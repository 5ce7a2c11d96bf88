import { ActorumError } from '../../errors.js'
import { utf8Length, writeUtf8 } from './utf8.js'

/** A key or a value as a caller gives it. A string stands for its UTF-8. */
export type Bytes = string | Uint8Array

declare const oneCharPerByte: unique symbol

/**
 * A key as the store's map knows it: a string of one character (0–255) per byte. An ASCII string is its own. Made by
 * `keyChars`, and immutable, so that a read may wait with it while the caller does as he likes with his buffer.
 */
export type KeyChars = string & { readonly [oneCharPerByte]: true }

/** Strings up to this length V8 builds flat; longer ones, joined piece by piece, stay trees of pieces in the map. */
const FLAT_CHARS_MAX = 12
/** Arguments of one call: far below the stack's limit. */
const CHARS_PER_CALL = 8192

/**
 * Checks a key and gives its length in bytes.
 * @param keyBytesMax - the option of that name
 * @throws ActorumError INVALID_ARGUMENT: empty, neither string nor Uint8Array, a string without UTF-8, or an array whose
 * buffer was transferred. TOO_LARGE.
 */
export function validateKey(key: Bytes, keyBytesMax: number): number {
  const length = validLength(key, 'key', keyBytesMax, 'keyBytesMax')
  if (length === 0) throw new ActorumError('INVALID_ARGUMENT', 'the key is empty; a key has at least one byte')
  return length
}

/**
 * Checks a value (or the value expected by a compare-and-swap), which may be empty, and gives its length in bytes.
 * @param valueBytesMax - the option of that name
 * @throws ActorumError INVALID_ARGUMENT: neither string nor Uint8Array, a string without UTF-8, or an array whose buffer
 * was transferred. TOO_LARGE.
 */
export function validateValue(value: Bytes, valueBytesMax: number): number {
  return validLength(value, 'value', valueBytesMax, 'valueBytesMax')
}

function validLength(bytes: unknown, what: string, bytesMax: number, option: string): number {
  const length = typeof bytes === 'string' ? utf8Length(bytes) : bytes instanceof Uint8Array ? bytes.length : undefined
  if (length === undefined) {
    const given = bytes === null ? 'null' : Array.isArray(bytes) ? 'an array' : `of type ${typeof bytes}`
    throw new ActorumError('INVALID_ARGUMENT', `the ${what} is ${given}; give a string or a Uint8Array`)
  }
  if (length < 0) {
    const advice = 'give the bytes as a Uint8Array'
    throw new ActorumError('INVALID_ARGUMENT', `the ${what} holds half a surrogate pair and has no UTF-8; ${advice}`)
  }
  if (length > bytesMax) {
    const limit = `more than the ${bytesMax} that the option ${option} allows`
    throw new ActorumError('TOO_LARGE', `the ${what} has ${length} bytes, ${limit}`)
  }
  if (length === 0 && isDetached(bytes)) {
    const advice = 'give the bytes before that, or a copy of them'
    throw new ActorumError('INVALID_ARGUMENT', `the ${what} is detached, since its buffer was transferred; ${advice}`)
  }
  return length
}

/** Such an array has the length 0 and is good for nothing. Not every engine's buffers can be asked themselves. */
function isDetached(bytes: unknown): boolean {
  if (!(bytes instanceof Uint8Array)) return false
  try {
    bytes.slice()
    return false
  } catch {
    return true
  }
}

/** Checks a key, as `validateKey` does, and gives it as the store's map knows it. Copies a buffer's bytes. */
export function keyChars(key: Bytes, keyBytesMax: number): KeyChars {
  const length = validateKey(key, keyBytesMax)
  if (typeof key !== 'string') return charsOf(key, 0, length)
  if (isAscii(key, length)) return key
  const bytes = new Uint8Array(length)
  writeUtf8(key, bytes, 0)
  return charsOf(bytes, 0, length)
}

/**
 * A bound of a range or a prefix as the store's map knows it: as `keyChars`, but it may be empty.
 * @throws ActorumError INVALID_ARGUMENT, TOO_LARGE
 */
export function boundChars(bound: Bytes, what: string, keyBytesMax: number): KeyChars {
  const length = validLength(bound, what, keyBytesMax, 'keyBytesMax')
  return length === 0 ? FIRST_KEY : keyChars(bound, keyBytesMax)
}

/** A string is ASCII when its UTF-8 is as long as itself; then it is its own key in the map. */
function isAscii(text: string, utf8Bytes: number): text is KeyChars {
  return text.length === utf8Bytes
}

/** `bytes[start, end)` as one character a byte. */
export function charsOf(bytes: Uint8Array, start: number, end: number): KeyChars {
  let chars = ''
  if (end - start <= FLAT_CHARS_MAX) {
    let at = start
    for (const fours = end - 3; at < fours; at += 4) {
      chars += String.fromCharCode(bytes[at]!, bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!)
    }
    for (; at < end; at++) chars += String.fromCharCode(bytes[at]!)
  } else {
    for (let at = start; at < end; at += CHARS_PER_CALL) {
      chars += String.fromCharCode(...bytes.subarray(at, Math.min(at + CHARS_PER_CALL, end)))
    }
  }
  return chars as KeyChars
}

/** From `from` (included) to `to` (not included). Keys are ordered by their bytes. */
export interface KeyRange {
  readonly from: KeyChars
  /** undefined: to the last key. */
  readonly to: KeyChars | undefined
}

/** The least bound and, as `from`, that of every key. */
export const FIRST_KEY = '' as KeyChars

/** All keys that begin with `prefix`: every key when it is empty. */
export function prefixRange(prefix: KeyChars): KeyRange {
  let end = prefix.length
  while (end > 0 && prefix.charCodeAt(end - 1) === 0xff) end--
  if (end === 0) return { from: prefix, to: undefined }
  const to = prefix.slice(0, end - 1) + String.fromCharCode(prefix.charCodeAt(end - 1) + 1)
  return { from: prefix, to: to as KeyChars }
}

/** A key within the keys that begin with `prefix`. */
export function keyWithin(prefix: KeyChars, key: KeyChars): KeyChars {
  return (prefix + key) as KeyChars
}

/** That key alone. */
export function singleKeyRange(key: KeyChars): KeyRange {
  return { from: key, to: keyAfter(key) }
}

/** The least key that is greater: where a page begins that goes on after `key`. */
export function keyAfter(key: KeyChars): KeyChars {
  return (key + '\0') as KeyChars
}

export function isInRange(key: KeyChars, { from, to }: KeyRange): boolean {
  return key >= from && (to === undefined || key < to)
}

/** A key's bytes, in a buffer of their own. */
export function bytesOfChars(chars: KeyChars): Uint8Array {
  const bytes = new Uint8Array(chars.length)
  writeChars(chars, bytes, 0)
  return bytes
}

/** Writes a key's bytes at `at`; there are as many as characters. */
export function writeChars(chars: KeyChars, target: Uint8Array, at: number): void {
  for (let i = 0; i < chars.length; i++) target[at + i] = chars.charCodeAt(i)
}
