import { describe, expect, it } from 'vitest'
import {
  append,
  follower,
  heartbeat,
  led,
  Machine,
  messagesIn,
  preVote,
  requestVote,
  serving,
  T,
  voteReply,
} from '../machine-harness.js'

describe('Thesis §4.2.3: disruptive servers', () => {
  it.each([
    ['a vote', requestVote(9, [9, 9])],
    ['a pre-vote', preVote(9, [9, 9])],
  ])(
    'a server that heard from a leader within the minimum election timeout neither grants %s nor updates its term',
    (_, request) => {
      const machine = led()
      const before = machine.context
      machine.advance(T - 1)
      expect(machine.receive(3, request)).toEqual([])
      expect(machine.context).toMatchObject({ hardState: before.hardState, leaderId: 2 })
    },
  )

  it('AppendEntries counts as hearing from the leader, as a heartbeat does', () => {
    const machine = follower({ term: 1 })
    machine.receive(2, append(1, [0, 0]))
    machine.advance(T - 1)
    expect(machine.receive(3, requestVote(9))).toEqual([])
  })

  it('once that time is over it votes, even before its own election timeout has run out', () => {
    const machine = led()
    machine.advance(T)
    expect(machine.role).toBe('follower')
    machine.receive(3, requestVote(9))
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 3, message: voteReply(9, true) }])
  })

  it('a leader hears no campaign as long as it leads', () => {
    const machine = serving()
    for (const from of [2, 3, 9]) {
      expect(machine.receive(from, requestVote(9, [9, 9]))).toEqual([])
      expect(machine.receive(from, preVote(9, [9, 9]))).toEqual([])
    }
    expect(machine).toMatchObject({ role: 'leader', term: 1 })
  })

  it('a campaign that the leader itself asked for is heard: its request says so', () => {
    for (const machine of [led(), serving({ term: 0 })]) {
      machine.receive(3, requestVote(2, [9, 9], true))
      expect(messagesIn(machine.completeWrites())).toEqual([{ to: 3, message: voteReply(2, true) }])
    }
  })

  it('a restarted server grants no vote for an election timeout: it may have heard from a leader just before', () => {
    const machine = new Machine({ term: 3 })
    machine.advance(T - 1)
    expect(machine.receive(2, requestVote(4))).toEqual([])
    expect(machine.receive(2, preVote(4))).toEqual([])
    machine.advance(1)
    machine.receive(2, requestVote(4))
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 2, message: voteReply(4, true) }])
  })

  it('one that had promised its leader longer keeps that promise', () => {
    const machine = new Machine({ term: 3, promiseMs: 3 * T })
    machine.advance(3 * T - 1)
    expect(machine.receive(2, requestVote(4))).toEqual([])
    expect(machine.role).toBe('follower')
  })

  it('one that never was in a term has promised nothing, so that a new cluster elects at once', () => {
    const machine = new Machine()
    machine.receive(2, requestVote(1))
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 2, message: voteReply(1, true) }])
  })

  it('a shorter promise takes nothing back from a longer one', () => {
    const machine = follower({ term: 1 })
    machine.receive(2, heartbeat(1, 1, 0, 3 * T))
    machine.receive(2, heartbeat(1, 2, 0, T))
    machine.advance(3 * T - 1)
    expect(machine.receive(3, requestVote(2))).toEqual([])
  })
})
