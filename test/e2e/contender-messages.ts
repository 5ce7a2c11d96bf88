import type { EngineOptions, ErrorCode } from '../../src/index.js'

/** What a contender's process is started with, as JSON in its first argument. */
export interface ContenderSpec {
  readonly name: string
  readonly options: Omit<EngineOptions, 'log'>
  /** What all times are counted from: nanoseconds of the machine's monotonic clock, which all processes share. */
  readonly startNs: string
  readonly ttlMs: number
  /** From which revision on to tell of writes to the resource. */
  readonly seenFrom: number
}

export type ContenderMessage =
  | { readonly kind: 'started' }
  | { readonly kind: 'failed'; readonly code: ErrorCode | undefined; readonly message: string }
  /** It was seen to hold the lock, after it had got it. */
  | { readonly kind: 'acquired'; readonly token: number; readonly atNs: number }
  /** It still held the lock then. */
  | { readonly kind: 'held'; readonly token: number; readonly atNs: number }
  /** It uses, without asking whether it holds the lock, what refuses a token older than one it has seen. */
  | { readonly kind: 'used'; readonly token: number }
  | { readonly kind: 'ended'; readonly token: number; readonly isLost: boolean }
  /** A guarded write that was called then had this outcome. */
  | {
      readonly kind: 'wrote'
      readonly token: number
      readonly callNs: number
      readonly outcome: 'done' | 'lost' | 'unknown'
    }
  /** A write to the resource, as a watch on this server tells of it. */
  | { readonly kind: 'seen'; readonly revision: number; readonly token: number; readonly contender: string }

export const LOCK = 'resource'
export const RESOURCE_KEY = 'resource/written-by'
