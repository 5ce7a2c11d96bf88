import { describe, expect, it } from 'vitest'
import type { Message } from '../../src/machines/messages.js'
import {
  accepted,
  append,
  candidate,
  commandBytes,
  follower,
  hardState,
  heartbeat,
  heartbeatReply,
  messagesIn,
  NONCE,
  persists,
  preCandidate,
  preVote,
  preVoteReply,
  rejected,
  requestVote,
  sends,
  serving,
  stepsIn,
  voteReply,
} from '../machine-harness.js'

const readIndex = (term: number): Message => ({ type: 'readIndex', term, nonce: NONCE, id: 1, lease: false })
const propose = (term: number): Message => ({
  type: 'propose',
  term,
  nonce: NONCE,
  batch: 1,
  count: 1,
  bytes: commandBytes(1),
})
const readIndexReply = (term: number): Message => ({ type: 'readIndexReply', term, nonce: NONCE, id: 1, index: 0 })
const proposeReply = (term: number): Message => ({
  type: 'proposeReply',
  term,
  nonce: NONCE,
  batch: 1,
  refused: 'busy',
})

/** Every kind of message that carries its sender's own term. */
const SHOWING: readonly ((term: number) => Message)[] = [
  (term) => requestVote(term),
  (term) => voteReply(term, false),
  (term) => preVoteReply(term, false),
  (term) => append(term, [0, 0]),
  (term) => accepted(term, 0),
  (term) => rejected(term, 1, 0, 1),
  (term) => heartbeat(term, 1),
  (term) => heartbeatReply(term, 1, 0),
  (term) => ({ type: 'timeoutNow', term }),
  readIndex,
  readIndexReply,
  propose,
  proposeReply,
]

describe('§5.1: terms act as a logical clock', () => {
  it.each(SHOWING.map((make) => [make(5).type, make(5)] as const))(
    'if one server’s current term is smaller than the other’s, it updates it to the larger value: %s',
    (_, message) => {
      const machine = follower({ term: 2, votedFor: 3 })
      const effects = machine.receive(2, message)
      expect(machine.term).toBeGreaterThanOrEqual(5)
      expect(stepsIn(effects)[0]).toEqual({
        hardState: hardState(5),
        runs: [],
        messages: [],
        lastIndex: 0,
        truncations: 0,
      })
    },
  )

  it.each(
    SHOWING.filter((make) => make(9).type !== 'timeoutNow' && make(9).type !== 'requestVote').map(
      (make) => [make(9).type, make(9)] as const,
    ),
  )(
    'if a candidate or leader discovers that its term is out of date, it immediately reverts to follower: %s',
    (_, message) => {
      for (const machine of [preCandidate({ term: 2 }), candidate({ term: 2 }), serving({ term: 2 })]) {
        machine.receive(2, message)
        expect(machine.role).toBe('follower')
        expect(machine.context.hardState).toMatchObject({ term: 9, votedFor: undefined })
        expect(machine.context.leadership).toBeUndefined()
      }
    },
  )

  it('the larger term is durable before any message shows it', () => {
    const machine = follower({ term: 2 })
    const effects = machine.receive(2, append(5, [7, 4]))
    expect(messagesIn(effects)).toEqual([])
    expect(machine.completeWrite()).toEqual([])
    expect(machine.completeWrite()).toEqual([sends([2, rejected(5, 7, 0, 1)])])
  })

  it.each<readonly [string, Message, Message]>([
    ['requestVote', requestVote(2, [9, 2]), voteReply(3, false)],
    ['preVote', preVote(2, [9, 2]), preVoteReply(3, false)],
    ['appendEntries', append(2, [4, 2]), rejected(3, 4, 0, 1)],
    ['heartbeat', heartbeat(2, 6), heartbeatReply(3, 6, 0)],
    ['readIndex', readIndex(2), { type: 'readIndexReply', term: 3, nonce: NONCE, id: 1, index: undefined }],
  ])('a server that receives a request with a stale term number rejects it, with its own: %s', (_, request, reply) => {
    const machine = follower({ term: 3 })
    const before = machine.context
    expect(machine.receive(2, request)).toEqual([sends([2, reply])])
    expect(machine.context).toMatchObject({ hardState: before.hardState, contact: before.contact, leaderId: undefined })
  })

  it('but for a proposal of a term that it may have led, before a restart too: it may have appended it then', () => {
    const refusal: Message = { type: 'proposeReply', term: 5, nonce: NONCE, batch: 1, refused: 'notLeader' }
    const machine = follower({ term: 3 })
    expect(machine.receive(2, propose(2))).toEqual([])
    machine.receive(2, append(5, [0, 0]))
    machine.completeWrites()
    expect(machine.receive(2, propose(3))).toEqual([])
    expect(machine.receive(2, propose(4))).toEqual([sends([2, refusal])])
  })

  it.each([
    ['requestVoteReply', voteReply(2, true)],
    ['preVoteReply', preVoteReply(2, true)],
    ['appendEntriesReply', accepted(2, 1)],
    ['heartbeatReply', heartbeatReply(2, 1, 1)],
    ['readIndexReply', readIndexReply(2)],
    ['proposeReply', proposeReply(2)],
    ['timeoutNow', { type: 'timeoutNow', term: 2 } as const],
  ])('an answer of a stale term says nothing any more: %s', (_, reply) => {
    for (const machine of [follower({ term: 3 }), candidate({ term: 2 }), serving({ term: 2 })]) {
      const before = machine.context
      expect(machine.receive(2, reply)).toEqual([])
      expect(machine.context).toBe(before)
    }
  })

  it('the term is kept across restarts: what is durable is where a server begins again', () => {
    expect(follower({ term: 7, votedFor: 2 }).context.hardState).toEqual(hardState(7, 2))
  })

  it('a server that has only adopted a term has voted for nobody in it', () => {
    const machine = follower({ term: 2, votedFor: 3 })
    machine.receive(3, heartbeatReply(5, 1, 0))
    machine.completeWrites()
    const effects = machine.receive(2, requestVote(5))
    expect(effects).toEqual([
      persists({ hardState: hardState(5, 2), lastIndex: 0, messages: [{ to: 2, message: voteReply(5, true) }] }),
    ])
  })
})
