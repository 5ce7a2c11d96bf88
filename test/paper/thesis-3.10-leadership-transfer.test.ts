import { describe, expect, it } from 'vitest'
import type { Message } from '../../src/machines/messages.js'
import type { Machine } from '../machine-harness.js'
import {
  accepted,
  answersIn,
  batch,
  commandBytes,
  entries,
  HEARTBEAT_MS,
  hardState,
  heartbeatReply,
  led,
  messagesIn,
  NONCE,
  ofType,
  persists,
  requestVote,
  sends,
  serving,
  T,
  voteReply,
} from '../machine-harness.js'

const timeoutNow = (term: number): Message => ({ type: 'timeoutNow', term })
const transfer = (machine: Machine, to?: number) => machine.send({ type: 'transferLeadership', to })

/** Leads in term 2; server 3 lacks the last entry. */
function behind(): Machine {
  const machine = serving({ term: 1 })
  machine.propose(batch(1))
  machine.completeWrites()
  machine.receive(2, accepted(2, 2))
  return machine
}

describe('Thesis §3.10: leadership transfer', () => {
  it('1. the prior leader stops accepting new client requests', () => {
    const machine = behind()
    transfer(machine, 3)
    expect(machine.propose(batch(2))).toEqual([
      {
        type: 'answerRequests',
        answers: [{ type: 'proposalsRefused', nonce: NONCE, batch: 2, reason: 'transferring' }],
      },
    ])
    const forwarded = { type: 'propose', term: 2, nonce: 5, batch: 1, count: 1, bytes: commandBytes(1) } as const
    const refusal = { type: 'proposeReply', term: 2, nonce: 5, batch: 1, refused: 'notLeader' } as const
    expect(machine.receive(3, forwarded)).toEqual([sends([3, refusal])])
  })

  it('2. it fully updates the target server’s log to match its own, 3. and then sends TimeoutNow, once', () => {
    const machine = behind()
    expect(transfer(machine, 3)).toEqual([])
    expect(machine.receive(2, accepted(2, 2))).toEqual([])
    expect(machine.receive(3, accepted(2, 2))).toEqual([sends([3, timeoutNow(2)])])
    expect(machine.receive(3, accepted(2, 2))).toEqual([])
  })

  it('a target that has every entry is told at once', () => {
    expect(transfer(behind(), 2)).toEqual([sends([2, timeoutNow(2)])])
  })

  it('asked for no one in particular, it chooses the voter within reach that matches most', () => {
    expect(messagesIn(transfer(behind()))).toEqual([{ to: 2, message: timeoutNow(2) }])
    const cutOff = behind()
    cutOff.send({ type: 'peerDown', peer: 2 })
    transfer(cutOff)
    expect(cutOff.context.leadership?.transfer?.to).toBe(3)
  })

  it('it hands over to no learner, no stranger, and nobody out of reach', () => {
    const machine = serving({ configuration: { voters: [1, 2, 3], learners: [4] } })
    machine.send({ type: 'peerDown', peer: 3 })
    for (const to of [1, 3, 4, 9]) transfer(machine, to)
    expect(machine.context.leadership?.transfer).toBeUndefined()
  })

  it('the target starts a new election at once, without waiting for an election timeout or asking for pre-votes', () => {
    const machine = led({ entries: entries([1, 1]) })
    const request = requestVote(2, [2, 1], true)
    const messages = [2, 3].map((to) => ({ to, message: request }))
    expect(machine.receive(2, timeoutNow(1))).toEqual([
      persists({ hardState: hardState(2, 1, T), lastIndex: 2, messages }),
    ])
    expect(machine.role).toBe('candidate')
  })

  it('the others vote for it though they hear from a living leader', () => {
    const machine = led({ id: 3 })
    machine.receive(1, requestVote(2, [0, 0], true))
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 1, message: voteReply(2, true) }])
  })

  it('the prior leader steps down and votes for it too', () => {
    const machine = behind()
    transfer(machine, 2)
    machine.receive(2, requestVote(3, [2, 2], true))
    expect(machine.role).toBe('follower')
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 2, message: voteReply(3, true) }])
  })

  it('only that one campaign carries the exemption: the next is an ordinary one', () => {
    const machine = led()
    machine.receive(2, timeoutNow(1))
    machine.completeWrites()
    machine.advanceUntil(() => machine.role === 'preCandidate')
    for (const from of [2, 3]) machine.receive(from, { type: 'preVoteReply', term: 3, granted: true })
    expect(ofType('requestVote', machine.completeWrites()).map(({ message }) => message.leadershipTransfer)).toEqual([
      false,
      false,
    ])
  })

  it('if it does not complete after about an election timeout, the leader resumes client requests', () => {
    const machine = behind()
    transfer(machine, 3)
    for (let round = 2; round < 12; round++) {
      machine.advance(HEARTBEAT_MS)
      machine.receive(2, heartbeatReply(2, round, 2))
      expect(machine.context.leadership?.transfer === undefined).toBe(round === 11)
    }
    expect(answersIn(machine.propose(batch(2)))).toEqual([])
    expect(machine.terms).toEqual([2, 2, 2])
  })

  it('TimeoutNow of an earlier term starts nothing', () => {
    const machine = led({ term: 3 })
    expect(machine.receive(2, timeoutNow(2))).toEqual([])
    expect(machine.role).toBe('follower')
  })
})
