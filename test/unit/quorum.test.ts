import { describe, expect, it } from 'vitest'
import { InvariantBroken } from '../../src/machines/invariant.js'
import { committedIndex, isSoleVoter, isVoter, peersOf, quorumValue, voteResult } from '../../src/machines/quorum.js'
import type { Configuration, ServerId } from '../../src/machines/types.js'

const plain = (...voters: readonly ServerId[]): Configuration => ({ voters, learners: [] })
const joint = (voters: readonly ServerId[], votersOutgoing: readonly ServerId[]): Configuration => {
  return { voters, votersOutgoing, learners: [] }
}
const from =
  <Value>(values: Readonly<Record<ServerId, Value>>) =>
  (id: ServerId): Value | undefined =>
    values[id]

describe('committedIndex', () => {
  it('is the highest index that a majority has reached', () => {
    expect(committedIndex(plain(1), from({ 1: 7 }))).toBe(7)
    expect(committedIndex(plain(1, 2), from({ 1: 7, 2: 5 }))).toBe(5)
    expect(committedIndex(plain(1, 2, 3), from({ 1: 7, 2: 5, 3: 6 }))).toBe(6)
    expect(committedIndex(plain(1, 2, 3, 4), from({ 1: 7, 2: 5, 3: 6, 4: 9 }))).toBe(6)
    expect(committedIndex(plain(1, 2, 3, 4, 5), from({ 1: 1, 2: 2, 3: 3, 4: 4, 5: 5 }))).toBe(3)
  })

  it('takes an unknown index for 0', () => {
    expect(committedIndex(plain(1, 2, 3), from({ 1: 7 }))).toBe(0)
    expect(committedIndex(plain(1, 2, 3), from({ 1: 7, 3: 4 }))).toBe(4)
  })

  it('needs a majority of both halves of a joint configuration, which may overlap', () => {
    expect(committedIndex(joint([1, 2, 3], [4, 5, 6]), from({ 1: 9, 2: 9, 3: 9, 4: 9 }))).toBe(0)
    expect(committedIndex(joint([1, 2, 3], [3, 4, 5]), from({ 1: 9, 2: 9, 3: 6, 4: 4 }))).toBe(4)
  })

  it('counts an id that is listed twice once', () => {
    expect(committedIndex(plain(1, 1, 1, 2, 3), from({ 1: 9 }))).toBe(0)
  })

  it('does not ask learners', () => {
    expect(committedIndex({ voters: [1, 2, 3], learners: [4, 5] }, from({ 1: 3, 4: 9, 5: 9 }))).toBe(0)
  })
})

describe('voteResult', () => {
  it('is won with a majority, lost when no majority can come together any more, and pending until then', () => {
    expect(voteResult(plain(1, 2, 3), from({ 1: true }))).toBe('pending')
    expect(voteResult(plain(1, 2, 3), from({ 1: true, 2: true }))).toBe('won')
    expect(voteResult(plain(1, 2, 3), from({ 1: true, 2: false, 3: false }))).toBe('lost')
    expect(voteResult(plain(1, 2, 3, 4), from({ 1: true, 2: true, 3: false, 4: false }))).toBe('lost')
  })

  it('is lost in a joint configuration as soon as one half is lost, and won when both are', () => {
    const both = joint([1, 2, 3], [3, 4, 5])
    expect(voteResult(both, from({ 4: false, 5: false }))).toBe('lost')
    expect(voteResult(both, from({ 1: true, 3: true }))).toBe('pending')
    expect(voteResult(both, from({ 1: true, 3: true, 4: true }))).toBe('won')
  })
})

describe('a configuration without voters', () => {
  it.each([
    ['committedIndex', () => committedIndex(plain(), () => 1)],
    ['quorumValue', () => quorumValue(plain(), () => 1)],
    ['voteResult', () => voteResult(plain(), () => true)],
    ['voteResult, also of a joint one', () => voteResult(joint([], [1, 2]), () => true)],
  ])('breaks an invariant: %s', (_, ask) => {
    expect(ask).toThrow(InvariantBroken)
  })
})

describe('membership', () => {
  it('a voter of either half votes', () => {
    const both = joint([1, 2], [2, 3])
    expect([1, 2, 3, 4].map((id) => isVoter(both, id))).toEqual([true, true, true, false])
  })

  it('a server decides alone only if it is the only voter of every half', () => {
    expect(isSoleVoter(plain(1), 1)).toBe(true)
    expect(isSoleVoter(plain(1), 2)).toBe(false)
    expect(isSoleVoter(joint([1], [1, 2]), 1)).toBe(false)
    expect(isSoleVoter({ voters: [1], learners: [2, 3] }, 1)).toBe(true)
  })

  it('the peers are all but oneself who vote or listen, each once', () => {
    expect(peersOf({ voters: [1, 2, 3], votersOutgoing: [3, 4], learners: [5, 2] }, 1)).toEqual([2, 3, 4, 5])
  })
})
