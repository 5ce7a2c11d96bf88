import type { EntryRun } from '../machines/entry-run.js'
import type { LogIndex } from '../machines/types.js'
import type { LogWrite } from './ports.js'
import type { RunEnd, RunIndex } from './run-index.js'
import type { ServerRecord } from './server-record.js'

/** What one write does to the records. */
export interface WritePlan {
  /** The same object when nothing in it changes. */
  readonly record: ServerRecord
  /** Where the log ends after the truncation, if there is one. */
  readonly truncated: RunEnd | undefined
  /** First indexes of the records to remove. */
  readonly removed: readonly LogIndex[]
  readonly runs: readonly EntryRun[]
}

/** Works out a write, or says which law it breaks: what would be refused on recovery is not written. */
export function planWrite(write: LogWrite, runs: RunIndex, before: ServerRecord): WritePlan | string {
  const { truncateFrom } = write
  const truncated = truncateFrom === undefined ? undefined : runs.endAt(truncateFrom - 1)
  if (truncateFrom !== undefined && (truncated === undefined || truncateFrom > runs.last.index)) {
    return `a truncation begins at the first index of a run, not at ${truncateFrom}`
  }
  const record = nextRecord(write, before)
  const hardStateFault = faultOfHardState(write, before)
  if (hardStateFault !== undefined) return hardStateFault
  const end = endAfterBoundary(write, truncated ?? runs.last, runs, before)
  if (typeof end === 'string') return end
  return (
    faultOfRuns(write.runs, end, record.hardState.term) ?? {
      record,
      truncated,
      removed: truncateFrom === undefined ? [] : runs.firstsFrom(truncateFrom),
      runs: write.runs,
    }
  )
}

function nextRecord(write: LogWrite, before: ServerRecord): ServerRecord {
  const { hardState = before.hardState, clusterId = before.clusterId, boundary = before.boundary } = write
  if (hardState === before.hardState && clusterId === before.clusterId && boundary === before.boundary) return before
  return { ...before, version: before.version + 1, hardState, clusterId, boundary }
}

function faultOfHardState({ hardState }: LogWrite, before: ServerRecord): string | undefined {
  if (hardState === undefined) return undefined
  const { term, votedFor } = before.hardState
  if (hardState.term < term) return `the term does not go back from ${term} to ${hardState.term}`
  if (hardState.term === term && votedFor !== undefined && hardState.votedFor !== votedFor) {
    return `the vote for ${votedFor} in term ${term} is kept`
  }
  return undefined
}

/** Where the log ends once the boundary is moved: at the boundary itself when that lies beyond the log. */
function endAfterBoundary({ boundary }: LogWrite, end: RunEnd, runs: RunIndex, before: ServerRecord): RunEnd | string {
  if (boundary === undefined) return end
  if (boundary.index < before.boundary.index) {
    return `the boundary does not go back from ${before.boundary.index} to ${boundary.index}`
  }
  if (boundary.index > end.index) return boundary
  if (runs.endAt(boundary.index)?.checksum === boundary.checksum) return end
  return `a boundary inside the log is the end of one of its runs; entry ${boundary.index} is not, or is another`
}

function faultOfRuns(runs: readonly EntryRun[], end: RunEnd, term: number): string | undefined {
  let { index, checksum } = end
  for (const run of runs) {
    if (run.firstIndex !== index + 1) return `a run that begins at ${run.firstIndex} does not follow entry ${index}`
    if (run.previousChecksum !== checksum) return `the run at ${run.firstIndex} is not chained to entry ${index}`
    if (run.term > term) return `the run at ${run.firstIndex} has term ${run.term}, above this server's term ${term}`
    index = run.lastIndex
    checksum = run.checksum
  }
  return undefined
}
