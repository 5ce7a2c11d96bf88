import { describe, expect, it } from 'vitest'
import type { Machine } from '../machine-harness.js'
import {
  accepted,
  append,
  batch,
  candidate,
  commitsIn,
  elected,
  entries,
  FIVE,
  follower,
  heartbeat,
  led,
  messagesIn,
  preCandidate,
  preVote,
  preVoteReply,
  requestVote,
  serving,
  voteReply,
} from '../machine-harness.js'

describe('§5.4.1: election restriction', () => {
  // Ours ends with entry 3 of term 2.
  it.each<readonly [string, readonly [number, number], boolean]>([
    ['a later last term, though it is shorter', [1, 3], true],
    ['the same last term, and is longer', [4, 2], true],
    ['the same last term and length', [3, 2], true],
    ['the same last term, and is shorter', [2, 2], false],
    ['an earlier last term, though it is longer', [9, 1], false],
    ['no entry at all', [0, 0], false],
  ])(
    'the voter denies its vote if its own log is more up-to-date: a candidate whose log has %s',
    (_, last, granted) => {
      const machine = follower({ entries: entries([1, 2, 2]) })
      machine.receive(2, requestVote(5, last))
      expect(messagesIn(machine.completeWrites())).toEqual([{ to: 2, message: voteReply(5, granted) }])
      expect(machine.context.hardState.votedFor).toBe(granted ? 2 : undefined)
      const asked = follower({ entries: entries([1, 2, 2]) })
      const reply = granted ? preVoteReply(3, true) : preVoteReply(2, false)
      expect(messagesIn(asked.receive(2, preVote(3, last)))).toEqual([{ to: 2, message: reply }])
    },
  )

  it('the last entry counts whether or not it is committed or durable', () => {
    const machine = led()
    machine.receive(2, append(1, [0, 0], entries([1, 1])))
    machine.advance(2000)
    machine.receive(3, requestVote(2, [1, 1]))
    expect(machine.context.hardState.votedFor).toBeUndefined()
  })

  it('a candidate shows where its log ends, and can win only with the votes of those whose logs are no newer', () => {
    const machine = candidate({ entries: entries([1, 2]) })
    machine.receive(2, voteReply(3, false))
    machine.receive(3, voteReply(3, true))
    expect(machine.role).toBe('leader')
    expect(machine.terms).toEqual([1, 2, 3])
  })
})

describe('§5.4.2: committing entries from previous terms', () => {
  it('Figure 8 (c): an entry of term 2 that a majority stores is not committed by the leader of term 4', () => {
    const s1 = elected({ configuration: FIVE, entries: entries([1, 2]), term: 3 })
    s1.completeWrites()
    expect(s1.term).toBe(4)
    for (const peer of [2, 3, 4]) expect(commitsIn(s1.receive(peer, accepted(4, 2)))).toEqual([])
    expect(s1.context.commitIndex).toBe(0)
  })

  it('Figure 8 (d): so the leader of a later term may overwrite it', () => {
    const s1 = elected({ configuration: FIVE, entries: entries([1, 2]), term: 3 })
    s1.completeWrites()
    for (const peer of [2, 3]) s1.receive(peer, accepted(4, 2))
    s1.receive(5, append(5, [1, 1], entries([3, 5], entries([1]))))
    expect(s1).toMatchObject({ role: 'follower', terms: [1, 3, 5] })
    expect(s1.context.commitIndex).toBe(0)
  })

  it('Figure 8 (e): once an entry of its own term is on a majority, all before it are committed too', () => {
    const s1 = elected({ configuration: FIVE, entries: entries([1, 2]), term: 3 })
    s1.completeWrites()
    s1.receive(2, accepted(4, 3))
    expect(commitsIn(s1.receive(3, accepted(4, 3)))).toMatchObject([{ index: 3 }])
  })

  it('a majority that ends within earlier terms commits nothing, one that reaches into this term all', () => {
    const machine = elected({ configuration: FIVE, entries: entries([1, 1, 2]) })
    machine.propose(batch(1))
    machine.completeWrites()
    for (const [peer, matchIndex] of [
      [2, 3],
      [3, 1],
      [4, 5],
    ] as const)
      machine.receive(peer, accepted(3, matchIndex))
    expect(machine.context.commitIndex).toBe(0)
    machine.receive(3, accepted(3, 4))
    expect(machine.context.commitIndex).toBe(4)
  })
})

describe('§5.4.3: safety argument', () => {
  it('Leader Completeness: a server that has accepted an entry votes for nobody who lacks it', () => {
    const machine = led()
    machine.receive(2, append(1, [0, 0], entries([1, 1])))
    machine.completeWrites()
    machine.advance(3000)
    machine.receive(3, requestVote(9, [1, 1]))
    expect(messagesIn(machine.completeWrites())).toContainEqual({ to: 3, message: voteReply(9, false) })
  })

  it('State Machine Safety: what is applied has no gap, no repetition and no change, whoever leads', () => {
    const log = entries([1, 1, 2])
    const machine = led()
    const applied = [
      ...machine.receive(2, append(1, [0, 0], log.slice(0, 2), 1)),
      ...machine.receive(3, append(2, [2, 1], log.slice(2), 1)),
      ...machine.receive(3, heartbeat(2, 1, 3)),
    ]
    expect(commitsIn(applied).flatMap(({ runs }) => runs)).toEqual(log)
  })

  it('a follower commits no entry on the word of a leader in whose log it has not seen that entry', () => {
    const machine = led()
    machine.receive(2, append(1, [0, 0], entries([1, 1, 1, 1])))
    machine.receive(3, heartbeat(2, 1, 4))
    expect(machine.context.commitIndex).toBe(0)
    machine.receive(3, append(2, [1, 1], entries([1], entries([1])), 4))
    expect(machine.context.commitIndex).toBe(2)
  })

  it('nor one who lost an election to that leader, in whose term it is already', () => {
    const old = entries([1, 1, 1, 1])
    const machine = led()
    machine.receive(2, append(1, [0, 0], old))
    machine.completeWrites()
    machine.advanceUntil(() => machine.role === 'preCandidate')
    for (const voter of [2, 3]) machine.receive(voter, preVoteReply(2, true))
    machine.completeWrites()
    expect(machine).toMatchObject({ role: 'candidate', term: 2 })
    // Server 3 was elected with the log [1, 1, 2, 2], of which entry 2 comes first.
    expect(commitsIn(machine.receive(3, append(2, [1, 1], old.slice(1, 2), 4)))).toMatchObject([{ index: 2 }])
    expect(machine.context.commitIndex).toBe(2)
    machine.receive(3, append(2, [2, 1], entries([2, 2], old.slice(0, 2)), 4))
    expect(machine.terms).toEqual([1, 1, 2, 2])
    expect(machine.context.commitIndex).toBe(4)
  })

  it('Leader Append-Only: a leader elected again keeps what it had, and its peers’ matches count anew', () => {
    const machine = serving()
    machine.propose(batch(1))
    machine.completeWrites()
    machine.receive(2, accepted(1, 2))
    machine.receive(3, heartbeat(2, 1))
    machine.completeWrites()
    machine.advanceUntil(() => machine.role === 'preCandidate')
    for (const voter of [2, 3]) machine.receive(voter, preVoteReply(3, true))
    machine.completeWrites()
    machine.receive(2, voteReply(3, true))
    expect(machine.terms).toEqual([1, 1, 3])
    expect(machine.context.leadership?.progress.get(2)?.matchIndex).toBe(0)
  })

  it('a pre-candidate that finds itself behind a newer log gives way', () => {
    const machine: Machine = preCandidate({ entries: entries([1]) })
    machine.receive(2, preVoteReply(1, false))
    machine.receive(3, preVoteReply(1, false))
    expect(machine).toMatchObject({ role: 'follower', term: 1 })
  })
})
