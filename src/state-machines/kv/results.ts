import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import type { LeaseId, SessionId } from './commands.js'

/** A key with its value and what is known of it. */
export interface KvEntry extends KeyValue {
  readonly key: Uint8Array
}

/** A value and what is known of it. */
export interface KeyValue {
  readonly value: Uint8Array
  /** Log index of the command that made the key, since it was last deleted. */
  readonly createRevision: LogIndex
  /** Log index of the command that wrote the value. */
  readonly modRevision: LogIndex
  /** Writes of the key since it was made: 1 for the first. */
  readonly version: number
  /** The lease that the key belongs to. 0: none, or a time to live of its own. */
  readonly lease: LeaseId
}

/**
 * One result a command, in the shape of its kind. `revision` is the log index of the command, also when it changed
 * nothing.
 */
export type KvResult =
  | PutResult
  | DeleteResult
  | CompareAndSwapResult
  | DeleteRangeResult
  | GetResult
  | RangeResult
  | TxnResult
  | LeaseResult
  | CompactResult
  | ExpireResult
  | SessionResult
  | RefusedResult

export interface PutResult {
  readonly revision: LogIndex
  /** What the key was before, where that was wanted. undefined: there was none. */
  readonly previous?: KvEntry | undefined
}

export interface DeleteResult {
  /** False when there was no such key. */
  readonly deleted: boolean
  readonly revision: LogIndex
  /** What was deleted, where that was wanted. */
  readonly previous?: KvEntry | undefined
}

export interface CompareAndSwapResult {
  /** False when the key's value was not the expected one. */
  readonly swapped: boolean
  readonly revision: LogIndex
}

/** Of `deleteRange`, and of `revokeLease`. */
export interface DeleteRangeResult {
  /** How many keys there were. */
  readonly deletedCount: number
  readonly revision: LogIndex
  /** What was deleted, in the order of keys, where that was wanted. */
  readonly previous?: readonly KvEntry[] | undefined
}

export interface GetResult {
  readonly entry: KvEntry | undefined
  readonly revision: LogIndex
}

export interface RangeResult {
  readonly entries: readonly KvEntry[]
  /** Whether the limit left some out. */
  readonly more: boolean
  /** Keys in the range, those left out included. */
  readonly count: number
  /** What the entries are as of. */
  readonly revision: LogIndex
}

export interface TxnResult {
  /** Whether every comparison held. */
  readonly succeeded: boolean
  /** One an operation of the branch taken. */
  readonly results: readonly KvResult[]
  readonly revision: LogIndex
}

/** Of `grantLease` and `keepLeaseAlive`. */
export interface LeaseResult {
  readonly lease: LeaseId
  /** What it has to live, from the command's cluster time on. */
  readonly ttlMs: number
  readonly revision: LogIndex
}

export interface CompactResult {
  /** The earliest revision that can still be read, as far as this command says. */
  readonly compactedRevision: LogIndex
  readonly revision: LogIndex
}

export interface ExpireResult {
  /** Leases, times to live and sessions that have ended. */
  readonly expiredCount: number
  readonly revision: LogIndex
}

/** Of the commands that open, keep and close a session. */
export interface SessionResult {
  readonly session: SessionId
  readonly revision: LogIndex
}

/** The command was not applied, and never will be by this proposal. */
export interface RefusedResult {
  readonly refused: Refusal
  readonly revision: LogIndex
}

/**
 * `SESSION_EXPIRED`: there is no such session, or no longer. `LEASE_NOT_FOUND`: nor such a lease. `ANSWERED`: the
 * session's client has said that it has this command's answer; a late copy. `BUSY`: too many leases or sessions, or
 * results kept for this session.
 */
export type Refusal = 'SESSION_EXPIRED' | 'LEASE_NOT_FOUND' | 'ANSWERED' | 'BUSY'

const REFUSALS = {
  SESSION_EXPIRED:
    'the session has expired or was closed, and what it remembered is gone; this command was not applied now, but ' +
    'whether an earlier copy of it was is unknown: open another session and read before you try again',
  LEASE_NOT_FOUND: 'there is no such lease, or no longer; nothing was written: grant another one',
  ANSWERED: 'the client has said that it has the answer of this command; it was not applied again',
  BUSY: 'too many leases or sessions, or too many results kept for this session; nothing was applied: try again later',
} as const

/** What a client throws when its command was refused. */
export function refusalError({ refused }: RefusedResult): ActorumError {
  return new ActorumError(refused === 'ANSWERED' ? 'INVALID_ARGUMENT' : refused, REFUSALS[refused])
}

/** A result that shares nothing with the one given. */
export function copyOfResult(result: KvResult): KvResult {
  if ('results' in result) return { ...result, results: result.results.map(copyOfResult) }
  if ('entries' in result) return { ...result, entries: result.entries.map(copyOfEntry) }
  if ('entry' in result) return { ...result, entry: result.entry && copyOfEntry(result.entry) }
  if (!('previous' in result) || result.previous === undefined) return { ...result }
  if ('deletedCount' in result) return { ...result, previous: result.previous.map(copyOfEntry) }
  return { ...result, previous: copyOfEntry(result.previous) }
}

function copyOfEntry(entry: KvEntry): KvEntry {
  return { ...entry, key: entry.key.slice(), value: entry.value.slice() }
}
