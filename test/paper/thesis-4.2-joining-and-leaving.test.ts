import { describe, expect, it } from 'vitest'
import type { Member } from '../../src/machines/types.js'
import {
  accepted,
  answersIn,
  append,
  batch,
  configurationRun,
  elected,
  entries,
  follower,
  heartbeat,
  heartbeatReply,
  HEARTBEAT_MS,
  led,
  messagesIn,
  NONCE,
  ofType,
  preCandidate,
  preVote,
  requestVote,
  serving,
  SETTINGS,
  T,
  type Machine,
} from '../machine-harness.js'

const [first] = entries([1])
const PROMOTABLE: Member = { id: 4, address: 'four:1', promotable: true }
const notMember = (index: number, term = 1) => ({ type: 'notMember', term, index }) as const

/** Heartbeats go on for so long; `peers` answer each, with all they were sent when `have` says so. */
function beat(machine: Machine, ms: number, peers: readonly number[], matchIndex?: number): void {
  for (let passed = 0; passed < ms && machine.role === 'leader'; passed += HEARTBEAT_MS) {
    machine.advance(HEARTBEAT_MS)
    machine.completeWrites()
    const { leadership, log } = machine.context
    for (const peer of peers) {
      machine.receive(peer, heartbeatReply(machine.term, leadership?.round ?? 0, log.lastIndex))
      if (matchIndex !== undefined) machine.receive(peer, accepted(machine.term, matchIndex))
    }
  }
}

function withLearner(member: Member = PROMOTABLE): Machine {
  return serving({ configuration: { voters: [1, 2, 3], learners: [4], members: [member] } })
}

describe('Thesis §4.2.1: a new server catches up before it votes', () => {
  it('a promotable learner becomes a voter once it has been caught up for as long as is asked', () => {
    const machine = withLearner()
    beat(machine, SETTINGS.promotionAfterMs - HEARTBEAT_MS, [2, 3, 4])
    expect(machine.configurations).toHaveLength(1)
    beat(machine, 3 * HEARTBEAT_MS, [2, 3, 4])
    expect(machine.configurations.at(-1)?.configuration).toEqual({
      voters: [1, 2, 3, 4],
      votersOutgoing: [1, 2, 3],
      learners: [],
      // A voter is no longer promotable.
      members: [{ id: 4, address: 'four:1' }],
    })
  })

  it('one that falls behind, or out of reach, begins to count anew', () => {
    const behind = withLearner()
    beat(behind, T, [2, 3, 4])
    for (let id = 0; id <= SETTINGS.promotionLagEntries; id++) behind.propose(batch(id))
    beat(behind, T, [2, 3, 4])
    behind.receive(4, accepted(1, behind.context.log.lastIndex))
    beat(behind, SETTINGS.promotionAfterMs, [2, 3, 4])
    const silent = withLearner()
    beat(silent, 4 * SETTINGS.promotionAfterMs, [2, 3])
    const down = withLearner()
    down.send({ type: 'peerDown', peer: 4 })
    beat(down, 4 * SETTINGS.promotionAfterMs, [2, 3])
    for (const machine of [behind, silent, down]) expect(machine.configurations).toHaveLength(1)
  })

  it('one that never answered an append is not caught up, however short the log', () => {
    const machine = elected({ configuration: { voters: [1, 2, 3], learners: [4], members: [PROMOTABLE] } })
    machine.completeWrites()
    for (const peer of [2, 3]) machine.receive(peer, accepted(1, 1))
    beat(machine, 2 * SETTINGS.promotionAfterMs, [2, 3, 4])
    expect(machine.configurations).toHaveLength(1)
  })

  it('a learner that only reads is never promoted by itself', () => {
    const machine = withLearner({ id: 4, address: 'four:1' })
    beat(machine, 2 * SETTINGS.promotionAfterMs, [2, 3, 4])
    expect(machine.configurations).toHaveLength(1)
  })

  it('nobody is promoted while leadership is handed over', () => {
    const machine = withLearner()
    beat(machine, SETTINGS.promotionAfterMs - HEARTBEAT_MS, [2, 3, 4])
    machine.send({ type: 'transferLeadership', to: 2 })
    beat(machine, 3 * HEARTBEAT_MS, [2, 3, 4])
    expect(machine.configurations).toHaveLength(1)
  })
})

describe('Thesis §4.2.2: removing the current leader', () => {
  /** Leads servers 2 and 3 in a configuration, not yet committed, that leaves it out. */
  function leaving(): Machine {
    const machine = serving()
    machine.ask({ remove: [1] })
    machine.completeWrites()
    for (const peer of [2, 3]) machine.receive(peer, accepted(1, 2))
    expect(machine.configurations.at(-1)?.configuration).toEqual({ voters: [2, 3], learners: [] })
    return machine
  }

  it('it manages a cluster that it is not part of: it replicates entries, and does not count itself', () => {
    const machine = leaving()
    machine.completeWrites()
    expect(ofType('appendEntries', machine.propose(batch(1))).map(({ to }) => to)).toEqual([2, 3])
    machine.completeWrites()
    machine.receive(2, accepted(1, 4))
    expect(machine).toMatchObject({ role: 'leader', context: { commitIndex: 2 } })
  })

  it('it steps down once the configuration is committed, and hands over to the voter that matches most', () => {
    const machine = leaving()
    machine.propose(batch(1))
    machine.receive(2, accepted(1, 4))
    const effects = machine.receive(3, accepted(1, 3))
    expect(machine).toMatchObject({ role: 'follower', context: { commitIndex: 3, leaderId: undefined } })
    expect(messagesIn(effects)).toContainEqual({ to: 2, message: { type: 'timeoutNow', term: 1 } })
    expect(answersIn(effects)).toEqual([
      { type: 'membershipAnswered', nonce: NONCE, id: 1, index: 3, reason: undefined, refusal: '' },
    ])
    machine.completeWrites()
    machine.advance(10 * T)
    expect(machine.role).toBe('follower')
  })

  it('a leader made a learner does likewise', () => {
    const machine = serving()
    machine.ask({ learners: [{ id: 1, address: 'one:1' }] })
    machine.completeWrites()
    for (const index of [2, 3]) for (const peer of [2, 3]) machine.receive(peer, accepted(1, index))
    expect(machine.role).toBe('follower')
    expect(machine.configurations.at(-1)?.configuration).toMatchObject({ voters: [2, 3], learners: [1] })
  })

  it('until then it may have to campaign again, and leads once more to complete the change', () => {
    const joint = configurationRun(first, 1, { voters: [2, 3], votersOutgoing: [1, 2, 3], learners: [] })
    const last = configurationRun(joint, 1, { voters: [2, 3], learners: [] })
    const machine = elected({ entries: [first!, joint, last] })
    machine.completeWrites()
    machine.receive(2, accepted(2, 4))
    expect(machine.role).toBe('leader')
    machine.receive(3, accepted(2, 4))
    expect(machine).toMatchObject({ role: 'follower', context: { commitIndex: 4 } })
  })
})

describe('Thesis §4.2.2 and §4.2.3: a removed server', () => {
  const out = configurationRun(first, 1, { voters: [1, 2], learners: [] })
  const joint = configurationRun(first, 1, { voters: [1, 2], votersOutgoing: [1, 2, 3], learners: [] })
  const after = configurationRun(joint, 1, { voters: [1, 2], learners: [] })

  it('is sent entries and heartbeats until one has told it that the change is committed', () => {
    const machine = serving()
    machine.ask({ remove: [3] })
    machine.completeWrites()
    for (const index of [2, 3]) for (const peer of [2, 3]) machine.receive(peer, accepted(1, index))
    machine.completeWrites()
    machine.receive(2, accepted(1, 3))
    expect(machine.context.commitIndex).toBe(3)
    expect(messagesIn(machine.advance(HEARTBEAT_MS))).toContainEqual({ to: 3, message: heartbeat(1, 2, 3) })
    expect(messagesIn(machine.advance(HEARTBEAT_MS)).map(({ to }) => to)).toEqual([2])
  })

  it('that stays silent is sent to for two election timeouts and no more', () => {
    const machine = serving()
    machine.ask({ remove: [3] })
    machine.completeWrites()
    for (const index of [2, 3]) machine.receive(2, accepted(1, index))
    machine.completeWrites()
    machine.receive(2, accepted(1, 3))
    beat(machine, 2 * T, [2])
    expect(machine.role).toBe('leader')
    expect([...(machine.context.leadership?.progress.keys() ?? [])]).toEqual([2])
  })

  it('campaigns on until it knows the change to be committed, since until then the others may need it', () => {
    const machine = led({ id: 3, entries: [first!, joint, after] })
    machine.advanceUntil(() => machine.role === 'preCandidate')
    machine.receive(2, heartbeat(1, 2, 3))
    machine.receive(2, append(1, [3, 1], [], 3))
    expect(machine.context.commitIndex).toBe(3)
    machine.advance(10 * T)
    expect(machine.role).toBe('follower')
    expect(machine.receive(2, { type: 'timeoutNow', term: 1 })).toEqual([])
  })

  it('that missed it all is told by whomever it asks for a vote, leader or not, and campaigns no more', () => {
    const knowing = led({ id: 1, entries: [first!, joint, after] })
    knowing.receive(2, append(1, [3, 1], [], 3))
    for (const ask of [preVote(2, [1, 1]), preVote(1, [1, 1]), requestVote(9, [9, 9])]) {
      expect(messagesIn(knowing.receive(3, ask))).toContainEqual({ to: 3, message: notMember(3) })
      expect(knowing.term).toBe(1)
    }
    const asking = preCandidate({ id: 3, entries: [first!], term: 7 })
    asking.receive(1, notMember(3))
    expect(asking.role).toBe('follower')
    asking.advance(10 * T)
    expect(asking).toMatchObject({ role: 'follower', term: 7 })
  })

  it('is told nothing while the change may yet be undone', () => {
    const machine = led({ id: 1, entries: [first!, joint, after] })
    machine.receive(2, append(1, [2, 1], [], 2))
    expect(machine.receive(3, preVote(2, [1, 1]))).toEqual([])
  })

  it('that was taken in again knows of a later configuration, and campaigns as others do', () => {
    const back = configurationRun(after, 1, { voters: [1, 2, 3], learners: [] })
    const machine = preCandidate({ id: 3, entries: [first!, joint, after, back] })
    machine.receive(1, notMember(3))
    expect(machine.role).toBe('preCandidate')
    const late = follower({ id: 3, entries: [first!] })
    late.receive(1, notMember(3))
    late.receive(2, append(1, [1, 1], [joint, after, back]))
    late.completeWrites()
    late.advanceUntil(() => late.role === 'preCandidate')
  })

  it('still votes for others when asked', () => {
    const machine = follower({ id: 3, entries: [first!, out] })
    machine.receive(1, requestVote(2, [2, 1]))
    expect(ofType('requestVoteReply', machine.completeWrites()).map(({ message }) => message.granted)).toEqual([true])
  })
})
