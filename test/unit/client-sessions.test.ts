import { describe, expect, it } from 'vitest'
import { Handles } from '../../src/client/handles.js'
import { beginSession, openSession, SessionStore } from '../../src/client/sessions.js'
import { StoreClient } from '../../src/client/store-client.js'
import type { StorePort } from '../../src/client/store-port.js'
import { ActorumError } from '../../src/errors.js'
import type { CallOptions } from '../../src/options.js'
import type { KvCommand } from '../../src/state-machines/kv/commands.js'
import { SESSION_RESULTS_MAX } from '../../src/state-machines/kv/limits.js'
import { done, storeOf } from './memory-clients.js'
import { MemoryServers, Outcome } from './memory-servers.js'
import { ScriptedStore } from './scripted-store.js'

const SESSION = { id: 5, timeoutMs: 60_000, sentAt: 0 }
const PUT = { type: 'put', key: 'a', value: '1' } as const

/** What a caller without types may give. */
const untyped = <Wanted>(given: unknown): Wanted => given as Wanted

function opened(): { store: ScriptedStore; session: SessionStore; ends: Error[] } {
  const [store, ends] = [new ScriptedStore(), new Array<Error>()]
  return { store, ends, session: new SessionStore(store, SESSION, (error) => ends.push(error)) }
}

function propose(store: StorePort, command: KvCommand = PUT, options?: CallOptions): Outcome<unknown> {
  const outcome = new Outcome<unknown>()
  store.propose(command, options, outcome)
  return outcome
}

const open = (store: StorePort, handles: Handles) =>
  openSession(store, handles, undefined, (within, its) => new StoreClient(within, its))

describe("a session's commands", () => {
  it('carry its id, their number, and the lowest number that has no answer yet', () => {
    const { store, session } = opened()
    const sent: unknown[] = []
    for (let at = 0; at < 4; at++) {
      propose(session)
      const { session: id, sequence, lowestOutstanding, command } = store.lastInSession
      sent.push([id, sequence, lowestOutstanding, command])
      if (at === 1) for (const one of store.sent) one.answer({ revision: 9 })
    }
    expect(sent).toEqual([
      [5, 1, 1, PUT],
      [5, 2, 1, PUT],
      [5, 3, 3, PUT],
      [5, 4, 3, PUT],
    ])
  })

  it('of whose outcome nobody knows are sent again under the same number, with the bytes that they first had', () => {
    const { store, session } = opened()
    const value = Uint8Array.of(1, 2)
    const outcome = propose(session, { ...PUT, value })
    value.fill(9)
    for (const code of ['OUTCOME_UNKNOWN', 'NO_LEADER'] as const) {
      store.last.fail(code)
      store.clock.advance(500)
    }
    expect(store.sent.map(({ command }) => command)).toEqual(
      [1, 2, 3].map(() => ({
        type: 'inSession',
        session: 5,
        sequence: 1,
        lowestOutstanding: 1,
        command: { ...PUT, value: Uint8Array.of(1, 2) },
      })),
    )
    store.last.answer({ revision: 9 })
    expect([outcome.now, outcome.answers]).toEqual(['ok', 1])
  })

  it('are given up when the time of the call runs out: OUTCOME_UNKNOWN where a copy may be in a log', () => {
    const { store, session } = opened()
    const outcome = propose(session, PUT, { timeoutMs: 1000 })
    store.last.fail('OUTCOME_UNKNOWN')
    while (outcome.now === 'pending') {
      store.clock.advance(1)
      if (store.last.at === store.clock.now()) store.last.fail('NO_LEADER')
    }
    expect(outcome.now).toBe('OUTCOME_UNKNOWN')
    expect(store.clock.now()).toBeGreaterThan(980)
    expect(store.sent.length).toBeLessThan(12)
  })

  it('are given up with what was wrong where no copy can be in a log', () => {
    const { store, session } = opened()
    const outcome = propose(session, PUT, { timeoutMs: 100 })
    while (outcome.now === 'pending') {
      store.last.fail('NO_LEADER')
      store.clock.advance(50)
    }
    expect(outcome.now).toBe('NO_LEADER')
  })

  it('that were given up are named by no later one, so that no late copy of them is applied after it', () => {
    const { store, session } = opened()
    const given = propose(session, PUT, { timeoutMs: 5 })
    store.last.fail('OUTCOME_UNKNOWN')
    expect(given.now).toBe('OUTCOME_UNKNOWN')
    propose(session)
    expect(store.lastInSession).toMatchObject({ sequence: 2, lowestOutstanding: 2 })
  })

  it('take another number after BUSY, which the cluster would remember as the answer, unless an earlier copy is about', () => {
    const { store, session } = opened()
    propose(session)
    store.last.fail('BUSY')
    store.clock.advance(10)
    expect(store.lastInSession).toMatchObject({ sequence: 2, lowestOutstanding: 2 })
    store.last.fail('OUTCOME_UNKNOWN')
    store.clock.advance(20)
    store.last.fail('BUSY')
    store.clock.advance(40)
    expect(store.sent).toHaveLength(4)
    expect(store.lastInSession).toMatchObject({ sequence: 2, lowestOutstanding: 2 })
  })

  it('wait while the store throws that it is busy', () => {
    const { store, session } = opened()
    store.throwing = 'BUSY'
    const outcome = propose(session)
    expect(outcome.now).toBe('pending')
    store.throwing = undefined
    store.clock.advance(10)
    store.last.answer({ revision: 9 })
    expect(outcome.now).toBe('ok')
  })

  it('are refused with options that are none, before they have a number', () => {
    const { store, session } = opened()
    for (const given of [null, 5, { timeoutMs: 5n }, { timeoutMs: Symbol('time') }, { signal: { aborted: false } }]) {
      const call = () => propose(session, PUT, untyped(given))
      expect(call).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
    propose(session)
    expect(store.lastInSession).toMatchObject({ sequence: 1 })
  })

  it('are not sent again after an answer, be it a refusal, nor when the call itself was wrong', () => {
    for (const code of ['LEASE_NOT_FOUND', 'INVALID_ARGUMENT', 'STOPPED', 'NOT_LEADER'] as const) {
      const { store, session } = opened()
      const outcome = propose(session)
      store.last.fail(code)
      store.clock.advance(5000)
      expect([outcome.now, store.sent.length]).toEqual([code, 1])
    }
  })

  it('answer that the outcome is unknown when the store stops after a copy was sent', () => {
    const { store, session } = opened()
    const outcome = propose(session)
    store.last.fail('OUTCOME_UNKNOWN')
    store.throwing = 'STOPPED'
    store.clock.advance(10)
    expect(outcome.now).toBe('OUTCOME_UNKNOWN')
    expect(outcome.error?.cause).toMatchObject({ code: 'STOPPED' })
  })

  it('end with the signal of their caller, between two sendings too', () => {
    const { store, session } = opened()
    const aborts = [new AbortController(), new AbortController()]
    const first = propose(session, PUT, { signal: aborts[0]!.signal })
    store.last.fail('OUTCOME_UNKNOWN')
    const second = propose(session, PUT, { signal: aborts[1]!.signal })
    store.last.fail('NO_LEADER')
    for (const abort of aborts) abort.abort()
    store.clock.advance(5000)
    expect([first.now, second.now, store.types.filter((type) => type === 'inSession')]).toEqual([
      'OUTCOME_UNKNOWN',
      'ABORTED',
      ['inSession', 'inSession'],
    ])
  })

  it('are sent again with the options that they first had', () => {
    const { store, session } = opened()
    const options: { signal: AbortSignal } = { signal: new AbortController().signal }
    const outcome = propose(session, PUT, options)
    options.signal = untyped(null)
    store.last.fail('NO_LEADER')
    store.clock.advance(500)
    store.last.answer({ revision: 9 })
    expect(outcome.now).toBe('ok')
  })

  it('are BUSY once as many lie behind one without an answer as the cluster keeps results for', () => {
    const { store, session } = opened()
    for (let at = 0; at < SESSION_RESULTS_MAX; at++) {
      propose(session)
      if (at > 0) store.last.answer({ revision: 9 })
    }
    expect(() => propose(session)).toThrow(expect.objectContaining({ code: 'BUSY' }))
    store.sent[0]!.answer({ revision: 9 })
    propose(session)
    expect(store.lastInSession).toMatchObject({ lowestOutstanding: SESSION_RESULTS_MAX + 1 })
  })
})

describe('a session', () => {
  it('is kept alive at a third of its time when nothing else is sent in it', () => {
    const { store, session } = opened()
    store.clock.advance(19_998)
    propose(session)
    store.last.answer({ revision: 9 })
    store.clock.advance(19_998)
    expect(store.types).toEqual(['inSession'])
    store.clock.advance(2)
    expect(store.types).toEqual(['inSession', 'keepSessionAlive'])
    store.last.fail('OUTCOME_UNKNOWN')
    store.clock.advance(4000)
    expect(store.sent).toHaveLength(3)
    store.last.answer({ session: 5, revision: 10 })
    store.clock.advance(19_998)
    expect(store.sent).toHaveLength(3)
  })

  it.each(['command', 'keep-alive'])('that has expired is told by a %s, and nothing is called in it any more', (by) => {
    const { store, session, ends } = opened()
    const outcome = by === 'command' ? propose(session) : new Outcome<unknown>()
    if (by === 'keep-alive') store.clock.advance(20_000)
    store.last.fail('SESSION_EXPIRED')
    expect(ends).toEqual([expect.objectContaining({ code: 'SESSION_EXPIRED' })])
    expect(outcome.now).toBe(by === 'command' ? 'SESSION_EXPIRED' : 'pending')
    const { length } = store.sent
    const expired = expect.objectContaining({ code: 'SESSION_EXPIRED' }) as Error
    expect(() => propose(session)).toThrow(expired)
    expect(() => session.read({ type: 'lease', lease: 1 }, undefined, outcome)).toThrow(expired)
    expect(() => session.assertOpen()).toThrow(expired)
    store.clock.advance(600_000)
    expect(store.sent).toHaveLength(length)
  })

  it('lets what belongs to another session, or opens one, straight through', () => {
    const { store, session } = opened()
    const inner = new SessionStore(session, { ...SESSION, id: 6 }, () => undefined)
    propose(inner)
    expect(store.lastInSession).toMatchObject({ session: 6, command: PUT })
    beginSession(session, 1000, undefined, () => undefined, new Outcome())
    expect(store.last.command).toEqual({ type: 'openSession', timeoutMs: 1000 })
  })

  it('is opened with options that are checked', async () => {
    const store = new ScriptedStore()
    const make = (within: StorePort, its: Handles) => new StoreClient(within, its)
    const openings = [
      openSession(store, new Handles(), { sessionTimeoutMs: 999 }, make),
      // @ts-expect-error: no such option
      openSession(store, new Handles(), { ttlMs: 5000 }, make),
    ]
    for (const opening of openings) await expect(opening).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('is a client: its writes are applied once, and closing it ends it in the cluster', async () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const session = await done(servers, open(storeOf(servers, servers.follower()), new Handles()))
    await done(servers, session.put('a', '1'))
    expect(leader.valueOf('a')).toBe('1')
    await done(servers, session.close())
    await done(servers, Promise.resolve(session[Symbol.asyncDispose]()))
    await expect(session.put('a', '2')).rejects.toMatchObject({ code: 'STOPPED' })
    const late = leader.propose({ type: 'keepSessionAlive', session: session.id })
    servers.until(() => late.now === 'ok', 'the cluster answers')
    expect(late.value).toMatchObject({ refused: 'SESSION_EXPIRED' })
    expect(session.signal.aborted).toBe(false)
  })

  it('that has expired fires its signal, and takes along what it gave out', async () => {
    const store = new ScriptedStore()
    const opening = open(store, new Handles())
    store.last.answer({ session: 5, revision: 5 })
    const session = await opening
    const granting = session.put('a', '1')
    store.last.fail('SESSION_EXPIRED')
    await expect(granting).rejects.toMatchObject({ code: 'SESSION_EXPIRED' })
    expect(session.signal.reason).toMatchObject({ code: 'SESSION_EXPIRED' })
    await expect(session.get('a')).rejects.toMatchObject({ code: 'SESSION_EXPIRED' })
    await expect(session.grantLease(5000)).rejects.toMatchObject({ code: 'SESSION_EXPIRED' })
  })

  it('closes with the client that it was opened by', async () => {
    const [store, handles] = [new ScriptedStore(), new Handles()]
    const opening = open(store, handles)
    store.last.answer({ session: 5, revision: 5 })
    const session = await opening
    handles.closeAll(new ActorumError('STOPPED', 'the client was closed'))
    await expect(session.put('a', '1')).rejects.toMatchObject({ code: 'STOPPED' })
    store.clock.advance(600_000)
    expect(store.types).toEqual(['openSession'])
  })
})
