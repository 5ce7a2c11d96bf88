import { ActorumError } from '../../errors.js'

/** What is held no longer: a lock, a permit, a leadership, a registration. */
export function lostError(key: string, cause?: unknown): ActorumError {
  const text = `${key} is held no longer, and what was asked to be done while it is held is not done: acquire it again`
  return new ActorumError('LOST', text, cause === undefined ? {} : { cause })
}

export function isLost(error: unknown): boolean {
  return error instanceof ActorumError && error.code === 'LOST'
}

export function isLeaseGone(error: unknown): boolean {
  return error instanceof ActorumError && error.code === 'LEASE_NOT_FOUND'
}
