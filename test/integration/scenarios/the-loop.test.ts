import { describe, expect, it } from 'vitest'
import type { LogIndex, ServerId } from '../../../src/machines/types.js'
import { keyChars } from '../../../src/state-machines/kv/keys.js'
import { HEARTBEAT_MS, type Call, Story, T } from './story.js'

describe('SCENARIO 38: after a pause longer than an election timeout, waiting heartbeats come before the expired timer', () => {
  it.each([
    ['while it stood still', 0],
    ['in the moment when it goes on, after the timer had expired', 2 * T],
  ])('a follower whose heartbeats came %s does not campaign', (_, delayMs) => {
    const story = Story.ledBy(1)
    if (delayMs > 0) story.hold(1, 3, delayMs)
    const roles = new Set<string>()
    story.watch((id) => {
      if (id === 3) roles.add(story.role(3))
    })
    story.server(3).pause()
    story.advance(5 * T)
    story.server(3).resume()
    story.release(1, 3)
    story.advance(5 * T)
    expect([...roles]).toEqual(['follower'])
    expect([story.leads(1), story.term(1), story.heardBy(2, 'preVote')]).toEqual([true, 1, []])
  })

  it('a leader that stood still hears first that it has been deposed', () => {
    const story = Story.ledBy(1)
    story.server(1).pause()
    story.until('another leads', () => story.isServing(2) || story.isServing(3), 5 * T)
    const { term } = (story.isServing(2) ? story.server(2) : story.server(3)).context.hardState
    story.advance(HEARTBEAT_MS * 2)
    const handled: string[] = []
    story.watch((id, context, event) => {
      if (id === 1) handled.push(`${event.type} ${context.hardState.term}`)
    })
    story.server(1).resume()
    story.advance(0)
    const adopted = handled.findIndex((step) => step.endsWith(` ${term}`))
    expect(adopted).toBeGreaterThanOrEqual(0)
    expect(handled.slice(0, adopted).filter((step) => step.startsWith('clock'))).toEqual([])
    story.advance(5 * T)
    expect(story.cluster.safety.elections).toBe(2)
    story.heals()
  })
})

describe('SCENARIO 39: overlapping disk writes do not complete out of order', () => {
  it('one write is in flight a server: whatever each takes, completions come in the order of the log', () => {
    const story = Story.ledBy(1)
    // On followers the later a write begins, the sooner it would end.
    story.slowDisk(1, 3)
    for (const id of [2, 3]) {
      let ms = 40
      story.slowDisk(id, () => (ms = ms <= 1 ? 40 : ms * 0.7))
    }
    const durable = new Map<ServerId, LogIndex>()
    const acknowledged = new Map<ServerId, LogIndex>()
    story.watch((id, context, event) => {
      expect(context.durable.index).toBeGreaterThanOrEqual(durable.get(id) ?? 0)
      durable.set(id, context.durable.index)
      if (event.type !== 'appendEntriesReply' || !event.message.success) return
      const { from, message } = event
      // That what is answered is on the disk, and everything before it, the cluster's own judges see to.
      expect(message.matchIndex).toBeGreaterThanOrEqual(acknowledged.get(from) ?? 0)
      acknowledged.set(from, message.matchIndex)
    })
    const calls: Call<{ readonly revision: LogIndex }>[] = []
    for (let step = 0; step < 100; step++) {
      calls.push(story.put(1, `key ${step % 7}`, `${step}`))
      story.advance(2)
    }
    const revisions = calls.map((call) => story.done(call).revision)
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
    for (const id of [1, 2, 3]) expect(story.server(id).failure).toBe(undefined)
    story.server(2).crash()
    story.heals()
  })
})

describe('SCENARIO 40: a restarted voter does not help to depose a leader whose lease it had confirmed', () => {
  it('it votes for nobody before the lease has run out, though it has heard no leader since its start', () => {
    const story = Story.ledBy(1)
    story.cut(1, 3)
    story.until('the lease stands on server 2', () => story.holdsLease(1))
    const rounds = story.heardBy(1, 'heartbeatReply').length
    story.until('server 2 confirms the lease', () => story.heardBy(1, 'heartbeatReply').length > rounds)
    story.cut(1, 2)
    story.server(2).crash()
    story.server(2).start()
    story.advance(1)
    expect([story.holdsLease(1), story.context(2).leaderId]).toEqual([true, undefined])
    const lastLease = story.lastLeaseBeforeVote(1, 2, 3)
    expect(lastLease).toBeGreaterThan(0)
    expect(story.now).toBeGreaterThan(lastLease)
    story.heals()
  })

  it('also when it had promised that leader more than its own election timeout', () => {
    const story = Story.ledBy(1)
    const promiseMs = 4 * T
    story.deliver(2, 1, { type: 'heartbeat', term: 1, round: 1000, commitIndex: 1, promiseMs })
    story.advance(1)
    expect(story.context(2).durable.hardState.promiseMs).toBe(promiseMs)
    story.isolate(1)
    story.server(2).crash()
    story.server(2).start()
    const started = story.now
    story.poll('server 2 votes', () => story.context(2).hardState.term > 1)
    expect(story.now - started).toBeGreaterThanOrEqual(promiseMs)
    story.heals()
  })
})

describe('SCENARIO 41: a TimeoutNow delayed past an aborted transfer does not lead to a stale lease read', () => {
  it('once it is sent, the leader reads nothing by its lease for the rest of its term', () => {
    const story = Story.ledBy(1)
    story.done(story.put(1, 'x', 'old'))
    story.until('all have it', () => story.running.every(({ context }) => context.commitIndex === 2))
    story.until('the lease is held', () => story.holdsLease(1))
    story.hold(1, 2, 3 * T)
    story.server(1).running?.server.transferLeadership(2)
    story.until('TimeoutNow is sent', () => story.context(1).leadership?.transfer?.isSent === true)
    story.release(1, 2)
    story.until('the transfer is aborted', () => story.context(1).leadership?.transfer === undefined)
    story.done(story.put(1, 'y', 'it leads on'))
    // It is cut off at the worst moment: its lease would last, and server 2 is about to be told to campaign.
    story.until('TimeoutNow is about to arrive', () => {
      expect(story.holdsLease(1)).toBe(false)
      return story.role(2) !== 'follower'
    })
    story.isolate(1)
    story.until('server 2 leads', () => story.isServing(2))
    story.done(story.put(2, 'x', 'new'))
    expect([story.leads(1), story.term(1)]).toEqual([true, 1])
    expect(story.holdsLease(1)).toBe(false)
    const reads = [story.get(1, 'x', 'lease'), story.get(2, 'x', 'lease'), story.get(3, 'x', 'lease')]
    story.mendAll()
    expect(reads.map((read) => story.done(read))).toEqual(['new', 'new', 'new'])
    story.heals()
  })

  it('reads by quorum go on', () => {
    const story = Story.ledBy(1)
    story.done(story.put(1, 'x', 'old'))
    story.cluster.network.setLinkFaults(1, 2, { loss: 1 })
    story.server(1).running?.server.transferLeadership(2)
    story.until('the transfer is aborted', () => story.context(1).leadership?.transfer === undefined, 2 * T)
    expect([story.done(story.get(1, 'x')), story.leads(1)]).toEqual(['old', true])
    story.heals()
  })
})

describe('SCENARIO 42: a caller that changes a buffer changes nothing on any server', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

  it('neither the key and value that it put, at once or later', () => {
    const story = Story.ledBy(1)
    const [key, value] = [bytes('key'), bytes('value')]
    const call = story.put(1, key, value)
    key.fill(0)
    value.fill(0)
    story.done(call)
    const forwarded = [bytes('swap'), bytes('value')] as const
    const swap = story.swap(3, forwarded[0], undefined, forwarded[1])
    for (const buffer of forwarded) buffer.fill(0)
    expect(story.done(swap)).toMatchObject({ swapped: true })
    story.heals()
    for (const id of [1, 2, 3]) {
      expect([story.stored(id, 'key'), story.stored(id, 'swap'), story.keyValues(id).size]).toEqual([
        'value',
        'value',
        2,
      ])
    }
    for (const id of [1, 2, 3]) story.server(id).crash()
    story.heals()
    expect([1, 2, 3].map((id) => story.stored(id, 'key'))).toEqual(['value', 'value', 'value'])
  })

  it('nor the value that it got', () => {
    const story = Story.ledBy(1)
    story.done(story.put(1, 'key', 'value'))
    story.until('all have it', () => story.running.every(({ context }) => context.commitIndex === 2))
    for (const id of [1, 2, 3]) {
      const got: Uint8Array[] = []
      const read = (): Uint8Array | undefined => story.keyValues(id).getValue(keyChars('key', 1024))
      const take = (value: Uint8Array | undefined): void => void got.push(value ?? new Uint8Array())
      story.server(id).running?.calls.read(read, undefined, take, () => undefined)
      story.until('the read is served', () => got.length === 1)
      got[0]?.fill(0)
      expect(story.done(story.get(id, 'key'))).toBe('value')
      expect(story.stored(id, 'key')).toBe('value')
    }
  })
})
