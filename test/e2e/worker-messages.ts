import type { ClusterMember, Consistency, EngineOptions, ErrorCode, MembershipChangeRequest } from '../../src/index.js'

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
  | { readonly kind: 'call'; readonly call: ClientCall }
  | { readonly kind: 'status' }
  | { readonly kind: 'change'; readonly change: MembershipChangeRequest }
  | { readonly kind: 'stop' }
)

export type WorkerMessage =
  | { readonly kind: 'started' }
  /** It does not start, or an invariant, its storage or a call failed as nothing here may. */
  | { readonly kind: 'failed'; readonly code: ErrorCode | undefined; readonly message: string }
  | { readonly kind: 'leads'; readonly term: number; readonly atNs: number }
  /** It leads no more. */
  | { readonly kind: 'led'; readonly term: number; readonly atNs: number }
  | { readonly kind: 'answer'; readonly number: number; readonly answer: Answer }
  | { readonly kind: 'status'; readonly number: number; readonly status: WorkerStatus }
  /** A change of the membership came to its end; `code` says how where it was not made. */
  | { readonly kind: 'changed'; readonly number: number; readonly code?: ErrorCode }

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
  readonly roles: readonly ClusterMember[]
}
