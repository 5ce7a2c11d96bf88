import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { AnyActorRef } from 'xstate'
import { Waiters } from '../../src/actors/waiters.js'
import type { CallOptions, EngineOptions } from '../../src/index.js'
import { EmbeddedEngine } from '../../src/index.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { RecordLogStore } from '../../src/storage/record-log-store.js'
import { EnginePlace, freeAddress, optionsOfThree, text } from './engine-place.js'
import { WorkerEngine } from './engine-worker-handle.js'
import { until } from './websocket-subject.js'

/** What a caller without types may give. */
const untyped = <Wanted>(given: unknown): Wanted => given as Wanted

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await place.dispose()
})

describe('an engine by itself', () => {
  it.each(['disk-first', 'mem-first'] as const)('keeps its data through a restart (%s)', async (durability) => {
    const first = await place.start({ durability })
    await first.ready()
    const { revision } = await first.client.put('hello', 'world')
    await Promise.all(Array.from({ length: 100 }, (_, at) => first.client.put(`key-${at}`, `value-${at}`)))
    await first.client.delete('key-0')
    await first.stop()

    const second = await place.start({ durability })
    expect(text(await second.client.get('hello'))).toBe('world')
    expect(await second.client.get('key-0')).toBeUndefined()
    expect(text(await second.client.get('key-99'))).toBe('value-99')
    expect((await second.client.put('hello', 'again')).revision).toBeGreaterThan(revision + 101)
    expect(second.status().clusterId).toBe(first.status().clusterId)
    expect(second.status().storeId).toBe(first.status().storeId)
    expect(second.term).toBeGreaterThan(first.term)
  })

  it('leads once it is ready, and says so', async () => {
    const engine = await place.start()
    await engine.ready({ timeoutMs: 10_000 })
    expect(engine).toMatchObject({ id: 1, role: 'leader', isLeader: true, leaderId: 1 })
    await until(
      () => engine.status().members.every(({ storeId }) => storeId !== undefined),
      'its directory is recorded',
    )
    const { revision } = await engine.client.put('hello', 'world')
    expect(engine.status()).toEqual({
      id: 1,
      role: 'leader',
      term: engine.term,
      leaderId: 1,
      clusterId: expect.stringMatching(/^[\da-f]{32}$/) as string,
      storeId: expect.stringMatching(/^[\da-f]{32}$/) as string,
      lastLogIndex: revision,
      commitIndex: revision,
      lastApplied: revision,
      members: [{ id: 1, address: '', storeId: engine.status().storeId }],
      failure: undefined,
    })
  })

  it('takes calls before it has elected itself, and answers them then', async () => {
    const engine = await place.start()
    const calls = [engine.client.put('hello', 'world'), engine.client.get('hello')]
    expect(engine.isLeader).toBe(false)
    await Promise.all(calls)
    expect(text(await engine.client.getEventual('hello'))).toBe('world')
  })

  it('answers a compare-and-swap by what it finds', async () => {
    const { client } = await place.start()
    expect(await client.compareAndSwap('lock', undefined, 'a')).toBe(true)
    expect(await client.compareAndSwap('lock', undefined, 'b')).toBe(false)
    expect(await client.compareAndSwap('lock', 'b', 'c')).toBe(false)
    expect(await client.compareAndSwap('lock', 'a', '')).toBe(true)
    expect(await client.compareAndSwap('lock', '', 'd')).toBe(true)
    expect((await client.getMulti(['lock', 'none', 'lock'])).map(text)).toEqual(['d', undefined, 'd'])
  })

  it('sees a write in the next compare-and-swap, although both were made in one turn', async () => {
    const { client } = await place.start()
    const [, first, second] = await Promise.all([
      client.put('key', '1'),
      client.compareAndSwap('key', '1', '2'),
      client.compareAndSwap('key', '1', '3'),
    ])
    expect([first, second, text(await client.get('key'))]).toEqual([true, false, '2'])
  })

  it('keeps bytes of its own: a caller that changes a buffer it put, or one it got, changes nothing', async () => {
    const engine = await place.start()
    const [key, value] = [Uint8Array.of(0, 255, 128), Uint8Array.of(1, 2, 3)]
    const call = engine.client.put(key, value)
    const originalKey = key.slice()
    key.fill(9)
    value.fill(9)
    await call
    const reads = await Promise.all([
      engine.client.get(originalKey),
      engine.client.getEventual(originalKey),
      engine.client.getMulti([originalKey]).then(([found]) => found),
    ])
    for (const found of reads) {
      expect([...(found ?? [])]).toEqual([1, 2, 3])
      found?.fill(7)
    }
    expect(await engine.client.get(originalKey)).toEqual(Uint8Array.of(1, 2, 3))
    await engine.stop()
    const again = await place.start()
    expect(await again.client.get(originalKey)).toEqual(Uint8Array.of(1, 2, 3))
  })

  it('rejects wrong arguments and what is too large, and never throws', async () => {
    const { client } = await place.start({ keyBytesMax: 8, valueBytesMax: 16 })
    const wrong = [
      client.put('', 'value'),
      client.put('key', untyped(42)),
      client.get(untyped(null)),
      client.get('key', untyped({ consistency: 'strict' })),
      client.getMulti(untyped('key')),
      client.delete('key', untyped({ timeout: 5 })),
      client.put('key', 'value', { timeoutMs: Number.NaN }),
      client.compareAndSwap('key', untyped(0), 'value'),
    ]
    for (const call of wrong) await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(client.put('123456789', 'value')).rejects.toMatchObject({ code: 'TOO_LARGE' })
    await expect(client.put('key', new Uint8Array(17))).rejects.toMatchObject({ code: 'TOO_LARGE' })
    await client.put('12345678', new Uint8Array(16))
  })

  it('refuses wrong options with a rejection that names them', async () => {
    const start = EmbeddedEngine.start(untyped<EngineOptions>({ dataDir: place.directory(1), electionTimeout: 5 }))
    await expect(start).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/electionTimeoutMs\?/) as string,
    })
    await expect(EmbeddedEngine.start(untyped(undefined))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('waiting for an engine to be ready', () => {
  it('ends with NO_LEADER when the time runs out without a majority', async () => {
    const [options] = await optionsOfThree(place)
    const engine = await place.start(options)
    await expect(engine.ready({ timeoutMs: 50 })).rejects.toMatchObject({ code: 'NO_LEADER' })
  })

  it('can be aborted, and lets go of the signal', async () => {
    const [options] = await optionsOfThree(place)
    const engine = await place.start(options)
    const controller = new AbortController()
    const waitedNoLonger = vi.spyOn(Waiters.prototype, 'remove')
    const ready = engine.ready({ signal: controller.signal })
    controller.abort('enough')
    await expect(ready).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' })
    expect(waitedNoLonger).toHaveBeenCalledOnce()
    waitedNoLonger.mockRestore()
    await expect(engine.ready({ signal: controller.signal })).rejects.toMatchObject({ code: 'ABORTED' })
    const alone = await place.start({ dataDir: place.directory('alone') })
    const { signal } = new AbortController()
    const removed = vi.spyOn(signal, 'removeEventListener')
    await alone.ready({ signal })
    expect(removed).toHaveBeenCalledOnce()
  })

  it('rejects wrong options', async () => {
    const engine = await place.start()
    for (const options of [{ timeoutMs: 0 }, { timeoutMs: Infinity }, { timeOutMs: 5 }]) {
      const ready = engine.ready(untyped<CallOptions>(options))
      await expect(ready).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
  })
})

describe('stopping an engine', () => {
  it('may be done twice, also at once, and by asyncDispose', async () => {
    const engine = await place.start()
    await engine.ready()
    await Promise.all([engine.stop(), engine.stop(), engine[Symbol.asyncDispose]()])
    await engine.stop()
    expect(engine).toMatchObject({ isLeader: false, leaderId: undefined })
    expect(engine.members()).toMatchObject([{ id: engine.id, isLeader: false }])
  })

  it('may be done before it is ready', async () => {
    const engine = await place.start()
    const ready = engine.ready()
    const stopped = engine.stop()
    await expect(ready).rejects.toMatchObject({ code: 'STOPPED' })
    await stopped
  })

  it('does first what it has taken, and answers STOPPED to every call after it', async () => {
    const engine = await place.start()
    await engine.ready()
    const { client } = engine
    const underWay = Promise.all(Array.from({ length: 1000 }, (_, at) => client.put(`key ${at}`, 'value')))
    const stopped = engine.stop()
    const calls = [
      client.put('key', 'value'),
      client.get('key'),
      client.getLease('key'),
      client.getEventual('key'),
      client.getMulti(['key']),
      client.delete('key'),
      client.compareAndSwap('key', undefined, 'value'),
      engine.ready(),
    ]
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'STOPPED' })
    await stopped
    expect(await underWay).toHaveLength(1000)
    await expect(client.getEventual('key')).rejects.toMatchObject({ code: 'STOPPED' })
  })
})

describe("an engine's data directory", () => {
  it.each([
    ['segment files', 'file'],
    ['Level', 'level'],
  ] as const)(
    'is locked while an engine has it, in this process and for another, and free afterwards (%s)',
    async (_, logStore) => {
      const engine = await place.start({ logStore })
      // In this order: LevelDB's own refusal in one process drops the lock that keeps others out.
      await expect(place.start()).rejects.toMatchObject({ code: 'LOCKED' })
      const other = new WorkerEngine({ dataDir: place.directory(1) })
      await expect(other.started).rejects.toThrow('LOCKED')
      await other.kill()
      await engine.client.put('hello', 'world')
      await engine.stop()
      const again = await place.start()
      await again.ready()
    },
  )

  it("is refused to another server and to another cluster's, and is not locked by that", async () => {
    const first = await place.start({ clusterId: 'orders' })
    await first.ready()
    await first.stop()
    const another = place.start({ id: 2 })
    await expect(another).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/server 1/) as string,
    })
    const foreign = place.start({ clusterId: 'invoices' })
    await expect(foreign).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/cluster orders, not invoices/) as string,
    })
    const again = await place.start({ clusterId: 'orders' })
    await again.ready()
    await again.stop()
    const unnamed = await place.start()
    expect(unnamed.status().clusterId).toBe('orders')
  })

  it('is not locked by an engine that could not listen', async () => {
    const address = await freeAddress()
    const blocker = createServer()
    const port = Number(address.split(':')[1])
    await new Promise<void>((resolve) => blocker.listen(port, '127.0.0.1', resolve))
    await expect(place.start({ listen: address })).rejects.toMatchObject({ code: 'TRANSPORT_FAILED' })
    await new Promise((resolve) => blocker.close(resolve))
    const engine = await place.start({ listen: address })
    await engine.ready()
    await expect(place.start({ listen: address, dataDir: place.directory('other') })).rejects.toMatchObject({
      code: 'TRANSPORT_FAILED',
    })
  })

  it('says who the members are: other ones in the options are reported and change nothing', async () => {
    const address = await freeAddress()
    const first = await place.start({ listen: address })
    await first.client.put('hello', 'world')
    await first.stop()
    place.notices.length = 0
    const members = [
      { id: 1, address },
      { id: 2, address: await freeAddress() },
    ]
    const again = await place.start({ listen: address, members })
    expect(text(await again.client.get('hello'))).toBe('world')
    expect(again.status().members).toEqual([{ id: 1, address }])
    const warned = {
      level: 'warn',
      message: expect.stringMatching(/the option members says .* the log rules/) as string,
    }
    expect(place.notices).toContainEqual(warned)
  })
})

describe('the role actor', () => {
  it('shows the role machine as it runs, and has no way to send to it', async () => {
    const engine = await place.start()
    const { roleActor } = engine
    const seen = new Set<string>()
    const subscription = roleActor.subscribe(({ value }) => {
      seen.add(typeof value === 'string' ? value : (Object.keys(value)[0] ?? ''))
    })
    await engine.ready()
    expect(roleActor.getSnapshot().matches({ leader: { authority: 'serving' } })).toBe(true)
    expect(roleActor.getSnapshot().context.commitIndex).toBe(engine.status().commitIndex)
    expect([...seen]).toEqual(expect.arrayContaining(['candidate', 'leader']))
    expect('send' in roleActor).toBe(false)
    subscription.unsubscribe()
  })

  it('can be inspected for as long as one likes', async () => {
    const engine = await place.start()
    await engine.ready()
    const events: string[] = []
    const inspection = engine.roleActor.inspect((event) => {
      if (event.type === '@xstate.event') events.push(event.event.type)
    })
    await engine.client.put('hello', 'world')
    expect(events).toEqual(expect.arrayContaining(['proposals', 'persisted']))
    inspection.unsubscribe()
    events.length = 0
    await engine.client.put('hello', 'world')
    expect(events).toEqual([])
  })
})

describe('what people hand to an engine', () => {
  it('cannot stop it: an inspector that throws is let go of, and it goes on', async () => {
    const engine = await place.start()
    await engine.ready()
    let calls = 0
    engine.roleActor.inspect(() => {
      calls++
      throw new Error('the inspector broke')
    })
    expect(await engine.client.put('hello', 'world')).toMatchObject({ revision: expect.any(Number) as number })
    expect(calls).toBe(1)
    expect(place.notices.map(({ message }) => message)).toContain(
      'an inspector threw, and is not called again: Error: the inspector broke',
    )
    expect(engine.role).toBe('leader')
  })

  it('cannot send to its role machine, or change what it knows', async () => {
    const engine = await place.start()
    await engine.ready()
    const refs: AnyActorRef[] = []
    engine.roleActor.inspect((event) => void refs.push(event.actorRef as AnyActorRef))
    await engine.client.put('hello', 'world')
    expect(() => refs[0]!.send({ type: 'storageFailed', reason: 'none' })).toThrow(/to look at/)
    expect(refs[0]!.id).toBe('raft-1')
    expect(new Set(refs).size).toBe(1)
    const { members } = engine.status()
    ;(members as unknown[]).length = 0
    expect(engine.status().members).toHaveLength(1)
    expect(engine.role).toBe('leader')
  })

  it('may be a log that throws', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    const log = (): void => {
      throw new Error('no more ink')
    }
    const engine = await place.start({ log })
    await engine.ready()
    engine.roleActor.inspect(() => {
      throw new Error('the inspector broke')
    })
    await engine.client.put('hello', 'world')
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('the option log threw Error: no more ink'))
    warn.mockRestore()
  })

  it('says to which cluster a directory belongs, from the first commit on', async () => {
    const first = await place.start()
    await first.ready()
    const { clusterId } = first.status()
    await first.stop()
    await expect(place.start({ clusterId: 'another' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('another') as string,
    })
    const again = await place.start({ clusterId: clusterId! })
    await again.ready()
  })
})

describe('an engine that fails', () => {
  it('stops when its store cannot write: STORAGE_FAILED, and its calls say so', async () => {
    const engine = await place.start()
    await engine.ready()
    const failure = new Error('EIO: i/o error')
    vi.spyOn(RecordLogStore.prototype, 'write').mockImplementationOnce((_, callback) => callback(failure))
    await expect(engine.client.put('key', 'value')).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(engine).toMatchObject({ role: 'failed', isLeader: false, leaderId: undefined })
    expect(engine.members()).toMatchObject([{ id: engine.id, isLeader: false }])
    expect(engine.status().failure).toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(engine.client.put('key', 'value')).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(engine.client.getEventual('key')).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(engine.ready()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    expect(place.notices.filter(({ level }) => level === 'error')).toHaveLength(1)
    await engine.stop()
    const again = await place.start()
    await again.ready()
    expect(again.status().failure).toBeUndefined()
  })

  it('stops when its state machine throws', async () => {
    const engine = await place.start()
    await engine.ready()
    vi.spyOn(KeyValueStore.prototype, 'apply').mockImplementationOnce(() => {
      throw new Error('out of memory')
    })
    await expect(engine.client.put('key', 'value')).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(engine.role).toBe('failed')
    expect(engine.status().failure?.message).toContain('out of memory')
    await engine.stop()
    // What it could not apply is in its log.
    expect(text(await (await place.start()).client.get('key'))).toBe('value')
  })

  it('that then cannot close says so to its log, since nobody waits for it', async () => {
    const engine = await place.start()
    await engine.ready()
    const closing = vi.spyOn(RecordLogStore.prototype, 'close').mockImplementationOnce(function (
      this: RecordLogStore,
      callback,
    ) {
      closing.mockRestore()
      this.close(() => callback(new Error('EIO: close failed')))
    })
    vi.spyOn(RecordLogStore.prototype, 'write').mockImplementationOnce((_, callback) => callback(new Error('EIO')))
    await expect(engine.client.put('key', 'value')).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    await engine.stop()
    await until(() => place.notices.some(({ message }) => message.includes('did not close cleanly')), 'it is reported')
  })
})
