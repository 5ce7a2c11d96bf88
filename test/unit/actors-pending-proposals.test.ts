import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PendingProposals, type LeaderView, type ProposalLimits } from '../../src/actors/pending-proposals.js'
import type { ProposalRequest } from '../../src/actors/proposal-batch.js'
import { ActorumError } from '../../src/errors.js'
import { crc32 } from '../../src/machines/checksum.js'
import { ENTRY_HEADER_BYTES, forEachCommand, RUN_HEADER_BYTES, sealRun } from '../../src/machines/entry-run.js'
import type { ProposalBatch } from '../../src/machines/events.js'
import { invariant } from '../../src/machines/invariant.js'
import type { CommandCodec } from '../../src/state-machines/ports.js'
import { Outcome } from './memory-servers.js'

const NONCE = 5
const LIMITS: ProposalLimits = {
  runBytesMax: 4096,
  pendingProposalsMax: 100,
  pendingBytesMax: 64 * 1024,
  forwardToLeader: true,
  retryMs: 200,
}
const SELF: LeaderView = { leaderId: 1, term: 3, isSelf: true }
const OTHER: LeaderView = { leaderId: 2, term: 3, isSelf: false }
const NOBODY: LeaderView = { leaderId: undefined, term: 3, isSelf: false }

/** A command is a number, in as many bytes as it is asked to take (four at least). */
interface Numbered {
  readonly number: number
  readonly size: number
}

const codec: CommandCodec<Numbered> = {
  sizeOf: ({ size }) => size,
  write: ({ number }, target, at) => new DataView(target.buffer, target.byteOffset).setUint32(at, number),
}

class Request implements ProposalRequest<number> {
  readonly outcome = new Outcome<number>()
  readonly deadline: number
  isSettled = false
  resolve = this.outcome.resolve
  reject = this.outcome.reject

  constructor(deadline = 1000) {
    this.deadline = deadline
  }

  get now(): string {
    return this.outcome.now
  }
}

function pending(limits: Partial<ProposalLimits> = {}) {
  const proposals = new PendingProposals<Numbered, number>(codec, { ...LIMITS, ...limits }, NONCE)
  let next = 1
  const add = (size = 4, deadline = 1000): Request => {
    const request = new Request(deadline)
    proposals.add({ number: next++, size }, request)
    return request
  }
  return { proposals, add }
}

function runOf({ bytes, count, batch, nonce }: ProposalBatch) {
  const origin = { server: 1, nonce, batch }
  const stamps = { term: 3, firstIndex: 1, previousChecksum: 0, clusterTime: 0, wallTime: 0, origin }
  return sealRun(bytes, { kind: 'command', count, ...stamps }, crc32)
}

/** The numbers of the commands in a batch. */
function numbersIn(batch: ProposalBatch): readonly number[] {
  const run = runOf(batch)
  const view = new DataView(run.bytes.buffer, run.bytes.byteOffset)
  const numbers: number[] = []
  forEachCommand(run, (start) => numbers.push(view.getUint32(start)))
  return numbers
}

function apply(proposals: PendingProposals<Numbered, number>, batch: ProposalBatch): void {
  const run = runOf(batch)
  if (proposals.isAwaited(run)) proposals.applied(run, numbersIn(batch))
}

describe('pending proposals', () => {
  it('of one turn go out as one batch, in order', () => {
    const { proposals, add } = pending()
    for (let count = 0; count < 5; count++) add()
    const batches = proposals.drain(SELF, 0)
    expect(batches.map(numbersIn)).toEqual([[1, 2, 3, 4, 5]])
    expect(batches[0]).toMatchObject({ count: 5, nonce: NONCE })
    expect(proposals.drain(SELF, 0)).toEqual([])
  })

  it('are answered each with its own result, and count no more', () => {
    const { proposals, add } = pending()
    const requests = [add(), add(), add()]
    const [batch] = proposals.drain(SELF, 0)
    expect(requests.map(({ now }) => now)).toEqual(['pending', 'pending', 'pending'])
    apply(proposals, batch!)
    expect(requests.map(({ outcome }) => outcome.value)).toEqual([1, 2, 3])
    expect(proposals.size).toBe(0)
    apply(proposals, batch!)
    expect(requests.map(({ outcome }) => outcome.answers)).toEqual([1, 1, 1])
  })

  it('are split into runs of runBytesMax; one longer command is a run by itself', () => {
    const { proposals, add } = pending({ runBytesMax: 1024 })
    const half = (1024 - RUN_HEADER_BYTES) / 2 - ENTRY_HEADER_BYTES
    for (const size of [half, half, half, 5000, 4]) add(size)
    const batches = proposals.drain(SELF, 0)
    expect(batches.map(numbersIn)).toEqual([[1, 2], [3], [4], [5]])
    expect(batches[0]?.bytes.length).toBe(1024)
  })

  it('beyond pendingProposalsMax are BUSY at once, until one is answered', () => {
    const { proposals, add } = pending({ pendingProposalsMax: 2 })
    const accepted = [add(), add()]
    expect(() => add()).toThrow(expect.objectContaining({ code: 'BUSY' }))
    const [batch] = proposals.drain(SELF, 0)
    expect(() => add()).toThrow(/2 proposals of 18 bytes .* not proposed: try again later/)
    apply(proposals, batch!)
    expect(accepted.map(({ now }) => now)).toEqual(['ok', 'ok'])
    expect(add().now).toBe('pending')
  })

  it('beyond pendingBytesMax are BUSY at once, until enough are answered', () => {
    const { proposals, add } = pending({ pendingBytesMax: 1024 })
    add(1000 - ENTRY_HEADER_BYTES)
    expect(() => add(25 - ENTRY_HEADER_BYTES)).toThrow(expect.objectContaining({ code: 'BUSY' }))
    add(24 - ENTRY_HEADER_BYTES)
    for (const batch of proposals.drain(SELF, 0)) apply(proposals, batch)
    expect(add(1024 - ENTRY_HEADER_BYTES).now).toBe('pending')
  })

  it('of a command beyond commandBytesMax are TOO_LARGE, and leave no trace', () => {
    const { proposals, add } = pending({ commandBytesMax: 100 })
    expect(() => add(101)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
    expect([proposals.size, proposals.share, proposals.drain(SELF, 0)]).toEqual([0, 0, []])
    expect(add(100).now).toBe('pending')
  })

  it('wait for a leader, and go to the first that is known', () => {
    const { proposals, add } = pending()
    const request = add()
    expect(proposals.drain(NOBODY, 0)).toEqual([])
    add()
    expect(proposals.drain(OTHER, 0).map(numbersIn)).toEqual([[1], [2]])
    expect(request.now).toBe('pending')
  })

  it('are numbered in the order of proposing, also when some were answered while they waited', () => {
    const { proposals, add } = pending()
    const requests = Array.from({ length: 100 }, () => {
      const request = add()
      proposals.drain(NOBODY, 0)
      return request
    })
    proposals.abandon(requests[10]!, 'the caller went away')
    const ids = proposals.drain(OTHER, 0).map(({ batch }) => batch)
    expect(ids).toHaveLength(99)
    expect(ids).toEqual(ids.toSorted((first, second) => first - second))
  })

  it('are refused with the name of the leader when they may not be handed to it', () => {
    const { proposals, add } = pending({ forwardToLeader: false })
    const elsewhere = add()
    expect(proposals.drain(OTHER, 0)).toEqual([])
    expect(elsewhere.outcome.error).toMatchObject({ code: 'NOT_LEADER', leaderId: 2 })
    const nowhere = add()
    proposals.drain(NOBODY, 0)
    expect(nowhere.now).toBe('NO_LEADER')
    expect(proposals.size).toBe(0)
    const here = add()
    expect(proposals.drain(SELF, 0)).toHaveLength(1)
    expect(here.now).toBe('pending')
  })

  it('time out as NO_LEADER or TIMEOUT when they were not proposed, and are never proposed then', () => {
    const { proposals, add } = pending()
    const [early, late] = [add(4, 100), add(4, 300)]
    proposals.drain(NOBODY, 0)
    proposals.expire(99, NOBODY)
    expect(early.now).toBe('pending')
    proposals.expire(100, NOBODY)
    expect([early.now, late.now]).toEqual(['NO_LEADER', 'pending'])
    expect(proposals.drain(OTHER, 150).map(numbersIn)).toEqual([[2]])
    const [batch] = [...proposals.drain(OTHER, 150)]
    expect(batch).toBeUndefined()
  })

  it('time out where none has been drained meanwhile: a leader whose disk is busy takes none', () => {
    const { proposals, add } = pending()
    const [early, late] = [add(4, 100), add(4, 300)]
    proposals.expire(100, SELF)
    expect([early.now, late.now]).toEqual(['TIMEOUT', 'pending'])
    expect(proposals.drain(SELF, 150).map(numbersIn)).toEqual([[2]])
  })

  it('time out as OUTCOME_UNKNOWN once they were proposed', () => {
    const { proposals, add } = pending()
    const [early, late] = [add(4, 100), add(4, 300)]
    const [batch] = proposals.drain(OTHER, 0)
    proposals.expire(100, OTHER)
    expect([early.now, late.now]).toEqual(['OUTCOME_UNKNOWN', 'pending'])
    apply(proposals, batch!)
    expect([early.now, late.now]).toEqual(['OUTCOME_UNKNOWN', 'ok'])
    expect(early.outcome.answers).toBe(1)
    expect(proposals.size).toBe(0)
  })

  it('count no more once nobody waits for them: one that was lost on its way cannot hold its place for ever', () => {
    const { proposals, add } = pending({ pendingProposalsMax: 2 })
    add(4, 100)
    proposals.drain(OTHER, 0)
    add(4, 101)
    proposals.expire(100, OTHER)
    expect(proposals.size).toBe(1)
    proposals.drain(NOBODY, 100)
    proposals.expire(101, NOBODY)
    expect(proposals.size).toBe(0)
  })

  it('that are aborted are ABORTED before they are proposed, and then never are', () => {
    const { proposals, add } = pending()
    const [first, second] = [add(), add()]
    proposals.abandon(first, 'no longer wanted')
    expect(first.outcome.error).toMatchObject({ code: 'ABORTED', cause: 'no longer wanted' })
    expect(proposals.drain(SELF, 0).map(numbersIn)).toEqual([[2]])
    proposals.abandon(second, 'no longer wanted')
    expect(second.outcome.error).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: 'no longer wanted' })
    proposals.abandon(second, 'again')
    expect(second.outcome.answers).toBe(1)
  })

  it('that were aborted without being proposed take nobody’s place: not for long where they are many, not at all where it is full', () => {
    const { proposals, add } = pending({ pendingProposalsMax: 10 })
    const requests = Array.from({ length: 10 }, () => add())
    proposals.drain(NOBODY, 0)
    for (const request of requests.slice(0, 5)) proposals.abandon(request, 'gone')
    expect(proposals.size).toBe(10)
    proposals.abandon(requests[5]!, 'gone')
    expect(proposals.size).toBe(4)
    for (let at = 0; at < 6; at++) add()
    proposals.abandon(requests[6]!, 'gone')
    add()
    expect(() => add()).toThrow(expect.objectContaining({ code: 'BUSY' }))
    expect(proposals.drain(SELF, 1).flatMap(numbersIn)).toEqual([8, 9, 10, 11, 12, 13, 14, 15, 16, 17])
  })

  it('have an unknown outcome when the leader that they went to leads no more', () => {
    for (const next of [NOBODY, SELF, { ...OTHER, term: 4 }]) {
      const { proposals, add } = pending()
      const request = add()
      const [batch] = proposals.drain(OTHER, 0)
      proposals.leaderChanged(OTHER)
      expect(request.now).toBe('pending')
      proposals.leaderChanged(next)
      expect(request.now).toBe('OUTCOME_UNKNOWN')
      apply(proposals, batch!)
      expect(request.outcome.answers).toBe(1)
      expect(proposals.size).toBe(0)
    }
  })

  it('that a leader refused go to the next leader at once, to the same one after retryMs', () => {
    const { proposals, add } = pending()
    const request = add()
    const [batch] = proposals.drain(OTHER, 0)
    proposals.refused({ type: 'proposalsRefused', nonce: NONCE, batch: batch!.batch, reason: 'notLeader' }, OTHER, 10)
    expect(proposals.drain(OTHER, 209)).toEqual([])
    const [again] = proposals.drain(OTHER, 210)
    expect(numbersIn(again!)).toEqual([1])
    expect(again!.batch).not.toBe(batch!.batch)
    proposals.refused({ type: 'proposalsRefused', nonce: NONCE, batch: again!.batch, reason: 'notLeader' }, OTHER, 220)
    const [third] = proposals.drain({ ...OTHER, leaderId: 3 }, 221)
    apply(proposals, third!)
    expect(request.outcome.value).toBe(1)
  })

  it('that are not answered go to the same leader once more after retryMs, byte for byte, and then ever less often', () => {
    const { proposals, add } = pending()
    const request = add()
    const [batch] = proposals.drain(OTHER, 0)
    expect(proposals.drain(OTHER, 199)).toEqual([])
    expect(proposals.drain(OTHER, 200)).toEqual([batch])
    expect(proposals.drain(OTHER, 599)).toEqual([])
    expect(proposals.drain(OTHER, 600)).toEqual([batch])
    apply(proposals, batch!)
    expect(request.outcome).toMatchObject({ answers: 1, value: 1 })
    expect(proposals.drain(OTHER, 10_000)).toEqual([])
  })

  it('are not sent again by the leader itself, whose log has them, nor to another leader', () => {
    const { proposals, add } = pending()
    const own = add()
    proposals.drain(SELF, 0)
    expect(proposals.drain(SELF, 1000)).toEqual([])
    const next = { ...OTHER, term: 4 }
    proposals.leaderChanged(next)
    expect(proposals.drain(next, 2000)).toEqual([])
    expect(own.now).toBe('OUTCOME_UNKNOWN')
  })

  it('that an overloaded leader refused are BUSY', () => {
    const { proposals, add } = pending()
    const request = add()
    const [batch] = proposals.drain(OTHER, 0)
    proposals.refused({ type: 'proposalsRefused', nonce: NONCE, batch: batch!.batch, reason: 'busy' }, OTHER, 0)
    expect(request.now).toBe('BUSY')
    expect(proposals.size).toBe(0)
  })

  it("take no notice of refusals and runs of another start's batches", () => {
    const { proposals, add } = pending()
    const request = add()
    const [batch] = proposals.drain(OTHER, 0)
    const nonce = NONCE + 1
    proposals.refused({ type: 'proposalsRefused', nonce, batch: batch!.batch, reason: 'busy' }, OTHER, 0)
    expect(proposals.isAwaited(runOf({ ...batch!, nonce }))).toBe(false)
    expect(request.now).toBe('pending')
  })

  it('end with the server: OUTCOME_UNKNOWN when proposed, the reason itself when not', () => {
    const { proposals, add } = pending()
    const proposed = add()
    proposals.drain(OTHER, 0)
    const waiting = add()
    proposals.drain(NOBODY, 0)
    const open = add()
    proposals.rejectEverything(new ActorumError('STOPPED', 'this server was stopped'))
    expect([proposed, waiting, open].map(({ now }) => now)).toEqual(['OUTCOME_UNKNOWN', 'STOPPED', 'STOPPED'])
    expect(proposals.size).toBe(0)
  })

  it('may be made from within an answer', () => {
    const { proposals, add } = pending({ forwardToLeader: false, runBytesMax: 100 })
    const second: Request[] = []
    const first = add(90)
    first.reject = (error) => {
      first.outcome.reject(error)
      second.push(add(90), add(90))
    }
    proposals.drain(OTHER, 0)
    expect(second.map(({ now }) => now)).toEqual(['pending', 'pending'])
    proposals.drain(OTHER, 0)
    expect([first, ...second].map(({ now }) => now)).toEqual(['NOT_LEADER', 'NOT_LEADER', 'NOT_LEADER'])
    expect(proposals.size).toBe(0)
  })
})

/** What may happen to proposals, in any order. Numbers choose among what there is. */
type Happening =
  | { readonly type: 'add'; readonly size: number; readonly forMs: number }
  | { readonly type: 'turn' }
  | { readonly type: 'lead'; readonly leaderId: number | undefined; readonly newTerm: boolean }
  | { readonly type: 'apply' | 'refuse' | 'busy' | 'abandon'; readonly pick: number }
  | { readonly type: 'sweep'; readonly ms: number }

const pick = fc.nat(20)
const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('add' as const),
      size: fc.integer({ min: 4, max: 60 }),
      forMs: fc.integer({ min: 1, max: 60 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('turn' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('lead' as const),
      leaderId: fc.constantFrom(undefined, 1, 2, 3),
      newTerm: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constantFrom('apply' as const, 'refuse' as const, 'busy' as const, 'abandon' as const),
      pick,
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('sweep' as const), ms: fc.nat(30) }) },
)

/** What the leaders did with the batches, and what the clients were told meanwhile. */
class World {
  readonly proposals: PendingProposals<Numbered, number>
  readonly requests = new Map<number, Request>()
  /** Batches that a leader has and that are neither applied nor refused here, or perhaps never will be. */
  inLogs: ProposalBatch[] = []
  /** Commands that are, or may be, in some log. */
  readonly proposed = new Set<number>()
  leader: LeaderView = NOBODY
  now = 0
  readonly #sent = new Set<number>()
  #next = 1

  constructor(forwardToLeader: boolean) {
    const limits = {
      ...LIMITS,
      forwardToLeader,
      pendingProposalsMax: 8,
      pendingBytesMax: 300,
      runBytesMax: 150,
      retryMs: 20,
    }
    this.proposals = new PendingProposals(codec, limits, NONCE)
  }

  happen(happening: Happening): void {
    const { proposals } = this
    switch (happening.type) {
      case 'add':
        return this.#add(happening.size, this.now + happening.forMs)
      case 'turn':
        return this.#turn()
      case 'lead': {
        const { leaderId, newTerm } = happening
        this.leader = { leaderId, term: this.leader.term + Number(newTerm), isSelf: leaderId === 1 }
        return proposals.leaderChanged(this.leader)
      }
      case 'sweep':
        this.now += happening.ms
        return proposals.expire(this.now, this.leader)
      case 'abandon': {
        const request = [...this.requests.values()][happening.pick]
        return request === undefined ? undefined : proposals.abandon(request, 'gave up')
      }
      case 'apply':
        return this.#take(happening.pick, (batch) => apply(proposals, batch))
      default:
        return this.#take(happening.pick, (batch) =>
          this.#refuse(batch, happening.type === 'busy' ? 'busy' : 'notLeader'),
        )
    }
  }

  #add(size: number, deadline: number): void {
    const number = this.#next++
    const request = new Request(deadline)
    try {
      this.proposals.add({ number, size }, request)
      this.requests.set(number, request)
    } catch (error) {
      expect(error).toMatchObject({ code: 'BUSY' })
    }
  }

  #turn(): void {
    for (const batch of this.proposals.drain(this.leader, this.now)) {
      // Sent again: a leader takes each but once.
      if (this.#sent.has(batch.batch)) continue
      this.#sent.add(batch.batch)
      for (const number of numbersIn(batch)) {
        invariant(!this.proposed.has(number), 'a command is not proposed twice', number)
        expect(this.requests.get(number)?.now).toBe('pending')
        this.proposed.add(number)
      }
      this.inLogs.push(batch)
    }
  }

  #take(pick: number, act: (batch: ProposalBatch) => void): void {
    const batch = this.inLogs[pick]
    if (batch === undefined) return
    this.inLogs = this.inLogs.filter((one) => one !== batch)
    act(batch)
  }

  /** Certainly not proposed, then. */
  #refuse(batch: ProposalBatch, reason: 'busy' | 'notLeader'): void {
    for (const number of numbersIn(batch)) this.proposed.delete(number)
    const { batch: id, nonce } = batch
    this.proposals.refused({ type: 'proposalsRefused', nonce, batch: id, reason }, this.leader, this.now)
  }
}

const NOT_PROPOSED = ['TIMEOUT', 'NO_LEADER', 'ABORTED', 'NOT_LEADER', 'BUSY', 'STOPPED']

describe('pending proposals, whatever happens to them', () => {
  it('are answered exactly once; not proposed means never proposed; and nothing is counted in the end', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), fc.boolean(), (happenings, forwardToLeader) => {
        const world = new World(forwardToLeader)
        for (const happening of happenings) {
          world.happen(happening)
          expect(world.proposals.size).toBeLessThanOrEqual(8)
          for (const [number, request] of world.requests) {
            expect(request.outcome.answers).toBeLessThanOrEqual(1)
            if (NOT_PROPOSED.includes(request.now)) expect(world.proposed).not.toContain(number)
            if (request.now === 'ok') expect(request.outcome.value).toBe(number)
          }
        }
        world.proposals.rejectEverything(new ActorumError('STOPPED', 'stopped'))
        for (const request of world.requests.values()) expect(request.outcome.answers).toBe(1)
        expect(world.proposals.size).toBe(0)
      }),
      { numRuns: 400 },
    )
  })

  it('leave room for as many as before once all have been answered', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), (happenings) => {
        const world = new World(true)
        for (const happening of happenings) world.happen(happening)
        world.happen({ type: 'turn' })
        world.happen({ type: 'sweep', ms: 1000 })
        expect(world.proposals.size).toBe(0)
        expect(() => world.proposals.add({ number: 0, size: 300 - ENTRY_HEADER_BYTES }, new Request())).not.toThrow()
      }),
      { numRuns: 200 },
    )
  })
})
