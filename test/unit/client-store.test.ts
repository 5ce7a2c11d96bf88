import { firstValueFrom } from 'rxjs'
import { describe, expect, it } from 'vitest'
import type { StoreClient } from '../../src/client/store-client.js'
import { compare, op } from '../../src/client/txn.js'
import type { KeyReadOptions, PutOptions, RangeOptions } from '../../src/client/client-api.js'
import type { ActorumError } from '../../src/errors.js'
import { clientOf, done, lone } from './memory-clients.js'
import { MemoryServers } from './memory-servers.js'

const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes)
const bytes = (string: string) => new TextEncoder().encode(string)

/** What a caller without types may give. */
const untyped = <Wanted>(given: unknown): Wanted => given as Wanted

describe('a write', () => {
  it('answers with what the key was before, when asked', async () => {
    const { client, now } = lone()
    expect(await now(client.put('key', 'first', { previous: true }))).toMatchObject({ previous: undefined })
    const { revision } = await now(client.put('key', 'second'))
    const { previous } = await now(client.put('key', 'third', { previous: true }))
    expect(previous).toMatchObject({ key: bytes('key'), value: bytes('second'), modRevision: revision, version: 2 })
    const deleted = await now(client.delete('key', { previous: true }))
    expect(text(deleted.previous?.value)).toBe('third')
    expect(await now(client.delete('key', { previous: true }))).toMatchObject({ deleted: false, previous: undefined })
  })

  it('of a range deletes all of its keys at one revision', async () => {
    const { client, now } = lone()
    for (const key of ['a', 'b', 'c', 'd']) await now(client.put(key, key))
    const { deletedCount, previous } = await now(client.deleteRange({ from: 'b', to: 'd' }, { previous: true }))
    expect([deletedCount, previous?.map(({ key }) => text(key))]).toEqual([2, ['b', 'c']])
    expect(await now(client.deleteRange({ key: 'a' }))).toMatchObject({ deletedCount: 1 })
    expect(await now(client.deleteRange({ prefix: '' }))).toMatchObject({ deletedCount: 1 })
  })

  it('may give a key a time to live or a lease, but not both', async () => {
    const { client, now, server } = lone()
    await now(client.putWithTtl('brief', 'value', 0.5))
    expect(server.keyValues.deadlineOf(untyped('brief'))).toBeGreaterThan(0)
    const lease = await now(client.grantLease(10_000, { keepAlive: false }))
    const both = client.put('key', 'value', { lease, ttlMs: 5 })
    await expect(both).rejects.toThrow(/both a lease and a ttlMs/)
    await now(client.put('key', 'value', { lease }))
    expect(await now(client.getEntry('key'))).toMatchObject({ lease: lease.id })
    expect(await now(client.timeToLive(lease.id))).toMatchObject({ ttlMs: 10_000, keys: [bytes('key')] })
    expect(await now(client.leases())).toEqual([lease.id])
    expect(await now(client.keepAlive(lease.id))).toEqual({ ttlMs: 10_000 })
    expect(await now(client.revoke(lease.id))).toMatchObject({ deletedCount: 1 })
    await expect(now(client.timeToLive(lease.id))).rejects.toMatchObject({ code: 'LEASE_NOT_FOUND' })
    await expect(now(client.put('key', 'value', { lease: lease.id }))).rejects.toMatchObject({
      code: 'LEASE_NOT_FOUND',
    })
  })

  it('is refused for options that it does not have, or of the wrong kind', async () => {
    const { client } = lone()
    const wrong = [
      { previos: true },
      { previous: 1 },
      { lease: 0 },
      { lease: {} },
      { ttlMs: 0.5 },
      { ttlMs: -1 },
      { timeoutMs: 0 },
      null,
      5,
    ].map((options) => client.put('key', 'value', untyped<PutOptions>(options)))
    const others = [
      client.delete('key', untyped({ lease: 5 })),
      client.deleteRange({ prefix: 'a', from: 'b' }),
      client.deleteRange(untyped({ suffix: 'a' })),
      client.deleteRange(untyped('a')),
      client.putWithTtl('key', 'value', 0),
      client.putWithTtl('key', 'value', untyped('1')),
      client.putWithTtl('key', 'value', 1, untyped({ lease: 5 })),
      client.compareAndSwap('key', undefined, 'value', untyped({ previous: true })),
      client.compact(-1),
      client.compact(untyped(Symbol('revision'))),
      client.keepAlive(0),
    ]
    for (const call of [...wrong, ...others]) await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(client.put('key', 'value', untyped({ previos: true }))).rejects.toThrow(/did you mean previous\?/)
  })

  it('out of bounds is told the bounds that hold, in the words of the call', async () => {
    const { client } = lone()
    for (const ttlMs of [0, 2 ** 53]) {
      await expect(client.put('key', 'value', { ttlMs })).rejects.toThrow(
        `ttlMs is ${ttlMs}; it must be an integer from 1 to 3162240000000`,
      )
    }
    await expect(client.putWithTtl('key', 'value', 3.2e9)).rejects.toThrow(
      'ttlSecs is 3200000000; it must be a number above 0 and at most 3162240000',
    )
  })

  it('of bytes whose buffer was transferred is refused, also within a transaction', async () => {
    const { client } = lone()
    const detached = new Uint8Array(3)
    structuredClone(detached.buffer, { transfer: [detached.buffer] })
    const calls = [
      client.put('key', detached),
      client.put(detached, 'value'),
      client.compareAndSwap('key', detached, 'value'),
      client.deleteRange({ prefix: detached }),
      client.txn().then(op.put('key', detached)).commit(),
      client
        .txn()
        .if(compare.value('key', '=', detached))
        .commit(),
    ]
    for (const call of calls) {
      await expect(call).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('is detached') as string,
      })
    }
  })

  it('answers with bytes that are its own', async () => {
    const { client, now } = lone()
    await now(client.put('key', 'value'))
    const { previous } = await now(client.put('key', 'value', { previous: true }))
    previous?.value.fill(0)
    expect(text(await now(client.get('key')))).toBe('value')
    expect(text((await now(client.getEntry('key', { revision: previous?.modRevision })))?.value)).toBe('value')
  })
})

describe('a read', () => {
  /** One key with the values 0 to 4, and the revisions of these. */
  async function history(client: StoreClient, now: <Value>(call: Promise<Value>) => Promise<Value>) {
    const revisions: number[] = []
    for (const value of ['0', '1', '2', '3', '4']) revisions.push((await now(client.put('key', value))).revision)
    return revisions
  }

  it('as of a revision sees what was so then', async () => {
    const { client, now } = lone()
    const revisions = await history(client, now)
    const values = revisions.map((revision) => now(client.get('key', { revision })))
    expect((await Promise.all(values)).map(text)).toEqual(['0', '1', '2', '3', '4'])
    const [first = 0, second = 0] = revisions
    expect(await now(client.get('key', { revision: first - 1 }))).toBeUndefined()
    expect(await now(client.getEntry('key', { revision: second }))).toMatchObject({ version: 2, createRevision: first })
    expect((await now(client.getMulti(['key', 'none'], { revision: first }))).map(text)).toEqual(['0', undefined])
    const scan = await now(client.scanPrefix('k', { revision: second, consistency: 'eventual' }))
    expect(scan).toMatchObject({ revision: second, entries: [{ value: bytes('1') }] })
  })

  it('as of a revision that is compacted is COMPACTED, and says from where on it can be read', async () => {
    const { client, now } = lone()
    const [first, second, third = 0] = await history(client, now)
    expect(await now(client.compact(third))).toEqual({ compactedRevision: third })
    await expect(now(client.get('key', { revision: second }))).rejects.toMatchObject({
      code: 'COMPACTED',
      revision: third,
    })
    await expect(now(client.range({ revision: first }))).rejects.toMatchObject({ code: 'COMPACTED' })
    expect(text(await now(client.get('key', { revision: third })))).toBe('2')
  })

  it('as of a revision to come waits for it, on whichever server', async () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const [here, there] = [clientOf(servers, leader), clientOf(servers, servers.follower())]
    const { revision } = await done(servers, here.put('key', 'value'))
    const ahead = there.get('key', { revision: revision + 1 })
    await done(servers, here.put('key', 'next'))
    expect(text(await done(servers, ahead))).toBe('next')
    const never = there.get('key', { revision: revision + 1000, timeoutMs: 50 })
    await expect(done(servers, never)).rejects.toMatchObject({ code: 'TIMEOUT' })
  })

  it('as of a revision that has been applied needs no leader', async () => {
    const servers = new MemoryServers(3)
    const client = clientOf(servers, servers.elect())
    const { revision } = await done(servers, client.put('key', 'value'))
    servers.network.partition([[1], [2], [3]], 'noticed')
    servers.advance(3000)
    expect(text(await done(servers, client.get('key', { revision })))).toBe('value')
    await expect(done(servers, client.get('key', { timeoutMs: 50 }))).rejects.toMatchObject({ code: 'NO_LEADER' })
  })

  it('as of an entry that is no command sees what was so before it', async () => {
    const servers = new MemoryServers(3)
    const first = servers.elect()
    await done(servers, clientOf(servers, first).put('key', 'value'))
    servers.kill(first.id)
    servers.until(
      () => servers.all.some(({ raft, leads, id }) => id !== first.id && leads && raft.isReady),
      'another leads',
    )
    const next = servers.all.find(({ leads, id }) => id !== first.id && leads) ?? first
    const revision = next.raft.lastApplied
    expect(revision).toBeGreaterThan(next.keyValues.revision)
    const client = clientOf(servers, next)
    expect(await done(servers, client.range({ revision }))).toMatchObject({ count: 1, revision })
    expect(text(await done(servers, client.get('key', { revision })))).toBe('value')
  })

  it('is refused for options that it does not have, or of the wrong kind', async () => {
    const { client } = lone()
    const wrong = [{ revision: -1 }, { revision: 1.5 }, { limit: 5, consistency: 'strong' }, { reversed: true }]
    for (const options of wrong) {
      await expect(client.getEntry('key', untyped(options))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      await expect(client.scanPrefix('key', untyped(options))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      await expect(client.getMulti(['key'], untyped(options))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    const ranges = [{ limit: 0 }, { limit: 10_001 }, { reverse: 'yes' }, { prefix: 'a', to: 'b' }, { key: 'a' }, null]
    for (const query of ranges) {
      await expect(client.range(untyped<RangeOptions>(query))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    expect(() => client.entries(untyped({ limit: 0 }))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    await expect(client.get('key', { revision: -1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(client.getMulti(untyped(new Array(1)))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('keeps the promise of its name: getLinearizable and its like know no consistency', async () => {
    const { client, now } = lone()
    await now(client.put('key', 'value'))
    for (const reader of [client, client.namespace('a/'), client.causal()]) {
      for (const options of [{ consistency: 'eventual' }, { consistency: undefined }, { revision: 1 }]) {
        const reads = [
          reader.getLinearizable('key', untyped(options)),
          reader.getLease('key', untyped(options)),
          reader.getEventual('key', untyped(options)),
        ]
        for (const read of reads) await expect(read).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      }
    }
    await expect(client.getLease('key', untyped({ consistency: 'eventual' }))).rejects.toThrow(/no "consistency"/)
    const unsaid = untyped<KeyReadOptions>({ consistency: undefined, revision: undefined })
    expect(text(await now(client.get('key', unsaid)))).toBe('value')
  })

  const noObjects = [null, 5, 'x', true, []].map((given) => ({ given }))

  it.each(noObjects)('is refused for options that are no object ($given)', async ({ given }) => {
    const { client, now } = lone()
    await now(client.put('key', 'value'))
    const session = await now(client.openSession())
    for (const reader of [client, client.namespace('a/'), client.causal(), session]) {
      const reads = [
        reader.get('key', untyped(given)),
        reader.getLinearizable('key', untyped(given)),
        reader.getLease('key', untyped(given)),
        reader.getEventual('key', untyped(given)),
        reader.leases(untyped(given)),
        reader.range(untyped(given)),
      ]
      for (const read of reads) await expect(read).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(() => reader.entries(untyped(given))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
      const write = reader.compareAndSwap('key', 'value', 'next', untyped(given))
      await expect(write).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    await now(session.close())
  })

  it('of all entries knows neither a cursor nor a number alone', () => {
    const { client } = lone()
    for (const query of [{ cursor: '1abc' }, { countOnly: true }]) {
      expect(() => client.entries(untyped(query))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
  })
})

describe('a client', () => {
  it('knows by refresh that somebody leads, and waits until somebody does', async () => {
    const servers = new MemoryServers(3)
    const refreshed = clientOf(servers, servers.get(1)).refresh()
    await done(servers, refreshed)
    expect(servers.all.some(({ leads }) => leads)).toBe(true)
    servers.network.partition([[1], [2], [3]], 'noticed')
    const alone = clientOf(servers, servers.get(1)).refresh({ timeoutMs: 100 })
    const code = await done(servers, alone).catch((error: ActorumError) => error.code)
    expect(['NO_LEADER', 'TIMEOUT']).toContain(code)
    const aborted = clientOf(servers, servers.get(1)).refresh({ signal: AbortSignal.abort() })
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
  })

  it('refuses every call once it is closed, and so do those made of it', async () => {
    const { client, now } = lone()
    const within = client.namespace('a/')
    const deeper = within.namespace('b/')
    await now(deeper.put('key', 'value'))
    const membership = firstValueFrom(client.watchMembership(), { defaultValue: 'completed' })
    await client.close()
    expect(await membership).toBe('completed')
    for (const closed of [client, within, deeper]) {
      const calls = [
        closed.put('key', 'value'),
        closed.get('key'),
        closed.getEventual('key'),
        closed.getEntry('key'),
        closed.range(),
        closed.txn().commit(),
        closed.grantLease(1000),
        closed.openSession(),
        closed.refresh(),
        closed.listMembers(),
        closed.leases(),
      ]
      const outcomes = await Promise.allSettled<unknown>(calls)
      for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'STOPPED' } })
      const others = [
        () => closed.watch('key'),
        () => closed.observe('key'),
        () => closed.namespace('a'),
        () => closed.entries(),
        () => closed.watchMembership(),
      ]
      for (const call of others) expect(call).toThrow(expect.objectContaining({ code: 'STOPPED' }))
      expect(() => closed.leaderId()).not.toThrow()
    }
    await client.close()
  })

  it('made of another closes alone', async () => {
    const { client, now } = lone()
    const within = client.namespace('a/')
    await within.close()
    await expect(within.get('key')).rejects.toMatchObject({ code: 'STOPPED' })
    await now(client.put('a/key', 'value'))
    expect(text(await now(client.namespace('a/').get('key')))).toBe('value')
  })
})
