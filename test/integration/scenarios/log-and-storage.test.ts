import { describe, expect, it } from 'vitest'
import type { LogIndex, ServerId } from '../../../src/machines/types.js'
import type { CrashOptions, InFlight } from '../../../src/storage/memory-log-store.js'
import { type Call, SERVERS_MAY_STOP, Story, T } from './story.js'

/** A leader's last append that a server handled. */
function lastAppend(story: Story, to: ServerId) {
  const heard = story
    .heardBy(to, 'appendEntries')
    .filter(({ message }) => message.runs.length > 0)
    .at(-1)
  if (heard === undefined) throw new Error(`server ${to} has taken no entries`)
  return heard
}

/** Server 1 led in term 1 and has `count` entries that nobody else has; server 2 leads in term 2. All links are cut. */
function deposed(count: number): Story {
  const story = Story.ledBy(1)
  story.isolate(1)
  for (let entry = 0; entry < count; entry++) {
    story.put(1, 'x', `never acknowledged ${entry}`)
    story.advance(1)
  }
  story.until('server 1 has written them', () => story.context(1).durable.index === 1 + count)
  story.elect(2)
  story.isolate(2)
  return story
}

describe('SCENARIO 10: a heartbeat does not truncate entries that are in flight', () => {
  it('nor does an older append that comes late: a follower keeps all that its leader has sent', () => {
    const story = Story.ledBy(1)
    story.isolate(3)
    // Answers are lost, so nothing is committed and the leader sends and sends again.
    story.cluster.network.setLinkFaults(2, 1, { loss: 1 })
    story.slowDisk(2, 15)
    const [early, ...later] = Array.from({ length: 5 }, (_, at) => {
      story.put(1, `key ${at}`, 'x')
      story.until('server 2 has it', () => story.end(2) === 2 + at)
      return lastAppend(story, 2)
    })
    expect(later).toHaveLength(4)
    let shortest: LogIndex = story.end(2)
    story.watch((id, { log }) => {
      if (id === 2) shortest = Math.min(shortest, log.lastIndex)
    })
    story.deliver(2, 1, early!.message)
    story.deliver(2, 1, { type: 'appendEntries', term: 1, prevLogIndex: 1, prevLogTerm: 1, commitIndex: 1, runs: [] })
    story.advance(T / 2)
    expect(story.heardBy(2, 'heartbeat').some(({ at }) => at > story.now - T / 2)).toBe(true)
    expect([shortest, story.context(2).log.truncations]).toEqual([6, 0])
    story.heals()
    expect(story.stored(2, 'key 4')).toBe('x')
  })
})

describe('SCENARIO 11: truncate and append are one durable step', () => {
  /** Server 1, with three entries of its own, is writing the two of the new leader in their place. */
  function rewriting(): Story {
    const story = deposed(3)
    story.mend(2, 3)
    story.done(story.put(2, 'y', 'committed'))
    story.slowDisk(1, 5)
    story.mend(1, 2)
    story.until('server 1 writes over its suffix', () => story.context(1).log.truncations === 1)
    expect([story.end(1), story.server(1).disk.firstIndexes()]).toEqual([3, [1, 2, 3, 4]])
    return story
  }

  it('the disk shows the log before it and the log after it, and nothing between', () => {
    const story = rewriting()
    const seen = new Set<string>()
    story.until('the step is durable', () => {
      seen.add(story.server(1).disk.firstIndexes().join())
      return story.context(1).durable.index === 3
    })
    expect([...seen]).toEqual(['1,2,3,4', '1,2,3'])
    story.heals()
  })

  it.each<[InFlight, LogIndex]>([
    ['lost', 4],
    ['torn', 2],
    ['whole', 3],
  ])('a crash with that step %s leaves a log that ends at %i, and loses nothing committed', (inFlight, end) => {
    const story = rewriting()
    // The watermark is lowered first.
    story.advance(6)
    story.server(1).crash({ inFlight })
    story.mendAll()
    story.server(1).start()
    story.until('server 1 is back', () => story.server(1).running !== undefined)
    expect(story.end(1)).toBe(end)
    story.heals()
    expect([story.stored(1, 'x'), story.stored(1, 'y')]).toEqual([undefined, 'committed'])
  })
})

describe('SCENARIO 12: a follower advances commitIndex no further than what it has matched', () => {
  it("an old suffix is not committed by a new leader's word, be it append, heartbeat or read index", () => {
    const story = deposed(3)
    story.mend(2, 3)
    for (const value of ['a', 'b', 'c']) story.done(story.put(2, 'y', value))
    expect(story.context(2).commitIndex).toBe(5)
    const commitIndex = 5
    story.deliver(1, 2, { type: 'appendEntries', term: 2, prevLogIndex: 1, prevLogTerm: 1, commitIndex, runs: [] })
    story.deliver(1, 2, { type: 'heartbeat', term: 2, round: 1, commitIndex, promiseMs: T })
    story.advance(1)
    expect([story.context(1).commitIndex, story.end(1)]).toEqual([1, 4])
    story.deliver(1, 2, { type: 'readIndexReply', term: 2, nonce: 1, id: 1, index: commitIndex })
    story.advance(1)
    expect([story.context(1).commitIndex, story.end(1)]).toEqual([1, 4])
    story.heals()
    expect([story.stored(1, 'x'), story.stored(1, 'y')]).toEqual([undefined, 'c'])
  })

  it('what one leader had matched says nothing of the log of the next', () => {
    const story = Story.ledBy(1, { servers: 5 })
    story.isolate(3, 4, 5)
    // Entry 2 is on servers 1 and 2 alone: matched there with leader 1, and lost to leader 3.
    story.put(1, 'x', 'never committed')
    story.until('server 2 has it', () => story.context(2).contact.matchIndex === 2)
    story.isolate(1, 2)
    for (const [one, other] of [
      [3, 4],
      [3, 5],
      [4, 5],
    ] as const)
      story.mend(one, other)
    story.elect(3)
    story.deliver(2, 3, { type: 'heartbeat', term: story.term(3), round: 1, commitIndex: 2, promiseMs: T })
    story.advance(1)
    expect(story.context(2).commitIndex).toBe(1)
    story.heals()
    expect(story.stored(2, 'x')).toBe(undefined)
  })
})

describe('SCENARIO 13: a completion for entries since truncated does not count', () => {
  it('nor one for an index that has been rewritten meanwhile (A-B-A)', () => {
    const story = Story.ledBy(1)
    story.isolate(1)
    story.leaseEnds()
    // Server 1 is writing its entry 2, of term 1 ...
    story.slowDisk(1, 40)
    story.put(1, 'x', 'A')
    story.until('the write of entry 2 is under way', () => story.end(1) === 2)
    // ... when server 2, in term 2, gives it another entry 2. Server 2 has nobody else to count on.
    story.mend(1, 2)
    story.lead(2)
    story.isolate(3)
    story.mend(1, 2)
    story.until('entry 2 is another one', () => story.context(1).log.truncations === 1)
    const completions: (readonly [LogIndex, LogIndex])[] = []
    story.watch((id, { durable }, event) => {
      if (id === 1 && event.type === 'persisted') completions.push([event.index, durable.index])
    })
    story.until('the first write is complete', () => completions.length > 0)
    expect(completions[0]).toEqual([2, 1])
    // The leader asks once more, and gets no answer before the new entry is on the disk.
    story.deliver(1, 2, lastAppend(story, 1).message)
    story.advance(20)
    expect(completions).toHaveLength(1)
    expect([story.progress(2, 1).matchIndex, story.context(2).commitIndex]).toEqual([0, 1])
    story.until('the second write is complete', () => completions.length > 1)
    expect(completions[1]).toEqual([2, 2])
    story.until('the entry is committed', () => story.isServing(2))
    story.heals()
    expect(story.stored(1, 'x')).toBe(undefined)
  })

  it('a server does not lead again while a write of its earlier term is under way', () => {
    const story = deposed(1)
    story.mendAll()
    story.slowDisk(1, 20)
    story.until('server 1 rewrites its entry', () => story.context(1).log.truncations === 1)
    story.campaign(1)
    story.watch((id, { leadership, durable, log, hardState }) => {
      if (id !== 1 || leadership === undefined) return
      // Its vote for itself was written after all that it had been writing before.
      expect(durable.hardState).toBe(hardState)
      expect(durable.index).toBeGreaterThanOrEqual(Math.min(leadership.noopIndex - 1, log.lastIndex))
    })
    story.elect(1)
    story.heals()
  })
})

describe('SCENARIO 14: a success reply from before a log reversion does not count', () => {
  /** Server 2, in mem-first mode, answers for entry 3; nobody else has it durably. */
  function answeredAndForgot(replyMs: number): Story {
    const story = Story.ledBy(1, { durability: 'mem-first', syncIntervalMs: 10_000 })
    story.done(story.put(1, 'x', 'kept'))
    story.until('all have it', () => story.running.every(({ context }) => context.commitIndex === 2))
    story.isolate(3)
    story.slowDisk(1, 60)
    story.hold(2, 1, replyMs)
    story.put(1, 'x', 'forgotten by server 2')
    story.until('server 2 answers for it', () => story.context(2).durable.index === 3)
    return story
  }

  function crashAndRestart(story: Story): void {
    story.server(2).crash()
    story.server(2).start()
    // It has forgotten all that no sync covered.
    expect(story.end(2)).toBe(1)
    story.watch((id, { commitIndex }) => {
      if (id === 1 && commitIndex >= 3) expect(story.context(2).durable.index).toBe(3)
    })
  }

  it('one that is still on its way when its sender restarts is not heard', () => {
    const story = answeredAndForgot(30)
    crashAndRestart(story)
    story.cluster.network.cut(1, 2, 'silent')
    story.until('the leader has its own entry', () => story.context(1).durable.index === 3)
    story.advance(10)
    expect(story.context(1).commitIndex).toBe(2)
    story.heals()
  })

  it('one that was heard is forgotten when its sender comes up again', () => {
    const story = answeredAndForgot(1)
    story.until('the leader has heard it', () => story.progress(1, 2).matchIndex === 3)
    crashAndRestart(story)
    story.cluster.network.setLinkFaults(1, 2, { delayMs: 100, reordering: 0 })
    story.until('the leader has its own entry', () => story.context(1).durable.index === 3)
    story.advance(10)
    expect([story.progress(1, 2).matchIndex, story.context(1).commitIndex]).toEqual([0, 2])
    story.until('server 2 has it again', () => story.context(1).commitIndex === 3)
    story.heals()
  })
})

describe('SCENARIO 15: after its disk fails, a leader does not reuse an index and term', () => {
  it.each(['write', 'sync'] as const)('a failed %s stops it, and the others elect', (what) => {
    const story = Story.ledBy(1, SERVERS_MAY_STOP)
    const { disk } = story.server(1)
    if (what === 'write') disk.failNextWrite()
    else disk.failNextSync()
    const call = story.put(1, 'x', 'of a failing leader')
    story.until('server 1 stops', () => story.server(1).running === undefined)
    expect(story.server(1).failure).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(call.error).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    story.until('the others elect a leader', () => story.isServing(2) || story.isServing(3), 4 * T)
    const leader = story.isServing(2) ? 2 : 3
    expect(story.term(leader)).toBeGreaterThan(1)
    story.done(story.put(leader, 'y', 'after it'))
    // With a disk that works again it comes back as a follower, and its log is theirs.
    story.heals()
    expect(story.stored(1, 'y')).toBe('after it')
    expect(story.stored(1, 'x')).toBe(story.stored(leader, 'x'))
  })
})

describe("SCENARIO 16: a new leader's no-op is durable before it counts", () => {
  it('with one other server it takes both disks', () => {
    const story = new Story()
    story.isolate(3)
    story.slowDisk(1, () => (story.leads(1) ? 60 : 0))
    story.lead(1)
    story.until('server 2 has the no-op', () => story.progress(1, 2).matchIndex === 1)
    const read = story.get(1, 'x')
    story.advance(40)
    expect([story.context(1).durable.index, story.context(1).commitIndex, read.isSettled]).toEqual([0, 0, false])
    story.until('it is committed', () => story.isServing(1))
    expect(story.context(1).durable.index).toBe(1)
    story.done(read)
    story.heals()
  })

  it('with two others their disks are enough', () => {
    const story = new Story()
    story.slowDisk(1, () => (story.leads(1) ? 60 : 0))
    story.elect(1)
    expect(story.context(1).durable.index).toBe(0)
    story.heals()
  })

  it('alone in a cluster it takes its own disk', () => {
    const story = new Story({ servers: 1 })
    story.server(1).kill()
    story.slowDisk(1, () => (story.leads(1) ? 60 : 0))
    story.server(1).start()
    story.until('it leads', () => story.server(1).running !== undefined && story.leads(1))
    story.advance(40)
    expect(story.context(1).commitIndex).toBe(0)
    story.until('it serves', () => story.isServing(1))
  })
})

describe('SCENARIO 17: a write or fsync that failed is never retried into a success', () => {
  it.each([
    ['a full disk', 'ENOSPC', (story: Story) => void (story.server(1).disk.full = true)],
    ['a read-only disk', 'EROFS', (story: Story) => void (story.server(1).disk.readOnly = true)],
    ['a failed write', 'EIO', (story: Story) => story.server(1).disk.failNextWrite()],
    ['a failed fsync', 'EIO', (story: Story) => story.server(1).disk.failNextSync()],
  ])('%s stops the server with an error that says so', (_, cause, harm) => {
    const story = Story.ledBy(1, SERVERS_MAY_STOP)
    story.done(story.put(1, 'x', 'acknowledged'))
    story.slowDisk(1, 5)
    // Answers of the others, who could commit without it, come later than its disk's.
    for (const id of [2, 3]) story.hold(id, 1, 20)
    harm(story)
    const calls = [story.put(1, 'x', 'proposed'), story.put(1, 'y', 'proposed')]
    story.advance(1)
    const late = story.put(1, 'z', 'while the write is under way')
    story.until('server 1 stops', () => story.server(1).running === undefined)
    expect(story.server(1).failure).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(story.server(1).failure?.message).toMatch(
      new RegExp(`disk of server 1 failed.*${cause}.*Nothing was retried`),
    )
    for (const { error } of calls) expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    // Proposed, or still waiting for that write: either way it is told the truth.
    expect(late.error?.code).toBeOneOf(['OUTCOME_UNKNOWN', 'STORAGE_FAILED'])
    // The disk works again, but nobody tries.
    const { disk } = story.server(1)
    Object.assign(disk, { full: false, readOnly: false })
    const before = disk.firstIndexes()
    story.advance(20 * T)
    expect([disk.firstIndexes(), story.server(1).running]).toEqual([before, undefined])
    story.heals()
    expect(story.keyValues(1).size).toBeGreaterThanOrEqual(1)
  })

  it('a failed background sync stops a mem-first server', () => {
    const story = Story.ledBy(1, { durability: 'mem-first', ...SERVERS_MAY_STOP })
    // With its first entries a server also writes the cluster's name, which is synced at once.
    story.done(story.put(1, 'x', 'acknowledged'))
    story.advance(T)
    story.server(2).disk.failNextSync()
    story.done(story.put(1, 'x', 'acknowledged too'))
    story.until('server 2 stops', () => story.server(2).running === undefined)
    expect(story.server(2).failure).toMatchObject({ code: 'STORAGE_FAILED' })
    story.heals()
  })
})

describe('SCENARIO 18: a torn tail is cut, damage in the middle is refused', () => {
  it('a torn tail is cut with a notice, and later appends survive the next restart', () => {
    const story = Story.ledBy(1)
    story.done(story.put(1, 'x', 'first'))
    story.until('server 2 has it', () => story.context(2).durable.index === 2)
    story.slowDisk(2, 5)
    story.put(1, 'x', 'second')
    story.until('server 2 is writing', () => story.end(2) === 3)
    story.server(2).crash({ inFlight: 'torn' })
    story.server(2).start()
    story.until('server 2 is back', () => story.server(2).running !== undefined)
    expect(story.notices).toContainEqual(expect.stringMatching(/disk of server 2 was cut after entry 2/))
    story.done(story.put(1, 'x', 'third'))
    story.until('server 2 has caught up', () => story.context(2).durable.index === story.end(1))
    story.server(2).crash()
    story.server(2).start()
    story.until('server 2 is back', () => story.server(2).running !== undefined)
    expect(story.end(2)).toBe(4)
    expect(story.notices).toHaveLength(1)
    story.heals()
    expect(story.stored(2, 'x')).toBe('third')
  })

  it('damage in the middle is refused and left as it is, and the others go on', () => {
    const story = Story.ledBy(1, SERVERS_MAY_STOP)
    for (const value of ['a', 'b', 'c']) story.done(story.put(1, 'x', value))
    story.advance(T)
    const { disk } = story.server(2)
    story.server(2).kill()
    disk.corruptRecord(3, 80)
    const before = disk.firstIndexes()
    story.server(2).start()
    expect(story.server(2).failure).toMatchObject({ code: 'CORRUPT' })
    expect(story.server(2).failure?.message).toMatch(/disk of server 2 is damaged: the record of entry 3/)
    story.done(story.put(1, 'x', 'd'))
    expect(disk.firstIndexes()).toEqual(before)
    story.heals([2])
  })
})

describe('SCENARIO 19: lastApplied on disk never exceeds the log', () => {
  it('a server whose log was shortened by a crash applies again what it has, from the beginning', () => {
    const story = Story.ledBy(1, { durability: 'mem-first', syncIntervalMs: 10_000 })
    for (const value of ['a', 'b', 'c']) story.done(story.put(1, 'x', value))
    story.until('server 2 has applied all', () => story.server(2).running?.server.lastApplied === 4)
    story.isolate(2)
    story.server(2).crash()
    story.server(2).start()
    story.advance(1)
    expect(story.end(2)).toBeLessThan(4)
    story.watch((id) => {
      const lastApplied = story.server(id).running?.server.lastApplied ?? 0
      expect(lastApplied).toBeLessThanOrEqual(story.end(id))
    })
    expect([story.server(2).running?.server.lastApplied, story.stored(2, 'x')]).toEqual([0, undefined])
    story.heals()
    expect(story.stored(2, 'x')).toBe('c')
  })
})

describe('SCENARIO 20: in disk-first mode no crash loses what was acknowledged', () => {
  const fates: readonly CrashOptions[] = [
    { inFlight: 'lost', watermark: 'lost' },
    { inFlight: 'torn', watermark: 'stale' },
    { inFlight: 'whole', watermark: 'kept' },
    { inFlight: 'torn', watermark: 'kept' },
    { inFlight: 'whole', watermark: 'lost' },
  ]

  /** Writers at every server, and a crash of `ids` at a moment that the round decides. */
  function crashUnderLoad(round: number, ids: readonly ServerId[]): void {
    const story = Story.ledBy(1, { seed: round })
    for (const { id } of story.cluster.servers) story.slowDisk(id, () => 1 + (story.cluster.random.uint32() % 4))
    const calls = new Map<string, Call<unknown>>()
    for (let step = 0; step < 12 + round; step++) {
      const key = `key ${step}`
      calls.set(key, story.put(1 + (step % 3), key, 'x'))
      story.advance(0.7)
    }
    const acknowledged = [...calls].filter(([, { isSettled, error }]) => isSettled && error === undefined)
    expect(acknowledged).not.toEqual([])
    for (const id of ids) story.server(id).crash(fates[(round + id) % fates.length])
    story.heals()
    for (const { id } of story.cluster.servers) {
      expect(acknowledged.filter(([key]) => story.stored(id, key) !== 'x')).toEqual([])
    }
  }

  it.each([1, 2, 3])('a crash of server %i', (id) => {
    for (let round = 0; round < 10; round++) crashUnderLoad(round, [id])
  })

  it('a crash of all servers at once', () => {
    for (let round = 0; round < 20; round++) crashUnderLoad(round, [1, 2, 3])
  })

  it('a log that has lost its end without a word is noticed at start', () => {
    const story = Story.ledBy(1, SERVERS_MAY_STOP)
    for (const value of ['a', 'b', 'c']) story.done(story.put(1, 'x', value))
    story.advance(T)
    const { disk } = story.server(2)
    story.server(2).kill()
    disk.removeRecord(disk.firstIndexes().at(-1) ?? 0)
    story.server(2).start()
    expect(story.server(2).failure).toMatchObject({ code: 'CORRUPT' })
    expect(story.server(2).failure?.message).toContain('entries up to 4 had been acknowledged')
    story.heals([2])
  })
})
