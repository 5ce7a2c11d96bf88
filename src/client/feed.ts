import { ActorumError, type ErrorCode } from '../errors.js'
import type { LogIndex } from '../machines/types.js'

/** A stream of events that are taken one by one, at the consumer's pace. */
export interface Feed<Event> {
  /** Begins. `ready` is called, but for within `take`, when there is something to take, or nothing more to come. */
  begin(ready: () => void): void
  /** The next event; undefined when there is none yet, or no more. */
  take(): Event | undefined
  /** Whether nothing will be added any more; what is there can still be taken. */
  readonly isEnded: boolean
  /** Why it has ended; undefined when it was canceled. */
  readonly error: Error | undefined
  /** All changes before this revision have been taken. */
  readonly nextRevision: LogIndex
  /** The consumer takes all there is at the end of every turn, and so is never too slow. */
  takenEveryTurn(): void
  /** Ends it; what is there can still be taken. */
  fail(error: Error): void
  /** Ends it at once and quietly. */
  cancel(): void
}

/** How long to wait before what was refused for now is asked for again. */
export const RETRY_MS = 100

const PASSING: readonly ErrorCode[] = ['BUSY', 'TIMEOUT', 'NO_LEADER']

/** Whether a read that failed so may do better a little later. */
export function isPassing(error: Error): boolean {
  return error instanceof ActorumError && PASSING.includes(error.code)
}

export function isCompacted(error: Error | undefined): boolean {
  return error instanceof ActorumError && error.code === 'COMPACTED'
}

/** The error, with where to resume after it. */
export function resumableAt(error: Error, revision: LogIndex): Error {
  if (!(error instanceof ActorumError) || error.revision !== undefined) return error
  const { code, message, leaderId } = error
  return new ActorumError(code, message, { cause: error, leaderId, revision })
}

export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
