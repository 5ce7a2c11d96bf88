import { describe, expect, it } from 'vitest'
import { holdsLease } from '../../src/machines/leadership.js'
import type { Message } from '../../src/machines/messages.js'
import {
  accepted,
  answersIn,
  batch,
  changing,
  elected,
  FIVE,
  heartbeat,
  heartbeatReply,
  HEARTBEAT_MS,
  LEASE_MS,
  led,
  Machine,
  messagesIn,
  NONCE,
  ofType,
  sends,
  serving,
  T,
} from '../machine-harness.js'

const ready = (id: number, index: number) => ({ type: 'readsReady', nonce: NONCE, id, index })
const readIndex = (id: number, lease = false): Message => ({ type: 'readIndex', term: 1, nonce: 5, id, lease })
const answered = (id: number, index: number | undefined, term = 1): Message => {
  return { type: 'readIndexReply', term, nonce: 5, id, index }
}
const roundOf = (machine: Machine) => machine.context.leadership?.round ?? 0

describe('Thesis §6.4: read-only queries', () => {
  it('1. a leader that has not yet committed an entry of its term waits until it has', () => {
    const machine = elected()
    expect(machine.read(1)).toEqual([])
    machine.completeWrites()
    machine.receive(2, heartbeatReply(1, roundOf(machine), 1))
    const effects = machine.receive(2, accepted(1, 1))
    expect(ofType('heartbeat', effects).map(({ message }) => message.round)).toEqual([2])
    expect(answersIn(effects)).toEqual([])
    expect(answersIn(machine.receive(2, heartbeatReply(1, 2, 1)))).toEqual([ready(1, 1)])
  })

  it('nor may a read ride a heartbeat round that began before that entry was committed', () => {
    const machine = elected()
    machine.completeWrites()
    machine.read(1)
    machine.advance(HEARTBEAT_MS)
    expect(answersIn(machine.receive(2, heartbeatReply(1, 2, 1)))).toEqual([])
    machine.receive(2, accepted(1, 1))
    expect(answersIn(machine.receive(2, heartbeatReply(1, 2, 1)))).toEqual([])
    expect(answersIn(machine.receive(2, heartbeatReply(1, 3, 1)))).toEqual([ready(1, 1)])
  })

  it('2. it saves its current commit index, 3. and issues a round of heartbeats that a majority must answer', () => {
    const machine = serving({ configuration: FIVE })
    const beat = heartbeat(1, 2, 1)
    // No more than a majority is asked, those that answered last; the next heartbeat asks everyone.
    const asked = messagesIn(machine.read(7))
    expect(asked.map(({ message }) => message)).toEqual([beat, beat])
    machine.propose(batch(1))
    machine.completeWrites()
    for (const peer of [2, 3]) machine.receive(peer, accepted(1, 2))
    expect(machine.context.commitIndex).toBe(2)
    expect(answersIn(machine.receive(2, heartbeatReply(1, 2, 2)))).toEqual([])
    expect(answersIn(machine.receive(3, heartbeatReply(1, 2, 2)))).toEqual([ready(7, 1)])
  })

  it('a read does not ride a round that was sent before it arrived', () => {
    const machine = serving()
    machine.advance(HEARTBEAT_MS)
    machine.read(1)
    expect(answersIn(machine.receive(2, heartbeatReply(1, 2, 1)))).toEqual([])
    expect(answersIn(machine.receive(2, heartbeatReply(1, 3, 1)))).toEqual([ready(1, 1)])
  })

  it('one round serves all reads that have accumulated; those that arrive meanwhile share the next', () => {
    const machine = serving()
    expect(ofType('heartbeat', machine.read(1))).toHaveLength(1)
    expect([...machine.read(2), ...machine.read(3)]).toEqual([])
    const effects = machine.receive(3, heartbeatReply(1, 2, 1))
    expect(answersIn(effects)).toEqual([ready(1, 1)])
    expect(ofType('heartbeat', effects).map(({ message }) => message.round)).toEqual([3])
    expect(answersIn(machine.receive(3, heartbeatReply(1, 3, 1)))).toEqual([ready(2, 1), ready(3, 1)])
  })

  it('a round whose answers are lost is followed by the next heartbeat, which serves its reads too', () => {
    const machine = serving()
    machine.read(1)
    machine.read(2)
    machine.advance(HEARTBEAT_MS)
    expect(answersIn(machine.receive(2, heartbeatReply(1, 3, 1)))).toEqual([ready(1, 1), ready(2, 1)])
  })

  it('learners, strangers and one half of a joint configuration confirm nothing', () => {
    const machine = changing()
    machine.read(1)
    for (const peer of [6, 9, 2, 3]) expect(answersIn(machine.receive(peer, heartbeatReply(1, 2, 1)))).toEqual([])
    expect(answersIn(machine.receive(5, heartbeatReply(1, 2, 1)))).toEqual([ready(1, 1)])
  })

  it('a leader alone in its cluster answers at once', () => {
    const machine = new Machine({ configuration: { voters: [1], learners: [] } })
    machine.advance(0)
    machine.completeWrite()
    expect(machine.read(1)).toEqual([])
    expect(answersIn(machine.completeWrite())).toEqual([ready(1, 1)])
    expect(answersIn(machine.read(2))).toEqual([ready(2, 1)])
  })

  it('a follower asks the leader for a current read index, and hands it on to its clients', () => {
    const machine = led()
    expect(machine.read(4)).toEqual([sends([2, { type: 'readIndex', term: 1, nonce: NONCE, id: 4, lease: false }])])
    const reply: Message = { type: 'readIndexReply', term: 1, nonce: NONCE, id: 4, index: 9 }
    expect(machine.receive(2, reply)).toEqual([{ type: 'answerRequests', answers: [ready(4, 9)] }])
  })

  it('a leader answers a follower’s query as it does its own clients’', () => {
    const machine = serving()
    expect(ofType('heartbeat', machine.receive(3, readIndex(8)))).toHaveLength(1)
    expect(messagesIn(machine.receive(2, heartbeatReply(1, 2, 1)))).toEqual([{ to: 3, message: answered(8, 1) }])
  })

  it('who does not lead refuses, and a server that knows no leader says so', () => {
    expect(led().receive(3, readIndex(8))).toEqual([sends([3, answered(8, undefined)])])
    expect(answersIn(new Machine().read(1))).toEqual([
      { type: 'readsRefused', nonce: NONCE, id: 1, reason: 'noLeader' },
    ])
  })

  it('reads that wait on a leader are refused when it is deposed', () => {
    const machine = serving()
    machine.receive(3, readIndex(8))
    machine.read(1)
    const effects = machine.receive(2, heartbeat(5, 1))
    expect(answersIn(effects)).toEqual([{ type: 'readsRefused', nonce: NONCE, id: 1, reason: 'notLeader' }])
    expect(messagesIn(machine.completeWrites())).toContainEqual({ to: 3, message: answered(8, undefined, 5) })
  })
})

describe('Thesis §6.4.1: using clocks to reduce messaging for read-only queries', () => {
  /** A leader whose round 2, sent at `now`, server 2 has confirmed. */
  function leased(): Machine {
    const machine = serving()
    machine.advance(HEARTBEAT_MS)
    machine.receive(2, heartbeatReply(1, 2, 1))
    return machine
  }

  it('once a majority has acknowledged a heartbeat, the leader extends its lease from when it was sent', () => {
    const machine = serving()
    machine.advance(HEARTBEAT_MS)
    const sentAt = machine.now
    machine.advance(HEARTBEAT_MS / 2)
    machine.receive(2, heartbeatReply(1, 2, 1))
    expect(machine.context.leadership?.lease.until).toBe(sentAt + LEASE_MS)
  })

  it('during the lease the leader answers reads that allow it without communication', () => {
    const machine = leased()
    expect(machine.read(1, true)).toEqual([{ type: 'answerRequests', answers: [ready(1, 1)] }])
    expect(messagesIn(machine.receive(3, readIndex(8, true)))).toEqual([{ to: 3, message: answered(8, 1) }])
  })

  it('a linearizable read asks a quorum all the same', () => {
    const machine = leased()
    expect(answersIn(machine.read(1))).toEqual([])
  })

  it('the lease ends by the drift bound before the promise that it stands on, and then a lease read asks a quorum', () => {
    const machine = leased()
    const { now } = machine
    expect(holdsLease(machine.context, now + LEASE_MS - 1)).toBe(true)
    expect(holdsLease(machine.context, now + LEASE_MS)).toBe(false)
    machine.advance(LEASE_MS)
    expect(answersIn(machine.read(1, true))).toEqual([])
    expect(answersIn(machine.receive(2, heartbeatReply(1, roundOf(machine), 1)))).toEqual([ready(1, 1)])
  })

  it('every heartbeat asks its receiver to elect no one else for an election timeout', () => {
    const promised = ofType('heartbeat', serving().advance(HEARTBEAT_MS)).map(({ message }) => message.promiseMs)
    expect(promised).toEqual([T, T])
    expect(LEASE_MS).toBeLessThan(T)
  })

  it('a minority, a learner and half of a joint configuration give no lease', () => {
    const answer = (machine: Machine, ...peers: readonly number[]) => {
      machine.advance(HEARTBEAT_MS)
      for (const peer of peers) machine.receive(peer, heartbeatReply(1, 2, 1))
      return holdsLease(machine.context, machine.now)
    }
    expect(answer(serving({ configuration: FIVE }), 2)).toBe(false)
    expect(answer(serving({ configuration: { voters: [1, 2, 3], learners: [4] } }), 4)).toBe(false)
    expect(answer(changing(), 2, 3)).toBe(false)
    expect(answer(changing(), 2, 4)).toBe(true)
  })

  it('a leader whose no-op is not committed has no lease to read by', () => {
    const machine = elected()
    machine.receive(2, heartbeatReply(1, 1, 1))
    expect(holdsLease(machine.context, machine.now)).toBe(false)
    expect(answersIn(machine.read(1, true))).toEqual([])
  })

  it('an old round confirmed late gives no longer a lease than it had', () => {
    const machine = serving()
    machine.advance(5 * HEARTBEAT_MS)
    machine.receive(2, heartbeatReply(1, 2, 1))
    expect(machine.context.leadership?.lease.until).toBe(machine.now - 4 * HEARTBEAT_MS + LEASE_MS)
  })

  it('a round that was never sent confirms nothing', () => {
    const machine = serving()
    machine.receive(2, heartbeatReply(1, 99, 1))
    expect(holdsLease(machine.context, machine.now)).toBe(false)
  })

  it('many rounds in a short time give a lease from no later than each was sent', () => {
    const machine = serving()
    for (let round = 2; round < 200; round++) {
      const sentAt = machine.now
      machine.read(round)
      machine.receive(2, heartbeatReply(1, round, 1))
      const until = machine.context.leadership?.lease.until ?? 0
      expect(until).toBeLessThanOrEqual(sentAt + LEASE_MS)
      expect(until).toBeGreaterThan(sentAt + LEASE_MS - HEARTBEAT_MS / 2)
      machine.advance(3)
      if (roundOf(machine) !== round) break
    }
  })

  it('once leadership is being handed over there is no lease for the rest of the term', () => {
    const machine = leased()
    machine.send({ type: 'transferLeadership', to: 2 })
    expect(holdsLease(machine.context, machine.now)).toBe(false)
    for (let round = 3; round < 20; round++) {
      machine.advance(HEARTBEAT_MS)
      machine.receive(2, heartbeatReply(1, round, 1))
    }
    expect(machine.context.leadership?.transfer).toBeUndefined()
    expect(holdsLease(machine.context, machine.now)).toBe(false)
  })
})
