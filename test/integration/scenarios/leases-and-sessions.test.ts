import { NEVER } from 'rxjs'
import { describe, expect, it } from 'vitest'
import { EmbeddedStore } from '../../../src/client/embedded-store.js'
import { beginSession, type SessionStore } from '../../../src/client/sessions.js'
import type { StorePort } from '../../../src/client/store-port.js'
import type { ServerId } from '../../../src/machines/types.js'
import type { CallOptions } from '../../../src/options.js'
import type { KvCommand, LeaseId, TxnCommand } from '../../../src/state-machines/kv/commands.js'
import { keyChars } from '../../../src/state-machines/kv/keys.js'
import type { KvResult, LeaseResult } from '../../../src/state-machines/kv/results.js'
import { HEARTBEAT_MS, Story, T } from './story.js'

const OPTIONS = {
  requestTimeoutMs: 20 * T,
  linearizableReads: 'quorum',
  keyBytesMax: 1024,
  valueBytesMax: 1024,
  clockDriftBoundPercent: 10,
} as const

/** What a client calls that lives in the process of server `id`. */
function storeAt(story: Story, id: ServerId): EmbeddedStore {
  const { running } = story.server(id)
  if (running === undefined) throw new Error(`server ${id} is not running`)
  const { server, clock } = running
  const cluster = { members: () => [], leaderId: () => undefined, membership$: () => NEVER }
  const ports = { server, keyValues: story.keyValues(id), clock, cluster, assertOpen: () => undefined }
  return new EmbeddedStore(ports, OPTIONS)
}

class Outcome<Value> {
  value: Value | undefined
  code: string | undefined
  readonly resolve = (value: Value): void => void (this.value = value)
  readonly reject = (error: Error & { readonly code?: string }): void => void (this.code = error.code ?? error.message)

  get isSettled(): boolean {
    return this.value !== undefined || this.code !== undefined
  }
}

function propose(store: StorePort, command: KvCommand, options?: CallOptions): Outcome<KvResult> {
  const outcome = new Outcome<KvResult>()
  store.propose(command, options, outcome)
  return outcome
}

function sessionAt(story: Story, id: ServerId): SessionStore {
  const outcome = new Outcome<SessionStore>()
  beginSession(storeAt(story, id), 100 * T, undefined, () => undefined, outcome)
  story.until('the session is open', () => outcome.isSettled)
  if (outcome.value === undefined) throw new Error(`the session was not opened: ${outcome.code}`)
  return outcome.value
}

/** How often a key was written. */
const writes = (story: Story, id: ServerId, key: string): number =>
  story.keyValues(id).get(keyChars(key, 1024))?.version ?? 0

const ADD: KvCommand = { type: 'put', key: 'counter', value: 'one more' }

describe('SCENARIO 33: a retried command is applied once; what may have been applied is never retried blindly', () => {
  /**
   * A client at server 2 writes through leader 1. Server 3 gets the entry; then the leader is cut off, before server 2
   * hears of it, and server 3 is elected.
   */
  function leaderLostAfterProposing(story: Story, store: StorePort): Outcome<KvResult> {
    story.hold(1, 2, 5 * T)
    const end = story.end(3)
    const outcome = propose(store, ADD)
    story.until('server 3 has the entry', () => story.end(3) > end)
    story.isolate(1)
    story.elect(3)
    return outcome
  }

  it('a session sends its command again to the next leader, whose log has it already: it is applied once', () => {
    const story = Story.ledBy(1)
    const session = sessionAt(story, 2)
    const outcome = leaderLostAfterProposing(story, session)
    story.until('the command is answered', () => outcome.isSettled)
    story.mendAll()
    story.release(1, 2)
    story.until('all have applied all', () =>
      story.running.every(({ id }) => story.keyValues(id).revision >= story.end(3)),
    )
    // The first copy, the no-op of server 3, and the second copy.
    expect(outcome.value).toEqual({ revision: story.end(3) - 2 })
    expect(story.running.map(({ id }) => writes(story, id, 'counter'))).toEqual([1, 1, 1])
    story.heals()
  })

  it('without a session the outcome is unknown, and nothing is sent again', () => {
    const story = Story.ledBy(1)
    const outcome = leaderLostAfterProposing(story, storeAt(story, 2))
    story.until('the command is given up', () => outcome.isSettled)
    expect(outcome.code).toBe('OUTCOME_UNKNOWN')
    const end = story.end(3)
    story.mendAll()
    story.advance(10 * T)
    expect([story.end(3), writes(story, 2, 'counter')]).toEqual([end, 1])
    story.heals()
  })

  it('a command that was given up is not applied after a later one of its session, however late it comes', () => {
    const story = Story.ledBy(1)
    const session = sessionAt(story, 2)
    story.hold(2, 1, 3 * T)
    const given = propose(session, { type: 'put', key: 'x', value: 'given up' }, { timeoutMs: 30 })
    story.until('it is given up', () => given.isSettled)
    expect(given.code).toBe('OUTCOME_UNKNOWN')
    story.release(2, 1)
    const later = propose(session, { type: 'put', key: 'x', value: 'later' })
    story.until('the later one is applied', () => later.isSettled)
    expect([later.code, story.stored(2, 'x')]).toEqual([undefined, 'later'])
    const end = story.end(1)
    story.until('the late copy is in the log', () => story.end(1) > end)
    story.advance(2 * HEARTBEAT_MS)
    expect(story.running.map(({ id }) => story.stored(id, 'x'))).toEqual(['later', 'later', 'later'])
    story.heals()
  })

  it('a session that has expired is told so, and its command is not applied', () => {
    const story = Story.ledBy(1)
    const outcome = new Outcome<SessionStore>()
    const ends: string[] = []
    beginSession(storeAt(story, 2), 4 * T, undefined, ({ code }) => ends.push(code), outcome)
    story.until('the session is open', () => outcome.isSettled)
    // Its process stands still for longer than the session lives.
    story.server(2).pause()
    story.advance(10 * T)
    story.server(2).resume()
    const late = propose(outcome.value!, ADD)
    story.until('the command is answered', () => late.isSettled)
    expect([late.code, ends]).toEqual(['SESSION_EXPIRED', ['SESSION_EXPIRED']])
    expect(() => propose(outcome.value!, ADD)).toThrow(/expired/)
    expect(writes(story, 1, 'counter')).toBe(0)
    story.heals()
  })
})

describe('SCENARIO 35: a deposed leader expires no lease; no lock is granted on one that has expired', () => {
  const grant = (story: Story, ttlMs: number): LeaseId =>
    story.done(story.propose<LeaseResult>(1, { type: 'grantLease', ttlMs })).lease

  const lock = (lease: LeaseId, owner: string): TxnCommand => ({
    type: 'txn',
    compares: [{ key: 'lock', target: 'createRevision', relation: '=', operand: 0 }],
    then: [{ type: 'put', key: 'lock', value: owner, lease }],
    else: [],
  })

  it('a leader that does not know that it was deposed lets a lease end in its own log alone', () => {
    const story = Story.ledBy(1)
    const lease = grant(story, T - 40)
    story.done(story.propose(1, { type: 'put', key: 'held', value: 'still', lease }))
    story.until('all have it', () => story.running.every(({ id }) => story.stored(id, 'held') === 'still'))
    const end = story.end(1)
    story.isolate(1)
    story.until('it has proposed the end of the lease', () => story.end(1) > end)
    expect([story.leads(1), story.stored(1, 'held')]).toEqual([true, 'still'])
    story.elect(3)
    // Time has stood still since the last stamp of server 1, so there is enough of it left.
    story.done(story.propose(3, { type: 'keepLeaseAlive', lease }))
    story.mendAll()
    story.until('server 1 follows', () => !story.leads(1) && story.term(1) === story.term(3))
    story.advance(HEARTBEAT_MS)
    expect(story.running.map(({ id }) => story.stored(id, 'held'))).toEqual(['still', 'still', 'still'])
    story.until('it ends on all, no longer kept alive', () =>
      story.running.every(({ id }) => story.stored(id, 'held') === undefined),
    )
    story.heals()
  })

  it('a leader that was paused past the end of a lease does not end it for those who have kept it alive meanwhile', () => {
    const story = Story.ledBy(1)
    const lease = grant(story, 3 * T)
    story.done(story.propose(1, { type: 'put', key: 'held', value: 'still', lease }))
    story.server(1).pause()
    story.until('another is elected', () => [2, 3].some((id) => story.isServing(id)))
    const next = story.isServing(2) ? 2 : 3
    for (let times = 0; times < 4; times++) {
      story.advance(2 * T)
      story.done(story.propose(next, { type: 'keepLeaseAlive', lease }))
    }
    story.server(1).resume()
    story.until('server 1 follows', () => !story.leads(1))
    story.until('server 1 has applied what it missed', () => story.keyValues(1).revision === story.end(next))
    story.advance(T)
    expect(story.running.map(({ id }) => story.stored(id, 'held'))).toEqual(['still', 'still', 'still'])
    story.heals()
  })

  it('whoever comes late with an expired lease gets no lock, and a token from before it opens nothing', () => {
    const story = Story.ledBy(1)
    const [first, second, third] = [grant(story, T), grant(story, 100 * T), grant(story, T)]
    const token = story.done(story.propose(1, lock(first, 'first'))).revision
    story.until('both short leases have ended', () => story.keyValues(1).leases().length === 1)
    const late = story.done(story.propose(1, lock(third, 'third')))
    expect([late, story.stored(1, 'lock')]).toEqual([
      expect.objectContaining({ refused: 'LEASE_NOT_FOUND' }),
      undefined,
    ])
    const newer = story.done(story.propose(1, lock(second, 'second'))).revision
    expect(newer).toBeGreaterThan(token)
    const guarded = story.propose(1, {
      type: 'txn',
      compares: [{ key: 'lock', target: 'createRevision', relation: '=', operand: token }],
      then: [{ type: 'put', key: 'work', value: 'of one who lost the lock' }],
      else: [],
    })
    expect(story.done(guarded)).toMatchObject({ succeeded: false })
    expect([story.stored(1, 'lock'), story.stored(1, 'work')]).toEqual(['second', undefined])
    story.heals()
  })

  it('what was left of a lease is left after a snapshot and a restart of all, and ends then', () => {
    const story = Story.ledBy(1)
    const lease = grant(story, 40 * T)
    story.advance(10 * T)
    story.compact(1)
    const marked = story.keyValues(1).clusterTime
    for (const { id } of story.running) story.server(id).crash()
    story.advance(400 * T)
    for (const id of [1, 2, 3]) story.server(id).start()
    story.until('somebody leads again', () => [1, 2, 3].some((id) => story.isServing(id)))
    const leader = [1, 2, 3].find((id) => story.isServing(id))!
    const before = story.now
    expect(story.keyValues(leader).leases()).toEqual([lease])
    const left = (story.keyValues(leader).lease(lease)?.deadline ?? 0) - marked
    story.until('it ends', () => story.keyValues(leader).leases().length === 0, 50 * T)
    expect(Math.abs(story.now - before - left)).toBeLessThan(T)
    expect(left).toBeGreaterThan(25 * T)
    story.heals()
  })
})
