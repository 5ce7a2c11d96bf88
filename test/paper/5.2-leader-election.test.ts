import { describe, expect, it } from 'vitest'
import {
  append,
  candidate,
  elected,
  entries,
  FIVE,
  follower,
  hardState,
  heartbeat,
  heartbeatReply,
  HEARTBEAT_MS,
  led,
  Machine,
  messagesIn,
  ofType,
  persists,
  preCandidate,
  preVoteReply,
  rejected,
  requestVote,
  sends,
  serving,
  stepsIn,
  T,
  voteReply,
} from '../machine-harness.js'

describe('§5.2: leader election', () => {
  it('when servers start up, they begin as followers', () => {
    const machine = new Machine()
    expect(machine.role).toBe('follower')
    expect(machine.advance(T - 1)).toEqual([])
  })

  it('a server remains a follower as long as it receives valid messages from a leader', () => {
    const machine = follower({ term: 1 })
    for (let round = 1; round <= 100; round++) {
      machine.receive(2, round % 2 === 0 ? heartbeat(1, round) : append(1, [0, 0]))
      machine.completeWrites()
      machine.advance(T - 1)
    }
    expect(machine).toMatchObject({ role: 'follower', term: 1 })
    expect(machine.context.leaderId).toBe(2)
  })

  it('if it receives no communication over the election timeout, it assumes that there is no leader', () => {
    const machine = led()
    const { electionTimeoutMs } = machine.context.chance
    machine.advance(electionTimeoutMs - 1)
    expect(machine.role).toBe('follower')
    machine.advance(1)
    expect(machine.role).toBe('preCandidate')
    expect(machine.context.leaderId).toBeUndefined()
  })

  it('to begin an election it increments its term, votes for itself and asks all the others in parallel', () => {
    const machine = preCandidate({ entries: entries([1, 2]), configuration: FIVE })
    machine.receive(2, preVoteReply(3, true))
    const effects = machine.receive(3, preVoteReply(3, true))
    const request = requestVote(3, [2, 2])
    expect(effects).toEqual([
      persists({
        hardState: hardState(3, 1),
        lastIndex: 2,
        messages: [2, 3, 4, 5].map((to) => ({ to, message: request })),
      }),
    ])
    expect(machine.completeWrites()).toEqual([sends([2, request], [3, request], [4, request], [5, request])])
  })

  it('a candidate wins if it receives votes from a majority of the servers in the full cluster for the same term', () => {
    const machine = candidate({ configuration: FIVE })
    machine.receive(4, voteReply(1, true))
    expect(machine.role).toBe('candidate')
    machine.receive(5, voteReply(1, true))
    expect(machine.role).toBe('leader')
  })

  it('votes of other terms, of strangers and of learners do not count', () => {
    const machine = candidate({ term: 4, configuration: { voters: [1, 2, 3], learners: [4] } })
    for (const [from, term] of [
      [2, 4],
      [4, 5],
      [9, 5],
    ] as const)
      machine.receive(from, voteReply(term, true))
    expect(machine.role).toBe('candidate')
  })

  it('a server votes for at most one candidate in a term, first come first served', () => {
    const machine = follower({ term: 3 })
    const vote = { to: 2, message: voteReply(4, true) }
    expect(machine.receive(2, requestVote(4))).toEqual([
      persists({ hardState: hardState(4), lastIndex: 0 }),
      persists({ hardState: hardState(4, 2), lastIndex: 0, messages: [vote] }),
    ])
    machine.completeWrites()
    expect(machine.receive(3, requestVote(4))).toEqual([sends([3, voteReply(4, false)])])
    expect(machine.context.hardState).toEqual(hardState(4, 2))
  })

  it('a candidate has voted for itself, and votes for no other in its term', () => {
    const machine = candidate()
    expect(machine.receive(2, requestVote(1))).toEqual([sends([2, voteReply(1, false)])])
    expect(machine.role).toBe('candidate')
  })

  it('a vote that was given restarts the election timer, one that was refused does not', () => {
    const granting = follower({ term: 3 })
    const refusing = follower({ entries: entries([3]) })
    for (const machine of [granting, refusing]) {
      machine.receive(3, heartbeatReply(4, 1, 0))
      machine.completeWrites()
      machine.advance(T - 1)
      machine.receive(2, requestVote(4))
      machine.advanceUntil(() => machine.role === 'preCandidate')
    }
    expect(granting.now - refusing.now).toBe(T - 1)
  })

  it('the new leader sends heartbeats to all other servers, to establish its authority', () => {
    const machine = candidate({ configuration: FIVE })
    machine.receive(2, voteReply(1, true))
    const effects = machine.receive(3, voteReply(1, true))
    const noop = stepsIn(effects)[0]?.runs ?? []
    const [appending, beating] = [append(1, [0, 0], noop), heartbeat(1, 1)]
    expect(effects).toEqual([
      persists({ runs: noop, lastIndex: 1 }),
      sends([2, appending], [3, appending], [4, appending], [5, appending]),
      sends([2, beating], [3, beating], [4, beating], [5, beating]),
    ])
    expect(noop).toMatchObject([{ kind: 'noop', term: 1, firstIndex: 1, count: 1 }])
  })

  it('a leader sends heartbeats periodically', () => {
    const machine = serving()
    for (const round of [2, 3, 4]) {
      const effects = machine.advance(HEARTBEAT_MS)
      expect(effects).toEqual([sends([2, heartbeat(1, round, 1)], [3, heartbeat(1, round, 1)])])
      machine.receive(2, heartbeatReply(1, round, 1))
    }
  })

  it.each([
    ['an AppendEntries', append(1, [0, 0])],
    ['a heartbeat', heartbeat(1, 1)],
  ])('%s of a leader whose term is at least as large as the candidate’s makes it a follower', (_, message) => {
    const machine = candidate()
    machine.receive(3, message)
    expect(machine.role).toBe('follower')
    expect(machine.context.leaderId).toBe(3)
    expect(machine.context.hardState).toMatchObject({ term: 1, votedFor: 1 })
  })

  it('if its term is smaller, the candidate rejects the message and remains a candidate', () => {
    const machine = candidate({ term: 4 })
    expect(machine.receive(3, append(4, [0, 0]))).toEqual([sends([3, rejected(5, 0, 0, 1)])])
    expect(machine.role).toBe('candidate')
  })

  it('if votes are split, each candidate times out and starts a new election in a higher term', () => {
    const machine = candidate({ configuration: FIVE })
    machine.receive(2, voteReply(1, true))
    machine.receive(3, voteReply(1, false))
    machine.receive(4, voteReply(1, false))
    machine.advanceUntil(() => machine.role !== 'candidate')
    for (const voter of [2, 3]) machine.receive(voter, preVoteReply(2, true))
    machine.completeWrites()
    expect(machine).toMatchObject({ role: 'candidate', term: 2 })
  })

  it('a candidate that a majority has refused waits as a follower', () => {
    const machine = candidate()
    machine.receive(2, voteReply(1, false))
    expect(machine.role).toBe('candidate')
    machine.receive(3, voteReply(1, false))
    expect(machine.role).toBe('follower')
    const since = machine.now
    machine.advanceUntil(() => machine.role === 'preCandidate')
    expect(machine.now - since).toBeGreaterThanOrEqual(T)
  })

  it('election timeouts are chosen randomly from [T, 2T), so that split votes are rare', () => {
    const drawn = Array.from({ length: 200 }, (_, seed) => new Machine({ seed }).context.chance.electionTimeoutMs)
    expect(Math.min(...drawn)).toBeGreaterThanOrEqual(T)
    expect(Math.max(...drawn)).toBeLessThan(2 * T)
    expect(Math.max(...drawn) - Math.min(...drawn)).toBeGreaterThan(0.9 * T)
    expect(new Set(drawn).size).toBeGreaterThan(190)
  })

  it('each candidate draws its election timeout anew at the start of an election', () => {
    const machine = candidate()
    const drawn = new Set<number>()
    for (let election = 0; election < 5; election++) {
      drawn.add(machine.context.chance.electionTimeoutMs)
      machine.advanceUntil(() => machine.role === 'preCandidate')
      for (const voter of [2, 3]) machine.receive(voter, preVoteReply(machine.term + 1, true))
      machine.completeWrites()
    }
    expect(drawn.size).toBe(5)
  })

  it('a server alone in its cluster elects itself at once, when its own vote is durable', () => {
    const machine = new Machine({ configuration: { voters: [1], learners: [] } })
    machine.advance(0)
    expect(machine.role).toBe('candidate')
    machine.completeWrite()
    expect(machine.role).toBe('leader')
    machine.completeWrite()
    expect(machine.context.commitIndex).toBe(1)
  })

  it('a learner never campaigns, but votes when asked', () => {
    const machine = new Machine({ configuration: { voters: [2, 3], learners: [1] } })
    expect(machine.advance(10 * T)).toEqual([])
    machine.receive(2, { type: 'timeoutNow', term: 1 })
    expect(machine.role).toBe('follower')
    machine.receive(2, requestVote(2))
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 2, message: voteReply(2, true) }])
  })

  it('in a joint configuration a majority of both halves must vote for the candidate', () => {
    const configuration = { voters: [1, 2, 3], votersOutgoing: [3, 4, 5], learners: [] }
    const machine = preCandidate({ configuration })
    for (const voter of [2, 3, 4]) machine.receive(voter, preVoteReply(1, true))
    machine.completeWrites()
    for (const voter of [2, 3]) machine.receive(voter, voteReply(1, true))
    expect(machine.role).toBe('candidate')
    machine.receive(4, voteReply(1, true))
    expect(machine.role).toBe('leader')
  })

  it('a leader knows itself as such, and asks nobody else who leads', () => {
    expect(elected().context.leaderId).toBe(1)
    expect(ofType('requestVote', elected().advance(HEARTBEAT_MS))).toEqual([])
  })
})
