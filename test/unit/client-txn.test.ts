import { describe, expect, expectTypeOf, it } from 'vitest'
import { compare, op, type TxnParts } from '../../src/client/txn.js'
import type { KvOperation } from '../../src/state-machines/kv/commands.js'
import type { CompareAndSwapResult, GetResult, PutResult, RangeResult } from '../../src/state-machines/kv/results.js'
import { lone } from './memory-clients.js'

const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes)

/** What a caller without types may give. */
const untyped = <Wanted>(given: unknown): Wanted => given as Wanted

describe('a transaction', () => {
  it('does one of two lists of operations, at one revision', async () => {
    const { client, now } = lone()
    const transfer = client
      .txn()
      .if(compare.missing('from'))
      .then(op.put('from', '10'), op.put('to', '0'))
      .else(op.get('from'), op.get('to'))
    const first = await now(transfer.commit())
    expect(first).toMatchObject({
      succeeded: true,
      results: [{ revision: first.revision }, { revision: first.revision }],
    })
    const second = await now(transfer.commit())
    expect(second.succeeded).toBe(false)
    if (second.succeeded) return
    const [from, to] = second.results
    expect([text(from.entry?.value), text(to.entry?.value), from.entry?.modRevision]).toEqual([
      '10',
      '0',
      first.revision,
    ])
  })

  it('gives each operation the answer of its kind, also by its type', async () => {
    const { client, now } = lone()
    const answer = await now(
      client
        .txn()
        .then(
          op.put('b', '1'),
          op.put('a', '2', { previous: true }),
          op.compareAndSwap('a', '2', '3'),
          op.range({ prefix: '', reverse: true }),
          op.delete('b', { previous: true }),
          op.deleteRange({ key: 'a' }),
          op.get('a'),
        )
        .commit(),
    )
    if (!answer.succeeded) throw new Error('nothing was compared')
    const [put, , swap, range, removed, cleared, got] = answer.results
    expectTypeOf(put).toEqualTypeOf<PutResult>()
    expectTypeOf(swap).toEqualTypeOf<CompareAndSwapResult>()
    expectTypeOf(range).toEqualTypeOf<RangeResult>()
    expectTypeOf(got).toEqualTypeOf<GetResult>()
    expect(swap.swapped).toBe(true)
    expect(range.entries.map(({ key, value }) => [text(key), text(value)])).toEqual([
      ['b', '1'],
      ['a', '3'],
    ])
    expect([removed.deleted, text(removed.previous?.value), cleared.deletedCount]).toEqual([true, '1', 1])
    expect(got.entry).toBeUndefined()
  })

  it('compares values, versions, revisions and leases', async () => {
    const { client, now } = lone()
    const lease = await now(client.grantLease(5000, { keepAlive: false }))
    const { revision } = await now(client.put('key', 'value', { lease }))
    const true_ = [
      compare.value('key', '=', 'value'),
      compare.value('key', '<', 'valuf'),
      compare.value('key', '!=', new Uint8Array([0xff])),
      compare.version('key', '=', 1),
      compare.createRevision('key', '=', revision),
      compare.modRevision('key', '>', revision - 1),
      compare.lease('key', '=', lease),
      compare.lease('none', '=', 0),
      compare.exists('key'),
      compare.missing('none'),
    ]
    expect(
      await now(
        client
          .txn()
          .if(...true_)
          .commit(),
      ),
    ).toMatchObject({ succeeded: true, results: [] })
    for (const wrong of [compare.exists('none'), compare.value('none', '!=', ''), compare.version('key', '>', 1)]) {
      expect(
        await now(
          client
            .txn()
            .if(...true_, wrong)
            .commit(),
        ),
      ).toMatchObject({ succeeded: false })
    }
  })

  it('holds others, whose answers are typed too', async () => {
    const { client, now } = lone()
    const inner = op.txn({ if: [compare.exists('a')], then: [op.get('a')], else: [op.put('b', 'no')] })
    const answer = await now(client.txn().then(op.put('a', 'yes'), inner).commit())
    if (!answer.succeeded) throw new Error('nothing was compared')
    const [, within] = answer.results
    if (!within.succeeded) throw new Error('a transaction sees its own writes')
    expect(text(within.results[0].entry?.value)).toBe('yes')
  })

  it('copies the buffers that it is given', async () => {
    const { client, now } = lone()
    const buffer = new Uint8Array([1])
    const txn = client.txn().if(compare.missing(buffer)).then(op.put(buffer, buffer))
    buffer[0] = 2
    await now(txn.commit())
    expect((await now(client.range())).entries).toMatchObject([
      { key: new Uint8Array([1]), value: new Uint8Array([1]) },
    ])
  })

  it('copies the lists that it is given', async () => {
    const { client, now } = lone()
    const lists = { if: [compare.missing('a')], then: [op.put('a', '1')], else: [op.put('a', '2')] }
    const txn = client.txn().then(op.txn(lists))
    for (const list of Object.values(lists)) list.length = 0
    await now(txn.commit())
    await now(txn.commit())
    expect((await now(client.range())).entries).toMatchObject([{ value: new TextEncoder().encode('2') }])
  })

  it('is a value: each of its parts gives another one, in the order if, then, else', async () => {
    const { client, now } = lone()
    const base = client.txn().if(compare.missing('a'))
    const [one, other] = [base.then(op.put('a', '1')), base.then(op.put('b', '2'))]
    await now(other.commit())
    await now(one.commit())
    expect((await now(client.range())).count).toBe(2)
    const late = untyped<{ if(): void; then(): void }>(one)
    expect(() => late.if()).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    expect(() => late.then()).toThrow(/then comes too late/)
  })

  it('is no promise: awaiting it says that commit was forgotten, and does nothing', async () => {
    const { client, server } = lone()
    const forgotten = client.txn().if(compare.missing('a')).then(op.put('a', '1'))
    const awaited = (async () => await untyped<Promise<unknown>>(forgotten))()
    await expect(awaited).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(Promise.resolve(untyped<Promise<unknown>>(client.txn()))).rejects.toThrow(/commit\(\)/)
    expect(server.keyValues.size).toBe(0)
  })

  it('does nothing at all when it names a lease that is gone', async () => {
    const { client, now, server } = lone()
    const call = client
      .txn()
      .then(op.put('a', '1'), op.put('b', '2', { lease: 77 }))
      .commit()
    await expect(now(call)).rejects.toMatchObject({ code: 'LEASE_NOT_FOUND' })
    expect(server.keyValues.size).toBe(0)
  })

  it('is refused when it holds what is no operation, or keys and values that are none', async () => {
    const { client } = lone()
    const wrong = [
      client.txn().then(op.put('', 'value')),
      client.txn().then(op.put('key', untyped(5))),
      client.txn().then(op.get(untyped(undefined))),
      client.txn().then(untyped<KvOperation>({ type: 'grantLease', ttlMs: 5 })),
      client.txn().then(untyped<KvOperation>(null)),
      client.txn().if(untyped({ key: 'a' })),
      client.txn().if(untyped('a')),
      client.txn().if(compare.version('key', '=', -1)),
      client.txn().if(compare.value('key', untyped('>='), 'value')),
      client.txn().else(op.txn({ then: [op.delete('')] })),
      client.txn().then(op.txn(untyped<TxnParts<[], []>>({ then: 5 }))),
      client.txn().then(op.range({ prefix: '', limit: 0 })),
      client.txn().then(op.range({ prefix: '', limit: untyped(Symbol('limit')) })),
      client.txn().if(compare.value('key', untyped(Symbol('relation')), 'value')),
      client.txn().if(compare.version('key', '=', untyped(Symbol('version')))),
    ]
    for (const txn of wrong) await expect(txn.commit()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(
      client
        .txn()
        .then(op.range({ prefix: '', limit: 0 }))
        .commit(),
    ).rejects.toThrow('limit is 0; it must be an integer from 1 to 10000')
    await expect(client.txn().commit(untyped({ previous: true }))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(() => op.put('key', 'value', untyped({ timeoutMs: 5 }))).toThrow(/no "timeoutMs"/)
    expect(() => op.txn(untyped<TxnParts<[], []>>({ when: [] }))).toThrow(/no "when"/)
  })

  it('is TOO_LARGE with a key, a value, a depth or a length beyond the limits', async () => {
    const { client } = lone({ limits: { commandBytesMax: 4096 } })
    const deep = (depth: number): ReturnType<typeof op.txn> =>
      depth === 0 ? op.txn({}) : op.txn({ then: [deep(depth - 1)] })
    const endless = { ...op.txn({}), then: [] as KvOperation[] }
    endless.then.push(endless)
    const many = Array.from({ length: 1001 }, (_, at) => op.get(`${at}`))
    const long = Array.from({ length: 9 }, (_, at) => op.put(`${at}`, new Uint8Array(500)))
    const large = [
      client.txn().then(op.put('k'.repeat(65), 'value')),
      client.txn().then(op.put('key', new Uint8Array(1025))),
      client.txn().if(compare.value('key', '=', new Uint8Array(1025))),
      client.txn().then(op.range({ prefix: 'k'.repeat(66) })),
      client.txn().then(deep(8)),
      client.txn().then(endless),
      client.txn().then(...many),
      client.txn().then(...long),
    ]
    for (const txn of large) await expect(txn.commit()).rejects.toMatchObject({ code: 'TOO_LARGE' })
  })
})
