/** Every code an ActorumError can carry. Each names an outcome; docs/errors.md says what to do about each. */
export type ErrorCode =
  | 'NOT_LEADER'
  | 'NO_LEADER'
  | 'TIMEOUT'
  | 'ABORTED'
  | 'OUTCOME_UNKNOWN'
  | 'BUSY'
  | 'REFUSED'
  | 'COMPACTED'
  | 'CANCELED'
  | 'SESSION_EXPIRED'
  | 'LEASE_NOT_FOUND'
  | 'LOST'
  | 'TOO_LARGE'
  | 'INVALID_ARGUMENT'
  | 'STORAGE_FAILED'
  | 'LOCKED'
  | 'CORRUPT'
  | 'UNSUPPORTED_FORMAT'
  | 'TRANSPORT_FAILED'
  | 'INVARIANT_BROKEN'
  | 'STOPPED'

export interface ErrorOptions {
  readonly cause?: unknown
  /** With NOT_LEADER: who leads, as far as this server knows. */
  readonly leaderId?: number | undefined
  /** Of a watch: where it can be resumed. With COMPACTED: the earliest revision that is still kept. */
  readonly revision?: number | undefined
}

/** The one error class of the public surface. Branch on `code`; `message` is for people. */
export class ActorumError extends Error {
  override readonly name = 'ActorumError'
  readonly code: ErrorCode
  /** With NOT_LEADER: who leads, as far as this server knows. */
  readonly leaderId: number | undefined
  /** Of a watch: where it can be resumed. With COMPACTED: the earliest revision that is still kept. */
  readonly revision: number | undefined

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.leaderId = options.leaderId
    this.revision = options.revision
  }
}
