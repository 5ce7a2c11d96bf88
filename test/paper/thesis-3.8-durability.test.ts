import { describe, expect, it } from 'vitest'
import {
  accepted,
  append,
  candidate,
  entries,
  follower,
  hardState,
  heartbeat,
  heartbeatReply,
  led,
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
  voteReply,
} from '../machine-harness.js'

/** The harness checks for every message of every test that it reveals nothing which the disk does not hold. */
describe('Thesis §3.8: persisted state is durable before it is visible', () => {
  it('a server persists its current term and vote before it grants the vote', () => {
    const machine = follower()
    const vote = { to: 2, message: voteReply(1, true) }
    expect(machine.receive(2, requestVote(1))).toEqual([
      persists({ hardState: hardState(1), lastIndex: 0 }),
      persists({ hardState: hardState(1, 2), lastIndex: 0, messages: [vote] }),
    ])
    expect(messagesIn(machine.completeWrite())).toEqual([])
    expect(messagesIn(machine.completeWrite())).toEqual([vote])
  })

  it('term and vote are one record, and a step changes it whole', () => {
    const machine = preCandidate({ term: 4, votedFor: 2 })
    machine.receive(2, preVoteReply(5, true))
    expect(machine.writes).toMatchObject([{ hardState: { term: 5, votedFor: 1 } }])
  })

  it('a candidate asks for votes only once its own vote is durable, and counts it only then', () => {
    const machine = preCandidate()
    expect(messagesIn(machine.receive(2, preVoteReply(1, true)))).toEqual([])
    machine.receive(2, voteReply(1, true))
    machine.receive(3, voteReply(1, true))
    expect(machine.role).toBe('candidate')
    expect(ofType('requestVote', machine.completeWrite()).map(({ to }) => to)).toEqual([2, 3])
    expect(machine.role).toBe('leader')
  })

  it('a server persists new entries before it confirms them', () => {
    const machine = led()
    expect(messagesIn(machine.receive(2, append(1, [0, 0], entries([1]))))).toEqual([])
    expect(machine.completeWrite()).toEqual([sends([2, accepted(1, 1)])])
  })

  it('a refusal, an answer to a heartbeat or to ReadIndex waits for the term that it shows', () => {
    const machine = follower({ term: 1 })
    machine.receive(3, voteReply(4, false))
    expect(machine.receive(2, heartbeat(4, 1, 0, 0))).toEqual([
      persists({ lastIndex: 0, messages: [{ to: 2, message: heartbeatReply(4, 1, 0) }] }),
    ])
    const ask = { type: 'readIndex', term: 3, nonce: NONCE, id: 1, lease: false } as const
    expect(messagesIn([...machine.receive(3, ask), ...machine.receive(3, requestVote(3))])).toEqual([])
    const replies = messagesIn(machine.completeWrites()).map(({ message }) => message.type)
    expect(replies).toEqual(['heartbeatReply', 'readIndexReply', 'requestVoteReply'])
  })

  it('a heartbeat in a term that is durable is answered without waiting for the entries under way', () => {
    const machine = led()
    machine.receive(2, append(1, [0, 0], entries([1, 1])))
    expect(machine.receive(2, heartbeat(1, 2))).toEqual([sends([2, heartbeatReply(1, 2, 2)])])
    expect(machine.writes).toHaveLength(1)
  })

  it('the first confirmation of a longer promise waits until the promise is durable', () => {
    const machine = follower({ term: 1 })
    const reply = { to: 2, message: heartbeatReply(1, 1, 0) }
    expect(machine.receive(2, heartbeat(1, 1))).toEqual([
      persists({ hardState: hardState(1, undefined, 1000), lastIndex: 0, messages: [reply] }),
    ])
    machine.completeWrites()
    expect(machine.receive(2, heartbeat(1, 2))).toEqual([sends([2, heartbeatReply(1, 2, 0)])])
  })

  it('a pre-vote of a term that is not durable waits for it', () => {
    const machine = follower()
    machine.receive(3, heartbeatReply(4, 1, 0))
    machine.advanceUntil(() => machine.role === 'preCandidate')
    const asked = preVote(5)
    expect(machine.completeWrites()).toEqual([sends([2, asked], [3, asked])])
  })

  it('the commitIndex need not be durable: it is learnt again', () => {
    expect(follower({ entries: entries([1, 1]) }).context.commitIndex).toBe(0)
  })

  it('when its store fails, the server does nothing more', () => {
    for (const machine of [follower(), candidate(), serving()]) {
      const effects = machine.send({ type: 'storageFailed', reason: 'EIO' })
      expect(effects).toEqual([{ type: 'notices', texts: ['EIO'] }])
      expect(machine.role).toBe('failed')
      expect(machine.actor.getSnapshot().status).toBe('done')
      expect(machine.advance(10_000)).toEqual([])
    }
  })
})
