import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { UNFINISHED } from '../engine-parts.js'
import { ActorumError } from '../errors.js'
import { failed } from './data-directory.js'

/** How far a restore, or a forced new cluster, has come. */
export interface Attempt {
  /** The folder for what is unfinished is its own. */
  hasBegun: boolean
  /** Something has another place than before: only with what is unfinished can it go on from there. */
  hasMoved: boolean
}

export function newAttempt(): Attempt {
  return { hasBegun: false, hasMoved: false }
}

/** Takes away what a failed attempt made, unless it has moved something: no engine is kept away for nothing. */
export async function giveUp(dataDir: string, { hasBegun, hasMoved }: Attempt): Promise<void> {
  if (!hasBegun || hasMoved) return
  // What stays is told of, or taken away by the next attempt.
  await rm(join(dataDir, UNFINISHED), { recursive: true, force: true }).catch(() => undefined)
}

/** A failure that says what to do, and not what a store's own does: that is about an engine's directory. */
export function storageFailed(dataDir: string, cause: unknown, advice: string): ActorumError {
  const { message } = failed(dataDir, diskFailureIn(cause))
  return new ActorumError('STORAGE_FAILED', `${message.replace(/\.$/, '')}; ${advice}`, { cause })
}

function diskFailureIn(error: unknown): unknown {
  const isOfStore = error instanceof ActorumError && error.code === 'STORAGE_FAILED' && error.cause !== undefined
  return isOfStore ? diskFailureIn(error.cause) : error
}
