import { describe, expect, it } from 'vitest'
import type { EntryRun } from '../../src/machines/entry-run.js'
import {
  accepted,
  append,
  batch,
  changing,
  commitsIn,
  converse,
  elected,
  entries,
  FIVE,
  heartbeat,
  heartbeatReply,
  HEARTBEAT_MS,
  led,
  Machine,
  messagesIn,
  noticesIn,
  ofType,
  persists,
  readsIn,
  rejected,
  runAfter,
  sends,
  serving,
  stepsIn,
  T,
} from '../machine-harness.js'

function runsIn(effects: Parameters<typeof stepsIn>[0]): readonly EntryRun[] {
  return stepsIn(effects).flatMap(({ runs }) => runs)
}

describe('§5.3: the leader', () => {
  it('appends a command to its log as a new entry, then issues AppendEntries in parallel to the others', () => {
    const machine = serving({ configuration: FIVE })
    const effects = machine.propose(batch(1))
    const [run] = runsIn(effects)
    expect(run).toMatchObject({
      kind: 'command',
      term: 1,
      firstIndex: 2,
      lastIndex: 2,
      origin: { server: 1, batch: 1 },
    })
    const message = append(1, [1, 1], [run!], 1)
    expect(effects).toEqual([
      persists({ runs: [run!], lastIndex: 2 }),
      sends([2, message], [3, message], [4, message], [5, message]),
    ])
  })

  it('commits an entry once it has replicated it on a majority of the servers', () => {
    const machine = serving({ configuration: FIVE })
    const [run] = runsIn(machine.propose(batch(1)))
    machine.completeWrites()
    expect(commitsIn(machine.receive(2, accepted(1, 2)))).toEqual([])
    expect(commitsIn(machine.receive(3, accepted(1, 2)))).toEqual([{ index: 2, runs: [run] }])
    expect(commitsIn(machine.receive(4, accepted(1, 2)))).toEqual([])
  })

  it('commits with it all preceding entries in its log, including those of previous leaders', () => {
    const machine = elected({ entries: entries([1, 1, 2]) })
    machine.completeWrites()
    const commits = commitsIn(machine.receive(2, accepted(3, 4)))
    expect(commits).toMatchObject([{ index: 4 }])
  })

  it('does not count a learner, nor one half of a joint configuration for both', () => {
    const machine = changing()
    machine.propose(batch(1))
    machine.completeWrites()
    for (const peer of [6, 2, 3]) machine.receive(peer, accepted(1, 3))
    expect(machine.context.commitIndex).toBe(1)
    machine.receive(4, accepted(1, 3))
    expect(machine.context.commitIndex).toBe(3)
  })

  it('tells the highest index it knows to be committed in later AppendEntries and heartbeats', () => {
    const machine = serving()
    machine.propose(batch(1))
    machine.completeWrites()
    machine.receive(2, accepted(1, 2))
    expect(ofType('appendEntries', machine.propose(batch(2))).map(({ message }) => message.commitIndex)).toEqual([2, 2])
    expect(messagesIn(machine.advance(HEARTBEAT_MS))).toEqual([
      { to: 2, message: heartbeat(1, 2, 2) },
      // Server 3 is not known to have entry 2.
      { to: 3, message: heartbeat(1, 2, 1) },
    ])
  })

  it('retries AppendEntries until a follower that was slow, crashed or cut off stores all entries', () => {
    const machine = serving()
    const [lost] = ofType('appendEntries', machine.propose(batch(1)))
    machine.completeWrites()
    const resent = [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((round) => {
      machine.advance(HEARTBEAT_MS)
      return [...ofType('appendEntries', machine.receive(2, heartbeatReply(1, round + 2, 1)))]
    })
    expect(resent).toEqual([lost])
  })

  it('sends a follower on without waiting for its answers, within a window of messages', () => {
    const machine = serving({ settings: { inflightAppendsMax: 3 } })
    const to2 = () => ofType('appendEntries', machine.propose(batch(1))).filter(({ to }) => to === 2)
    expect([to2(), to2(), to2(), to2(), to2()].map(({ length }) => length)).toEqual([1, 1, 1, 0, 0])
    const next = ofType('appendEntries', machine.receive(2, accepted(1, 2)))
    expect(next.map(({ message }) => [message.prevLogIndex, message.runs.length])).toEqual([[4, 2]])
  })

  it('sends no more bytes than the window allows, nor more in one message than its limit, but always a whole run', () => {
    const machine = serving({ settings: { inflightBytesMax: 5000, appendBytesMax: 2000 } })
    const sent = [1, 2, 3, 4].map((id) =>
      ofType('appendEntries', machine.propose(batch(id, 1, 3000), batch(id + 10, 1, 100))).filter(({ to }) => to === 2),
    )
    expect(
      sent.map((messages) => messages.map(({ message }) => message.runs.map(({ bytes }) => bytes.length))),
    ).toEqual([[[3077], [177]], [[3077]], [], []])
  })

  it('initialises nextIndex to just after the last entry in its log, and sends one message until it is answered', () => {
    const machine = elected({ entries: entries([1, 1, 2]) })
    expect([...(machine.context.leadership?.progress.values() ?? [])]).toMatchObject([
      { nextIndex: 4, matchIndex: 0, mode: 'probe' },
      { nextIndex: 4, matchIndex: 0, mode: 'probe' },
    ])
    expect(ofType('appendEntries', machine.propose(batch(1)))).toEqual([])
    const [probe] = ofType('appendEntries', machine.receive(2, accepted(3, 4)))
    expect(probe?.message).toMatchObject({ prevLogIndex: 4, runs: [{ firstIndex: 5 }] })
  })

  it('never overwrites or deletes entries in its own log', () => {
    const machine = serving({ entries: entries([1, 1]) })
    const effects = machine.receive(3, append(2, [0, 0], entries([2, 2, 2, 2])))
    expect(effects).toEqual([
      { type: 'notices', texts: [expect.stringContaining('server 3 acts as leader of term 2')] },
    ])
    expect(machine.terms).toEqual([1, 1, 2])
  })

  it('steps back to the follower’s end where its log is too short', () => {
    const machine = elected({ entries: entries([1, 1, 1, 2, 2]) })
    const effects = machine.receive(2, rejected(3, 5, 0, 4))
    expect(readsIn(effects)).toEqual([{ peer: 2, from: 4, bytesMax: 64 * 1024, term: 3, truncations: 0 }])
  })

  it('steps back past all entries of a conflicting term that it does not have, in one message', () => {
    const machine = elected({ entries: entries([1, 1, 4, 4, 4]) })
    const [request] = readsIn(machine.receive(2, rejected(5, 5, 2, 3)))
    expect(request?.from).toBe(3)
  })

  it('steps back to its own last entry of the conflicting term, where it has one', () => {
    const machine = elected({ entries: entries([1, 2, 2, 4, 4]) })
    const [request] = readsIn(machine.receive(2, rejected(5, 5, 2, 2)))
    expect(request?.from).toBe(4)
  })

  it('ignores the rejection of a message that has been answered already', () => {
    const machine = serving({ entries: entries([1, 1, 1]) })
    expect(machine.receive(2, rejected(2, 3, 0, 1))).toEqual([])
    expect(machine.context.leadership?.progress.get(2)).toMatchObject({
      matchIndex: 4,
      nextIndex: 5,
      mode: 'replicate',
    })
  })

  it('reads from disk what a follower far behind needs and memory no longer holds', () => {
    const log = entries([1, 1, 1])
    const machine = elected({ entries: log })
    machine.completeWrites()
    const [request] = readsIn(machine.receive(2, rejected(2, 3, 0, 1)))
    expect(ofType('appendEntries', machine.completeRead(request!))).toEqual([
      { to: 2, message: append(2, [0, 0], log) },
    ])
  })

  it('ignores entries read from disk that the follower needs no more, for it has answered meanwhile', () => {
    const machine = elected({ entries: entries([1, 1, 1]) })
    machine.completeWrites()
    const [request] = readsIn(machine.receive(2, rejected(2, 3, 0, 1)))
    machine.receive(2, accepted(2, 3))
    expect(machine.completeRead(request!)).toEqual([])
  })
})

describe('§5.3: a follower', () => {
  it('refuses the new entries if it finds no entry with the preceding index and term', () => {
    const machine = led({ entries: entries([1, 1, 1]) })
    expect(machine.receive(2, append(1, [5, 1], entries([1])))).toEqual([sends([2, rejected(1, 5, 0, 4)])])
    const other = led({ entries: entries([1, 2, 2, 3]), term: 5 })
    expect(other.receive(2, append(5, [3, 4]))).toEqual([sends([2, rejected(5, 3, 2, 2)])])
  })

  it('appends the entries that follow, and answers once they are durable', () => {
    const machine = led()
    const runs = entries([1, 1])
    const reply = { to: 2, message: accepted(1, 2) }
    expect(machine.receive(2, append(1, [0, 0], runs))).toEqual([persists({ runs, lastIndex: 2, messages: [reply] })])
    expect(machine.completeWrites()).toEqual([sends([2, accepted(1, 2)])])
  })

  it('if an existing entry conflicts with a new one, deletes it and all that follow it', () => {
    const base = entries([1])
    const machine = led({ entries: entries([1, 2, 2, 2]), term: 3 })
    const runs = entries([3], base)
    const reply = { to: 2, message: accepted(3, 2) }
    expect(machine.receive(2, append(3, [1, 1], runs))).toEqual([
      persists({ runs, truncateFrom: 2, lastIndex: 2, truncations: 1, messages: [reply] }),
    ])
    expect(machine.terms).toEqual([1, 3])
  })

  it('deletes nothing where an old or repeated message ends before its log does', () => {
    const log = entries([1, 1, 1])
    const machine = led()
    machine.receive(2, append(1, [0, 0], log))
    machine.completeWrites()
    expect(machine.receive(2, append(1, [0, 0], log.slice(0, 2)))).toEqual([sends([2, accepted(1, 2)])])
    expect(machine.receive(2, append(1, [1, 1]))).toEqual([sends([2, accepted(1, 1)])])
    expect(machine.terms).toEqual([1, 1, 1])
  })

  it('takes only what is new of a message that overlaps its log', () => {
    const log = entries([1, 1, 1, 1])
    const machine = led({ entries: log.slice(0, 2) })
    const effects = machine.receive(2, append(1, [0, 0], log))
    expect(stepsIn(effects)).toMatchObject([{ runs: log.slice(2), lastIndex: 4 }])
    expect(stepsIn(effects)[0]?.truncateFrom).toBeUndefined()
  })

  it('applies an entry once it learns that it is committed, in log order and each once', () => {
    const log = entries([1, 1, 1])
    const machine = led()
    expect(commitsIn(machine.receive(2, append(1, [0, 0], log, 1)))).toEqual([{ index: 1, runs: [log[0]] }])
    expect(commitsIn(machine.receive(2, heartbeat(1, 2, 3)))).toEqual([{ index: 3, runs: log.slice(1) }])
    expect(commitsIn(machine.receive(2, heartbeat(1, 3, 3)))).toEqual([])
  })

  it('if leaderCommit > commitIndex, sets commitIndex = min(leaderCommit, index of last new entry)', () => {
    const machine = led({ entries: entries([1, 1, 1, 1]) })
    machine.receive(2, append(1, [1, 1], entries([1], entries([1])), 4))
    expect(machine.context.commitIndex).toBe(2)
  })

  it('takes no entry that would undo a committed one, and says so', () => {
    const machine = led({ entries: entries([1, 1]) })
    machine.receive(2, append(1, [2, 1], [], 2))
    const effects = machine.receive(3, append(2, [0, 0], entries([2])))
    expect(noticesIn(effects)).toEqual(['from server 3: an append that would truncate the committed entry 1'])
    expect(messagesIn(machine.completeWrites())).toEqual([])
    expect(machine.terms).toEqual([1, 1])
  })

  describe('takes no entry that Log Matching forbids, and says so:', () => {
    const [first] = entries([1])
    const pair = runAfter(first, 2, 2)

    it.each([
      ['one that is chained to another run than ours', append(2, [3, 2], [runAfter({ ...pair, checksum: 7 }, 2, 1)])],
      ['one that would split a run of ours', append(2, [2, 2], [runAfter({ ...pair, lastIndex: 2 }, 3, 1)])],
      ['one that begins as a run of ours does, and ends elsewhere', append(2, [1, 1], [runAfter(first, 2, 3)])],
    ])('%s', (_, message) => {
      const machine = led({ entries: [first!], term: 2 })
      machine.receive(3, append(2, [1, 1], [pair]))
      machine.receive(3, heartbeatReply(3, 1, 0))
      const effects = machine.receive(2, { ...message, term: 3 })
      expect(noticesIn(effects)).toEqual([expect.stringContaining('one of the two logs is damaged')])
      expect(messagesIn(effects)).toEqual([])
      expect(machine.terms).toEqual([1, 2, 2])
    })

    it('one that undoes what this term’s leader has sent', () => {
      const machine = led({ term: 2 })
      machine.receive(2, append(2, [0, 0], entries([1, 1])))
      const effects = machine.receive(3, append(2, [0, 0], entries([2])))
      expect(noticesIn(effects)).toEqual([expect.stringContaining("which this term's leader had sent")])
      expect(machine.terms).toEqual([1, 1])
    })
  })
})

describe('Figure 7: when a leader comes to power, followers’ logs may differ from its own in any of these ways', () => {
  const LEADER = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
  const settled = [...LEADER, 8]

  it.each<readonly [string, readonly number[], readonly number[]]>([
    ['(a) missing an entry', [1, 1, 1, 4, 4, 5, 5, 6, 6], [10, 9]],
    ['(b) missing many entries', [1, 1, 1, 4], [10, 4]],
    ['(c) an extra uncommitted entry', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], [10]],
    ['(d) extra uncommitted entries of a later term', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], [10]],
    ['(e) both, from the middle of a term that the leader has too', [1, 1, 1, 4, 4, 4, 4], [10, 7, 5]],
    ['(f) both, in terms that the leader does not have', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], [10, 6, 3]],
  ])('%s', (_, terms, probes) => {
    const leader = new Machine({ entries: entries(LEADER), term: 7, configuration: FIVE })
    const peer = new Machine({ id: 2, entries: entries(terms), term: 7, configuration: FIVE })
    expect(elect(leader)).toBe(8)
    const opening = [sends(...messagesIn(leader.completeWrites()).map(({ to, message }) => [to, message] as const))]
    const probe = append(8, [10, 6], leader.disk.slice(10))
    const said = converse(leader, peer, [...opening, sends([2, probe])])
    expect(peer.terms).toEqual(settled)
    expect(peer.disk.map(({ checksum }) => checksum)).toEqual(leader.disk.map(({ checksum }) => checksum))
    const asked = said.filter((message) => message.type === 'appendEntries').map(({ prevLogIndex }) => prevLogIndex)
    // One message for each conflicting term, not one for each entry.
    expect(asked.slice(0, probes.length)).toEqual(probes)
    expect(leader.context.leadership?.progress.get(2)).toMatchObject({ matchIndex: 11, mode: 'replicate' })
  })

  function elect(machine: Machine): number {
    machine.advanceUntil(() => machine.role === 'preCandidate')
    for (const voter of [3, 4]) machine.receive(voter, { type: 'preVoteReply', term: 8, granted: true })
    machine.completeWrites()
    for (const voter of [3, 4]) machine.receive(voter, { type: 'requestVoteReply', term: 8, granted: true })
    return machine.term
  }
})

describe('§5.3: Log Matching', () => {
  it('a follower that two of three messages never reached has, in the end, the leader’s log', () => {
    const leader = elected()
    const peer = new Machine({ id: 2 })
    for (let id = 1; id <= 20; id++) {
      const effects = leader.propose(batch(id))
      leader.completeWrites()
      if (id % 3 === 0) converse(leader, peer, effects)
    }
    for (let round = 0; round < 10; round++) converse(leader, peer, leader.advance(T / 10))
    expect(peer.disk.map(({ checksum }) => checksum)).toEqual(leader.disk.map(({ checksum }) => checksum))
    expect(peer.context.log.lastIndex).toBe(21)
  })
})
