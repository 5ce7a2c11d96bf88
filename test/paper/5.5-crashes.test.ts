import { describe, expect, it } from 'vitest'
import {
  accepted,
  append,
  batch,
  candidate,
  entries,
  follower,
  heartbeatReply,
  HEARTBEAT_MS,
  led,
  Machine,
  messagesIn,
  ofType,
  rejected,
  requestVote,
  sends,
  serving,
  stepsIn,
  T,
  voteReply,
} from '../machine-harness.js'

describe('§5.5: follower and candidate crashes', () => {
  it('if a follower crashes, the leader retries; when it restarts, the message completes', () => {
    const machine = serving()
    const [lost] = ofType('appendEntries', machine.propose(batch(1)))
    machine.completeWrites()
    machine.send({ type: 'peerDown', peer: 2 })
    expect(messagesIn(machine.advance(HEARTBEAT_MS)).map(({ to }) => to)).toEqual([3])
    // What was on its way may have arrived: it is asked before all is sent again.
    expect(machine.send({ type: 'peerUp', peer: 2, nonce: 2, storeId: '' })).toEqual([
      sends([2, append(1, [2, 1], [], 1)]),
    ])
    expect(messagesIn(machine.receive(2, rejected(1, 2, 0, 2)))).toEqual([lost])
  })

  it('a restarted follower is taken to have only what it answers for since: it may have lost what was not synced', () => {
    const machine = serving()
    machine.send({ type: 'peerUp', peer: 2, nonce: 1, storeId: '' })
    machine.receive(2, accepted(1, 1))
    machine.send({ type: 'peerDown', peer: 2 })
    machine.send({ type: 'peerUp', peer: 2, nonce: 1, storeId: '' })
    expect(machine.context.leadership?.progress.get(2)?.matchIndex).toBe(1)
    machine.send({ type: 'peerDown', peer: 2 })
    machine.send({ type: 'peerUp', peer: 2, nonce: 2, storeId: '' })
    expect(machine.context.leadership?.progress.get(2)?.matchIndex).toBe(0)
    expect(machine.context.commitIndex).toBe(1)
  })

  it('AppendEntries is idempotent: entries already in the log are ignored, and answered alike', () => {
    const machine = led()
    const message = append(1, [0, 0], entries([1, 1]))
    const first = [...machine.receive(2, message), ...machine.completeWrites()]
    const again = machine.receive(2, message)
    expect(stepsIn(again)).toEqual([])
    expect(messagesIn(again)).toEqual(messagesIn(first))
  })

  it('one repeated before its entries are durable is answered when they are, and not written twice', () => {
    const machine = led()
    const message = append(1, [0, 0], entries([1, 1]))
    machine.receive(2, message)
    expect(stepsIn(machine.receive(2, message))).toMatchObject([{ runs: [], messages: [{ message: accepted(1, 2) }] }])
    expect(messagesIn(machine.completeWrites())).toEqual([1, 2].map(() => ({ to: 2, message: accepted(1, 2) })))
    expect(machine.disk).toHaveLength(2)
  })

  it('RequestVote is idempotent: a repeated one is granted again, and no other', () => {
    const machine = follower({ term: 3 })
    machine.receive(2, requestVote(4))
    machine.completeWrites()
    expect(machine.receive(2, requestVote(4))).toEqual([sends([2, voteReply(4, true)])])
    expect(machine.receive(3, requestVote(4))).toEqual([sends([3, voteReply(4, false)])])
  })

  it('a server that crashed after voting, and before it answered, votes for the same candidate once it is back', () => {
    const machine = new Machine({ term: 4, votedFor: 2 })
    machine.advance(T)
    expect(machine.receive(3, requestVote(4))).toEqual([sends([3, voteReply(4, false)])])
    expect(machine.receive(2, requestVote(4))).toEqual([sends([2, voteReply(4, true)])])
  })

  it('a candidate or leader that crashed comes back as a follower, and leads no more in its old term', () => {
    const machine = new Machine({ term: 4, votedFor: 1, entries: entries([4]) })
    expect(machine.role).toBe('follower')
    machine.receive(2, voteReply(4, true))
    machine.receive(3, voteReply(4, true))
    expect(machine.role).toBe('follower')
  })

  it('if the peers do not answer a candidate, it asks them again, in a higher term once they would vote for it', () => {
    const machine = candidate()
    machine.advanceUntil(() => machine.role === 'preCandidate')
    expect(ofType('preVote', machine.advance(2 * T)).map(({ to, message }) => [to, message.term])).toEqual([
      [2, 2],
      [3, 2],
    ])
  })

  it('an append that was lost is sent again once the peer has answered heartbeats, but not it, for half an election timeout', () => {
    const machine = serving()
    const [lost] = ofType('appendEntries', machine.propose(batch(1)))
    machine.completeWrites()
    machine.advance(T / 2)
    expect(ofType('appendEntries', machine.receive(2, heartbeatReply(1, 2, 1)))).toEqual([])
    machine.advance(1)
    expect(ofType('appendEntries', machine.receive(2, heartbeatReply(1, 3, 1)))).toEqual([lost])
  })
})
