import { describe, expect, it } from 'vitest'
import { Handles } from '../../src/client/handles.js'
import { holdLease, type LeaseHold } from '../../src/client/lease-hold.js'
import { grantLease } from '../../src/client/leases.js'
import { ActorumError } from '../../src/errors.js'
import { clientOf, done, storeOf } from './memory-clients.js'
import { MemoryServers, Outcome } from './memory-servers.js'
import { ScriptedStore } from './scripted-store.js'

const TTL_MS = 9000
/** With clocks that may be 10 % apart. */
const HELD_MS = 8100

/** A lease of nine seconds whose grant was sent at time 0 and answered `answerMs` later. */
function held({ answerMs = 0, keepAlive = true } = {}): {
  store: ScriptedStore
  handles: Handles
  hold: LeaseHold
} {
  const [store, handles, outcome] = [new ScriptedStore(), new Handles(), new Outcome<LeaseHold>()]
  holdLease(store, handles, TTL_MS, { keepAlive, call: undefined }, outcome)
  store.clock.advance(answerMs)
  store.last.answer({ lease: 7, ttlMs: TTL_MS, revision: 7 })
  if (outcome.value === undefined) throw new Error(`the lease was not granted: ${outcome.now}`)
  return { store, handles, hold: outcome.value }
}

const kept = { lease: 7, ttlMs: TTL_MS, revision: 8 }

describe('a lease that is held', () => {
  it('is named by its grant, and surely held for its time less the drift bound, from before the call was sent', () => {
    const { hold } = held({ answerMs: 100 })
    expect([hold.id, hold.ttlMs, hold.isHeld, hold.heldForMs]).toEqual([7, TTL_MS, true, HELD_MS - 100])
  })

  it('is kept alive at every third of its time, with one call at a time', () => {
    const { store, hold } = held()
    store.clock.advance(2998)
    expect(store.types).toEqual(['grantLease'])
    store.clock.advance(2)
    expect(store.types).toEqual(['grantLease', 'keepLeaseAlive'])
    store.clock.advance(500)
    store.last.answer(kept)
    expect(hold.heldForMs).toBe(HELD_MS - 500)
    store.clock.advance(2499)
    expect(store.sent).toHaveLength(2)
    store.clock.advance(1)
    expect(store.sent).toHaveLength(3)
    store.clock.advance(2000)
    expect(store.sent).toHaveLength(3)
  })

  it('is tried sooner when a keep-alive failed, as long as there is any use in it', () => {
    const { store, hold } = held()
    store.clock.advance(3000)
    store.last.fail('OUTCOME_UNKNOWN')
    store.clock.advance(600)
    expect(store.sent).toHaveLength(3)
    store.throwing = 'BUSY'
    store.last.fail('NO_LEADER')
    store.clock.advance(2000)
    store.throwing = undefined
    store.clock.advance(600)
    expect(store.sent).toHaveLength(4)
    store.last.answer(kept)
    expect(hold.heldForMs).toBeGreaterThan(HELD_MS - 601)
    expect(hold.signal.aborted).toBe(false)
  })

  it('ends by its own clock when no keep-alive is answered, a keep-alive that is under way notwithstanding', () => {
    const { store, hold } = held()
    let firedAt = 0
    hold.signal.addEventListener('abort', () => (firedAt = store.clock.now()))
    store.clock.advance(20_000)
    expect(firedAt).toBeLessThanOrEqual(HELD_MS)
    expect(firedAt).toBeGreaterThan(HELD_MS - 2)
    expect([hold.isHeld, hold.heldForMs]).toEqual([false, 0])
    expect(hold.signal.reason).toMatchObject({ code: 'LEASE_NOT_FOUND' })
    // What comes now comes too late, and nothing more is sent.
    const { length } = store.sent
    store.last.answer(kept)
    store.clock.advance(20_000)
    expect([hold.isHeld, store.sent.length]).toEqual([false, length])
  })

  it('is over for whoever asks after a pause, though no timer has gone off; the signal fires then', () => {
    const { store, hold } = held()
    // The process stood still: the clock has gone on, and the timers wait.
    const { now } = store.clock
    store.clock.now = () => now() + 60_000
    expect(hold.signal.aborted).toBe(false)
    expect(hold.isHeld).toBe(false)
    expect(hold.signal.aborted).toBe(true)
    const outcome = new Outcome<void>()
    expect(() => hold.keepAlive(undefined, outcome)).toThrow(ActorumError)
  })

  it('ends at once when the cluster says that it is gone', () => {
    const { store, hold } = held()
    const outcome = new Outcome<void>()
    hold.keepAlive({ timeoutMs: 5 }, outcome)
    expect(store.last.options).toEqual({ timeoutMs: 5 })
    store.last.fail('LEASE_NOT_FOUND')
    expect([outcome.now, hold.isHeld, hold.signal.aborted]).toEqual(['LEASE_NOT_FOUND', false, true])
    store.clock.advance(20_000)
    expect(store.sent).toHaveLength(2)
  })

  it('ends when a read finds it gone, but not for one that may be behind', () => {
    const { store, hold } = held()
    const outcomes = [new Outcome(), new Outcome(), new Outcome()]
    store.lease = { ttlMs: TTL_MS, remainingMs: 5, keys: [] }
    hold.timeToLive(undefined, outcomes[0]!)
    store.lease = undefined
    hold.timeToLive({ consistency: 'eventual' }, outcomes[1]!)
    expect(hold.isHeld).toBe(true)
    hold.timeToLive(undefined, outcomes[2]!)
    expect(hold.isHeld).toBe(false)
    expect(outcomes.map(({ now }) => now)).toEqual(['ok', 'LEASE_NOT_FOUND', 'LEASE_NOT_FOUND'])
  })

  it('is not kept alive when that was not wanted, and still ends in time; by hand it is', () => {
    const { store, hold } = held({ keepAlive: false })
    store.clock.advance(8000)
    expect(store.sent).toHaveLength(1)
    hold.keepAlive(undefined, new Outcome<void>())
    store.last.answer(kept)
    expect(hold.heldForMs).toBe(HELD_MS)
    store.clock.advance(HELD_MS - 2)
    expect(hold.signal.aborted).toBe(false)
    store.clock.advance(2)
    expect(hold.signal.aborted).toBe(true)
  })

  it('ends for its holder when he revokes it, at once; a lease that is gone already is no error', () => {
    const { store, hold } = held()
    const outcomes = [new Outcome<void>(), new Outcome<void>()]
    hold.revoke(undefined, outcomes[0]!)
    expect([hold.isHeld, hold.signal.aborted, outcomes[0]!.now]).toEqual([false, true, 'pending'])
    store.last.fail('LEASE_NOT_FOUND')
    hold.revoke(undefined, outcomes[1]!)
    expect(outcomes.map(({ now }) => now)).toEqual(['ok', 'ok'])
    expect(store.types).toEqual(['grantLease', 'revokeLease'])
  })

  it('is revoked again when that failed the first time', () => {
    const { store, hold } = held()
    const outcomes = [new Outcome<void>(), new Outcome<void>()]
    hold.revoke(undefined, outcomes[0]!)
    store.last.fail('NO_LEADER')
    hold.revoke(undefined, outcomes[1]!)
    store.last.answer({ deletedCount: 0, revision: 9 })
    expect(outcomes.map(({ now }) => now)).toEqual(['NO_LEADER', 'ok'])
  })

  it('lives on in the cluster, and in no timer, when its holder lets go or his client closes', () => {
    for (const letGo of [
      (hold: LeaseHold) => hold.release(),
      (_: LeaseHold, handles: Handles) => handles.closeAll(new Error()),
    ]) {
      const { store, hold, handles } = held()
      letGo(hold, handles)
      letGo(hold, handles)
      store.clock.advance(20_000)
      expect([hold.isHeld, hold.signal.aborted, store.types]).toEqual([false, true, ['grantLease']])
    }
  })

  it('cannot be held by a client that closed before the answer came', () => {
    const [store, handles, outcome] = [new ScriptedStore(), new Handles(), new Outcome<LeaseHold>()]
    holdLease(store, handles, TTL_MS, { keepAlive: true, call: undefined }, outcome)
    handles.closeAll(new ActorumError('STOPPED', 'the client was closed'))
    store.last.answer({ lease: 7, ttlMs: TTL_MS, revision: 7 })
    store.clock.advance(20_000)
    expect([outcome.now, store.types]).toEqual(['STOPPED', ['grantLease']])
  })
})

describe('a client grants a lease', () => {
  it('with a time to live and options that are checked', async () => {
    const store = new ScriptedStore()
    const grants = [
      grantLease(store, new Handles(), 999, undefined),
      grantLease(store, new Handles(), Number.NaN, undefined),
      // @ts-expect-error: no such option
      grantLease(store, new Handles(), 1000, { ttl: 5 }),
      // @ts-expect-error: not a boolean
      grantLease(store, new Handles(), 1000, { keepAlive: 'no' }),
    ]
    for (const grant of grants) await expect(grant).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(store.sent).toEqual([])
  })

  it('whose keys are there as long as it is held, and go when it is disposed of', async () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const client = clientOf(servers, servers.follower())
    const lease = await done(servers, grantLease(storeOf(servers, servers.follower()), new Handles(), 1000, undefined))
    await done(servers, client.put('member', 'here', { lease }))
    servers.advance(10_000)
    expect([lease.isHeld, leader.valueOf('member')]).toEqual([true, 'here'])
    expect(await done(servers, lease.timeToLive())).toMatchObject({
      ttlMs: 1000,
      keys: [Uint8Array.from('member', (char) => char.charCodeAt(0))],
    })
    await done(servers, Promise.resolve(lease[Symbol.asyncDispose]()))
    expect(leader.valueOf('member')).toBeUndefined()
    await done(servers, Promise.resolve(lease[Symbol.asyncDispose]()))
    await expect(done(servers, lease.timeToLive())).rejects.toMatchObject({ code: 'LEASE_NOT_FOUND' })
  })

  it('that a disposed handle leaves to its time when nobody can be told', async () => {
    const store = new ScriptedStore()
    const granted = grantLease(store, new Handles(), TTL_MS, undefined)
    store.last.answer({ lease: 7, ttlMs: TTL_MS, revision: 7 })
    const lease = await granted
    store.throwing = 'STOPPED'
    await lease[Symbol.asyncDispose]()
    expect(lease.isHeld).toBe(false)
  })

  it('and is told that it lost it before the keys can be gone: cut off from the others, a holder lets go in time', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const holder = servers.follower()
    const client = clientOf(servers, holder)
    const events: string[] = []
    const granting = grantLease(storeOf(servers, holder), new Handles(), 2000, undefined).then((lease) => {
      lease.signal.addEventListener('abort', () => events.push('lost'))
      return client.put('held', '', { lease })
    })
    return done(servers, granting).then(() => {
      servers.network.isolate(holder.id, 'silent')
      servers.until(() => {
        if (leader.valueOf('held') === undefined) events.push('gone')
        return events.includes('gone')
      }, 'the lease expires')
      expect(events).toEqual(['lost', 'gone'])
    })
  })
})
