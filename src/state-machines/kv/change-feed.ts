import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import { bytesOfChars, isInRange, type KeyRange } from './keys.js'
import type { Keyspace } from './keyspace.js'
import { entryOf } from './records.js'
import type { KvChange, Watcher, Watchers } from './watchers.js'

/** What one command changed of a range of keys. */
export interface RevisionChanges {
  readonly revision: LogIndex
  /** In the order they were made. */
  readonly changes: readonly KvChange[]
}

/** A stretch of the history. */
export interface ChangesSince {
  readonly revisions: readonly RevisionChanges[]
  /** Where to go on: all changes before this revision are told. */
  readonly next: LogIndex
}

/** A piece of the history ends after so many bytes of changes, or a look at so many of any key, with its revision. */
const PIECE_BYTES_MAX = 1024 * 1024
const PIECE_LOOKED_AT_MAX = 10_000

/**
 * Tells those who watch of changes, given by their numbers, oldest first: each watcher once for each revision. One that
 * comes while this goes on is told of none of them, since all are applied already.
 */
export function tell(watchers: Watchers, keyspace: Keyspace, numbers: readonly number[]): void {
  const { history } = keyspace
  const { rangesSeen } = watchers
  for (let at = 0; at < numbers.length;) {
    const revision = history.revisionOf(numbers[at]!)
    const told = new Map<Watcher, KvChange[]>()
    for (; at < numbers.length && history.revisionOf(numbers[at]!) === revision; at++) {
      const change = changeOf(keyspace, numbers[at]!)
      if (change === undefined) continue
      for (const watcher of watchers.of(history.keyOf(numbers[at]!))) {
        if (watcher.number > rangesSeen) continue
        const changes = told.get(watcher)
        if (changes === undefined) told.set(watcher, [change])
        else changes.push(change)
      }
    }
    for (const [watcher, changes] of told) {
      if (watcher.isWatching) watcher.listener.changed(revision, changes)
    }
  }
}

/**
 * The changes of a range from a revision on, whole revisions.
 * @param newest - the last revision applied
 * @param limit - ends the piece after so many changes, or earlier, after 1 MiB of them or a look at 10,000 of any key.
 * Infinity: no end but the newest
 * @throws ActorumError COMPACTED, with the earliest revision from which changes are kept
 */
export function changesSince(
  keyspace: Keyspace,
  newest: LogIndex,
  from: LogIndex,
  range: KeyRange,
  limit: number,
): ChangesSince {
  const { history } = keyspace
  const earliest = history.compactedRevision + 1
  if (from < earliest) {
    const text = `changes from revision ${from} on are no longer kept; those from ${earliest} on are`
    throw new ActorumError('COMPACTED', text, { revision: earliest })
  }
  const revisions: { readonly revision: LogIndex; readonly changes: KvChange[] }[] = []
  const first = history.firstSince(from)
  let [count, bytes] = [0, 0]
  for (let number = first; number < history.next; number++) {
    const revision = history.revisionOf(number)
    const isFull =
      count >= limit || (limit < Infinity && (bytes >= PIECE_BYTES_MAX || number - first >= PIECE_LOOKED_AT_MAX))
    if (isFull && number > first && history.revisionOf(number - 1) !== revision) return { revisions, next: revision }
    if (!isInRange(history.keyOf(number), range)) continue
    const change = changeOf(keyspace, number)
    if (change === undefined) continue
    count++
    bytes += bytesOfChange(change)
    const last = revisions.at(-1)
    if (last?.revision === revision) last.changes.push(change)
    else revisions.push({ revision, changes: [change] })
  }
  return { revisions, next: Math.max(from, newest + 1) }
}

/** Of keys and values, those before included. */
export function bytesOfChange(change: KvChange): number {
  const { previous } = change
  const before = previous === undefined ? 0 : previous.key.length + previous.value.length
  return before + (change.type === 'put' ? change.entry.key.length + change.entry.value.length : change.key.length)
}

/** What a change made of its key, with all that its command did to it; undefined when that was nothing, or goes on. */
function changeOf(keyspace: Keyspace, number: number): KvChange | undefined {
  const { history } = keyspace
  const revision = history.revisionOf(number)
  const newer = history.newerThan(number)
  if (newer > 0 && history.revisionOf(newer) === revision) return undefined
  let first = number
  for (let older = history.olderThan(first); older > 0; older = history.olderThan(older)) {
    if (history.revisionOf(older) !== revision) break
    first = older
  }
  const key = history.keyOf(number)
  const [before, after] = [history.previousOf(first), keyspace.after(number)]
  const previous = before && entryOf(key, before)
  if (after !== undefined) return { type: 'put', entry: entryOf(key, after), previous }
  return previous && { type: 'delete', key: bytesOfChars(key), revision, previous }
}
