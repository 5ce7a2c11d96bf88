import type { CheckOptions } from './checker.js'
import { isEventual } from './checker.js'
import type { Get, Operation, Revision } from './history.js'
import { describeOperation, revisionOf, shown } from './history.js'

/** One write as it was applied; null: the key was deleted. */
export interface AppliedWrite {
  readonly revision: Revision
  readonly key: string
  readonly value: string | null
}

export type EventualVerdict =
  | { readonly valid: true; readonly reads: number }
  | { readonly valid: false; readonly read: Get; readonly reason: string }

/**
 * Checks what eventual reads promise, given the writes in the order in which the cluster applied them:
 * - **prefix-consistent**: each returned what some prefix of the applied writes leaves, of which no write was called
 *   after the read had returned; where `seen` is known, it is that very prefix;
 * - **monotonic**: of one client at one server, a read called after another returned sees no shorter prefix. (Between
 *   servers, and when a server has started again, a client may go back: hence `server` names both.)
 *
 * Where `seen` is unknown, the shortest prefix that explains the read is taken: a longer one would only ask more of
 * later reads. Reads of other consistencies are passed over, lease reads unless `leaseReads` is `eventual`.
 */
export function checkEventual(
  history: readonly Operation[],
  applied: readonly AppliedWrite[],
  options: Pick<CheckOptions, 'leaseReads'> = {},
): EventualVerdict {
  const reads = history.filter((operation) => isEventual(operation, options)).filter(({ outcome }) => outcome === 'ok')
  const versions = versionsOf(applied)
  const newest = newestCalledBy(history)
  const floors = new Map<string, Revision>()
  const floorsAtCall = new Map<Get, Revision>()
  for (const { read, isReturn } of eventsOf(reads)) {
    const session = JSON.stringify([read.client, read.server])
    const floor = floors.get(session) ?? 0
    if (!isReturn) {
      floorsAtCall.set(read, floor)
      continue
    }
    const span = { from: floorsAtCall.get(read) ?? 0, to: newest(read.return) }
    const found = place(read, versions.get(read.key) ?? [], span)
    if (typeof found === 'string') return { valid: false, read, reason: `"${describeOperation(read)}" ${found}` }
    floors.set(session, Math.max(floor, found))
  }
  return { valid: true, reads: reads.length }
}

/** The revisions that a read may have seen. */
interface Prefixes {
  readonly from: Revision
  readonly to: Revision
}

/** The shortest prefix that explains a read, or why none does. */
function place(read: Get, versions: readonly AppliedWrite[], { from, to }: Prefixes): Revision | string {
  const { seen } = read
  if (seen !== undefined) {
    if (seen < from) return `saw revision ${seen} after an earlier read of its session had seen ${from}`
    if (seen > to) return `saw revision ${seen}, a write that had not been called when it returned`
  }
  const last = seen ?? to
  let version = lastUpTo(versions, seen ?? from)
  for (; version < versions.length; version++) {
    const begins = versions[version]?.revision ?? 0
    if (begins > last) break
    if ((versions[version]?.value ?? null) === read.output) return Math.max(begins, seen ?? from)
  }
  if (seen !== undefined) return `saw revision ${seen}, where ${read.key} was ${shown(valueAt(versions, seen))}`
  const never = !versions.some(({ value }) => value === read.output) && read.output !== null
  return never ? 'returned a value that was never applied' : `returned no state between revisions ${from} and ${to}`
}

/** The place of the last version up to `revision`; -1 where there is none and the key is absent. */
function lastUpTo(versions: readonly AppliedWrite[], revision: Revision): number {
  let [low, high] = [0, versions.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (versions[middle]!.revision <= revision) low = middle + 1
    else high = middle
  }
  return low - 1
}

function valueAt(versions: readonly AppliedWrite[], revision: Revision): string | null {
  return versions[lastUpTo(versions, revision)]?.value ?? null
}

/** Each key's writes, by revision. */
function versionsOf(applied: readonly AppliedWrite[]): Map<string, AppliedWrite[]> {
  const versions = new Map<string, AppliedWrite[]>()
  for (const write of applied.toSorted((a, b) => a.revision - b.revision)) {
    const ofKey = versions.get(write.key)
    if (ofKey === undefined) versions.set(write.key, [write])
    else ofKey.push(write)
  }
  return versions
}

/** Calls and returns in order of time; at equal times calls come first. */
function eventsOf(reads: readonly Get[]): { read: Get; isReturn: boolean }[] {
  const events = reads.flatMap((read) => [
    { read, isReturn: false, time: read.call },
    { read, isReturn: true, time: read.return },
  ])
  return events.sort((a, b) => a.time - b.time || Number(a.isReturn) - Number(b.isReturn))
}

/** The newest revision that a read which returned at a given time can have seen, as far as the history's writes show. */
function newestCalledBy(history: readonly Operation[]): (time: number) => Revision {
  const writes = history.flatMap((operation) => {
    const revision = revisionOf(operation)
    return revision === undefined ? [] : [{ call: operation.call, revision }]
  })
  writes.sort((a, b) => b.call - a.call)
  let lowest = Infinity
  // From the last call backwards: beside each, the lowest revision of the writes called then or later.
  const bounds = writes.map(({ call, revision }) => ({ call, lowest: (lowest = Math.min(lowest, revision)) }))
  return (time) => {
    let [low, high] = [0, bounds.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (bounds[middle]!.call > time) low = middle + 1
      else high = middle
    }
    return low === 0 ? Infinity : bounds[low - 1]!.lowest - 1
  }
}
