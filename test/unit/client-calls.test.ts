import { describe, expect, it, vi } from 'vitest'
import { Calls } from '../../src/client/calls.js'
import { EmbeddedClient } from '../../src/client/embedded-client.js'
import { ActorumError } from '../../src/errors.js'
import type { CallOptions, ReadOptions } from '../../src/options.js'
import { CLIENT_OPTIONS, NO_CLUSTER } from './memory-clients.js'
import { put } from './kv-batch.js'
import { MemoryServers, Outcome, type Settings } from './memory-servers.js'

function lone(given: Settings = {}) {
  const servers = new MemoryServers(1, given)
  return { servers, server: servers.elect() }
}

/** What a caller without types may give. */
const untyped = <Wanted>(given: unknown): Wanted => given as Wanted

/** The number of `abort` listeners on a signal, as calls add and remove them. */
function listenersOf(signal: AbortSignal): () => number {
  const add = vi.spyOn(signal, 'addEventListener')
  const remove = vi.spyOn(signal, 'removeEventListener')
  return () => add.mock.calls.length - remove.mock.calls.length
}

describe('a call', () => {
  it('is refused for wrong options by a throw, and then answers nobody', () => {
    const { servers, server } = lone()
    const outcome = new Outcome<unknown>()
    const wrong = [{ timeoutMs: 0 }, { timeoutMs: 'soon' }, { signal: 7 }, { timeOutMs: 5 }, { consistency: 'lease' }]
    const wrongReads = [{ consistency: 'strong' }, { maxStalenessMs: 0 }, { minRevision: -1 }, { minRevision: 1.5 }]
    for (const options of wrong) {
      const propose = (): void =>
        server.calls.propose(put('key', 'value'), untyped<CallOptions>(options), outcome.resolve, outcome.reject)
      expect(propose).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
    for (const options of wrongReads) {
      const read = (): void =>
        server.calls.read(() => 1, untyped<ReadOptions>(options), outcome.resolve, outcome.reject)
      expect(read).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
    servers.advance(10_000)
    expect(outcome.answers).toBe(0)
    expect(server.keyValues.size).toBe(0)
  })

  it('with a signal that has fired is ABORTED before it begins, whatever its consistency', () => {
    const { servers, server } = lone()
    const signal = AbortSignal.abort('too late')
    expect(server.put('key', 'value', { signal }).error).toMatchObject({ code: 'ABORTED', cause: 'too late' })
    for (const consistency of ['linearizable', 'lease', 'eventual'] as const) {
      expect(server.get('key', { signal, consistency }).now).toBe('ABORTED')
    }
    servers.turn()
    expect(server.keyValues.size).toBe(0)
  })

  it('shares one listener with all calls that have its signal, each of which it ends', () => {
    const { servers, server } = lone()
    const controller = new AbortController()
    const { signal } = controller
    const listeners = listenersOf(signal)
    server.put('first', 'value', { signal })
    servers.turn()
    const puts = Array.from({ length: 20 }, (_, at) => server.put(`key ${at}`, 'value', { signal }))
    const reads = Array.from({ length: 20 }, () => server.get('key', { signal }))
    expect(listeners()).toBe(1)
    controller.abort('enough')
    expect([...puts, ...reads].map(({ now }) => now)).toEqual(Array(40).fill('ABORTED'))
    expect(listeners()).toBe(0)
  })

  it('ends when its signal fires, and lets go of the signal however it ends', () => {
    const { servers, server } = lone({ limits: { pendingProposalsMax: 2, pendingReadsMax: 2 } })
    const controller = new AbortController()
    const { signal } = controller
    const listeners = listenersOf(signal)
    const answered = [server.put('key', 'value', { signal }), server.get('key', { signal })]
    expect(listeners()).toBe(1)
    servers.turn()
    expect(answered.map(({ now }) => now)).toEqual(['ok', 'ok'])
    expect(listeners()).toBe(0)
    const accepted = [1, 2].flatMap(() => [server.put('key', 'value', { signal }), server.get('key', { signal })])
    const busy = [server.put('key', 'value', { signal }), server.get('key', { signal })]
    expect(busy.map(({ now }) => now)).toEqual(['BUSY', 'BUSY'])
    expect(listeners()).toBe(1)
    controller.abort('enough')
    expect(accepted.map(({ now }) => now)).toEqual(Array<string>(4).fill('ABORTED'))
    servers.turn()
    expect([...accepted, ...busy].map(({ answers }) => answers)).toEqual(Array<number>(6).fill(1))
    expect(listeners()).toBe(0)
  })

  it('waits as long as it says, or else as long as the engine says', () => {
    const servers = new MemoryServers(3)
    servers.network.partition([[1], [2], [3]], 'noticed')
    const [short, usual] = [servers.get(1).get('key', { timeoutMs: 100 }), servers.get(1).get('key')]
    servers.advance(99)
    expect(short.now).toBe('pending')
    servers.advance(30)
    expect([short.now, usual.now]).toEqual(['NO_LEADER', 'pending'])
    servers.advance(5000)
    expect(usual.now).toBe('NO_LEADER')
  })

  it('to a server that has stopped is refused with its reason', () => {
    const { server } = lone()
    server.raft.stop(new ActorumError('STORAGE_FAILED', 'EIO'))
    expect([server.put('key', 'value').now, server.get('key').now]).toEqual(['STORAGE_FAILED', 'STORAGE_FAILED'])
  })
})

describe('a read', () => {
  it('that is eventual sees what this server has applied, at once', () => {
    const servers = new MemoryServers(3)
    expect(servers.get(1).get('key', { consistency: 'eventual' })).toMatchObject({ now: 'ok', value: undefined })
  })

  it('that is linearizable may trust the lease where the options say so', () => {
    const servers = new MemoryServers(3, { linearizableReads: 'lease' })
    const leader = servers.elect()
    servers.advance(500)
    expect(leader.get('key').now).toBe('ok')
    const follower = servers.follower()
    const elsewhere = follower.get('key')
    expect(elsewhere.now).toBe('pending')
    servers.until(() => elsewhere.now === 'ok', 'the leader answers by its lease')
  })

  it('trusts no lease on a server that has not applied what its client has seen', () => {
    const servers = new MemoryServers(3, { linearizableReads: 'lease' })
    const leader = servers.elect()
    servers.advance(500)
    const minRevision = leader.raft.lastApplied + 1
    servers.network.isolate(leader.id, 'silent')
    const reads = (['lease', 'linearizable'] as const).map((consistency) => {
      expect(leader.get('key', { consistency, minRevision: minRevision - 1 }).now).toBe('ok')
      return leader.get('key', { consistency, minRevision })
    })
    servers.advance(20)
    expect(reads.map(({ now }) => now)).toEqual(['pending', 'pending'])
    servers.network.heal()
    servers.until(() => reads.every(({ now }) => now === 'ok'), 'a majority has confirmed the leader')
  })

  it('that is eventual with a bound on staleness asks a leader only where its server cannot vouch for it', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const follower = servers.follower()
    const bounded = { consistency: 'eventual', maxStalenessMs: 500 } as const
    const first = follower.get('key', bounded)
    expect(first.now).toBe('pending')
    servers.until(() => first.now === 'ok', 'the leader has confirmed it')
    expect(follower.get('key', bounded).now).toBe('ok')
    servers.advance(501)
    expect(follower.get('key', bounded).now).toBe('pending')
    expect(leader.get('key', bounded).now).toBe('ok')
  })

  it('that is eventual waits for the revision that its client has seen, and for nobody', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const follower = servers.follower()
    const write = leader.put('key', 'value')
    servers.until(() => write.now === 'ok', 'the write is committed')
    const minRevision = leader.raft.lastApplied
    const read = follower.get('key', { consistency: 'eventual', minRevision })
    servers.until(() => read.now === 'ok', 'the follower has applied it')
    expect(read.value).toBe('value')
    const ahead = follower.get('key', { consistency: 'eventual', minRevision: minRevision + 1000, timeoutMs: 100 })
    servers.advance(200)
    expect(ahead.now).toBe('TIMEOUT')
  })

  it('that throws fails alone: the server goes on', () => {
    const { servers, server } = lone()
    const failing = (): never => {
      throw new Error('no such view')
    }
    const [first, second] = [new Outcome<unknown>(), new Outcome<unknown>()]
    server.calls.read(failing, undefined, first.resolve, first.reject)
    server.calls.read(failing, { signal: new AbortController().signal }, second.resolve, second.reject)
    const other = server.get('key')
    servers.turn()
    expect([first.now, second.now, other.now]).toEqual(['no such view', 'no such view', 'ok'])
    expect(server.failures).toEqual([])
  })

  it('sees the state at the moment when it is served, not when it was called', () => {
    const { servers, server } = lone()
    const write = server.put('key', 'value')
    const read = server.get('key')
    servers.turn()
    expect(write.now).toBe('ok')
    expect(read.now).toBe('ok')
    const next = server.get('key')
    servers.turn()
    expect(next.value).toBe('value')
  })
})

describe('the embedded client', () => {
  function client() {
    const { servers, server } = lone()
    let isOpen = true
    const assertOpen = (): void => {
      if (!isOpen) throw new ActorumError('STOPPED', 'stopped')
    }
    const options = { ...CLIENT_OPTIONS, keyBytesMax: 10, valueBytesMax: 20 }
    const ports = { server: server.raft, keyValues: server.keyValues, clock: servers.clock, cluster: NO_CLUSTER }
    const embedded = new EmbeddedClient({ ...ports, assertOpen }, options)
    /** A call and the turns that it needs. */
    const done = async <Value>(call: Promise<Value>): Promise<Value> => {
      servers.turn()
      return call
    }
    return { embedded, done, close: () => void (isOpen = false) }
  }

  it('rejects what is wrong with a call, and never throws', async () => {
    const { embedded } = client()
    const wrong = [
      embedded.put('', 'value'),
      embedded.put('key', untyped<string>(undefined)),
      embedded.put(untyped<string>(7), 'value'),
      embedded.put('key', '\ud800'),
      embedded.get(''),
      embedded.get('key', untyped<ReadOptions>({ consistency: 'strong' })),
      embedded.getMulti(untyped<string[]>('key')),
      embedded.getMulti(['key', '']),
      embedded.delete(''),
      embedded.compareAndSwap('key', untyped<string>(5), 'value'),
      embedded.put('key', 'value', { timeoutMs: -1 }),
    ]
    for (const call of wrong)
      await expect(call).rejects.toMatchObject({ name: 'ActorumError', code: 'INVALID_ARGUMENT' })
    const large = [
      embedded.put('k'.repeat(11), 'value'),
      embedded.put('key', 'v'.repeat(21)),
      embedded.get('ä'.repeat(6)),
      embedded.compareAndSwap('key', 'v'.repeat(21), 'value'),
    ]
    for (const call of large) await expect(call).rejects.toMatchObject({ code: 'TOO_LARGE' })
  })

  it('gives each call the result of its kind', async () => {
    const { embedded, done } = client()
    const { revision } = await done(embedded.put('key', 'value'))
    expect(await done(embedded.compareAndSwap('key', 'other', 'next'))).toBe(false)
    expect(await done(embedded.compareAndSwap('key', 'value', 'next'))).toBe(true)
    expect(await done(embedded.compareAndSwap('key', undefined, 'again'))).toBe(false)
    expect(await done(embedded.getMulti(['key', 'none']))).toEqual([new TextEncoder().encode('next'), undefined])
    expect(await done(embedded.delete('key'))).toEqual({ deleted: true, revision: revision + 4 })
    expect(await done(embedded.delete('key'))).toEqual({ deleted: false, revision: revision + 5 })
    expect(await done(embedded.getMulti([]))).toEqual([])
  })

  it('takes the consistency from the name of the call', async () => {
    const { embedded, done } = client()
    await done(embedded.put('key', 'value'))
    const value = new TextEncoder().encode('value')
    expect(await embedded.getEventual('key')).toEqual(value)
    expect(await embedded.getLease('key')).toEqual(value)
    expect(await done(embedded.getLinearizable('key', { timeoutMs: 100 }))).toEqual(value)
  })

  it('rejects every call once its engine is closed', async () => {
    const { embedded, close } = client()
    close()
    const calls = [
      embedded.put('key', 'value'),
      embedded.get('key'),
      embedded.getEventual('key'),
      embedded.getMulti(['key']),
      embedded.delete('key'),
      embedded.compareAndSwap('key', undefined, 'value'),
    ]
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'STOPPED' })
  })
})

describe('calls', () => {
  it('may be made from within an answer', () => {
    const { servers, server } = lone()
    const calls = new Calls(server.raft, servers.clock, { requestTimeoutMs: 5000, linearizableReads: 'quorum' })
    const second = new Outcome<unknown>()
    calls.propose(
      put('a', '1'),
      undefined,
      () => calls.propose(put('b', '2'), undefined, second.resolve, second.reject),
      second.reject,
    )
    servers.turn()
    expect(second.now).toBe('ok')
    expect(server.valueOf('b')).toBe('2')
  })
})
