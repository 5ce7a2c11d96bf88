import { describe, expect, it } from 'vitest'
import type { EntryRun } from '../../src/machines/entry-run.js'
import type { Boundary, Configuration } from '../../src/machines/types.js'
import {
  accepted,
  answersIn,
  append,
  batch,
  boundaryAfter,
  commitsIn,
  configurationRun,
  elected,
  entries,
  heartbeatReply,
  HEARTBEAT_MS,
  installed,
  led,
  type Machine,
  messagesIn,
  noticesIn,
  ofType,
  piece,
  rejected,
  sends,
  serving,
  snapshotId,
  stepsIn,
  T,
  THREE,
  worksIn,
} from '../machine-harness.js'
import { Group } from '../paper/group.js'

const log = entries([1, 1, 2, 2, 3])
const [first] = log
const FIVE: Configuration = { voters: [1, 2, 3, 4, 5], learners: [] }
const PAIR: Configuration = { voters: [1, 2], learners: [] }

const received = (machine: Machine, boundary: Boundary) => {
  const id = snapshotId(boundary.index, boundary.term)
  return machine.send({ type: 'snapshotReceived', from: 2, stored: { id, boundary } })
}
const compactTo = (machine: Machine, { lastIndex: index, term, checksum, clusterTime }: EntryRun) => {
  return machine.send({ type: 'compactLog', end: { index, term, checksum, clusterTime } })
}

describe('scenarios that broke other Raft systems: snapshots', () => {
  it('21. installing a snapshot replaces the effective configuration', () => {
    const stale = configurationRun(first, 1, PAIR)
    const machine = led({ entries: [first!, stale], term: 3 })
    received(machine, boundaryAfter(log[3]!, FIVE))
    expect(machine.configurations).toEqual([{ index: 4, configuration: FIVE }])
  })

  it('21. unless the retained suffix of the log holds a later one', () => {
    const later = configurationRun(log[3], 3, PAIR)
    const machine = led({ entries: [...log.slice(0, 4), later], term: 3 })
    received(machine, boundaryAfter(log[3]!, FIVE))
    expect(machine.configurations.at(-1)).toEqual({ index: 5, configuration: PAIR })
    compactTo(machine, log[3]!)
    expect(machine.configurations.at(-1)).toEqual({ index: 5, configuration: PAIR })
  })

  it('22. a log that conflicts at the snapshot’s boundary is discarded, and the follower does not download for ever', () => {
    const machine = led({ entries: entries([1, 1, 1, 1, 1, 1]), term: 3 })
    const boundary = boundaryAfter(log[3]!)
    const id = snapshotId(4, 2)
    expect(worksIn(machine.receive(2, piece(3, id)))).toMatchObject([{ type: 'receive' }])
    expect(stepsIn(received(machine, boundary))).toMatchObject([{ truncateFrom: 1, boundary, lastIndex: 4 }])
    machine.completeWrites()
    // Whether the leader asks about the snapshot again or goes on after it, both are content.
    expect(machine.receive(2, piece(3, id))).toEqual([sends([2, installed(3, id)])])
    machine.receive(2, append(3, [4, 2], log.slice(4)))
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 2, message: accepted(3, 5) }])
  })

  it('23. an old snapshot does not truncate a newer log', () => {
    const machine = led({ entries: log, term: 3 })
    machine.receive(2, append(3, [5, 3], [], 5))
    const { context } = machine
    const effects = received(machine, boundaryAfter(log[1]!))
    expect([...stepsIn(effects), ...worksIn(effects)]).toEqual([])
    expect(machine.context).toMatchObject({ log: context.log, commitIndex: 5, configurations: context.configurations })
  })

  it('23. install does not race with apply: what is committed is said in order, and never again', () => {
    const machine = led({ entries: log, term: 3 })
    const said = [
      ...machine.receive(2, append(3, [5, 3], [], 2)),
      ...received(machine, boundaryAfter(log[3]!)),
      ...machine.receive(2, append(3, [5, 3], [], 4)),
      ...machine.receive(2, append(3, [5, 3], [], 5)),
    ]
    expect(commitsIn(said).map(({ index }) => index)).toEqual([2, 4, 5])
    const other = led({ term: 3 })
    const restored = received(other, boundaryAfter(log[3]!))
    expect(worksIn(restored)).toMatchObject([{ type: 'restore' }])
    expect(commitsIn(restored)).toEqual([])
    const next = other.receive(2, append(3, [4, 2], log.slice(4), 5))
    expect(commitsIn(next)).toEqual([{ index: 5, runs: log.slice(4) }])
  })

  it('24. a leader whose whole log is compacted still brings a new follower up', () => {
    const old = { configuration: THREE }
    const group = new Group([
      ...[1, 2, 3].map((id) => ({ id, ...old })),
      { id: 4, configuration: { voters: [], learners: [] } },
    ])
    group.until(() => group.hasLeader)
    const { leader } = group
    for (let id = 0; id < 3; id++) group.perform(leader, leader.propose(batch(id)))
    group.perform(leader, compactTo(leader, leader.disk.at(-1)!))
    expect(leader.context.log.boundary.index).toBe(leader.context.log.lastIndex)
    group.perform(leader, leader.ask({ learners: [{ id: 4, address: 'four:1', promotable: false }] }))
    group.until(() => group.of(4).context.commitIndex === leader.context.log.lastIndex)
    expect(group.of(4).configurations.at(-1)?.configuration.learners).toEqual([4])
  })

  it('24. nothing is left to probe: a follower whose log is empty gets the snapshot at the first refusal', () => {
    const machine = elected({ boundary: boundaryAfter(log[4]!) })
    machine.completeWrites()
    expect(worksIn(machine.receive(2, rejected(4, 5, 0, 1)))).toEqual([{ type: 'stream', peer: 2 }])
  })

  it('25. a leader change during a transfer leaves no half state: pieces alone change neither log nor state', () => {
    const machine = led({ entries: log.slice(0, 2), term: 3 })
    const { log: before, configurations, commitIndex } = machine.context
    const id = snapshotId(4, 2)
    for (const offset of [0, 100, 200]) machine.receive(2, piece(3, id, offset))
    machine.receive(3, piece(4, id))
    machine.completeWrites()
    expect(machine.context).toMatchObject({ log: before, configurations, commitIndex })
    expect(machine.context.log).toBe(before)
    // The new leader learns how much is there already, in its own term.
    const progress = { type: 'snapshotProgress', to: 3, snapshot: id, outcome: 'more', offset: 208 } as const
    const [answer] = ofType('installSnapshotReply', machine.send(progress))
    expect(answer).toMatchObject({ to: 3, message: { term: 4, outcome: 'more', offset: 208 } })
    // And one whose log goes on from another place needs no snapshot at all.
    machine.receive(3, append(4, [2, 1], log.slice(2), 5))
    machine.completeWrites()
    expect(machine.receive(3, piece(4, id, 208))).toEqual([sends([3, installed(4, id)])])
  })

  it('25. a transfer interrupted resumes when the follower is back', () => {
    const machine = elected({ boundary: boundaryAfter(log[4]!) })
    machine.completeWrites()
    machine.receive(2, rejected(4, 5, 0, 1))
    machine.send({ type: 'peerDown', peer: 2 })
    const effects = machine.send({ type: 'peerUp', peer: 2, nonce: 2, storeId: '' })
    expect(worksIn([...effects, ...machine.receive(2, rejected(4, 5, 0, 1))])).toEqual([{ type: 'stream', peer: 2 }])
  })
})

describe('scenarios that broke other Raft systems: membership and transfer', () => {
  it('26. a new leader changes no configuration before an entry of its own term is committed', () => {
    const machine = elected({ entries: [first!, configurationRun(first, 1, { ...THREE, learners: [4] })] })
    machine.completeWrites()
    for (const change of [
      { remove: [2] },
      { promote: [4] },
      { learners: [{ id: 5, address: 'five:1', promotable: false }] },
    ]) {
      const id = machine.context.leadership?.membership.taken.get(1)?.id ?? 0
      expect(answersIn(machine.ask(change, id + 1))).toMatchObject([{ reason: 'refused' }])
    }
    for (const peer of [2, 3]) machine.receive(peer, accepted(2, 2))
    expect(machine.configurations.map(({ index }) => index)).toEqual([0, 2])
    machine.receive(2, accepted(2, 3))
    machine.ask({ promote: [4] }, 9)
    expect(machine.configurations.map(({ index }) => index)).toEqual([0, 2, 4])
  })

  it('26. the flaw of 2015: two leaders that each change by one server never decide apart', () => {
    const four: Configuration = { voters: [1, 2, 3, 4], learners: [5] }
    const group = new Group([1, 2, 3, 4, 5].map((id) => ({ id, configuration: four })))
    group.until(() => group.hasLeader)
    const deposed = group.leader
    // It appends a change that nobody hears of, and another leader makes a change of its own.
    group.cutOff(deposed.context.id)
    group.perform(deposed, deposed.ask({ promote: [5] }))
    group.until(() => deposed.role !== 'leader' && group.hasLeader)
    const { leader } = group
    group.perform(leader, leader.ask({ remove: [deposed.context.id], force: true }))
    group.perform(leader, leader.propose(batch(1)))
    expect(leader.context.commitIndex).toBe(leader.context.log.lastIndex)
    group.join(deposed.context.id)
    group.until(() => !deposed.context.configurations.some(({ configuration }) => configuration.voters.includes(5)))
    expect(deposed.role).not.toBe('leader')
  })

  it('27. a configuration whose entry is truncated is rolled back', () => {
    const joint = configurationRun(first, 1, { ...FIVE, votersOutgoing: [1, 2, 3] })
    const machine = led({ entries: [first!, joint] })
    expect(machine.configurations).toHaveLength(2)
    machine.receive(3, append(2, [1, 1], entries([2], [first!])))
    expect(machine.configurations).toEqual([{ index: 0, configuration: THREE }])
    machine.completeWrites()
    const asked = messagesIn(machine.advanceUntil(() => machine.role === 'preCandidate'))
    expect(asked.map(({ to }) => to)).toEqual([2, 3])
  })

  it.each([
    ['answers nothing', () => undefined],
    ['is far behind', (machine: Machine) => machine.receive(3, rejected(1, 1, 0, 1))],
    ['cannot be reached any more', (machine: Machine) => machine.send({ type: 'peerDown', peer: 3 })],
  ])('28. leadership transfer ends within an election timeout where the target %s', (_, happens) => {
    const machine = serving()
    machine.propose(batch(1))
    machine.completeWrites()
    machine.receive(2, accepted(1, 2))
    machine.send({ type: 'transferLeadership', to: 3 })
    happens(machine)
    const since = machine.now
    while (machine.context.leadership?.transfer !== undefined) {
      machine.advance(HEARTBEAT_MS)
      machine.receive(2, heartbeatReply(1, machine.context.leadership?.round ?? 0, 2))
    }
    expect(machine.now - since).toBeLessThanOrEqual(T)
    expect(machine.role).toBe('leader')
    expect(answersIn(machine.propose(batch(2)))).toEqual([])
  })

  /** Servers 1 to 6, of which 4, 5 and 6 listen; a leader, and a change to 4, 5 and 6 alone that it has appended. */
  function moving(cutOff: readonly number[]): Group {
    const configuration = { voters: [1, 2, 3], learners: [4, 5, 6] }
    const group = new Group([1, 2, 3, 4, 5, 6].map((id) => ({ id, configuration })))
    group.until(() => group.hasLeader)
    group.perform(group.leader, group.leader.propose(batch(1)))
    group.cutOff(...cutOff.filter((id) => id !== group.leader.context.id))
    group.perform(group.leader, group.leader.ask({ promote: [4, 5, 6], remove: [1, 2, 3] }))
    return group
  }
  const rules = (group: Group, ids: readonly number[]) =>
    ids.every((id) => {
      const latest = group.of(id).configurations.at(-1)
      return latest?.configuration.votersOutgoing === undefined && latest?.configuration.voters.join() === '4,5,6'
    })

  it('29. changing from {1,2,3} to {4,5,6} in one joint change: the new three go on, and the old ones fall silent', () => {
    const group = moving([])
    group.until(() => group.hasLeader && group.leader.context.id > 3 && rules(group, [4, 5, 6]))
    group.perform(group.leader, group.leader.propose(batch(2)))
    expect(group.leader.context.commitIndex).toBe(group.leader.context.log.lastIndex)
    group.until(() => [1, 2, 3].every((id) => group.of(id).role === 'follower'))
  })

  it('29. it never lets two majorities decide apart: half of either side cut off, then the other half', () => {
    const group = moving([4, 5])
    const { leader } = group
    // No majority of the new servers has heard of the change: nothing more is decided, and the leader steps down.
    const { commitIndex } = leader.context
    group.perform(leader, leader.propose(batch(2)))
    expect(leader.context.commitIndex).toBe(commitIndex)
    group.until(() => !group.hasLeader)
    group.join(4, 5)
    group.until(() => group.hasLeader)
    group.perform(group.leader, group.leader.propose(batch(3)))
    group.until(() => rules(group, [4, 5, 6]) && group.hasLeader && group.leader.context.id > 3)
    group.perform(group.leader, group.leader.propose(batch(4)))
    expect(group.leader.context.commitIndex).toBe(group.leader.context.log.lastIndex)
  })

  it('29. the old servers alone, cut off before they hear that the change ended, decide nothing', () => {
    const group = moving([])
    group.until(() => group.hasLeader && group.leader.context.id > 3)
    group.cutOff(4, 5, 6)
    const old = [1, 2, 3].map((id) => group.of(id))
    const before = old.map(({ context }) => context.commitIndex)
    const end = group.of(1).now + 5 * T
    group.until(() => group.of(1).now >= end)
    expect(old.map(({ role }) => role)).not.toContain('leader')
    expect(old.map(({ context }) => context.commitIndex)).toEqual(before)
    expect(old.flatMap((machine) => noticesIn(machine.advance(1)))).toEqual([])
  })
})
