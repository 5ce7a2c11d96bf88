import { ActorumError } from '../errors.js'
import { checkNames, shown, type CallOptions, type ReadOptions } from '../options.js'
import type { LogIndex } from '../machines/types.js'
import type { LeaseId } from '../state-machines/kv/commands.js'
import { TTL_MS_MAX } from '../state-machines/kv/limits.js'
import type { Bytes, CausalOptions, DeleteOptions, KeyReadOptions, PutOptions } from './client-api.js'

export const CALL_NAMES = ['signal', 'timeoutMs']
export const KEY_READ_NAMES = [...CALL_NAMES, 'consistency', 'maxStalenessMs', 'minRevision', 'revision']

/** What a put is to do besides; as in the command. */
export interface PutTerms {
  readonly lease: LeaseId | undefined
  readonly ttlMs: number | undefined
  readonly wantPrevious: boolean
}

/** Checks what a put's options say of the key. Throws INVALID_ARGUMENT. */
export function putTerms(options: PutOptions | undefined, callNames: readonly string[] = CALL_NAMES): PutTerms {
  if (options === undefined) return { lease: undefined, ttlMs: undefined, wantPrevious: false }
  const given: unknown = options
  checkNames(given, "the put's options", [...callNames, 'lease', 'ttlMs', 'previous'])
  const { lease, ttlMs, previous } = options
  if (lease !== undefined && ttlMs !== undefined) throw invalid('a put has both a lease and a ttlMs; give one of them')
  return {
    lease: lease === undefined ? undefined : leaseIdOf(lease),
    ttlMs: ttlMs === undefined ? undefined : checkedInteger('ttlMs', ttlMs, 1, TTL_MS_MAX),
    wantPrevious: checkedFlag('previous', previous),
  }
}

/** Whether a delete is to answer with what was there. Throws INVALID_ARGUMENT. */
export function wantsPrevious(options: DeleteOptions | undefined, callNames: readonly string[] = CALL_NAMES): boolean {
  if (options === undefined) return false
  const given: unknown = options
  checkNames(given, "the delete's options", [...callNames, 'previous'])
  return checkedFlag('previous', options.previous)
}

/** Milliseconds of a time to live given in seconds: at least one. Throws INVALID_ARGUMENT. */
export function ttlMsOf(ttlSecs: number): number {
  const max = TTL_MS_MAX / 1000
  if (typeof ttlSecs === 'number' && ttlSecs > 0 && ttlSecs <= max) return Math.ceil(ttlSecs * 1000)
  throw invalid(`ttlSecs is ${shown(ttlSecs)}; it must be a number above 0 and at most ${max}`)
}

/** Checks a lease's id, or takes it from its handle. Throws INVALID_ARGUMENT. */
export function leaseIdOf(lease: LeaseId | { readonly id: LeaseId }): LeaseId {
  return checkedInteger('lease', typeof lease === 'object' && lease !== null ? lease.id : lease, 1)
}

/** Those of a call's options that say how long to wait; they are checked where the call is made. */
export function callOptionsOf(options: CallOptions | undefined): CallOptions | undefined {
  if (typeof options !== 'object' || options === null) return options
  const { signal, timeoutMs } = options
  return { signal, timeoutMs }
}

/** For a call that looks at them again later; they are checked where it is made. */
export function copyOfOptions(options: CallOptions | undefined): CallOptions | undefined {
  return isObject(options) ? { ...options } : options
}

/**
 * For whatever is written later. A string is as it is; what is neither, or is detached and so empty, is refused when it is
 * written. A Node Buffer's own `slice` would copy nothing.
 */
export function copyOfBytes(bytes: Bytes): Bytes {
  return bytes instanceof Uint8Array && bytes.length > 0 ? new Uint8Array(bytes) : bytes
}

/** Those of a read's options that say how fresh it must be and how long to wait; they are checked where it is made. */
export function readOptionsOf(options: ReadOptions): ReadOptions {
  const { signal, timeoutMs, consistency, maxStalenessMs, minRevision } = options
  return { signal, timeoutMs, consistency, maxStalenessMs, minRevision }
}

/** Of a call that takes what every call does, and nothing else. Throws INVALID_ARGUMENT. */
export function checkCallNames(options: unknown): void {
  checkNames(options, "the call's options", CALL_NAMES)
}

export function isObject(options: unknown): options is object {
  return typeof options === 'object' && options !== null && !Array.isArray(options)
}

/** A read's options, and the revision apart. Throws INVALID_ARGUMENT. */
export function keyReadOf(options: KeyReadOptions | undefined): {
  readonly revision: LogIndex | undefined
  readonly read: ReadOptions | undefined
} {
  if (options === undefined) return { revision: undefined, read: undefined }
  const given: unknown = options
  checkNames(given, "the read's options", KEY_READ_NAMES)
  return { revision: checkedRevision(options.revision), read: readOptionsOf(options) }
}

/** What a causal view is told to have seen: 0 unless given. Throws INVALID_ARGUMENT. */
export function sinceOf(options: CausalOptions | undefined): LogIndex {
  if (options === undefined) return 0
  const given: unknown = options
  checkNames(given, "the causal view's options", ['since'])
  return checkedInteger('since', options.since ?? 0, 0)
}

export function checkedRevision(revision: LogIndex | undefined): LogIndex | undefined {
  return revision === undefined ? undefined : checkedInteger('revision', revision, 0)
}

export function checkedInteger(name: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw invalid(`${name} is ${shown(value)}; it must be an integer from ${min} to ${max}`)
}

/** False unless given. */
export function checkedFlag(name: string, value: boolean | undefined): boolean {
  if (value === undefined || typeof value === 'boolean') return value === true
  throw invalid(`${name} is ${shown(value)}; it must be true or false`)
}

export function invalid(message: string): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', message)
}
