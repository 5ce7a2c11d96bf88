import { amended, type RaftContext } from './context.js'
import { NO_EFFECTS } from './effects.js'
import type { Instant } from './events.js'
import { appendAndReplicate, leadershipOf, leadershipWith, type ForwardedBatches, type RunDraft } from './leadership.js'
import type { Propose } from './messages.js'
import type { ServerId } from './types.js'

/** How many batches may overtake one another on their way from a peer before the late ones are taken for duplicates. */
const MISSING_MAX = 64

/**
 * A peer's clients' proposals. A network may deliver a message twice: only the first counts, and since the message
 * names the term, it cannot count again in a later one.
 */
export function takeForwarded(
  context: RaftContext,
  from: ServerId,
  message: Propose,
  instant: Instant,
): Partial<RaftContext> {
  const { batch, nonce, count, bytes } = message
  const leadership = leadershipOf(context)
  const seen = leadership.forwarded.get(from)
  const taken = takeBatch(seen?.nonce === nonce ? seen : undefined, nonce, batch)
  if (taken === undefined) return { effects: NO_EFFECTS }
  const forwarded = new Map(leadership.forwarded).set(from, taken)
  const marked = amended(context, { leadership: leadershipWith(leadership, { forwarded }) })
  const refused = leadership.transfer !== undefined ? 'notLeader' : isOverloaded(context) ? 'busy' : undefined
  if (refused !== undefined) {
    const term = context.hardState.term
    const reply = { to: from, message: { type: 'proposeReply', term, nonce, batch, refused } } as const
    return { leadership: marked.leadership, effects: { ...NO_EFFECTS, messages: [reply] } }
  }
  const draft: RunDraft = { kind: 'command', count, bytes, origin: { server: from, nonce, batch } }
  return appendAndReplicate(marked, [draft], instant)
}

/** What is known of a peer's batches once `batch` is taken too; undefined when it had been. */
function takeBatch(seen: ForwardedBatches | undefined, nonce: number, batch: number): ForwardedBatches | undefined {
  if (seen === undefined) return { nonce, newest: batch, missing: range(batch - MISSING_MAX, batch) }
  const missing = new Set(seen.missing)
  if (batch <= seen.newest) return missing.delete(batch) ? { ...seen, missing } : undefined
  for (const skipped of range(Math.max(seen.newest + 1, batch - MISSING_MAX), batch)) missing.add(skipped)
  for (const old of missing) if (old < batch - MISSING_MAX) missing.delete(old)
  return { nonce, newest: batch, missing }
}

function range(from: number, to: number): Set<number> {
  const numbers = new Set<number>()
  for (let number = Math.max(0, from); number < to; number++) numbers.add(number)
  return numbers
}

function isOverloaded({ log, commitIndex, settings }: RaftContext): boolean {
  let byteLength = 0
  for (let at = log.tail.end - 1; at >= log.tail.start; at--) {
    const run = log.tail.shared[at]
    if (run === undefined || run.lastIndex <= commitIndex) break
    byteLength += run.bytes.length
  }
  return byteLength > settings.uncommittedBytesMax
}
