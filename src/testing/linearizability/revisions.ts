import type { Operation, Revision } from './history.js'
import { describeOperation, revisionOf } from './history.js'

/** When an operation may have taken effect. */
export interface Span {
  readonly call: number
  readonly return: number
}

export interface RevisionFault {
  readonly operations: readonly [Operation, Operation]
  readonly reason: string
}

/**
 * What revisions say across keys. A revision is a place in the one log, so of two writes anywhere the one with the lower
 * revision took effect first: no two writes share one, and no write has a lower one than a write that had returned
 * before it was called. From this each write's span narrows: it took effect after the call of every write with a lower
 * revision, and before the return of every write with a higher one. Searching each key within the narrowed spans is
 * sound, quicker, and catches what spans alone can show between keys.
 *
 * Not checked: an order between keys that only reads reveal (a read of x shows that x's write had not yet happened,
 * although y's write, of a higher revision, was already read). Each key is linearizable by itself then, which is what
 * is promised of single-key operations; that the log's order is theirs too is claimed only as far as spans show it.
 */
export function narrowByRevision(history: readonly Operation[]): Map<Operation, Span> | RevisionFault {
  const writes = history.flatMap((operation) => {
    const revision = revisionOf(operation)
    return revision === undefined ? [] : [{ operation, revision }]
  })
  writes.sort((a, b) => a.revision - b.revision)
  return faultOf(writes) ?? spansOf(writes)
}

interface Write {
  readonly operation: Operation
  readonly revision: Revision
}

function faultOf(writes: readonly Write[]): RevisionFault | undefined {
  let latest: Write | undefined
  let previous: Write | undefined
  for (const write of writes) {
    const { operation, revision } = write
    if (previous?.revision === revision)
      return { operations: [previous.operation, operation], reason: `two writes returned revision ${revision}` }
    if (latest !== undefined && operation.return < latest.operation.call) {
      const [late, early] = [latest.operation, operation].map(describeOperation)
      const reason = `"${early}" had returned before "${late}" was called, yet has the higher revision`
      return { operations: [operation, latest.operation], reason }
    }
    if (latest === undefined || operation.call > latest.operation.call) latest = write
    previous = write
  }
  return undefined
}

function spansOf(writes: readonly Write[]): Map<Operation, Span> {
  let call = 0
  const calls = writes.map(({ operation }) => (call = Math.max(call, operation.call)))
  const spans = new Map<Operation, Span>()
  let end = Infinity
  for (const [at, { operation }] of [...writes.entries()].reverse()) {
    end = Math.min(end, operation.return)
    spans.set(operation, { call: calls[at]!, return: end })
  }
  return spans
}
