import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { coalesce } from '../../src/actors/coalesce.js'
import type { LoopInput } from '../../src/actors/event-loop.js'
import type { EntryRun } from '../../src/machines/entry-run.js'
import type { Message } from '../../src/machines/messages.js'
import type { Term } from '../../src/machines/types.js'
import { append, entries, follower, heartbeat, voteReply } from '../machine-harness.js'

const LIMIT = 64 * 1024
const LOG = entries([1, 1, 2, 2, 2])

const from = (id: number, message: Message): LoopInput => ({ type: 'message', from: id, message })
const after = (at: number) => [at, LOG[at - 1]?.term ?? 0] as const
const appendOf = (start: number, end: number, commitIndex = 0, term: Term = 2): LoopInput =>
  from(2, append(term, after(start), LOG.slice(start, end), commitIndex))

function messages(inputs: readonly LoopInput[], bytesMax = LIMIT): readonly Message[] {
  return coalesce(inputs, bytesMax).flatMap((input) => (input.type === 'message' ? [input.message] : []))
}

describe('coalescing what arrived in one turn', () => {
  it('joins AppendEntries that continue one another, and commits as far as the furthest', () => {
    expect(messages([appendOf(0, 2, 1), appendOf(2, 3, 2), appendOf(3, 5, 3)])).toEqual([append(2, [0, 0], LOG, 3)])
  })

  it('joins nothing that leaves a gap or overlaps', () => {
    const gap = [appendOf(0, 2), appendOf(3, 5)]
    const overlap = [appendOf(0, 3), appendOf(2, 5)]
    expect(coalesce(gap, LIMIT)).toEqual(gap)
    expect(coalesce(overlap, LIMIT)).toEqual(overlap)
  })

  it('joins nothing that continues an entry of another term at the same index', () => {
    const other = [appendOf(0, 2), from(2, append(2, [2, 2], LOG.slice(2, 3)))]
    expect(coalesce(other, LIMIT)).toEqual(other)
  })

  it('joins nothing of two senders or two terms', () => {
    const senders = [appendOf(0, 2), from(3, append(2, after(2), LOG.slice(2, 3)))]
    const terms = [appendOf(0, 2), appendOf(2, 3, 0, 3)]
    expect(coalesce(senders, LIMIT)).toEqual(senders)
    expect(coalesce(terms, LIMIT)).toEqual(terms)
  })

  it('joins nothing across an input of another kind, from wherever it came', () => {
    const others: readonly LoopInput[] = [
      from(2, heartbeat(2, 1)),
      from(3, voteReply(2, true)),
      { type: 'requests' },
      { type: 'event', event: { type: 'peerDown', peer: 3 } },
      { type: 'expiry', timer: { callback: () => undefined, underlying: undefined, isCleared: false } },
    ]
    for (const other of others) {
      const inputs = [appendOf(0, 2), other, appendOf(2, 3)]
      expect(coalesce(inputs, LIMIT)).toEqual(inputs)
    }
  })

  it('stays within the bytes of one AppendEntries, but never splits one that is larger', () => {
    const runBytes = LOG[0]?.bytes.length ?? 0
    const ones = [appendOf(0, 1), appendOf(1, 2), appendOf(2, 3)]
    expect(messages(ones, 2 * runBytes)).toEqual([append(2, [0, 0], LOG.slice(0, 2)), append(2, after(2), [LOG[2]!])])
    expect(messages([appendOf(0, 5)], runBytes)).toEqual([append(2, [0, 0], LOG)])
  })

  it('answers the newest heartbeat for all of one leader and term', () => {
    const joined = messages([from(2, heartbeat(2, 4, 1)), from(2, heartbeat(2, 6, 3)), from(2, heartbeat(2, 5, 2))])
    expect(joined).toEqual([heartbeat(2, 6, 3)])
    const terms = [from(2, heartbeat(2, 4)), from(2, heartbeat(3, 1))]
    expect(coalesce(terms, LIMIT)).toEqual(terms)
  })

  it('needs one call for attention, however many there were', () => {
    expect(coalesce([{ type: 'requests' }, { type: 'requests' }, { type: 'requests' }], LIMIT)).toHaveLength(1)
  })
})

/** A leader's log and a follower's, which agree up to some entry; a term has one leader, so no term has two logs. */
const logs = fc
  .record({
    shared: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 5 }),
    leaders: fc.array(fc.constantFrom(3, 5), { minLength: 1, maxLength: 8 }),
    followers: fc.array(fc.constant(4), { maxLength: 5 }),
  })
  .map(({ shared, leaders, followers }) => {
    const common = entries(shared.toSorted())
    return {
      leader: [...common, ...entries([...leaders.toSorted(), 6], common)],
      follower: [...common, ...entries(followers.toSorted(), common)],
    }
  })

/** Slices of the leader's log, most of them continuing one another, some resent. */
const slices = fc.array(fc.record({ back: fc.constantFrom(0, 0, 0, 0, 1, 3), length: fc.nat(3) }), { maxLength: 8 })

describe('coalesced appends, on the role machine', () => {
  it('leave the same log and commitIndex as the appends one by one', () => {
    fc.assert(
      fc.property(logs, fc.nat(8), slices, fc.infiniteStream(fc.boolean()), (given, start, cuts, commits) => {
        const inputs = appendsFrom(given.leader, start, cuts, commits)
        expect(outcomeOf(given.follower, coalesce(inputs, LIMIT))).toEqual(outcomeOf(given.follower, inputs))
      }),
      { numRuns: 150 },
    )
  })
})

function appendsFrom(
  log: readonly EntryRun[],
  start: number,
  cuts: readonly { readonly back: number; readonly length: number }[],
  commits: Iterator<boolean>,
): readonly LoopInput[] {
  let at = Math.min(start, log.length)
  let commitIndex = 0
  return cuts.map(({ back, length }) => {
    at = Math.max(0, at - back)
    const runs = log.slice(at, at + length)
    const message = append(6, [at, log[at - 1]?.term ?? 0], runs, commitIndex)
    at += runs.length
    // A leader's commitIndex only rises.
    if (commits.next().value === true) commitIndex = Math.max(commitIndex, at)
    return from(2, message)
  })
}

function outcomeOf(log: readonly EntryRun[], inputs: readonly LoopInput[]): unknown {
  const machine = follower({ term: 6, entries: log })
  for (const input of inputs) if (input.type === 'message') machine.receive(input.from, input.message)
  machine.completeWrites()
  const { commitIndex, log: after, durable } = machine.context
  return { terms: machine.terms, checksum: after.lastChecksum, commitIndex, durable: durable.index }
}
