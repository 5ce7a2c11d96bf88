import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { committedIndex, voteResult, type VoteResult } from '../../src/machines/quorum.js'
import type { Configuration, ServerId } from '../../src/machines/types.js'

/** Against the definitions, tried out one by one: every index, every way the missing votes could fall. */

const id = fc.integer({ min: 1, max: 7 })
/** With repetitions, which must not count twice. */
const voters = fc.array(id, { minLength: 1, maxLength: 7 })
const configuration: fc.Arbitrary<Configuration> = fc.record(
  { voters, votersOutgoing: fc.oneof(voters, fc.constant([])), learners: fc.array(id, { maxLength: 3 }) },
  { requiredKeys: ['voters', 'learners'] },
)

function halvesOf({ voters, votersOutgoing = [] }: Configuration): readonly ReadonlySet<ServerId>[] {
  return [voters, votersOutgoing].filter((half) => half.length > 0).map((half) => new Set(half))
}

/** True when the servers in `yes` are a majority of every half. */
function isQuorum(configuration: Configuration, yes: (id: ServerId) => boolean): boolean {
  return halvesOf(configuration).every((half) => [...half].filter(yes).length * 2 > half.size)
}

describe('quorums, for plain and joint configurations', () => {
  it('committedIndex is the highest index that a quorum has, an unknown one being 0', () => {
    const indexes = fc.dictionary(id.map(String), fc.nat(12))
    fc.assert(
      fc.property(configuration, indexes, (configuration, known) => {
        const indexOf = (id: ServerId) => known[id]
        let expected = 0
        for (let index = 1; index <= 12; index++) {
          if (isQuorum(configuration, (id) => (indexOf(id) ?? 0) >= index)) expected = index
        }
        expect(committedIndex(configuration, indexOf)).toBe(expected)
      }),
      { numRuns: 2000 },
    )
  })

  it('voteResult is won when the votes given are a quorum, lost when no votes to come can make one', () => {
    const votes = fc.dictionary(id.map(String), fc.boolean())
    fc.assert(
      fc.property(configuration, votes, (configuration, known) => {
        const voteOf = (id: ServerId) => known[id]
        const isWon = isQuorum(configuration, (id) => voteOf(id) === true)
        const canBeWon = isQuorum(configuration, (id) => voteOf(id) !== false)
        const expected: VoteResult = isWon ? 'won' : canBeWon ? 'pending' : 'lost'
        expect(voteResult(configuration, voteOf)).toBe(expected)
      }),
      { numRuns: 2000 },
    )
  })

  it('two quorums of one configuration have a server in common, and so have those of C_old and C_old,new', () => {
    const set = fc.uniqueArray(id)
    fc.assert(
      fc.property(configuration, set, set, (configuration, one, other) => {
        const won = (ids: readonly ServerId[], by: Configuration) => voteResult(by, (id) => ids.includes(id)) === 'won'
        const { votersOutgoing = [] } = configuration
        const old: Configuration = votersOutgoing.length > 0 ? { voters: votersOutgoing, learners: [] } : configuration
        if (!won(one, configuration) || !won(other, old)) return
        expect(one.some((id) => other.includes(id))).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  it('more votes and higher indexes never take a decision back', () => {
    const votes = fc.dictionary(id.map(String), fc.boolean())
    fc.assert(
      fc.property(configuration, votes, votes, (configuration, before, added) => {
        const result = voteResult(configuration, (id) => before[id])
        if (result === 'pending') return
        expect(voteResult(configuration, (id) => before[id] ?? added[id])).toBe(result)
      }),
      { numRuns: 1000 },
    )
  })
})
