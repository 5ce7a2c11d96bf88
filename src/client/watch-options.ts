import { ActorumError } from '../errors.js'
import type { LogIndex } from '../machines/types.js'
import { checkNames, isSignal, shown } from '../options.js'
import type { WatchOptions } from './watch-api.js'

/** What the options of a watch come to. */
export interface ResolvedWatchOptions {
  readonly fromRevision: LogIndex | undefined
  readonly previous: boolean
  readonly only: 'puts' | 'deletes' | undefined
  readonly progressIntervalMs: number | undefined
  readonly bufferedChangesMax: number
  readonly resume: boolean
}

const NAMES = ['fromRevision', 'previous', 'only', 'progressIntervalMs', 'bufferedChangesMax', 'resume', 'signal']
const TIMER_MS_MAX = 2 ** 31 - 1

/** @throws ActorumError INVALID_ARGUMENT */
export function validateWatchOptions(options: WatchOptions = {}): ResolvedWatchOptions {
  const given: unknown = options
  checkNames(given, "the watch's options", NAMES)
  const { fromRevision, previous = false, only, progressIntervalMs, bufferedChangesMax = 1000, resume = true } = options
  const { signal } = options
  if (fromRevision !== undefined) checkInteger('fromRevision', fromRevision, 1, Number.MAX_SAFE_INTEGER)
  if (progressIntervalMs !== undefined) checkInteger('progressIntervalMs', progressIntervalMs, 10, TIMER_MS_MAX)
  checkInteger('bufferedChangesMax', bufferedChangesMax, 1, 1_000_000)
  checkBoolean('previous', previous)
  checkBoolean('resume', resume)
  if (only !== undefined && only !== 'puts' && only !== 'deletes') {
    throw invalid('only', only, "'puts' or 'deletes'")
  }
  if (signal !== undefined && !isSignal(signal)) throw invalid('signal', signal, 'an AbortSignal')
  return { fromRevision, previous, only, progressIntervalMs, bufferedChangesMax, resume }
}

function checkInteger(name: string, value: unknown, min: number, max: number): void {
  const isValid = typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
  if (!isValid) throw invalid(name, value, `an integer from ${min} to ${max}`)
}

function checkBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw invalid(name, value, 'true or false')
}

function invalid(name: string, value: unknown, form: string): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', `${name} is ${shown(value)}; it must be ${form}`)
}
