import type { Span } from './revisions.js'

/**
 * The calls and returns of one key in order of time. Operations are numbered as given; those that return come first,
 * those that never return (`span.return` Infinity) after them.
 */
export interface EventOrder {
  /** Position of each operation's call among all events. */
  readonly callAt: Int32Array
  /** Position of each returning operation's return. */
  readonly returnAt: Int32Array
  /** Which operation an event belongs to. */
  readonly owner: Int32Array
  /**
   * A small number for each returning operation, no two alike among operations that are ever under way together: so a
   * set of operations under way at one event is a few bits.
   */
  readonly slot: Int32Array
  readonly slots: number
}

/**
 * At equal times calls come before returns: two operations that merely touch are taken as concurrent, so that a coarse
 * clock never makes a verdict of its own.
 */
export function orderEvents(spans: readonly Span[]): EventOrder {
  const events = spans.flatMap((span, owner) => {
    const call = { owner, time: span.call, isReturn: 0 }
    return span.return === Infinity ? [call] : [call, { owner, time: span.return, isReturn: 1 }]
  })
  events.sort((a, b) => a.time - b.time || a.isReturn - b.isReturn)
  const callAt = new Int32Array(spans.length)
  const returnAt = new Int32Array(spans.length)
  events.forEach(({ owner, isReturn }, position) => ((isReturn === 1 ? returnAt : callAt)[owner] = position))
  const owner = Int32Array.from(events, (event) => event.owner)
  return { callAt, returnAt, owner, ...slotsOf(events, spans) }
}

function slotsOf(
  events: readonly { owner: number; isReturn: number }[],
  spans: readonly Span[],
): Pick<EventOrder, 'slot' | 'slots'> {
  const slot = new Int32Array(spans.length)
  const free: number[] = []
  let slots = 0
  for (const { owner, isReturn } of events) {
    if (isReturn === 1) free.push(slot[owner]!)
    else if (spans[owner]!.return !== Infinity) slot[owner] = free.pop() ?? slots++
  }
  return { slot, slots }
}
