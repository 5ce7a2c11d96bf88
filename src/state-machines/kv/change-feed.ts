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

/** Tells those who watch of changes, given by their numbers, oldest first: each watcher once for each revision. */
export function tell(watchers: Watchers, keyspace: Keyspace, numbers: readonly number[]): void {
  const { history } = keyspace
  for (let at = 0; at < numbers.length;) {
    const revision = history.revisionOf(numbers[at]!)
    const told = new Map<Watcher, KvChange[]>()
    for (; at < numbers.length && history.revisionOf(numbers[at]!) === revision; at++) {
      const change = changeOf(keyspace, numbers[at]!)
      if (change === undefined) continue
      for (const watcher of watchers.of(history.keyOf(numbers[at]!))) {
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
 * The changes of a range from a revision on, whole revisions, and no more once there are `limit` of them.
 * @param newest - the last revision applied
 * @throws ActorumError COMPACTED
 */
export function changesSince(
  keyspace: Keyspace,
  newest: LogIndex,
  from: LogIndex,
  range: KeyRange,
  limit: number,
): ChangesSince {
  const { history } = keyspace
  if (from <= history.compactedRevision) {
    const text = `changes from revision ${from} on are no longer kept; those from ${history.compactedRevision + 1} on are`
    throw new ActorumError('COMPACTED', text)
  }
  const revisions: { readonly revision: LogIndex; readonly changes: KvChange[] }[] = []
  let count = 0
  for (let number = history.firstSince(from); number < history.next; number++) {
    const revision = history.revisionOf(number)
    const last = revisions.at(-1)
    if (count >= limit && last?.revision !== revision) return { revisions, next: revision }
    if (!isInRange(history.keyOf(number), range)) continue
    const change = changeOf(keyspace, number)
    if (change === undefined) continue
    count++
    if (last?.revision === revision) last.changes.push(change)
    else revisions.push({ revision, changes: [change] })
  }
  return { revisions, next: Math.max(from, newest + 1) }
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
