import { describe, expect, it } from 'vitest'
import { holdsLease } from '../../src/machines/leadership.js'
import type { Message } from '../../src/machines/messages.js'
import {
  accepted,
  answersIn,
  append,
  batch,
  candidate,
  commitsIn,
  elected,
  entries,
  FIVE,
  follower,
  heartbeat,
  heartbeatReply,
  HEARTBEAT_MS,
  LEASE_MS,
  led,
  Machine,
  messagesIn,
  NONCE,
  ofType,
  persists,
  preCandidate,
  preVote,
  preVoteReply,
  requestVote,
  sends,
  serving,
  stepsIn,
  T,
  THREE,
  voteReply,
  type Setup,
} from '../machine-harness.js'

/** The same server after a crash: with what its disk holds, and nothing else. */
function restarted(machine: Machine, setup: Setup = {}): Machine {
  const { term, votedFor, promiseMs } = machine.context.durable.hardState
  const vote = votedFor === undefined ? {} : { votedFor }
  return new Machine({ ...setup, id: machine.context.id, entries: machine.disk, term, promiseMs, ...vote })
}

const readIndexReply = (term: number, id: number, index: number | undefined): Message => {
  return { type: 'readIndexReply', term, nonce: NONCE, id, index }
}

describe('scenarios that broke other Raft systems: elections and terms', () => {
  it('1. a leader does not commit an entry of an earlier term by counting copies', () => {
    const machine = elected({ configuration: FIVE, entries: entries([1, 2]), term: 3 })
    machine.completeWrites()
    for (const peer of [2, 3, 4, 5]) machine.receive(peer, accepted(4, 2))
    expect(machine.context.commitIndex).toBe(0)
    machine.receive(2, accepted(4, 3))
    machine.receive(3, accepted(4, 3))
    expect(machine.context.commitIndex).toBe(3)
  })

  it.each([0, 1, 2])(
    '2. term and vote are one durable record: a crash after %i writes gives no two votes in a term',
    (writes) => {
      const machine = follower({ term: 3 })
      machine.receive(2, requestVote(4))
      const sent = Array.from({ length: writes }, () => machine.completeWrite()).flat()
      const back = restarted(machine)
      back.advance(T)
      const later = [...back.receive(3, requestVote(4)), ...back.completeWrites()]
      const granted = ofType('requestVoteReply', [...sent, ...later]).filter(({ message }) => message.granted)
      expect(granted).toHaveLength(1)
    },
  )

  it('3. a vote is not sent before it is durable, and a failed vote write stops the server', () => {
    const machine = follower({ term: 3 })
    expect(messagesIn(machine.receive(2, requestVote(4)))).toEqual([])
    expect(machine.send({ type: 'storageFailed', reason: 'EIO' })).toEqual([{ type: 'notices', texts: ['EIO'] }])
    expect(machine.role).toBe('failed')
    expect(machine.actor.getSnapshot().status).toBe('done')
  })

  it('4. stepping down within the same term keeps the vote', () => {
    const losing = candidate()
    losing.receive(3, heartbeat(1, 1))
    const lonely = serving()
    lonely.advanceUntil(() => lonely.role === 'follower')
    for (const machine of [losing, lonely]) {
      expect(machine.context.hardState).toMatchObject({ term: 1, votedFor: 1 })
      machine.completeWrites()
      machine.advance(T - 1)
      machine.receive(2, requestVote(1, [9, 1]))
      expect(machine.context.hardState.votedFor).toBe(1)
    }
  })

  it('5. a candidate ignores stale and duplicate votes', () => {
    const machine = candidate({ configuration: FIVE, term: 2 })
    machine.receive(2, voteReply(2, true))
    machine.receive(3, voteReply(3, true))
    machine.receive(3, voteReply(3, true))
    machine.receive(4, preVoteReply(3, true))
    // Only a server's first word counts.
    machine.receive(4, voteReply(3, false))
    machine.receive(4, voteReply(3, true))
    expect(machine.role).toBe('candidate')
  })

  it('6. a server cut off and back does not depose a working leader, also when terms are mixed', () => {
    const leader = serving({ term: 4 })
    const cutOff = follower({ id: 3, term: 5 })
    cutOff.advance(20 * T)
    expect(cutOff).toMatchObject({ role: 'preCandidate', term: 5 })
    for (const { to, message } of messagesIn(cutOff.advance(2 * T))) {
      if (to === 1) expect(leader.receive(3, message)).toEqual([])
    }
    expect(leader).toMatchObject({ role: 'leader', term: 5 })
    cutOff.receive(1, heartbeat(5, 9))
    expect(cutOff).toMatchObject({ role: 'follower', term: 5 })
  })

  it('6. a pre-vote never deadlocks a cluster: where the longer log is in a lower term, it catches up and is elected', () => {
    const behind = preCandidate({ id: 1, entries: entries([1, 1]), term: 1 })
    const ahead = follower({ id: 2, entries: entries([1]), term: 7 })
    const [refusal] = messagesIn(ahead.receive(1, preVote(2, [2, 1])))
    behind.receive(2, refusal!.message)
    behind.completeWrites()
    behind.advanceUntil(() => behind.role === 'preCandidate')
    ahead.advance(2 * T)
    const [granted] = messagesIn(ahead.receive(1, preVote(8, [2, 1])))
    behind.receive(2, granted!.message)
    expect(behind).toMatchObject({ role: 'candidate', term: 8 })
  })

  it('7. a removed server cannot disturb the leader, nor those who hear from it', () => {
    for (const machine of [serving(), led()]) {
      const { term } = machine
      machine.advance(HEARTBEAT_MS)
      expect(machine.receive(4, preVote(term + 9, [9, term]))).toEqual([])
      expect(machine.receive(4, requestVote(term + 9, [9, term]))).toEqual([])
      expect(machine.term).toBe(term)
    }
  })

  it('8. a promoted learner that does not yet know it votes when asked', () => {
    const machine = new Machine({ id: 4, configuration: { voters: [1, 2, 3], learners: [4] } })
    expect(messagesIn(machine.receive(1, preVote(1)))).toEqual([{ to: 1, message: preVoteReply(1, true) }])
    machine.receive(1, requestVote(1))
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 1, message: voteReply(1, true) }])
  })

  it('9. a leader without a quorum steps down', () => {
    const machine = serving({ configuration: FIVE })
    for (let round = 2; machine.role === 'leader'; round++) {
      expect(round).toBeLessThan(20)
      machine.advance(HEARTBEAT_MS)
      machine.receive(2, heartbeatReply(1, round, 1))
    }
    expect(machine.context).toMatchObject({ leaderId: undefined, leadership: undefined, hardState: { term: 1 } })
    expect(answersIn(machine.propose(batch(1)))).toMatchObject([{ type: 'proposalsRefused', reason: 'noLeader' }])
  })
})

describe('scenarios that broke other Raft systems: the log', () => {
  it('10. a heartbeat does not truncate entries that are in flight, nor does an empty or an old append', () => {
    const machine = led()
    machine.receive(2, append(1, [0, 0], entries([1, 1, 1])))
    for (const message of [heartbeat(1, 2, 1), append(1, [1, 1]), append(1, [0, 0], entries([1]))]) {
      expect(stepsIn(machine.receive(2, message)).every(({ truncateFrom }) => truncateFrom === undefined)).toBe(true)
    }
    expect(machine.terms).toEqual([1, 1, 1])
  })

  it('11. truncate and append are one durable step', () => {
    const runs = entries([3, 3], entries([1]))
    const machine = led({ entries: entries([1, 2, 2]), term: 3 })
    expect(machine.receive(2, append(3, [1, 1], runs))).toEqual([
      persists({ truncateFrom: 2, runs, lastIndex: 3, truncations: 1, messages: [{ to: 2, message: accepted(3, 3) }] }),
    ])
  })

  it('12. a follower advances commitIndex no further than what it has matched', () => {
    const machine = led({ entries: entries([1, 1, 1]) })
    for (const message of [heartbeat(1, 2, 3), append(1, [1, 1], [], 3), readIndexReply(1, 1, 3)])
      machine.receive(2, message)
    expect(machine.context.commitIndex).toBe(1)
    machine.receive(2, append(1, [3, 1], [], 3))
    expect(machine.context.commitIndex).toBe(3)
  })

  it('13. a completion for entries since truncated does not count towards a quorum', () => {
    const machine = led()
    machine.receive(2, append(1, [0, 0], entries([1, 1, 1])))
    machine.receive(3, append(2, [1, 1], entries([2], entries([1]))))
    expect(machine.writes).toHaveLength(3)
    machine.completeWrite()
    expect(machine.context.durable.index).toBeLessThanOrEqual(1)
    machine.completeWrites()
    expect(machine.context.durable.index).toBe(2)
  })

  it('13. nor does one for an index rewritten meanwhile (A-B-A)', () => {
    const [base] = entries([1])
    const machine = led()
    machine.receive(2, append(1, [0, 0], entries([1, 1])))
    machine.receive(3, append(2, [1, 1], entries([2], [base!])))
    machine.receive(2, append(3, [1, 1], entries([3], [base!])))
    // Index 2 has been written as term 1, 2 and 3, and only the last of these is in the log.
    expect(machine.terms).toEqual([1, 3])
    const last = machine.writes.length - 1
    for (let write = 0; write < last; write++) {
      machine.completeWrite()
      expect(machine.context.durable.index).toBeLessThan(2)
    }
    machine.completeWrite()
    expect(machine.context.durable.index).toBe(2)
  })

  it('13. a leader that was a follower does not count its own earlier write of the same index', () => {
    const machine = led({ configuration: FIVE })
    machine.receive(2, append(1, [0, 0], entries([1, 1])))
    machine.receive(3, append(2, [1, 1], entries([2], entries([1]))))
    machine.receive(2, { type: 'timeoutNow', term: 2 })
    const writes = machine.writes.length
    for (let write = 0; write < writes; write++) machine.completeWrite()
    for (const voter of [2, 3]) machine.receive(voter, voteReply(3, true))
    expect(machine.role).toBe('leader')
    for (const peer of [2, 3]) machine.receive(peer, accepted(3, 3))
    expect(machine.context.commitIndex).toBe(0)
    machine.completeWrites()
    expect(machine.context.commitIndex).toBe(3)
  })

  it('14. a success reply from before a log reversion does not count: a restarted peer is asked anew', () => {
    const machine = serving()
    machine.send({ type: 'peerUp', peer: 2, nonce: 1, storeId: '' })
    machine.propose(batch(1))
    machine.receive(2, accepted(1, 2))
    // It restarts without entry 2 before this leader's own write has completed.
    machine.send({ type: 'peerUp', peer: 2, nonce: 2, storeId: '' })
    machine.completeWrites()
    expect(machine.context.commitIndex).toBe(1)
    machine.receive(2, accepted(1, 2))
    expect(machine.context.commitIndex).toBe(2)
  })

  it('14. nor does one given to an earlier leadership of this very server', () => {
    const machine = elected({ entries: entries([1, 1]), term: 4 })
    machine.completeWrites()
    expect(machine.receive(2, accepted(4, 3))).toEqual([])
    expect(machine.receive(3, accepted(1, 3))).toEqual([])
    expect(machine.context.commitIndex).toBe(0)
  })

  it('15. after its disk fails, a leader does not reuse an index and term', () => {
    const machine = serving()
    machine.propose(batch(1))
    machine.send({ type: 'storageFailed', reason: 'EIO' })
    expect(machine.role).toBe('failed')
    expect(machine.advance(10 * T)).toEqual([])
    const back = restarted(machine)
    expect(back.terms).toEqual([1])
    back.advanceUntil(() => back.role === 'preCandidate')
    for (const voter of [2, 3]) back.receive(voter, preVoteReply(2, true))
    back.completeWrites()
    back.receive(2, voteReply(2, true))
    expect(back).toMatchObject({ role: 'leader', terms: [1, 2] })
  })

  it('16. a new leader’s no-op is durable before it counts', () => {
    const machine = elected()
    machine.receive(2, accepted(1, 1))
    expect(machine.context.commitIndex).toBe(0)
    expect(commitsIn(machine.completeWrite())).toMatchObject([{ index: 1, runs: [{ kind: 'noop' }] }])
  })
})

describe('scenarios that broke other Raft systems: reads', () => {
  it('30. ReadIndex is answered only after an entry of the leader’s own term is committed', () => {
    const machine = elected({ entries: entries([1, 1]) })
    machine.completeWrites()
    machine.read(1)
    machine.receive(3, { type: 'readIndex', term: 2, nonce: 5, id: 2, lease: true })
    for (const peer of [2, 3]) {
      expect(answersIn(machine.receive(peer, heartbeatReply(2, 1, 3)))).toEqual([])
      machine.receive(peer, accepted(2, 2))
    }
    expect(machine.context.commitIndex).toBe(0)
    machine.receive(2, accepted(2, 3))
    const effects = machine.receive(2, heartbeatReply(2, 2, 3))
    expect(answersIn(effects)).toEqual([{ type: 'readsReady', nonce: NONCE, id: 1, index: 3 }])
    expect(messagesIn(effects)).toContainEqual({
      to: 3,
      message: { type: 'readIndexReply', term: 2, nonce: 5, id: 2, index: 3 },
    })
  })

  it('31. a delayed ReadIndex reply cannot serve a stale read: it names the asking, and its term', () => {
    const machine = led()
    machine.read(1)
    machine.receive(3, heartbeat(2, 1))
    machine.completeWrites()
    machine.read(2)
    expect(machine.receive(2, readIndexReply(1, 1, 7))).toEqual([])
    expect(answersIn(machine.receive(3, readIndexReply(2, 2, 9)))).toEqual([
      { type: 'readsReady', nonce: NONCE, id: 2, index: 9 },
    ])
  })

  it('31. a retried ReadIndex request rides a round of its own, sent after it arrived', () => {
    const machine = serving()
    const ask: Message = { type: 'readIndex', term: 1, nonce: 5, id: 2, lease: false }
    machine.receive(3, ask)
    machine.receive(3, ask)
    machine.propose(batch(1))
    machine.completeWrites()
    machine.receive(2, accepted(1, 2))
    const answers = [2, 3].map((round) => ofType('readIndexReply', machine.receive(2, heartbeatReply(1, round, 2))))
    expect(answers.map((replies) => replies.map(({ message }) => message.index))).toEqual([[1], [2]])
  })

  it('32. a lease never outlives what the election timeout and the clock-drift bound allow', () => {
    const leader = serving()
    const voter = follower({ id: 2, term: 1 })
    voter.advance(leader.now - voter.now)
    const [beat] = messagesIn(leader.advance(HEARTBEAT_MS))
    const sentAt = leader.now
    voter.advance(HEARTBEAT_MS)
    voter.receive(1, beat!.message)
    leader.advance(HEARTBEAT_MS / 2)
    for (const { message } of messagesIn(voter.completeWrites())) leader.receive(2, message)
    const until = leader.context.leadership?.lease.until ?? 0
    expect(until).toBe(sentAt + LEASE_MS)
    // However much faster the voter's clock runs, by one part in ten at most, its promise outlives the lease.
    expect((voter.context.contact.promisedUntil - voter.now) * 0.9 + sentAt).toBeGreaterThanOrEqual(until)
  })

  it('32. also after a pause of the process: a lease is compared with the clock when the read is served', () => {
    const machine = serving()
    machine.advance(HEARTBEAT_MS)
    machine.receive(2, heartbeatReply(1, 2, 1))
    expect(holdsLease(machine.context, machine.now)).toBe(true)
    expect(holdsLease(machine.context, machine.now + 5 * T)).toBe(false)
    machine.advance(LEASE_MS)
    expect(answersIn(machine.read(1, true))).toEqual([])
  })

  it('40. a restarted voter does not help to depose a leader whose lease it had confirmed', () => {
    const voter = led({ id: 2, configuration: THREE })
    voter.receive(3, heartbeat(2, 1, 0, 2 * T))
    voter.completeWrites()
    const back = restarted(voter)
    for (const ms of [0, T, T - 1]) {
      back.advance(ms)
      expect(back.receive(1, requestVote(9, [9, 2]))).toEqual([])
      expect(back.receive(1, preVote(9, [9, 2]))).toEqual([])
      expect(back.role).toBe('follower')
    }
    back.advance(1)
    expect(back.now).toBe(2 * T)
    back.receive(1, requestVote(9, [9, 2]))
    expect(messagesIn(back.completeWrites())).toEqual([{ to: 1, message: voteReply(9, true) }])
  })

  it('40. it votes in a leadership transfer, by which the leader gave its lease up', () => {
    const back = new Machine({ term: 3, promiseMs: T })
    back.receive(2, requestVote(4, [0, 0], true))
    expect(messagesIn(back.completeWrites())).toEqual([{ to: 2, message: voteReply(4, true) }])
  })

  it('41. a TimeoutNow delayed past an aborted transfer does not lead to a stale lease read', () => {
    const leader = serving()
    const [timeoutNow] = messagesIn(leader.send({ type: 'transferLeadership', to: 2 }))
    for (let round = 2; round < 20; round++) {
      leader.advance(HEARTBEAT_MS)
      leader.receive(3, heartbeatReply(1, round, 1))
    }
    expect(leader.context.leadership?.transfer).toBeUndefined()
    // Only now does the message arrive, and its target may be elected at once with server 3's vote.
    const target = led({ id: 2, entries: leader.disk })
    target.receive(1, timeoutNow!.message)
    expect(target.role).toBe('candidate')
    expect(holdsLease(leader.context, leader.now)).toBe(false)
    expect(leader.read(1, true)).toEqual([sends([3, heartbeat(1, 20, 1)])])
  })
})
