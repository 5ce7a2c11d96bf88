import { describe, expect, it } from 'vitest'
import {
  accepted,
  answersIn,
  changing,
  FIVE,
  heartbeatReply,
  HEARTBEAT_MS,
  Machine,
  NONCE,
  serving,
  T,
} from '../machine-harness.js'

/** Heartbeats go on; `peers` answer each. */
function beat(machine: Machine, times: number, peers: readonly number[]): void {
  for (let time = 0; time < times; time++) {
    machine.advance(HEARTBEAT_MS)
    const { leadership, log } = machine.context
    if (leadership === undefined) return
    for (const peer of peers) machine.receive(peer, heartbeatReply(machine.term, leadership.round, log.lastIndex))
  }
}

describe('Thesis §6.2: a leader steps down if an election timeout elapses without a round to a majority', () => {
  it('with nobody answering it leads no longer than an election timeout and a heartbeat', () => {
    const machine = serving()
    const since = machine.now
    machine.advanceUntil(() => machine.role === 'follower')
    expect(machine.now - since).toBeGreaterThan(T)
    expect(machine.now - since).toBeLessThanOrEqual(T + HEARTBEAT_MS)
  })

  it('with a majority answering it leads on', () => {
    const machine = serving({ configuration: FIVE })
    beat(machine, 50, [2, 3])
    expect(machine).toMatchObject({ role: 'leader', term: 1 })
  })

  it('a minority, a learner or half of a joint configuration is not enough', () => {
    const minority = serving({ configuration: FIVE })
    beat(minority, 20, [2])
    const learner = serving({ configuration: { voters: [1, 2, 3], learners: [4] } })
    beat(learner, 20, [4])
    const half = changing()
    beat(half, 20, [2, 3])
    expect([minority.role, learner.role, half.role]).not.toContain('leader')
  })

  it('any answer in its term counts: one to an append as well as one to a heartbeat', () => {
    const machine = serving()
    for (let time = 0; time < 30; time++) {
      machine.advance(HEARTBEAT_MS)
      machine.receive(3, accepted(1, 1))
    }
    expect(machine.role).toBe('leader')
  })

  it('it keeps its term and its vote, and campaigns again only after an election timeout', () => {
    const machine = serving()
    machine.advanceUntil(() => machine.role === 'follower')
    expect(machine.context).toMatchObject({ hardState: { term: 1, votedFor: 1 }, leaderId: undefined })
    const since = machine.now
    machine.advanceUntil(() => machine.role === 'preCandidate')
    expect(machine.now - since).toBeGreaterThanOrEqual(T)
  })

  it('the clients whose reads wait learn that it no longer leads', () => {
    const machine = serving()
    machine.read(1)
    machine.read(2)
    machine.receive(2, { type: 'readIndex', term: 1, nonce: 5, id: 9, lease: false })
    const effects = machine.advanceUntil(() => machine.role === 'follower')
    expect(answersIn(effects)).toEqual([
      { type: 'readsRefused', nonce: NONCE, id: 1, reason: 'notLeader' },
      { type: 'readsRefused', nonce: NONCE, id: 2, reason: 'notLeader' },
    ])
    expect(effects).toContainEqual({
      type: 'sendMessages',
      messages: [{ to: 2, message: { type: 'readIndexReply', term: 1, nonce: 5, id: 9, index: undefined } }],
    })
  })

  it('a leader alone in its cluster needs nobody’s answer', () => {
    const machine = new Machine({ configuration: { voters: [1], learners: [2] } })
    machine.advance(0)
    machine.completeWrites()
    machine.advance(20 * T)
    expect(machine).toMatchObject({ role: 'leader', term: 1 })
  })
})
