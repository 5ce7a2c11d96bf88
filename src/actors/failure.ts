import { ActorumError } from '../errors.js'
import { InvariantBroken } from '../machines/invariant.js'

/** What stops a server, as its callers hear of it. */
export function toActorumError(cause: unknown): ActorumError {
  if (cause instanceof ActorumError) return cause
  if (cause instanceof InvariantBroken) {
    return new ActorumError(
      'INVARIANT_BROKEN',
      `a law of Raft did not hold, so this server stopped: ${cause.message}`,
      { cause },
    )
  }
  const message = cause instanceof Error ? cause.message : String(cause)
  return new ActorumError('INVARIANT_BROKEN', `the server failed where it must not, so it stopped: ${message}`, {
    cause,
  })
}

/** Throws unless the cluster that the log names is the one that this server is to belong to, if that was said. */
export function assertExpected(clusterId: string, expected = clusterId): void {
  if (clusterId === expected) return
  const text = `the option clusterId is ${expected}; the log is of cluster ${clusterId}`
  throw new ActorumError('INVALID_ARGUMENT', `${text}: give that one, or none, or another data directory`)
}
