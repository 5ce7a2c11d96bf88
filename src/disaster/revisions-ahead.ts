import { ActorumError } from '../errors.js'
import type { LogIndex } from '../machines/types.js'
import { shown } from '../options.js'

/** At 100,000 writes a second 115 days: nobody has to know how much was written after a backup. */
const REVISIONS_AHEAD_DEFAULT = 1e12
const REVISIONS_AHEAD_MAX = 1e15

export interface RevisionsAhead {
  /**
   * How far beyond the last entry that survives the new cluster's revisions begin. Clients of the former cluster may know
   * revisions of writes that are lost; as long as those were no more than this, no later write gets any of them again,
   * and who goes on from one, by a watch or a read of the past, is told that it is COMPACTED. 0 where nothing was
   * written after: then the past can still be read. 0 to 10^15, default 10^12.
   */
  readonly revisionsAhead?: number | undefined
}

/** The index at which the new cluster's log begins. Throws INVALID_ARGUMENT. */
export function raisedIndex(index: LogIndex, { revisionsAhead = REVISIONS_AHEAD_DEFAULT }: RevisionsAhead): LogIndex {
  checkRevisionsAhead(revisionsAhead)
  const raised = index + revisionsAhead
  if (Number.isSafeInteger(raised)) return raised
  const text = `revisionsAhead, ${revisionsAhead}, beyond entry ${index} is more than 2^53 − 1; give a smaller one`
  throw new ActorumError('INVALID_ARGUMENT', text)
}

export function checkRevisionsAhead(given: unknown): void {
  if (given === undefined) return
  if (typeof given === 'number' && Number.isInteger(given) && given >= 0 && given <= REVISIONS_AHEAD_MAX) return
  throw new ActorumError('INVALID_ARGUMENT', `revisionsAhead is ${shown(given)}; it must be an integer from 0 to 10^15`)
}
