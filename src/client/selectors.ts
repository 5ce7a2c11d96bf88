import { ActorumError } from '../errors.js'
import { checkNames } from '../options.js'
import {
  boundChars,
  FIRST_KEY,
  keyChars,
  type KeyRange,
  prefixRange,
  singleKeyRange,
} from '../state-machines/kv/keys.js'
import type { Bytes, KeySelector } from './client-api.js'

interface Bounds {
  readonly key?: Bytes | undefined
  readonly prefix?: Bytes | undefined
  readonly from?: Bytes | undefined
  readonly to?: Bytes | undefined
}

/**
 * The range that a caller means. A key, a prefix, or bounds: only one of the three; none of them is every key.
 * @throws ActorumError INVALID_ARGUMENT, TOO_LARGE
 */
export function rangeOf(selector: KeySelector, keyBytesMax: number): KeyRange {
  const given: unknown = selector
  checkNames(given, 'the keys', ['key', 'prefix', 'from', 'to'])
  return rangeOfBounds(selector, keyBytesMax)
}

/** The same of an object that also says other things, and whose names have been checked. */
export function rangeOfBounds({ key, prefix, from, to }: Bounds, keyBytesMax: number): KeyRange {
  const hasBounds = from !== undefined || to !== undefined
  if (Number(key !== undefined) + Number(prefix !== undefined) + Number(hasBounds) > 1) {
    const text = 'the keys are given in more than one way; give a key, a prefix, or from and to'
    throw new ActorumError('INVALID_ARGUMENT', text)
  }
  if (key !== undefined) return singleKeyRange(keyChars(key, keyBytesMax))
  if (prefix !== undefined) return prefixRange(boundChars(prefix, 'prefix', keyBytesMax))
  return {
    from: from === undefined ? FIRST_KEY : boundChars(from, 'bound from', keyBytesMax),
    to: to === undefined ? undefined : boundChars(to, 'bound to', keyBytesMax),
  }
}

/** Bytes alone are a key, where one is watched. */
export function keysToWatch(keys: Bytes | KeySelector, keyBytesMax: number): KeyRange {
  return isBytes(keys) ? singleKeyRange(keyChars(keys, keyBytesMax)) : rangeOf(keys, keyBytesMax)
}

/** Bytes alone are a prefix, where a state is observed. */
export function keysToObserve(keys: Bytes | KeySelector, keyBytesMax: number): KeyRange {
  return isBytes(keys) ? prefixRange(boundChars(keys, 'prefix', keyBytesMax)) : rangeOf(keys, keyBytesMax)
}

function isBytes(keys: Bytes | KeySelector): keys is Bytes {
  return typeof keys === 'string' || keys instanceof Uint8Array
}
