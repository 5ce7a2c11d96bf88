import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import { readUint32 } from './integers.js'
import type { Bytes } from './keys.js'

export type { CompareAndSwapResult, KvResult, PutResult } from './results.js'

/** Names a lease: the log index of the command that granted it. */
export type LeaseId = LogIndex
/** Names a session: the log index of the command that opened it. */
export type SessionId = LogIndex

/**
 * What is proposed to the key-value store. Keys and values are checked before, by `validateKey` and `validateValue`;
 * what else may be wrong with a command is refused when it is encoded. Once committed, keys are `KeyChars` and values
 * views.
 */
export type KvCommand<Key extends Bytes = Bytes, Value extends Bytes = Bytes> =
  | KvOperation<Key, Value>
  | LeaseCommand
  | CompactCommand
  | ExpireCommand
  | SessionControlCommand
  | InSessionCommand<Key, Value>

/** A command that is about one key. */
export type SingleKeyCommand<Key extends Bytes = Bytes, Value extends Bytes = Bytes> =
  PutCommand<Key, Value> | DeleteCommand<Key> | CompareAndSwapCommand<Key, Value>

/** What a transaction may hold. */
export type KvOperation<Key extends Bytes = Bytes, Value extends Bytes = Bytes> =
  SingleKeyCommand<Key, Value> | DeleteRangeCommand<Key> | GetCommand<Key> | RangeCommand<Key> | TxnCommand<Key, Value>

/** Sets a key. A lease or time to live that it had is gone unless given again. */
export interface PutCommand<Key extends Bytes = Bytes, Value extends Bytes = Bytes> {
  readonly type: 'put'
  readonly key: Key
  readonly value: Value
  /** The key goes when this lease ends. Refused with LEASE_NOT_FOUND when there is no such lease. */
  readonly lease?: LeaseId | undefined
  /** The key goes after so many milliseconds of cluster time. Not together with `lease`. */
  readonly ttlMs?: number | undefined
  /** Whether the result is to hold what the key was before. Default false. */
  readonly wantPrevious?: boolean | undefined
}

export interface DeleteCommand<Key extends Bytes = Bytes> {
  readonly type: 'delete'
  readonly key: Key
  /** Whether the result is to hold what was deleted. Default false. */
  readonly wantPrevious?: boolean | undefined
}

/** Sets a key as `put` does, if its value is the expected one. */
export interface CompareAndSwapCommand<Key extends Bytes = Bytes, Value extends Bytes = Bytes> {
  readonly type: 'compareAndSwap'
  readonly key: Key
  /** undefined: the key must not exist. */
  readonly expected: Value | undefined
  readonly value: Value
}

/** The keys from `from` up to `to`, which is not one of them. */
interface RangeBounds<Key extends Bytes> {
  /** The empty key comes before every other. */
  readonly from: Key
  /** undefined: up to the last key. */
  readonly to: Key | undefined
}

export interface DeleteRangeCommand<Key extends Bytes = Bytes> extends RangeBounds<Key> {
  readonly type: 'deleteRange'
  /** Whether the result is to hold what was deleted. Default false. */
  readonly wantPrevious?: boolean | undefined
}

/** Reads a key, in a transaction or by itself in the log's order. */
export interface GetCommand<Key extends Bytes = Bytes> {
  readonly type: 'get'
  readonly key: Key
}

/** Reads a range of keys, in a transaction or by itself in the log's order. */
export interface RangeCommand<Key extends Bytes = Bytes> extends RangeBounds<Key> {
  readonly type: 'range'
  /** Entries at most, up to 10,000, which is also the default. */
  readonly limit?: number | undefined
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined
  /** Entries without their values. Default false. */
  readonly keysOnly?: boolean | undefined
  /** No entries at all. Default false. */
  readonly countOnly?: boolean | undefined
}

/**
 * One of two lists of operations, at one revision: `then` if every comparison holds, `else` if not. Operations see what
 * those before them wrote. Either all of it happens or, when it names a lease that does not exist, in the branch not
 * taken as well, nothing (LEASE_NOT_FOUND).
 */
export interface TxnCommand<Key extends Bytes = Bytes, Value extends Bytes = Bytes> {
  readonly type: 'txn'
  readonly compares: readonly KvCompare<Key, Value>[]
  readonly then: readonly KvOperation<Key, Value>[]
  readonly else: readonly KvOperation<Key, Value>[]
}

/**
 * Compares something of a key with what is given. A key that does not exist has the numbers 0 and no value: comparing
 * its value never holds. Values are ordered by their bytes. `lease` is 0 without one, also with a time to live.
 */
export type KvCompare<Key extends Bytes = Bytes, Value extends Bytes = Bytes> =
  | { readonly key: Key; readonly target: 'value'; readonly relation: KvRelation; readonly operand: Value }
  | { readonly key: Key; readonly target: KvNumber; readonly relation: KvRelation; readonly operand: number }

/** The key's is on the left. */
export type KvRelation = '=' | '!=' | '<' | '>'
export type KvNumber = 'version' | 'createRevision' | 'modRevision' | 'lease'

/** `keepAlive` gives the lease its whole time to live again. `revoke` ends it and deletes its keys. */
export type LeaseCommand =
  | { readonly type: 'grantLease'; readonly ttlMs: number }
  | { readonly type: 'keepLeaseAlive'; readonly lease: LeaseId }
  | { readonly type: 'revokeLease'; readonly lease: LeaseId }

/** Forgets what can be read before `revision`, on every server. */
export interface CompactCommand {
  readonly type: 'compact'
  /** The earliest that can still be read. One not reached yet counts as the present one. */
  readonly revision: LogIndex
}

/**
 * Ends the leases, times to live and sessions whose time is over by the cluster time that the log gives this very
 * command; so one that comes too late, or from a leader deposed since, ends nothing that was kept alive before it.
 */
export interface ExpireCommand {
  readonly type: 'expire'
}

/** A session ends when it was silent for `timeoutMs` of cluster time. */
export type SessionControlCommand =
  | { readonly type: 'openSession'; readonly timeoutMs: number }
  | { readonly type: 'keepSessionAlive'; readonly session: SessionId }
  | { readonly type: 'closeSession'; readonly session: SessionId }

/**
 * A command that is applied once, however often it is proposed (thesis §6.3): the session keeps its result under
 * `sequence` until `lowestOutstanding` passes it.
 */
export interface InSessionCommand<Key extends Bytes = Bytes, Value extends Bytes = Bytes> {
  readonly type: 'inSession'
  readonly session: SessionId
  readonly sequence: number
  /** The lowest sequence whose answer the client has not yet got. */
  readonly lowestOutstanding: number
  readonly command: KvOperation<Key, Value> | LeaseCommand | CompactCommand
}

/**
 * A command's first byte says which it is, and how the rest is laid out: another layout takes another byte, and a server
 * that does not know one stops instead of guessing. A field is a u32, its length, and the bytes.
 *
 *     PUT           field key, value
 *     DELETE        key
 *     SWAP          field key, field expected, value
 *     CREATE        field key, value                           a compare-and-swap that expects no key
 *     PUT_WITH      u8 flags, [u64 lease], [u64 ttlMs], field key, value
 *     DELETE_WITH   u8 flags, key
 *     DELETE_RANGE  u8 flags, field from, [field to]
 *     GET           key
 *     RANGE         u8 flags, u32 limit, field from, [field to]
 *     TXN           u32 compares, u32 then, u32 else, and each of these as a field: a command, or a comparison:
 *                   u8 target, u8 relation, field key, operand: a value, or u64
 *     GRANT         u64 ttlMs           KEEP_LEASE    u64 lease      REVOKE         u64 lease
 *     OPEN_SESSION  u64 timeoutMs       KEEP_SESSION  u64 session    CLOSE_SESSION  u64 session
 *     COMPACT       u64 revision        EXPIRE        nothing
 *     IN_SESSION    u64 session, u64 sequence, u64 lowestOutstanding, command
 */
export const PUT = 0x11
export const DELETE = 0x12
export const SWAP = 0x13
export const CREATE = 0x14
export const PUT_WITH = 0x15
export const DELETE_WITH = 0x16
export const DELETE_RANGE = 0x17
export const GET = 0x18
export const RANGE = 0x19
export const TXN = 0x1a
export const COMPACT = 0x1b
export const EXPIRE = 0x1c
export const IN_SESSION = 0x1f
export const GRANT = 0x21
export const KEEP_LEASE = 0x22
export const REVOKE = 0x23
export const OPEN_SESSION = 0x24
export const KEEP_SESSION = 0x25
export const CLOSE_SESSION = 0x26

/** Flags of the commands that have them. */
export const WANT_PREVIOUS = 1
export const HAS_LEASE = 2
export const HAS_TTL = 4
export const HAS_TO = 8
export const REVERSE = 16
export const KEYS_ONLY = 32
export const COUNT_ONLY = 64

/** A comparison's target and relation are places in these lists. */
export const TARGETS = ['value', 'version', 'createRevision', 'modRevision', 'lease'] as const
export const RELATIONS = ['=', '!=', '<', '>'] as const

/**
 * Where the field ends whose length is at `at`. A committed command that is malformed can only be a bug or a damaged
 * log, so it throws, and the server stops.
 */
export function endOfField(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) throw malformedCommand(`ends within a length, ${end - at} bytes before its end`)
  const fieldEnd = at + 4 + readUint32(bytes, at)
  if (fieldEnd > end) throw malformedCommand(`has a field that ends ${fieldEnd - end} bytes beyond it`)
  return fieldEnd
}

export function malformedCommand(fault: string): ActorumError {
  return new ActorumError('CORRUPT', `a committed key-value command ${fault}; restore this server from a sound one`)
}

export function unknownCommand(operation: number | undefined): ActorumError {
  const found = operation === undefined ? 'is empty' : `begins with the byte ${operation}, which is not known here`
  const advice = 'it comes from a newer version: upgrade this server'
  return new ActorumError('UNSUPPORTED_FORMAT', `a committed key-value command ${found}; ${advice}`)
}
