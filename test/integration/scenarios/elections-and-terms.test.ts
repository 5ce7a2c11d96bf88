import { describe, expect, it } from 'vitest'
import type { RequestVote } from '../../../src/machines/messages.js'
import { lastTerm } from '../../../src/machines/log.js'
import type { InFlight } from '../../../src/storage/memory-log-store.js'
import { SERVERS_MAY_STOP, Story, T } from './story.js'

/** A request that no voter could refuse for its log or its term. */
function requestOf(story: Story, from: number, leadershipTransfer = false): RequestVote {
  const { log } = story.context(from)
  const term = story.highestTerm + 1
  return { type: 'requestVote', term, lastLogIndex: log.lastIndex, lastLogTerm: lastTerm(log), leadershipTransfer }
}

describe('SCENARIO 1: a leader does not commit an entry of an earlier term by counting copies', () => {
  it('Figure 8: an entry on three servers of five is lost all the same, and nobody had been told that it was committed', () => {
    // One run a message, so that the old entry arrives before the no-op that would commit it.
    const story = Story.ledBy(1, { servers: 5, settings: { appendBytesMax: 1 } })
    // (a) Server 1 leads and replicates an entry to server 2 alone.
    story.isolate(3, 4, 5)
    story.mend(1, 2)
    story.cut(1, 3)
    const lost = story.put(1, 'x', 'of term 1')
    story.until('server 2 has the entry', () => story.context(2).durable.index === 2)
    // (b) It dies. Server 5 is elected by 3 and 4, appends its own entry at that index and dies.
    story.server(1).crash()
    story.mendAll()
    story.isolate(2)
    story.lead(5)
    expect([story.term(5), story.end(5)]).toEqual([2, 2])
    story.server(5).crash()
    // (c) Server 1 is elected again, and its old entry comes to server 3: it is on three of five.
    story.mendAll()
    story.isolate(4)
    story.server(1).start()
    story.advance(2)
    story.campaign(1, 2)
    story.until('server 3 answers that it has the entry', () => story.leads(1) && story.progress(1, 3).matchIndex === 2)
    expect(story.progress(1, 2).matchIndex).toBeGreaterThanOrEqual(2)
    expect(story.context(1).durable.index).toBe(3)
    expect(story.context(1).commitIndex).toBeLessThan(2)
    // (d) It dies before its own entry gets around. Server 5 is elected by 3 and 4, and overwrites the old entry.
    story.server(1).crash()
    story.mendAll()
    story.isolate(2)
    story.server(5).start()
    story.advance(2)
    story.elect(5)
    expect(lost.isSettled).toBe(false)
    story.heals()
    expect([1, 2, 3, 4, 5].map((id) => story.stored(id, 'x'))).toEqual(Array(5).fill(undefined))
  })

  it('the old entry is committed with the first entry of the new term', () => {
    const story = Story.ledBy(1)
    story.isolate(3)
    story.put(1, 'x', 'of term 1')
    story.until('server 2 has the entry', () => story.context(2).durable.index === 2)
    story.server(1).crash()
    story.mendAll()
    story.advance(2)
    story.lead(2)
    story.until('server 2 has a majority for the old entry', () => story.progress(2, 3).matchIndex >= 2)
    expect(story.context(2).commitIndex).toBeOneOf([1, 3])
    story.until('the no-op is committed', () => story.isServing(2))
    expect(story.context(2).commitIndex).toBe(3)
    story.heals()
    expect(story.stored(3, 'x')).toBe('of term 1')
  })
})

describe('SCENARIO 2: term and vote are one durable record', () => {
  it.each<InFlight | 'finished'>(['lost', 'torn', 'whole', 'finished'])(
    'a voter that crashes with its write %s gives no two votes in a term',
    (fate) => {
      const story = Story.ledBy(5, { servers: 5 })
      for (const id of [4, 5]) story.server(id).kill()
      story.isolate(2)
      story.slowDisk(3, 5)
      const written: (readonly [number, number | undefined])[] = []
      story.watch((id, { durable: { hardState } }) => {
        if (id === 3) written.push([hardState.term, hardState.votedFor])
      })
      story.campaign(1)
      story.until('server 3 votes for server 1', () => story.context(3).hardState.votedFor === 1)
      if (fate === 'finished')
        story.until('the vote is durable', () => story.context(3).durable.hardState.votedFor === 1)
      story.server(3).crash({ inFlight: fate === 'finished' ? 'lost' : fate })
      story.isolate(1)
      story.mend(2, 3)
      story.server(3).start()
      story.advance(10)
      // Both or neither: never the term without the vote that was given in it.
      const { term, votedFor } = story.context(3).hardState
      expect([term, votedFor]).toEqual(fate === 'lost' ? [1, 5] : [2, 1])
      // Another server now asks for a vote in the very same term.
      story.campaign(2)
      story.advance(20)
      expect(story.term(2)).toBe(2)
      expect(story.context(3).hardState).toMatchObject({ term: 2, votedFor: fate === 'lost' ? 2 : 1 })
      expect(written.filter(([term, votedFor]) => term === 2 && votedFor === undefined)).toEqual([])
      story.heals()
    },
  )
})

describe('SCENARIO 3: a vote is not sent before it is durable', () => {
  it('a candidate waits for the disk of its voter', () => {
    const story = Story.ledBy(2)
    story.isolate(2)
    story.leaseEnds()
    story.slowDisk(3, 50)
    story.campaign(1)
    story.until('server 3 writes its vote', () => story.context(3).hardState.votedFor === 1)
    story.advance(40)
    expect([story.role(1), story.heardBy(1, 'requestVoteReply')]).toEqual(['candidate', []])
    story.until('server 1 leads', () => story.leads(1))
    expect(story.context(3).durable.hardState.votedFor).toBe(1)
    story.heals()
  })

  it("a candidate's own vote counts once it is durable, alone in a cluster too", () => {
    const story = new Story({ servers: 1 })
    story.server(1).kill()
    story.slowDisk(1, 50)
    story.server(1).start()
    story.until('it campaigns', () => story.server(1).running !== undefined && story.role(1) === 'candidate')
    story.advance(40)
    expect(story.role(1)).toBe('candidate')
    story.until('it leads', () => story.isServing(1))
    expect(story.context(1).durable.hardState).toMatchObject({ term: story.term(1), votedFor: 1 })
  })

  it('a failed vote write stops the server, and the vote is not sent', () => {
    const story = Story.ledBy(2, SERVERS_MAY_STOP)
    story.isolate(2)
    story.server(3).disk.failNextWrite()
    story.campaign(1)
    story.until('server 3 stops', () => story.server(3).running === undefined)
    expect(story.server(3).failure).toMatchObject({ code: 'STORAGE_FAILED' })
    story.advance(2 * T)
    expect(story.heardBy(1, 'requestVoteReply')).toEqual([])
    expect(story.leads(1)).toBe(false)
    story.server(3).start()
    expect(story.context(3).hardState).toMatchObject({ term: 1, votedFor: 2 })
    story.heals()
  })
})

describe('SCENARIO 4: stepping down within the same term keeps the vote', () => {
  it('a leader that lost its quorum votes for nobody else in its term, nor after a restart', () => {
    const story = Story.ledBy(1)
    story.isolate(1)
    story.until('server 1 steps down', () => !story.leads(1))
    expect(story.context(1).hardState).toMatchObject({ term: 1, votedFor: 1 })
    story.until('its promise has run out', () => story.now >= story.context(1).contact.promisedUntil)
    const rival = { ...requestOf(story, 2), term: 1 }
    story.deliver(1, 2, rival)
    story.advance(1)
    expect(story.context(1).hardState).toMatchObject({ term: 1, votedFor: 1 })
    story.server(1).crash()
    story.server(1).start()
    story.advance(1)
    story.deliver(1, 2, { ...rival, leadershipTransfer: true })
    story.mendAll()
    story.advance(2)
    expect(story.context(1).hardState).toMatchObject({ votedFor: 1 })
    expect(story.heardBy(2, 'requestVoteReply').filter(({ message }) => message.granted && message.term === 1)).toEqual(
      [],
    )
    story.heals()
  })

  it('a candidate that finds the leader of its term keeps the vote that it gave itself', () => {
    const story = Story.ledBy(3)
    story.isolate(1)
    story.campaign(1)
    story.until('server 1 has voted for itself in term 2', () => story.context(1).durable.hardState.term === 2)
    story.campaign(2)
    story.until('server 2 leads in that term', () => story.isServing(2))
    story.mendAll()
    story.until('server 1 follows server 2', () => story.context(1).leaderId === 2)
    expect(story.context(1).hardState).toMatchObject({ term: 2, votedFor: 1 })
    story.deliver(1, 3, { ...requestOf(story, 3, true), term: 2 })
    story.advance(2)
    expect(story.context(1).hardState).toMatchObject({ term: 2, votedFor: 1 })
    story.heals()
  })
})

describe('SCENARIO 5: a candidate ignores stale and duplicate votes', () => {
  it('the vote of one server, delivered twice, is one vote', () => {
    const story = Story.ledBy(5, { servers: 5 })
    story.isolate(3, 4, 5)
    story.cluster.network.setLinkFaults(2, 1, { duplication: 1 })
    story.campaign(1)
    story.until('the vote has come twice', () => story.heardBy(1, 'requestVoteReply').length >= 2)
    story.advance(10)
    expect(story.heardBy(1, 'requestVoteReply').every(({ from, message }) => from === 2 && message.granted)).toBe(true)
    expect(story.role(1)).toBe('candidate')
    story.heals()
  })

  it('a vote of an earlier term, late, does not count in this one', () => {
    const story = Story.ledBy(5, { servers: 5 })
    story.isolate(2, 4, 5)
    story.leaseEnds()
    story.cluster.network.cut(3, 1, 'silent')
    story.campaign(1)
    story.until('server 3 has voted in term 2', () => story.context(3).durable.hardState.votedFor === 1)
    // It begins again, in term 3: now server 2 hears it and server 3 does not.
    story.server(1).kill()
    story.server(1).start()
    story.cut(1, 3)
    story.mend(1, 2)
    story.advance(1)
    story.campaign(1)
    const votes = (): number => story.heardBy(1, 'requestVoteReply').filter(({ message }) => message.granted).length
    story.until('server 2 has voted in term 3', () => votes() === 1)
    story.deliver(1, 3, { type: 'requestVoteReply', term: 2, granted: true })
    story.advance(5)
    expect([story.role(1), story.term(1)]).toEqual(['candidate', 3])
    story.heals()
  })

  it('a vote of a server that is no voter does not count', () => {
    const story = Story.ledBy(3)
    story.isolate(1)
    story.campaign(1)
    story.until('server 1 asks for votes', () => story.context(1).durable.hardState.term === 2)
    story.deliver(1, 9, { type: 'requestVoteReply', term: 2, granted: true })
    story.advance(5)
    expect(story.role(1)).toBe('candidate')
    story.heals()
  })
})

describe('SCENARIO 6: a server cut off and back does not depose a working leader', () => {
  it('it campaigns without raising its term, and follows again when it is back', () => {
    const story = Story.ledBy(1)
    story.isolate(3)
    story.advance(20 * T)
    expect([story.role(3), story.term(3)]).toEqual(['preCandidate', 1])
    story.mendAll()
    story.until('server 3 follows', () => story.context(3).leaderId === 1)
    story.advance(10 * T)
    expect([story.leads(1), story.term(1), story.cluster.safety.elections]).toEqual([true, 1, 1])
  })

  it('also when it has missed terms, and when it hears only half of what is said', () => {
    const story = Story.ledBy(1)
    story.isolate(3)
    story.advance(4 * T)
    story.elect(2)
    story.elect(1)
    // It is heard, and hears the others but for the leader.
    story.mend(2, 3)
    story.cluster.network.mend(3, 1)
    story.advance(20 * T)
    expect([story.leads(1), story.term(1)]).toEqual([true, 3])
    story.mendAll()
    story.advance(10 * T)
    expect([story.leads(1), story.term(1), story.context(3).leaderId]).toEqual([true, 3, 1])
  })

  it('a pre-vote never deadlocks a cluster: a longer log in a lower term wins over a higher term', () => {
    const story = Story.ledBy(1)
    story.isolate(3)
    story.done(story.put(1, 'x', 'acknowledged'))
    for (let campaign = 0; campaign < 3; campaign++) {
      story.campaign(3)
      story.advance(5)
      story.server(3).kill()
      story.server(3).start()
      story.advance(1)
    }
    story.server(1).crash()
    story.mend(2, 3)
    expect([story.term(2), story.term(3)]).toEqual([1, 4])
    story.until('a leader is elected', () => story.isServing(2), 10 * T)
    expect(story.stored(2, 'x')).toBe('acknowledged')
    story.heals()
  })

  it('neither a pre-vote nor what is answered to it raises a term', () => {
    const story = Story.ledBy(1)
    story.isolate(2, 3)
    story.until('server 2 looks for a leader', () => story.role(2) === 'preCandidate')
    story.deliver(2, 3, { type: 'preVote', term: 9, lastLogIndex: 0, lastLogTerm: 0 })
    story.deliver(2, 3, { type: 'preVote', term: 9, lastLogIndex: 9, lastLogTerm: 8 })
    story.deliver(2, 3, { type: 'preVoteReply', term: 9, granted: true })
    story.advance(1)
    expect([story.role(2), story.term(2)]).toEqual(['preCandidate', 1])
    story.heals()
  })

  it('a server whose term is higher is let back in, though that costs an election', () => {
    const story = Story.ledBy(1)
    story.isolate(3)
    story.campaign(3)
    story.advance(5)
    story.campaign(1)
    expect(story.term(3)).toBe(2)
    story.mendAll()
    story.until(
      'all follow one leader',
      () => new Set(story.running.map(({ context }) => context.leaderId)).size === 1,
      10 * T,
    )
    story.heals()
  })
})

describe('SCENARIO 7: a removed server cannot disturb the leader', () => {
  it('however often it campaigns and in whatever term, nobody who hears the leader listens', () => {
    const story = Story.ledBy(1)
    // A removed server is told nothing any more, and does not know why.
    story.cluster.network.cut(1, 3, 'silent')
    story.cluster.network.cut(2, 3, 'silent')
    for (let round = 0; round < 200; round++) {
      const wild = { ...requestOf(story, 3), term: 10 + round, lastLogIndex: 1000, lastLogTerm: 9 + round }
      for (const id of [1, 2]) story.deliver(id, 3, wild)
      for (const id of [1, 2]) story.deliver(id, 3, { ...wild, type: 'preVote' })
      story.advance(10)
    }
    expect([story.leads(1), story.term(1), story.term(2), story.cluster.safety.elections]).toEqual([true, 1, 1, 1])
    story.done(story.put(2, 'x', 'undisturbed'))
  })
})

describe('SCENARIO 8: a promoted learner that does not yet know it votes when asked', () => {
  it('its vote elects a leader, and it never campaigns itself', () => {
    const story = new Story({
      configurationOf: (id, everyone) => (id === 3 ? { ...everyone, voters: [1, 2], learners: [3] } : everyone),
    })
    story.server(2).kill()
    story.until('server 1 leads', () => story.isServing(1), 10 * T)
    expect(story.context(3).hardState).toMatchObject({ term: 1, votedFor: 1 })
    story.server(1).kill()
    story.advance(20 * T)
    expect([story.role(3), story.term(3)]).toEqual(['follower', 1])
  })
})

describe('SCENARIO 9: a leader without a quorum steps down', () => {
  it('its clients learn that the outcome is unknown, long before their time is up', () => {
    const story = Story.ledBy(1, { requestTimeoutMs: 100 * T })
    story.isolate(1)
    const [write, read] = [story.put(1, 'x', 'who knows'), story.get(1, 'x')]
    const began = story.now
    story.until('server 1 steps down', () => !story.leads(1))
    expect(story.now - began).toBeLessThanOrEqual(2 * T)
    expect(story.term(1)).toBe(1)
    expect(write.error).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    // A read may be asked again, and is.
    expect(read.isSettled).toBe(false)
    story.until('the others elect a leader', () => story.isServing(2) || story.isServing(3))
    story.mendAll()
    expect(story.done(read)).toBe(undefined)
    story.heals()
  })

  it('a write that was not proposed says so', () => {
    const story = Story.ledBy(1)
    story.isolate(1)
    story.until('server 1 steps down', () => !story.leads(1))
    expect(story.settle(story.put(1, 'x', 'not proposed')).error).toMatchObject({ code: 'NO_LEADER' })
    story.heals()
  })
})
