import { describe, expect, it } from 'vitest'
import {
  entries,
  FIVE,
  follower,
  heartbeat,
  heartbeatReply,
  led,
  messagesIn,
  ofType,
  preCandidate,
  preVote,
  preVoteReply,
  requestVote,
  sends,
  serving,
  T,
} from '../machine-harness.js'

describe('Thesis §9.6: preventing disruptions when a server rejoins the cluster', () => {
  it('a candidate only increments its term if it first learns that a majority would be willing to vote for it', () => {
    const machine = follower({ entries: entries([1, 2]) })
    const asked = preVote(3, [2, 2])
    expect(machine.advanceUntil(() => machine.role === 'preCandidate')).toEqual([sends([2, asked], [3, asked])])
    expect(machine.context.hardState).toMatchObject({ term: 2, votedFor: undefined })
    machine.receive(2, preVoteReply(3, true))
    expect(machine).toMatchObject({ role: 'candidate', term: 3 })
  })

  it('a server cut off for long does not raise its term, so that it deposes nobody when it is back', () => {
    const machine = follower({ term: 4 })
    machine.advance(100 * T)
    expect(machine).toMatchObject({ role: 'preCandidate', term: 4 })
    machine.receive(2, heartbeat(4, 1))
    expect(machine).toMatchObject({ role: 'follower', term: 4 })
    expect(machine.context.leaderId).toBe(2)
  })

  it('it asks again with a new timeout as long as nobody answers', () => {
    const machine = preCandidate()
    const asked = ofType('preVote', machine.advance(10 * T)).map(({ message }) => message.term)
    expect(asked.length).toBeGreaterThanOrEqual(2 * 4)
    expect(new Set(asked)).toEqual(new Set([1]))
  })

  it('a pre-vote is granted to a log at least as up to date, if no leader is believed alive', () => {
    const machine = follower({ entries: entries([1, 2]) })
    expect(machine.receive(2, preVote(3, [2, 2]))).toEqual([sends([2, preVoteReply(3, true)])])
    expect(machine.receive(3, preVote(3, [1, 2]))).toEqual([sends([3, preVoteReply(2, false)])])
  })

  it('granting a pre-vote, or asking for one, changes neither term, nor vote, nor timer', () => {
    const machine = follower({ term: 2 })
    const before = machine.context
    machine.receive(2, preVote(9))
    expect(machine.context).toMatchObject({ hardState: before.hardState, contact: before.contact })
  })

  it('it may be granted to several, in the same term and after a vote in an earlier one', () => {
    const machine = follower({ term: 2, votedFor: 3 })
    for (const from of [2, 3]) {
      expect(messagesIn(machine.receive(from, preVote(3)))).toEqual([{ to: from, message: preVoteReply(3, true) }])
    }
  })

  it('it is not granted for a term in which the vote is given to another', () => {
    const machine = follower({ term: 3, votedFor: 3 })
    expect(messagesIn(machine.receive(2, preVote(3)))).toEqual([{ to: 2, message: preVoteReply(3, false) }])
    expect(messagesIn(machine.receive(3, preVote(3)))).toEqual([{ to: 3, message: preVoteReply(3, true) }])
  })

  it('a granted answer carries the term asked for, and does not make the pre-candidate adopt it', () => {
    const machine = preCandidate({ configuration: FIVE, term: 2 })
    expect(machine.receive(2, preVoteReply(3, true))).toEqual([])
    expect(machine).toMatchObject({ role: 'preCandidate', term: 2 })
  })

  it('a granted answer to an earlier campaign, a second one of the same server and a stranger’s do not count', () => {
    const machine = preCandidate({ configuration: FIVE, term: 2 })
    for (const [from, term] of [
      [2, 3],
      [2, 3],
      [3, 2],
      [4, 9],
      [9, 3],
    ] as const)
      machine.receive(from, preVoteReply(term, true))
    expect(machine.role).toBe('preCandidate')
    machine.receive(5, preVoteReply(3, true))
    expect(machine.role).toBe('candidate')
  })

  it('a refusal in a higher term is adopted: so a server behind catches up, and no cluster is deadlocked', () => {
    const machine = preCandidate({ term: 2 })
    machine.receive(2, preVoteReply(7, false))
    expect(machine).toMatchObject({ role: 'follower', term: 7 })
    machine.completeWrites()
    machine.advanceUntil(() => machine.role === 'preCandidate')
    for (const voter of [2, 3]) machine.receive(voter, preVoteReply(8, true))
    expect(machine).toMatchObject({ role: 'candidate', term: 8 })
  })

  it('a pre-vote of an older term is refused with ours', () => {
    expect(follower({ term: 7 }).receive(2, preVote(3, [9, 3]))).toEqual([sends([2, preVoteReply(7, false)])])
  })

  it('a leader of a lower term steps down when a server’s answer shows a higher one, so that both can go on', () => {
    const machine = serving({ term: 1 })
    machine.receive(3, heartbeatReply(6, 2, 0))
    expect(machine).toMatchObject({ role: 'follower', term: 6 })
  })

  it('a pre-candidate votes for another candidate of a higher term', () => {
    const machine = preCandidate({ term: 2 })
    machine.receive(2, requestVote(3))
    expect(machine.context.hardState).toMatchObject({ term: 3, votedFor: 2 })
    expect(machine.role).toBe('follower')
  })

  it('a server that hears its leader stays out of it, and says nothing', () => {
    expect(led().receive(3, preVote(2))).toEqual([])
  })
})
