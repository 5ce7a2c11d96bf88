import { describe, expect, it } from 'vitest'
import type { EntryRun } from '../../src/machines/entry-run.js'
import { termAt } from '../../src/machines/log.js'
import type { Boundary } from '../../src/machines/types.js'
import {
  accepted,
  append,
  batch,
  boundaryAfter,
  commitsIn,
  configurationRun,
  elected,
  entries,
  heartbeat,
  heartbeatReply,
  HEARTBEAT_MS,
  installed,
  led,
  Machine,
  messagesIn,
  noticesIn,
  ofType,
  persists,
  piece,
  readsIn,
  rejected,
  sends,
  serving,
  snapshotId,
  stepsIn,
  THREE,
  worksIn,
} from '../machine-harness.js'
import { Group } from './group.js'

const log = entries([1, 1, 2, 2, 3])
const endOf = ({ lastIndex: index, term, checksum, clusterTime }: EntryRun) => ({ index, term, checksum, clusterTime })
const compactTo = (machine: Machine, run: EntryRun) => machine.send({ type: 'compactLog', end: endOf(run) })
const received = (machine: Machine, boundary: Boundary, from = 2) => {
  const { index, term } = boundary
  return machine.send({ type: 'snapshotReceived', from, stored: { id: snapshotId(index, term), boundary } })
}
const FIVE_MEMBERS = { voters: [1, 2, 3, 4, 5], learners: [] }

/** A follower of term 3 with the whole log, known to be committed up to `commitIndex`. */
function holding(commitIndex: number): Machine {
  const machine = led({ entries: log, term: 3 })
  machine.receive(2, append(3, [5, 3], [], commitIndex))
  return machine
}

describe('§7: each server takes snapshots independently, covering just the committed entries in its log', () => {
  it('and then forgets them, but for the last one’s index and term, which the next consistency check needs', () => {
    const machine = holding(4)
    const boundary = boundaryAfter(log[2]!)
    expect(compactTo(machine, log[2]!)).toEqual([persists({ boundary, lastIndex: 5 })])
    expect([1, 2, 3, 4, 5, 6].map((index) => termAt(machine.context.log, index))).toEqual([
      undefined,
      undefined,
      2,
      2,
      3,
      undefined,
    ])
    machine.completeWrites()
    expect(machine.disk).toEqual(log.slice(3))
    expect(messagesIn(machine.receive(2, append(3, [3, 2])))).toEqual([{ to: 2, message: accepted(3, 3) }])
  })

  it('a log may be compacted to its very end', () => {
    const machine = holding(5)
    compactTo(machine, log[4]!)
    expect(machine.context.log).toMatchObject({ lastIndex: 5, termStarts: [], boundary: { index: 5, term: 3 } })
    machine.receive(2, append(3, [5, 3], entries([3], log)))
    expect(termAt(machine.context.log, 6)).toBe(3)
  })

  it('never beyond what is committed, nor beyond what is durable', () => {
    const uncommitted = holding(3)
    expect(compactTo(uncommitted, log[3]!)).toEqual([])
    const unwritten = led({ entries: log.slice(0, 2), term: 3 })
    unwritten.receive(2, append(3, [2, 1], log.slice(2), 5))
    expect(unwritten.context.commitIndex).toBe(5)
    expect(compactTo(unwritten, log[2]!)).toEqual([])
    unwritten.completeWrites()
    expect(compactTo(unwritten, log[2]!)).toHaveLength(1)
  })

  it('never back, and never where the log is another than the snapshot’s', () => {
    const machine = holding(5)
    compactTo(machine, log[3]!)
    expect(compactTo(machine, log[1]!)).toEqual([])
    expect(compactTo(machine, log[3]!)).toEqual([])
    expect(compactTo(machine, { ...log[4]!, term: 2 })).toEqual([])
  })

  it('the boundary keeps the configuration as of its index, also under later ones', () => {
    const second = configurationRun(log[0], 1, FIVE_MEMBERS)
    const rest = entries([1], [second])
    const fourth = configurationRun(rest[0], 1, { voters: [1, 2], learners: [] })
    const machine = led({ entries: [log[0]!, second, ...rest, fourth] })
    machine.receive(2, append(1, [4, 1], [], 3))
    compactTo(machine, rest[0]!)
    expect(machine.context.log.boundary.configuration).toEqual(FIVE_MEMBERS)
    expect(machine.configurations.map(({ index }) => index)).toEqual([2, 4])
    machine.receive(3, append(2, [3, 1], entries([2], rest)))
    expect(machine.configurations).toEqual([{ index: 2, configuration: FIVE_MEMBERS }])
  })
})

describe('§7: the leader sends a snapshot to a follower that needs an entry it has already discarded', () => {
  /** A leader of term 4 whose log begins after entry 4; server 2 has but the first entry. */
  function compacted(): Machine {
    const machine = elected({ boundary: boundaryAfter(log[3]!), entries: log.slice(4) })
    machine.completeWrites()
    machine.receive(3, accepted(4, 6))
    return machine
  }
  const progressOf = (machine: Machine, peer = 2) => machine.context.leadership?.progress.get(peer)
  const id = snapshotId(4, 2)

  it('and nothing else meanwhile', () => {
    const machine = compacted()
    expect(worksIn(machine.receive(2, rejected(4, 5, 0, 2)))).toEqual([{ type: 'stream', peer: 2 }])
    expect(progressOf(machine)?.mode).toBe('snapshot')
    expect(ofType('appendEntries', machine.propose(batch(1))).map(({ to }) => to)).toEqual([3])
    expect(messagesIn(machine.advance(HEARTBEAT_MS)).map(({ to }) => to)).toEqual([2, 3])
  })

  it('whoever needs no more than the boundary itself gets entries', () => {
    const machine = compacted()
    const effects = machine.receive(2, rejected(4, 5, 0, 5))
    expect(worksIn(effects)).toEqual([])
    const [request] = readsIn(effects)
    expect(ofType('appendEntries', machine.completeRead(request!))).toMatchObject([
      { to: 2, message: { prevLogIndex: 4, prevLogTerm: 2 } },
    ])
  })

  it('goes on with what follows the snapshot once that is installed', () => {
    const machine = compacted()
    machine.receive(2, rejected(4, 5, 0, 2))
    const effects = machine.receive(2, installed(4, id))
    expect(worksIn(effects)).toMatchObject([{ type: 'streamReplied', peer: 2 }])
    expect(progressOf(machine)).toMatchObject({ matchIndex: 4, nextIndex: 5 })
    const [request] = readsIn(effects)
    expect(request?.from).toBe(5)
    const [sent] = ofType('appendEntries', machine.completeRead(request!))
    expect(sent?.message.prevLogIndex).toBe(4)
  })

  it('sends a newer one when it has compacted further by then', () => {
    const machine = compacted()
    machine.receive(2, rejected(4, 5, 0, 2))
    compactTo(machine, log[4]!)
    expect(worksIn(machine.receive(2, installed(4, id)))).toContainEqual({ type: 'stream', peer: 2 })
  })

  it('tells whoever streams of every other answer, and takes each for a sign of life', () => {
    const machine = compacted()
    machine.receive(2, rejected(4, 5, 0, 2))
    machine.advance(HEARTBEAT_MS)
    for (const outcome of ['more', 'refused'] as const) {
      const reply = { type: 'installSnapshotReply', term: 4, snapshot: id, outcome, offset: 100 } as const
      expect(machine.receive(2, reply)).toEqual([
        { type: 'workOnSnapshots', works: [{ type: 'streamReplied', peer: 2, reply }] },
      ])
    }
    expect(progressOf(machine)).toMatchObject({ mode: 'snapshot', contactAt: machine.now })
  })

  it('begins again when the follower was gone and is back, and asks first where it stands', () => {
    const machine = compacted()
    machine.receive(2, rejected(4, 5, 0, 2))
    machine.send({ type: 'peerDown', peer: 2 })
    expect(progressOf(machine)?.mode).toBe('down')
    expect(worksIn(machine.send({ type: 'peerUp', peer: 2, nonce: 7, storeId: '' }))).toEqual([
      { type: 'stream', peer: 2 },
    ])
  })

  it('stops when the follower turns out to have come further by itself', () => {
    const machine = compacted()
    machine.receive(2, rejected(4, 5, 0, 2))
    machine.receive(2, accepted(4, 6))
    expect(progressOf(machine)).toMatchObject({ mode: 'replicate', matchIndex: 6 })
    expect(machine.receive(2, installed(4, id))).toMatchObject([{ works: [{ type: 'streamReplied' }] }])
    expect(progressOf(machine)?.matchIndex).toBe(6)
  })

  it('counts no snapshot of more than it has committed itself', () => {
    const machine = compacted()
    machine.receive(2, rejected(4, 5, 0, 2))
    machine.receive(2, installed(4, snapshotId(99, 4)))
    expect(progressOf(machine)).toMatchObject({ mode: 'snapshot', matchIndex: 0 })
  })

  it('turns to a snapshot when entries were compacted while they were read from disk', () => {
    const machine = elected({ entries: log })
    machine.completeWrites()
    machine.receive(3, accepted(4, 6))
    const [request] = readsIn(machine.receive(2, rejected(4, 5, 0, 2)))
    const before = machine.disk
    compactTo(machine, log[3]!)
    const { from, term, truncations } = request!
    const read = { type: 'entriesRead', peer: 2, term, truncations } as const
    const late = machine.send({ ...read, runs: before.filter(({ firstIndex }) => firstIndex >= from) })
    expect(worksIn(late)).toEqual([{ type: 'stream', peer: 2 }])
    expect(ofType('appendEntries', late)).toEqual([])
  })

  it('hands leadership over to one that a snapshot brought all there is', () => {
    const machine = compacted()
    machine.receive(2, rejected(4, 5, 0, 2))
    compactTo(machine, machine.disk.at(-1)!)
    machine.send({ type: 'transferLeadership', to: 2 })
    const effects = machine.receive(2, installed(4, snapshotId(6, 4)))
    expect(messagesIn(effects)).toContainEqual({ to: 2, message: { type: 'timeoutNow', term: 4 } })
  })
})

describe('§7: InstallSnapshot at the receiver', () => {
  const boundary = boundaryAfter(log[3]!, FIVE_MEMBERS)
  const id = snapshotId(4, 2)

  it('replies immediately, and does nothing, if the term is older than its own', () => {
    const machine = led({ term: 3 })
    expect(machine.receive(2, piece(2, id, 50))).toEqual([
      sends([2, { type: 'installSnapshotReply', term: 3, snapshot: id, outcome: 'more', offset: 50 }]),
    ])
  })

  it('keeps each piece, and takes it for a word from its leader', () => {
    const machine = led({ term: 3 })
    machine.advance(HEARTBEAT_MS)
    const message = piece(3, id, 50)
    expect(machine.receive(3, message)).toEqual([
      { type: 'workOnSnapshots', works: [{ type: 'receive', from: 3, message }] },
    ])
    expect(machine.context).toMatchObject({ leaderId: 3, contact: { at: machine.now } })
    const waiting = new Machine({ term: 2 })
    waiting.advanceUntil(() => waiting.role === 'preCandidate')
    waiting.receive(3, piece(2, id))
    expect(waiting).toMatchObject({ role: 'follower', context: { leaderId: 3 } })
  })

  it('tells its leader how far it has come', () => {
    const machine = led({ term: 3 })
    const progress = { type: 'snapshotProgress', to: 2, snapshot: id, outcome: 'more', offset: 100 } as const
    expect(machine.send(progress)).toEqual([
      sends([2, { type: 'installSnapshotReply', term: 3, snapshot: id, outcome: 'more', offset: 100 }]),
    ])
  })

  it('discards the entire log if it has no entry with the snapshot’s last index and term, and begins anew', () => {
    for (const terms of [[], [1, 1], [1, 1, 1, 1, 1]]) {
      const machine = led({ entries: entries(terms), term: 3 })
      const effects = received(machine, boundary)
      const truncateFrom = terms.length === 0 ? undefined : 1
      const messages = [{ to: 2, message: installed(3, id) }]
      expect(stepsIn(effects)).toEqual([{ runs: [], truncateFrom, boundary, lastIndex: 4, truncations: 1, messages }])
      expect(worksIn(effects)).toEqual([{ type: 'restore', id, boundary }])
      expect(machine.context).toMatchObject({ commitIndex: 4, log: { lastIndex: 4, termStarts: [], boundary } })
      expect(machine.configurations).toEqual([{ index: 4, configuration: FIVE_MEMBERS }])
      machine.completeWrites()
      machine.receive(2, append(3, [4, 2], log.slice(4)))
      expect(messagesIn(machine.completeWrites())).toEqual([{ to: 2, message: accepted(3, 5) }])
    }
  })

  it('retains its log, with what follows, if it has that entry: it is only known to be committed now', () => {
    const machine = led({ entries: log, term: 3 })
    const effects = received(machine, boundary)
    expect(worksIn(effects)).toEqual([])
    expect(commitsIn(effects)).toMatchObject([{ index: 4 }])
    expect(messagesIn(effects)).toEqual([{ to: 2, message: installed(3, id) }])
    expect(machine.context).toMatchObject({ commitIndex: 4, log: { lastIndex: 5, boundary: { index: 0 } } })
    expect(machine.configurations).toEqual([{ index: 0, configuration: THREE }])
  })

  it('confirms such an entry only once it is durable', () => {
    const machine = led({ term: 3 })
    machine.receive(2, append(3, [0, 0], log))
    expect(messagesIn(received(machine, boundary))).toEqual([])
    expect(messagesIn(machine.completeWrites())).toContainEqual({ to: 2, message: installed(3, id) })
  })

  it('needs no snapshot of what it knows to be committed, and says so at the first piece', () => {
    const machine = holding(4)
    expect(machine.receive(2, piece(3, id))).toEqual([sends([2, installed(3, id)])])
    expect(received(machine, boundary)).toEqual([sends([2, installed(3, id)])])
    expect(machine.context.log).toMatchObject({ lastIndex: 5, boundary: { index: 0 } })
  })

  it('a late piece of one that is installed is answered likewise', () => {
    const machine = led({ term: 3 })
    received(machine, boundary)
    machine.completeWrites()
    expect(machine.receive(2, piece(3, id, 900))).toEqual([sends([2, installed(3, id)])])
  })

  it('appends that were on their way while it was installed are matched against it', () => {
    const machine = led({ term: 3 })
    received(machine, boundary)
    machine.completeWrites()
    expect(messagesIn(machine.receive(2, append(3, [0, 0], log.slice(0, 2), 2)))).toEqual([
      { to: 2, message: accepted(3, 4) },
    ])
    expect(machine.writes).toEqual([])
    machine.receive(2, append(3, [2, 1], log.slice(2), 5))
    expect(machine.writes.map(({ runs }) => runs)).toEqual([log.slice(4)])
    expect(messagesIn(machine.completeWrites())).toEqual([{ to: 2, message: accepted(3, 5) }])
    expect(noticesIn(machine.receive(2, append(3, [5, 3], [], 5)))).toEqual([])
    expect(machine.context.commitIndex).toBe(5)
  })

  it('a write from before it says nothing about the log that begins with it', () => {
    const machine = led({ term: 3 })
    machine.receive(2, append(3, [0, 0], entries([1, 1, 1, 1, 1, 1])))
    machine.receive(3, heartbeat(4, 1))
    received(machine, boundary, 3)
    machine.receive(3, append(4, [4, 2], entries([4, 4], log.slice(0, 4))))
    machine.completeWrite()
    expect(machine.context.durable.index).toBe(4)
    machine.completeWrites()
    expect(machine.context.durable.index).toBe(6)
  })

  it('leaves one alone that came too late: a server that campaigns hears of it again, a leader has it all', () => {
    const leader = serving({ entries: log })
    const { context } = leader
    expect(received(leader, boundaryAfter(entries([5], log)[0]!))).toEqual([])
    expect(leader.context.log).toBe(context.log)
    expect(leader.receive(2, piece(4, snapshotId(9, 4)))).toEqual([])
    expect(leader.role).toBe('leader')
  })

  it('a server begun from a snapshot is restored to it before its leader says what is committed', () => {
    const machine = new Machine({ boundary, entries: log.slice(4) })
    expect(machine.context).toMatchObject({ commitIndex: 4, durable: { index: 5 } })
    expect(machine.configurations).toEqual([{ index: 4, configuration: FIVE_MEMBERS }])
  })
})

describe('§7: a group that compacts its logs', () => {
  it('brings a follower that was away back by a snapshot and what follows it', () => {
    const group = new Group([1, 2, 3].map((id) => ({ id })))
    group.until(() => group.hasLeader)
    const { leader } = group
    const away = group.of(leader.context.id === 3 ? 2 : 3)
    group.cutOff(away.context.id)
    for (let id = 0; id < 5; id++) group.perform(leader, leader.propose(batch(id)))
    compactTo(leader, leader.disk[3]!)
    leader.completeWrites()
    group.perform(leader, leader.propose(batch(9)))
    group.join(away.context.id)
    const answer = heartbeatReply(leader.term, leader.context.leadership?.round ?? 0, 1)
    leader.advance(HEARTBEAT_MS * 6)
    group.perform(leader, leader.receive(away.context.id, answer))
    group.until(() => away.context.commitIndex === leader.context.log.lastIndex)
    expect(away.context.log.boundary.index).toBe(4)
    expect(away.disk.map(({ checksum }) => checksum)).toEqual(leader.disk.map(({ checksum }) => checksum))
  })
})
