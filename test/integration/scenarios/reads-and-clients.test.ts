import { describe, expect, it } from 'vitest'
import { HEARTBEAT_MS, Story, T } from './story.js'

describe("SCENARIO 30: ReadIndex is answered only after an entry of the leader's own term is committed", () => {
  it('a new leader that does not yet know what was committed lets reads wait, whatever its followers confirm', () => {
    const story = Story.ledBy(1)
    story.done(story.put(1, 'x', 'old'))
    story.until('all have it', () => story.running.every(({ context }) => context.commitIndex === 2))
    story.isolate(3)
    // Server 1 commits with server 2, answers its client, and is cut off before server 2 is told.
    story.done(story.put(1, 'x', 'new'))
    story.isolate(1)
    expect([story.context(2).commitIndex, story.end(2)]).toEqual([2, 3])
    story.mend(2, 3)
    // Server 3 confirms heartbeats at once, and entries slowly.
    story.slowDisk(3, 25)
    story.lead(2)
    const reads = [story.get(2, 'x'), story.get(3, 'x')]
    story.until('server 3 has confirmed that server 2 leads', () => story.progress(2, 3).confirmedRound > 0)
    story.advance(10)
    expect([story.context(2).commitIndex, ...reads.map(({ isSettled }) => isSettled)]).toEqual([2, false, false])
    expect(reads.map((read) => story.done(read))).toEqual(['new', 'new'])
    expect(story.isServing(2)).toBe(true)
    story.heals()
  })
})

describe('SCENARIO 31: a retried or delayed ReadIndex reply cannot serve a stale read', () => {
  it('the late answer to a heartbeat sent before a read arrived does not confirm that read', () => {
    const story = Story.ledBy(1)
    story.done(story.put(1, 'x', 'old'))
    story.until('all have it', () => story.running.every(({ context }) => context.commitIndex === 2))
    story.cut(1, 3)
    // One answer of server 2 is held up; those after it are lost.
    story.hold(2, 1, 0.93 * T)
    const rounds = story.heardBy(2, 'heartbeat').length
    story.until('server 2 answers a heartbeat', () => story.heardBy(2, 'heartbeat').length > rounds)
    story.cluster.network.setLinkFaults(2, 1, { loss: 1 })
    story.elect(3)
    story.done(story.put(3, 'x', 'new'))
    // Server 1 does not know that it has been deposed.
    expect(story.leads(1)).toBe(true)
    const heard = story.heardBy(1, 'heartbeatReply').length
    const read = story.get(1, 'x')
    story.until('the late answer is there', () => story.heardBy(1, 'heartbeatReply').length > heard)
    expect([story.leads(1), read.isSettled]).toEqual([true, false])
    story.release(2, 1)
    story.mendAll()
    expect(story.done(read)).toBe('new')
    expect(story.leads(1)).toBe(false)
    story.heals()
  })

  it('the answer to an earlier read does not serve a later one', () => {
    const story = Story.ledBy(1)
    story.done(story.put(1, 'x', 'old'))
    expect(story.done(story.get(3, 'x'))).toBe('old')
    const [answer] = story.heardBy(3, 'readIndexReply')
    story.hold(1, 3, 40)
    story.done(story.put(1, 'x', 'new'))
    const read = story.get(3, 'x')
    story.advance(1)
    story.deliver(3, 1, answer!.message)
    story.advance(1)
    expect([story.stored(3, 'x'), read.isSettled]).toEqual(['old', false])
    expect(story.done(read)).toBe('new')
    story.heals()
  })

  it('nor after a restart, when reads are counted from the beginning again', () => {
    const story = Story.ledBy(1)
    story.done(story.put(1, 'x', 'old'))
    expect(story.done(story.get(3, 'x'))).toBe('old')
    const [answer] = story.heardBy(3, 'readIndexReply')
    story.server(3).crash()
    story.server(3).start()
    story.until('server 3 has applied again what it had', () => story.stored(3, 'x') === 'old')
    story.hold(1, 3, 40)
    story.done(story.put(1, 'x', 'new'))
    const read = story.get(3, 'x')
    story.until('the leader is asked', () => story.heardBy(1, 'readIndex').length === 2)
    const [, again] = story.heardBy(1, 'readIndex')
    expect([again!.message.id, again!.message.nonce === answer!.message.nonce]).toEqual([answer!.message.id, false])
    story.deliver(3, 1, answer!.message)
    story.advance(1)
    expect([story.stored(3, 'x'), read.isSettled]).toEqual(['old', false])
    expect(story.done(read)).toBe('new')
    story.heals()
  })

  it('a read that is asked again because its answer was lost sees what was written meanwhile', () => {
    const story = Story.ledBy(1)
    story.done(story.put(1, 'x', 'old'))
    story.cluster.network.setLinkFaults(1, 3, { loss: 1 })
    const read = story.get(3, 'x')
    story.advance(HEARTBEAT_MS)
    story.done(story.put(1, 'x', 'new'))
    story.release(1, 3)
    expect(story.done(read)).toBe('new')
    expect(story.heardBy(1, 'readIndex').length).toBeGreaterThan(1)
    story.heals()
  })
})

describe('SCENARIO 32: a lease never outlives what the election timeout and the drift bound allow', () => {
  it.each([
    ['on clocks that agree', 1, 1],
    ['on a leader as slow beside its voters as the bound allows', 0.95, 1.05],
    ['on a leader that is faster than its voters', 1.05, 0.95],
  ])('%s: it ends before a voter that had confirmed it votes for another', (_, leaderRate, voterRate) => {
    const story = Story.ledBy(1)
    story.server(1).drift(leaderRate)
    for (const id of [2, 3]) story.server(id).drift(voterRate)
    story.until('the lease is held', () => story.holdsLease(1))
    story.advance(2 * HEARTBEAT_MS)
    // The last answer is hardly on its way when the leader is cut off: its lease is as long as can be.
    story.isolate(1)
    const lastLease = story.lastLeaseBeforeVote(1, 2, 3)
    expect(story.context(2).hardState.votedFor).toBe(3)
    expect(lastLease).toBeGreaterThan(T / 2)
    expect(story.now).toBeGreaterThan(lastLease)
    story.heals()
  })

  it.each([T, 5 * T])('after a pause of %i ms a leader that has been deposed reads nothing by its lease', (pauseMs) => {
    const story = Story.ledBy(1, { linearizableReads: 'lease' })
    story.done(story.put(1, 'x', 'old'))
    story.until('the lease is held', () => story.holdsLease(1))
    expect(story.get(1, 'x').value).toBe('old')
    story.server(1).pause()
    story.advance(pauseMs)
    if (pauseMs > 2 * T) {
      story.until('another leads', () => story.isServing(2) || story.isServing(3))
      story.done(story.put(story.isServing(2) ? 2 : 3, 'x', 'new'))
    }
    story.server(1).resume()
    // The first thing that it does, before it has heard anything.
    expect(story.holdsLease(1)).toBe(false)
    const [read, lease] = [story.get(1, 'x'), story.get(1, 'x', 'lease')]
    expect([read.isSettled, lease.isSettled]).toEqual([false, false])
    const expected = pauseMs > 2 * T ? 'new' : 'old'
    expect([story.done(read), story.done(lease)]).toEqual([expected, expected])
    story.heals()
  })

  it('a lease lasts from when a round was sent, not from when it was answered', () => {
    const story = Story.ledBy(1)
    story.isolate(3)
    // Answers are long on their way.
    story.hold(2, 1, 100)
    story.advance(2 * T)
    story.isolate(2)
    const answeredAt = story.heardBy(1, 'heartbeatReply').at(-1)?.at ?? 0
    expect(story.holdsLease(1)).toBe(true)
    story.leaseEnds()
    // A tenth of T is the bound on drift; the round was sent 100 ms before.
    expect(story.now).toBeLessThan(answeredAt + 0.9 * T - 100)
    story.heals()
  })
})

describe('SCENARIO 34: a compare-and-swap later in a batch sees the writes before it', () => {
  it('of three that want the same key, proposed at one moment, the first has it', () => {
    const story = Story.ledBy(1)
    const swaps = ['a', 'b', 'c'].map((name) => story.swap(1, 'lock', undefined, name))
    expect(swaps.map((swap) => story.done(swap).swapped)).toEqual([true, false, false])
    // They went as one run of entries.
    expect(
      story
        .heardBy(2, 'appendEntries')
        .at(-1)
        ?.message.runs.map(({ count }) => count),
    ).toEqual([3])
    story.heals()
    expect([1, 2, 3].map((id) => story.stored(id, 'lock'))).toEqual(['a', 'a', 'a'])
  })

  it('each sees the one before, and the put and the delete between them', () => {
    const story = Story.ledBy(1)
    const calls = [
      story.swap(1, 'x', undefined, '1'),
      story.swap(1, 'x', '1', '2'),
      story.put(1, 'x', '3'),
      story.swap(1, 'x', '2', 'never'),
      story.swap(1, 'x', '3', '4'),
      story.propose(1, { type: 'delete', key: 'x' }),
      story.swap(1, 'x', '4', 'never'),
      story.swap(1, 'x', undefined, '5'),
    ]
    const results = calls.map((call) => story.done<object>(call))
    const swapped = results.map((result) => ('swapped' in result ? result.swapped : undefined))
    expect(swapped).toEqual([true, true, undefined, false, true, undefined, false, true])
    story.heals()
    expect([1, 2, 3].map((id) => story.stored(id, 'x'))).toEqual(['5', '5', '5'])
  })
})
