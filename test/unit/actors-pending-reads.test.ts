import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LeaderView } from '../../src/actors/pending-proposals.js'
import { PendingReads, type ReadAsked, type ReadLimits, type ReadRequest } from '../../src/actors/pending-reads.js'
import { ActorumError } from '../../src/errors.js'
import { Outcome } from './memory-servers.js'

const NONCE = 5
const LIMITS: ReadLimits = { pendingReadsMax: 100, forwardToLeader: true, retryMs: 200 }
const SELF: LeaderView = { leaderId: 1, term: 3, isSelf: true }
const OTHER: LeaderView = { leaderId: 2, term: 3, isSelf: false }
const NOBODY: LeaderView = { leaderId: undefined, term: 3, isSelf: false }

class Read implements ReadRequest {
  readonly outcome = new Outcome<undefined>()
  readonly timeoutMs: number
  /** How often it was asked whether it is settled: nobody asks what is no longer kept. */
  looks = 0
  #isSettled = false
  serve = () => this.outcome.resolve(undefined)
  reject = this.outcome.reject

  constructor(timeoutMs = 1000) {
    this.timeoutMs = timeoutMs
  }

  get isSettled(): boolean {
    this.looks++
    return this.#isSettled
  }

  set isSettled(isSettled: boolean) {
    this.#isSettled = isSettled
  }

  get now(): string {
    return this.outcome.now
  }
}

/** How many of these are still kept, in whatever batch. */
function keptOf(all: readonly Read[], reads: PendingReads): number {
  const before = all.map(({ looks }) => looks)
  reads.drain({ ...OTHER, term: 9 }, 0)
  reads.rejectEverything(new ActorumError('STOPPED', 'stopped'))
  return all.filter(({ looks }, at) => looks > before[at]!).length
}

function pending(limits: Partial<ReadLimits> = {}) {
  const reads = new PendingReads({ ...LIMITS, ...limits }, NONCE)
  const add = (timeoutMs = 1000, lease = false): Read => {
    const read = new Read(timeoutMs)
    reads.add(read, lease)
    return read
  }
  const ready = (asked: ReadAsked | undefined, index: number, lastApplied: number): void =>
    reads.answered({ type: 'readsReady', nonce: asked!.nonce, id: asked!.id, index }, lastApplied)
  return { reads, add, ready }
}

describe('pending reads', () => {
  it('of one turn share one question, those by lease another', () => {
    const { reads, add } = pending()
    for (const lease of [false, true, false, true, false]) add(1000, lease)
    const asked = reads.drain(SELF, 0)
    expect(asked.map(({ lease, nonce }) => ({ lease, nonce }))).toEqual([
      { lease: true, nonce: NONCE },
      { lease: false, nonce: NONCE },
    ])
    expect(reads.drain(SELF, 0)).toEqual([])
  })

  it('are served once what they were given is applied, not before', () => {
    const { reads, add, ready } = pending()
    const [behind, level] = [add(), add(1000, true)]
    const [lease, linearizable] = reads.drain(SELF, 0)
    ready(lease, 4, 4)
    ready(linearizable, 6, 4)
    expect([behind.now, level.now]).toEqual(['pending', 'ok'])
    reads.applied(5)
    expect(behind.now).toBe('pending')
    reads.applied(6)
    expect(behind.now).toBe('ok')
    expect(reads.size).toBe(0)
  })

  it('are answered once, however often their question is', () => {
    const { reads, add, ready } = pending()
    const read = add()
    const [asked] = reads.drain(SELF, 0)
    ready(asked, 1, 1)
    ready(asked, 1, 1)
    expect(read.outcome.answers).toBe(1)
    reads.answered({ type: 'readsReady', nonce: NONCE + 1, id: asked!.id, index: 1 }, 1)
    expect(reads.size).toBe(0)
  })

  it('beyond pendingReadsMax are BUSY at once, and those before are served', () => {
    const { reads, add, ready } = pending({ pendingReadsMax: 2 })
    const accepted = [add(), add()]
    expect(() => add()).toThrow(expect.objectContaining({ code: 'BUSY' }))
    const [asked] = reads.drain(SELF, 0)
    expect(() => add()).toThrow(/2 reads wait/)
    ready(asked, 1, 1)
    expect(accepted.map(({ now }) => now)).toEqual(['ok', 'ok'])
    expect(add().now).toBe('pending')
  })

  it('wait for a leader, and are asked as soon as one is known', () => {
    const { reads, add } = pending()
    add()
    expect(reads.drain(NOBODY, 0)).toEqual([])
    expect(reads.drain(NOBODY, 500)).toEqual([])
    expect(reads.drain(OTHER, 501)).toHaveLength(1)
  })

  it('are asked again of a new leader, under a new number: an answer to the old one serves nobody', () => {
    const { reads, add, ready } = pending()
    const read = add()
    const [first] = reads.drain(OTHER, 0)
    const [second] = reads.drain({ ...OTHER, term: 4 }, 1)
    expect(second!.id).not.toBe(first!.id)
    ready(first, 1, 1)
    expect(read.now).toBe('pending')
    ready(second, 1, 1)
    expect(read.now).toBe('ok')
  })

  it('are asked again of the same leader after retryMs, since question or answer may be lost', () => {
    const { reads, add } = pending()
    add()
    reads.drain(OTHER, 0)
    expect(reads.drain(OTHER, 199)).toEqual([])
    expect(reads.drain(OTHER, 200)).toHaveLength(1)
  })

  it('are not asked twice of this server itself, which forgets none', () => {
    const { reads, add } = pending()
    add()
    reads.drain(SELF, 0)
    expect(reads.drain(SELF, 10_000)).toEqual([])
  })

  it('that were refused wait for the next leader, or for retryMs', () => {
    const { reads, add } = pending()
    const read = add()
    const [asked] = reads.drain(OTHER, 0)
    reads.answered({ type: 'readsRefused', nonce: NONCE, id: asked!.id, reason: 'notLeader' }, 0)
    expect(reads.drain(OTHER, 100)).toEqual([])
    expect(reads.drain(SELF, 101)).toHaveLength(1)
    expect(read.now).toBe('pending')
  })

  it('are refused with the name of the leader when they may not be handed to it', () => {
    const { reads, add } = pending({ forwardToLeader: false })
    const [elsewhere] = [add()]
    expect(reads.drain(OTHER, 0)).toEqual([])
    expect(elsewhere.outcome.error).toMatchObject({ code: 'NOT_LEADER', leaderId: 2 })
    const nowhere = add()
    reads.drain(NOBODY, 0)
    expect(nowhere.now).toBe('NO_LEADER')
    expect(reads.size).toBe(0)
  })

  it('time out as NO_LEADER or TIMEOUT, each in its own time from the turn that took it in', () => {
    const { reads, add, ready } = pending()
    const unasked = add(100)
    reads.drain(NOBODY, 0)
    reads.expire(100, NOBODY)
    const [unanswered, unapplied, patient] = [add(90), add(140, true), add(790)]
    const [lease] = reads.drain(OTHER, 110)
    ready(lease, 9, 1)
    reads.expire(200, OTHER)
    reads.expire(250, OTHER)
    expect([unasked, unanswered, unapplied, patient].map(({ now }) => now)).toEqual([
      'NO_LEADER',
      'TIMEOUT',
      'TIMEOUT',
      'pending',
    ])
    expect(reads.size).toBe(1)
  })

  it('that are asked again keep the time they had', () => {
    const { reads, add } = pending()
    const read = add(100)
    reads.drain(OTHER, 0)
    reads.drain({ ...OTHER, term: 4 }, 60)
    reads.expire(99, OTHER)
    expect(read.now).toBe('pending')
    reads.expire(100, OTHER)
    expect(read.now).toBe('TIMEOUT')
  })

  it('that are aborted are ABORTED, once, and are not asked any more', () => {
    const { reads, add } = pending()
    const read = add()
    reads.abandon(read, 'no longer wanted')
    reads.abandon(read, 'again')
    expect(read.outcome).toMatchObject({ answers: 1, error: { code: 'ABORTED', cause: 'no longer wanted' } })
    expect(reads.drain(SELF, 0)).toEqual([])
    expect(reads.size).toBe(0)
  })

  it.each(['arrived', 'asked', 'confirmed', 'at an index'])(
    'that were aborted when %s are not kept until their time runs out',
    (place) => {
      const { reads, add, ready } = pending()
      const some = Array.from({ length: 20 }, () => new Read())
      for (const read of some) {
        if (place === 'at an index') reads.addAt(read, 9, 0)
        else reads.add(read, false)
      }
      const waiting = add()
      const [asked] = place === 'arrived' ? [] : reads.drain(OTHER, 0)
      if (place === 'confirmed') ready(asked, 9, 1)
      for (const read of some) reads.abandon(read, 'gave up')
      expect(some.map(({ now }) => now)).toEqual(some.map(() => 'ABORTED'))
      expect(reads.size).toBe(1)
      expect(keptOf(some, reads)).toBeLessThanOrEqual(1)
      expect(waiting.outcome).toMatchObject({ answers: 1, now: 'STOPPED' })
    },
  )

  it('whose time ran out are not kept for the sake of a patient one among them', () => {
    const { reads, add } = pending()
    const hasty = Array.from({ length: 20 }, () => add(10))
    const patient = add(1000)
    reads.drain(OTHER, 0)
    reads.expire(10, OTHER)
    expect([hasty[0]!.now, patient.now]).toEqual(['TIMEOUT', 'pending'])
    expect(keptOf(hasty, reads)).toBe(0)
  })

  it('may read again from within their answer, and are not lost', () => {
    const { reads } = pending()
    const again = new Read()
    const late = new Read(10)
    late.reject = () => reads.addAt(again, 5, 10)
    reads.addAt(late, 5, 0)
    reads.expire(10, OTHER)
    reads.applied(5)
    expect(again.now).toBe('ok')
  })

  it('end with the server', () => {
    const { reads, add, ready } = pending()
    const confirmed = add()
    const [asked] = reads.drain(SELF, 0)
    ready(asked, 9, 1)
    const waiting = add()
    reads.drain(SELF, 0)
    const arrived = add(1000, true)
    reads.rejectEverything(new ActorumError('STOPPED', 'this server was stopped'))
    expect([confirmed, waiting, arrived].map(({ now }) => now)).toEqual(['STOPPED', 'STOPPED', 'STOPPED'])
    reads.applied(9)
    expect(confirmed.outcome.answers).toBe(1)
    expect(reads.size).toBe(0)
  })
})

const pick = fc.nat(20)
const happening = fc.oneof(
  fc.record({ type: fc.constant('add' as const), forMs: fc.integer({ min: 1, max: 60 }), lease: fc.boolean() }),
  fc.record({ type: fc.constant('turn' as const) }),
  fc.record({ type: fc.constant('lead' as const), leaderId: fc.constantFrom(undefined, 1, 2), newTerm: fc.boolean() }),
  fc.record({ type: fc.constantFrom('ready' as const, 'refuse' as const), pick, ahead: fc.nat(3) }),
  fc.record({ type: fc.constant('apply' as const), entries: fc.nat(2) }),
  fc.record({ type: fc.constant('abandon' as const), pick }),
  fc.record({ type: fc.constant('sweep' as const), ms: fc.nat(30) }),
)

describe('pending reads, whatever happens to them', () => {
  it('are answered exactly once, never before what was committed at their call is applied', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), (happenings) => {
        const { reads } = pending({ pendingReadsMax: 8, retryMs: 20 })
        const all: Read[] = []
        const asked: ReadAsked[] = []
        let [leader, now, lastApplied, commitIndex] = [NOBODY, 0, 0, 0]
        for (const event of happenings) {
          switch (event.type) {
            case 'add': {
              const read = new Read(event.forMs)
              const floor = commitIndex
              read.serve = () => {
                expect(lastApplied).toBeGreaterThanOrEqual(floor)
                read.outcome.resolve(undefined)
              }
              if (reads.size < 8) reads.add(read, event.lease)
              else expect(() => reads.add(read, event.lease)).toThrow(expect.objectContaining({ code: 'BUSY' }))
              if (reads.size > all.filter((one) => one.now === 'pending').length) all.push(read)
              break
            }
            case 'turn':
              asked.push(...reads.drain(leader, now))
              break
            case 'lead':
              leader = {
                leaderId: event.leaderId,
                term: leader.term + Number(event.newTerm),
                isSelf: event.leaderId === 1,
              }
              break
            case 'ready': {
              const question = asked[event.pick]
              commitIndex += event.ahead
              const answer = { type: 'readsReady', nonce: NONCE, id: question?.id ?? 0, index: commitIndex } as const
              reads.answered(answer, lastApplied)
              break
            }
            case 'refuse': {
              const id = asked[event.pick]?.id ?? 0
              reads.answered({ type: 'readsRefused', nonce: NONCE, id, reason: 'notLeader' }, lastApplied)
              break
            }
            case 'apply':
              lastApplied = Math.min(commitIndex, lastApplied + event.entries)
              reads.applied(lastApplied)
              break
            case 'abandon': {
              const read = all[event.pick]
              if (read !== undefined) reads.abandon(read, 'gave up')
              break
            }
            case 'sweep':
              now += event.ms
              reads.expire(now, leader)
          }
          expect(reads.size).toBe(all.filter((read) => read.now === 'pending').length)
        }
        reads.rejectEverything(new ActorumError('STOPPED', 'stopped'))
        expect(all.map(({ outcome }) => outcome.answers)).toEqual(all.map(() => 1))
        expect(reads.size).toBe(0)
      }),
      { numRuns: 400 },
    )
  })
})
