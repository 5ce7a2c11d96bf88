import type { EntryRun } from './entry-run.js'
import { invariant } from './invariant.js'
import type { Boundary, LogIndex, Term, TermStart } from './types.js'

/**
 * The log as a value: enough to know the term of any index without I/O, and the newest runs in memory. Older entries
 * are on disk only. Every change makes a new value; values share structure.
 */
export interface Log {
  /** Everything up to here is in a snapshot. */
  readonly boundary: Boundary
  readonly lastIndex: LogIndex
  /** Checksum of the last run, to which the next one is chained. */
  readonly lastChecksum: number
  /** Cluster time of the last run (ms). */
  readonly lastClusterTime: number
  /** Where each term above the boundary begins, in order. */
  readonly termStarts: readonly TermStart[]
  readonly tail: Tail
  /** Rises with every truncation: a disk answer from before one says nothing about the log after it. */
  readonly truncations: number
}

/** A window onto an array of contiguous runs that later values of the tail share and extend. */
export interface Tail {
  readonly shared: EntryRun[]
  readonly start: number
  readonly end: number
  /** What the runs in the window take in memory. */
  readonly byteLength: number
}

/** What a run takes beside its bytes: an object of eleven fields, four boxed numbers, its origin and the view of its bytes. */
const RUN_OVERHEAD_BYTES = 400

function bytesHeld(run: EntryRun): number {
  return run.bytes.length + RUN_OVERHEAD_BYTES
}

/** Runs in one AppendEntries: within what every peer's codec takes. */
export const APPEND_RUNS_MAX = 512

/** A new array each: the newest value of a tail writes beyond its end. */
function emptyTail(): Tail {
  return { shared: [], start: 0, end: 0, byteLength: 0 }
}

/** The log of a server that has just recovered: nothing in memory, everything on disk. */
export function recoveredLog(recovered: Omit<Log, 'tail' | 'truncations'>): Log {
  return { ...recovered, tail: emptyTail(), truncations: 0 }
}

/** The term of the entry at `index`; undefined where there is none or it is compacted. */
export function termAt(log: Log, index: LogIndex): Term | undefined {
  if (index === log.boundary.index) return log.boundary.term
  if (index < log.boundary.index || index > log.lastIndex) return undefined
  return termStartOf(log, index).term
}

/** The run of equal terms that `index`, which is in the log, belongs to. */
function termStartOf(log: Log, index: LogIndex): TermStart {
  let low = 0
  let high = log.termStarts.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((log.termStarts[middle]?.index ?? Infinity) <= index) low = middle
    else high = middle - 1
  }
  const found = log.termStarts[low]
  invariant(found !== undefined && found.index <= index, 'every entry above the boundary has a term', index)
  return found
}

export function lastTerm(log: Log): Term {
  return log.termStarts.at(-1)?.term ?? log.boundary.term
}

/** The first index of the term that the entry at `index` has. */
export function firstIndexOfTermAt(log: Log, index: LogIndex): LogIndex {
  return index <= log.boundary.index ? log.boundary.index : termStartOf(log, index).index
}

/** The last index whose term is at most `term`. */
export function lastIndexOfTermAtMost(log: Log, term: Term): LogIndex {
  for (let at = log.termStarts.length - 1; at >= 0; at--) {
    const start = log.termStarts[at]
    if (start !== undefined && start.term <= term) {
      const next = log.termStarts[at + 1]
      return next === undefined ? log.lastIndex : next.index - 1
    }
  }
  return log.boundary.index
}

/** §5.4.1: a log is at least as up to date as ours if its last term is higher, or equal with an index no lower. */
export function isUpToDate(log: Log, lastLogTerm: Term, lastLogIndex: LogIndex): boolean {
  const ours = lastTerm(log)
  return lastLogTerm > ours || (lastLogTerm === ours && lastLogIndex >= log.lastIndex)
}

/** Appends contiguous runs. Their bytes are the log's from now on. */
export function append(log: Log, runs: readonly EntryRun[]): Log {
  let { lastIndex, lastChecksum, lastClusterTime, termStarts } = log
  let term = lastTerm(log)
  for (const run of runs) {
    invariant(run.firstIndex === lastIndex + 1, 'a run begins where the log ends', [run.firstIndex, lastIndex])
    invariant(run.term >= term, 'terms never go back along the log', [run.term, term])
    // After a boundary its own term begins anew: what is compacted has no term here.
    if (run.term > term || termStarts.length === 0)
      termStarts = [...termStarts, { index: run.firstIndex, term: run.term }]
    term = run.term
    lastIndex = run.lastIndex
    lastChecksum = run.checksum
    lastClusterTime = Math.max(lastClusterTime, run.clusterTime)
  }
  const { boundary, truncations } = log
  const tail = extendTail(log.tail, runs)
  return { boundary, lastIndex, lastChecksum, lastClusterTime, termStarts, tail, truncations }
}

/** Truncates the conflicting suffix from `index`, the first of a run, and appends `runs` in its place. */
export function replaceFrom(log: Log, index: LogIndex, runs: readonly EntryRun[]): Log {
  invariant(index > log.boundary.index, 'no compacted entry is truncated', index)
  const kept: Log = {
    ...log,
    lastIndex: index - 1,
    // The time of what takes their place counts, which along one log is never earlier than what remains.
    lastClusterTime: 0,
    termStarts: log.termStarts.filter((start) => start.index < index),
    tail: cutTail(log.tail, index),
    truncations: log.truncations + 1,
  }
  return append(kept, runs)
}

/** Forgets what snapshots cover: `boundary` is the end of one of the log's runs. */
export function compact(log: Log, boundary: Boundary): Log {
  invariant(boundary.index <= log.lastIndex, 'a log is compacted no further than it reaches', boundary.index)
  const first = boundary.index + 1
  const termStarts = log.termStarts
    .filter((_, at) => (log.termStarts[at + 1]?.index ?? log.lastIndex + 1) > first)
    .map((start) => (start.index < first ? { ...start, index: first } : start))
  let { start, byteLength } = log.tail
  for (; start < log.tail.end; start++) {
    const run = log.tail.shared[start]
    if (run === undefined || run.lastIndex >= first) break
    byteLength -= bytesHeld(run)
  }
  const tail = releaseTail({ ...log.tail, start, byteLength })
  return { ...log, boundary, termStarts: boundary.index === log.lastIndex ? [] : termStarts, tail }
}

/** The log that goes on after an installed snapshot, when nothing of the old one fits it (§7). */
export function beginAnew(log: Log, boundary: Boundary): Log {
  return {
    boundary,
    lastIndex: boundary.index,
    lastChecksum: boundary.checksum,
    lastClusterTime: boundary.clusterTime,
    termStarts: [],
    tail: emptyTail(),
    truncations: log.truncations + 1,
  }
}

function extendTail(tail: Tail, runs: readonly EntryRun[]): Tail {
  // Only the newest value may write beyond its end: one whose end has been passed by another copies instead.
  const isNewest = tail.end === tail.shared.length
  const shared = isNewest ? tail.shared : tail.shared.slice(tail.start, tail.end)
  const start = isNewest ? tail.start : 0
  let byteLength = tail.byteLength
  for (const run of runs) {
    shared.push(run)
    byteLength += bytesHeld(run)
  }
  return { shared, start, end: shared.length, byteLength }
}

function cutTail(tail: Tail, from: LogIndex): Tail {
  let { end, byteLength } = tail
  while (end > tail.start) {
    const run = tail.shared[end - 1]
    if (run === undefined || run.lastIndex < from) break
    invariant(run.firstIndex >= from, 'a run is never split', [run.firstIndex, from])
    byteLength -= bytesHeld(run)
    end--
  }
  return { ...tail, end, byteLength }
}

/** Forgets the oldest runs in memory, up to `index` at most, until the tail is within `bytesMax`. */
export function trimTail(log: Log, index: LogIndex, bytesMax: number): Log {
  const { tail } = log
  if (tail.byteLength <= bytesMax) return log
  let { start, byteLength } = tail
  for (; start < tail.end && byteLength > bytesMax; start++) {
    const run = tail.shared[start]
    if (run === undefined || run.lastIndex > index) break
    byteLength -= bytesHeld(run)
  }
  if (start === tail.start) return log
  const { boundary, lastIndex, lastChecksum, lastClusterTime, termStarts, truncations } = log
  const trimmed = releaseTail({ shared: tail.shared, start, end: tail.end, byteLength })
  return { boundary, lastIndex, lastChecksum, lastClusterTime, termStarts, tail: trimmed, truncations }
}

/** Lets the garbage collector have the runs before the window, without copying the array at every trim. */
function releaseTail(tail: Tail): Tail {
  if (tail.start * 2 < tail.end) return tail
  const shared = tail.shared.slice(tail.start, tail.end)
  return { shared, start: 0, end: shared.length, byteLength: tail.byteLength }
}

/** The first index in memory; past the log's end when nothing is. */
export function firstIndexInMemory(log: Log): LogIndex {
  return log.tail.start === log.tail.end ? log.lastIndex + 1 : (log.tail.shared[log.tail.start]?.firstIndex ?? 0)
}

/**
 * Whole runs from the one that contains `from` until `bytesMax` is reached, at least one; undefined when that run is
 * not in memory. `from` is in the log.
 */
export function runsInMemory(log: Log, from: LogIndex, bytesMax: number): readonly EntryRun[] | undefined {
  if (from < firstIndexInMemory(log)) return undefined
  const runs: EntryRun[] = []
  let byteLength = 0
  for (let at = positionInTail(log.tail, from); at < log.tail.end; at++) {
    const run = log.tail.shared[at]
    invariant(run !== undefined, 'the tail has a run at each of its positions')
    if (runs.length > 0 && byteLength + run.bytes.length > bytesMax) break
    if (runs.length === APPEND_RUNS_MAX) break
    byteLength += run.bytes.length
    runs.push(run)
  }
  return runs
}

/** The runs in memory that end within (after, upTo]. */
export function runsBetween(log: Log, after: LogIndex, upTo: LogIndex): readonly EntryRun[] {
  const first = Math.max(after + 1, firstIndexInMemory(log))
  const runs: EntryRun[] = []
  if (first > upTo) return runs
  for (let at = positionInTail(log.tail, first); at < log.tail.end; at++) {
    const run = log.tail.shared[at]
    if (run === undefined || run.lastIndex > upTo) break
    runs.push(run)
  }
  return runs
}

/** True when `index` lies within a run in memory, beyond its first entry. */
export function splitsRun(log: Log, index: LogIndex): boolean {
  if (index < firstIndexInMemory(log) || index > log.lastIndex) return false
  return log.tail.shared[positionInTail(log.tail, index)]?.firstIndex !== index
}

/** Where in the shared array the run that contains `index` is; `index` is in memory. */
function positionInTail(tail: Tail, index: LogIndex): number {
  let low = tail.start
  let high = tail.end - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((tail.shared[middle]?.firstIndex ?? Infinity) <= index) low = middle
    else high = middle - 1
  }
  return low
}
