import type { Consistency, EngineOptions, ErrorCode } from '../../src/index.js'

/** What a server's process is started with, as JSON in its first argument. */
export interface WorkerSpec {
  readonly options: Omit<EngineOptions, 'log'>
  /** What all times are counted from: nanoseconds of the machine's monotonic clock, which all processes share. */
  readonly startNs: string
}

/** One call of a client; `timeoutMs` where it will not wait as long as the others. */
export type ClientCall =
  | { readonly op: 'put'; readonly key: string; readonly value: string; readonly timeoutMs?: number }
  | { readonly op: 'get'; readonly key: string; readonly consistency: Consistency; readonly timeoutMs?: number }
  | { readonly op: 'delete'; readonly key: string; readonly timeoutMs?: number }
  | {
      readonly op: 'cas'
      readonly key: string
      readonly expected: string | null
      readonly value: string
      readonly timeoutMs?: number
    }

export type ParentMessage = { readonly number: number } & (
  { readonly kind: 'call'; readonly call: ClientCall } | { readonly kind: 'status' }
)

export type WorkerMessage =
  | { readonly kind: 'started' }
  /** It does not start, or an invariant, its storage or a call failed as nothing here may. */
  | { readonly kind: 'failed'; readonly code: ErrorCode | undefined; readonly message: string }
  | { readonly kind: 'leads'; readonly term: number }
  | { readonly kind: 'answer'; readonly number: number; readonly answer: Answer }
  | { readonly kind: 'status'; readonly number: number; readonly status: WorkerStatus }

/** A call's end, timed by the process that made it. */
export type Answer = { readonly callNs: number; readonly returnNs: number } & (
  | { readonly outcome: 'ok'; readonly output: unknown; readonly seen?: number }
  | { readonly outcome: 'failed' | 'unknown'; readonly code: ErrorCode }
)

export interface WorkerStatus {
  readonly term: number
  readonly leaderId: number | undefined
  readonly lastLogIndex: number
  readonly commitIndex: number
  readonly lastApplied: number
}
