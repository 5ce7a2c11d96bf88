import { crc32 } from '../../machines/checksum.js'
import type { RaftContext } from '../../machines/context.js'
import { RUN_HEADER_BYTES, type EntryRun } from '../../machines/entry-run.js'
import type { Configuration, LogIndex, ServerId, Term } from '../../machines/types.js'
import { Violation } from './violation.js'

/** One run as the judge remembers it: enough to tell it from any other in its place. */
export interface SeenRun {
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly term: Term
  readonly checksum: number
  /** Of a run that changes the membership. */
  readonly configuration: Configuration | undefined
}

/** Where a run is, and which. */
export type RunPlace = Pick<SeenRun, 'firstIndex' | 'checksum'>

/** How a log ends. */
export type RunEnd = Pick<SeenRun, 'lastIndex' | 'checksum'>

/** The run that holds entry `index`. */
export function findRun(runs: readonly SeenRun[], index: LogIndex): SeenRun | undefined {
  const run = runs[placeOf(runs, index)]
  return run !== undefined && run.firstIndex <= index ? run : undefined
}

/** The position of the first run that ends at `index` or later. */
export function placeOf(runs: readonly SeenRun[], index: LogIndex): number {
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((runs[middle]?.lastIndex ?? Infinity) < index) low = middle + 1
    else high = middle
  }
  return low
}

/** A log whose runs are `runs` ends where its server says that it does. */
export function checkReaches(id: ServerId, runs: readonly SeenRun[], { log }: RaftContext): void {
  const reached = runs.at(-1)?.lastIndex ?? log.boundary.index
  if (reached === log.lastIndex) return
  throw new Violation('a log has no gaps', `server ${id} ends at ${log.lastIndex}, its runs at ${reached}`)
}

/** A run names the one before it; only therefore is one run at the same place enough to show that two logs are the same. */
export function checkFollows(id: ServerId, previous: RunEnd, run: EntryRun): void {
  const { firstIndex, previousChecksum } = run
  if (firstIndex !== previous.lastIndex + 1) {
    throw new Violation('a log has no gaps', `server ${id} has entry ${firstIndex} after ${previous.lastIndex}`)
  }
  if (previousChecksum === previous.checksum) return
  throw new Violation(
    'a log is a chain',
    `server ${id} has a run at ${firstIndex} that was made to follow another than the one before it`,
  )
}

/** A bit that was flipped on disk is noticed before it can be believed. */
export function checkSound(id: ServerId, { firstIndex, bytes, checksum }: EntryRun): void {
  const header = bytes.subarray(0, RUN_HEADER_BYTES - 4)
  if (crc32(bytes.subarray(RUN_HEADER_BYTES), crc32(header)) === checksum) return
  throw new Violation('what is recovered is what was written', `server ${id} recovered a damaged run at ${firstIndex}`)
}
