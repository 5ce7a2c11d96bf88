import { describe, expect, it } from 'vitest'
import { holdsLease } from '../../src/machines/leadership.js'
import type { Configuration } from '../../src/machines/types.js'
import {
  accepted,
  answersIn,
  append,
  batch,
  candidate,
  changing,
  commitsIn,
  configurationRun,
  elected,
  entries,
  heartbeat,
  heartbeatReply,
  HEARTBEAT_MS,
  LEASE_MS,
  led,
  Machine,
  NONCE,
  ofType,
  preCandidate,
  preVoteReply,
  serving,
  T,
  voteReply,
} from '../machine-harness.js'
import { Group } from './group.js'

const [first] = entries([1])
const OLD: Configuration = { voters: [1, 2, 3], learners: [] }
const NEW: Configuration = { voters: [1, 4, 5], learners: [] }
const JOINT: Configuration = { ...NEW, votersOutgoing: [1, 2, 3] }
const joint = configurationRun(first, 1, JOINT)

/** Elected with the joint configuration in its log, from an earlier term. */
const heir = () => elected({ entries: [first!, joint], configuration: OLD })

describe('Thesis §4.3: arbitrary configuration changes using joint consensus', () => {
  it('the leader appends the union of both configurations where the voters change', () => {
    const machine = changing()
    expect(machine.configurations.at(-1)).toEqual({
      index: 2,
      configuration: { voters: [1, 2, 3], votersOutgoing: [1, 4, 5], learners: [6] },
    })
  })

  it('entries are replicated to all servers in both', () => {
    const machine = changing()
    for (const peer of [2, 3, 4, 5, 6]) machine.receive(peer, accepted(1, 2))
    const to = ofType('appendEntries', machine.propose(batch(1))).map((envelope) => envelope.to)
    expect(to.toSorted()).toEqual([2, 3, 4, 5, 6])
  })

  it('any server of either may serve as leader', () => {
    for (const id of [2, 4]) {
      const machine = preCandidate({ id, entries: [first!, joint], configuration: OLD })
      for (const voter of [1, 3, 5]) machine.receive(voter, preVoteReply(2, true))
      expect(machine.role).toBe('candidate')
    }
  })

  it.each([
    ['of the old', [2, 3], 4],
    ['of the new', [4, 5], 2],
  ])('an election needs separate majorities: one %s is not enough', (_, half, other) => {
    const asking = preCandidate({ entries: [first!, joint] })
    for (const voter of half) asking.receive(voter, preVoteReply(2, true))
    expect(asking.role).toBe('preCandidate')
    const machine = candidate({ entries: [first!, joint] })
    for (const voter of half) machine.receive(voter, voteReply(2, true))
    expect(machine.role).toBe('candidate')
    machine.receive(other, voteReply(2, true))
    expect(machine.role).toBe('leader')
  })

  it.each([
    ['of the old', [4, 5], 2],
    ['of the new', [2, 3], 4],
  ])('agreement needs separate majorities: one %s is not enough', (_, half, other) => {
    const machine = changing()
    for (const peer of half) expect(commitsIn(machine.receive(peer, accepted(1, 2)))).toEqual([])
    expect(commitsIn(machine.receive(other, accepted(1, 2)))).toMatchObject([{ index: 2 }])
  })

  it('so do reads, leases, and the contact that a leader needs to go on', () => {
    const machine = changing()
    machine.read(1)
    machine.advance(HEARTBEAT_MS)
    for (const peer of [2, 3, 6]) expect(answersIn(machine.receive(peer, heartbeatReply(1, 3, 2)))).toEqual([])
    expect(holdsLease(machine.context, machine.now)).toBe(false)
    const answers = answersIn(machine.receive(4, heartbeatReply(1, 3, 2)))
    expect(answers).toEqual([{ type: 'readsReady', nonce: NONCE, id: 1, index: 1 }])
    expect(holdsLease(machine.context, machine.now)).toBe(true)
    const since = machine.now
    while (machine.role === 'leader') {
      machine.advance(HEARTBEAT_MS)
      for (const peer of [4, 5]) machine.receive(peer, heartbeatReply(1, machine.context.leadership?.round ?? 0, 2))
    }
    expect(machine.now - since).toBeLessThanOrEqual(T + 2 * HEARTBEAT_MS)
  })

  it('once the joint configuration is committed the leader appends the new one, and it alone rules', () => {
    const machine = changing()
    machine.receive(2, accepted(1, 2))
    expect(machine.configurations).toHaveLength(2)
    machine.receive(4, accepted(1, 2))
    expect(machine.configurations.at(-1)).toEqual({ index: 3, configuration: { voters: [1, 2, 3], learners: [6] } })
    machine.completeWrites()
    const effects = machine.receive(3, accepted(1, 3))
    expect(commitsIn(effects)).toMatchObject([{ index: 3 }])
    expect(answersIn(effects)).toEqual([
      { type: 'membershipAnswered', nonce: NONCE, id: 1, index: 3, reason: undefined, refusal: '' },
    ])
  })

  it('a later leader does so too, but not before an entry of its own term is committed', () => {
    const machine = heir()
    machine.completeWrites()
    for (const peer of [2, 3, 4, 5]) machine.receive(peer, accepted(2, 2))
    expect(machine.configurations).toHaveLength(2)
    for (const peer of [2, 4]) machine.receive(peer, accepted(2, 3))
    expect(machine.configurations.at(-1)).toEqual({ index: 4, configuration: NEW })
  })

  it('a leader that begins from a snapshot within the change does so as well', () => {
    const boundary = { index: 2, term: 1, checksum: joint.checksum, clusterTime: 0, configuration: JOINT }
    const machine = serving({ boundary })
    expect(machine.configurations.at(-1)).toEqual({ index: 4, configuration: NEW })
  })

  it('a leader that goes on alone needs nobody to end the change', () => {
    const machine = serving()
    machine.ask({ remove: [2, 3] })
    machine.completeWrites()
    machine.receive(2, accepted(1, 2))
    const effects = machine.completeWrites()
    expect(answersIn(effects)).toMatchObject([{ index: 3 }])
    expect(machine).toMatchObject({ role: 'leader', context: { commitIndex: 3 } })
  })

  it('a cluster of one grows to three, once one of the new servers has what it has', () => {
    const machine = new Machine({ configuration: { voters: [1], learners: [2, 3] } })
    machine.advance(0)
    machine.completeWrites()
    for (const peer of [2, 3]) machine.receive(peer, accepted(1, 1))
    machine.ask({ promote: [2, 3] })
    machine.completeWrites()
    expect(machine.context.commitIndex).toBe(1)
    machine.receive(3, accepted(1, 2))
    expect(machine.configurations.at(-1)).toEqual({ index: 3, configuration: OLD })
  })

  it('the endless lease of a leader that was alone ends when it takes others in', () => {
    const machine = new Machine({ configuration: { voters: [1], learners: [2, 3] } })
    machine.advance(0)
    machine.completeWrites()
    for (const peer of [2, 3]) {
      machine.receive(peer, accepted(1, 1))
      machine.receive(peer, heartbeatReply(1, 1, 1))
    }
    expect(holdsLease(machine.context, machine.now + 100 * T)).toBe(true)
    machine.ask({ promote: [2, 3] })
    expect(holdsLease(machine.context, machine.now)).toBe(true)
    expect(holdsLease(machine.context, machine.now + LEASE_MS)).toBe(false)
  })

  it('a follower made the only voter keeps what it promised to the leader that made it so', () => {
    const machine = led({ entries: [first!] })
    machine.advance(T / 2)
    machine.receive(2, heartbeat(1, 2))
    const pair = configurationRun(first, 1, { voters: [1], votersOutgoing: [1, 2, 3], learners: [] })
    const alone = configurationRun(pair, 1, { voters: [1], learners: [] })
    machine.receive(2, append(1, [1, 1], [pair, alone]))
    machine.completeWrites()
    machine.advance(T - 1)
    expect(machine.role).toBe('follower')
    machine.advance(T)
    machine.completeWrites()
    expect(machine.role).toBe('leader')
  })

  it('servers of both serve clients throughout: 1, 2 and 3 become 3, 4 and 5, and every entry is decided once', () => {
    const learning: Configuration = { voters: [1, 2, 3], learners: [4, 5] }
    const group = new Group([1, 2, 3, 4, 5].map((id) => ({ id, configuration: learning })))
    group.until(() => group.hasLeader)
    group.perform(group.leader, group.leader.propose(batch(1)))
    group.perform(group.leader, group.leader.ask({ promote: [4, 5], remove: [1, 2] }))
    group.until(() => group.hasLeader && [3, 4, 5].includes(group.leader.context.id))
    group.perform(group.leader, group.leader.propose(batch(2)))
    for (const id of [3, 4, 5]) {
      expect(group.of(id).configurations.at(-1)?.configuration).toEqual({ voters: [3, 4, 5], learners: [] })
    }
    for (const id of [1, 2]) expect(group.of(id).role).toBe('follower')
    expect(group.leader.context.commitIndex).toBe(group.leader.context.log.lastIndex)
  })

  it('a new machine that is told of both takes its place from the log alone', () => {
    const machine = new Machine({ id: 5, configuration: { voters: [], learners: [] } })
    machine.receive(1, append(1, [0, 0], [first!, joint]))
    machine.completeWrites()
    machine.advanceUntil(() => machine.role === 'preCandidate')
  })
})
