import { describe, expect, it } from 'vitest'
import type { ClientApi } from '../../src/client/client-api.js'
import { compare, op } from '../../src/client/txn.js'
import { lone } from './memory-clients.js'

const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes)
const keysOf = (entries: readonly { readonly key: Uint8Array }[]) => entries.map(({ key }) => text(key))

async function filled() {
  const { client, now, ...rest } = lone()
  for (const key of ['a', 'n/1', 'n/2', 'n/m/3', 'n0', 'z']) await now(client.put(key, key))
  return { client, now, ...rest, within: client.namespace('n/') }
}

describe('a namespace', () => {
  it('reads and writes within its prefix, which it neither takes nor gives', async () => {
    const { client, now, within } = await filled()
    expect(text(await now(within.get('1')))).toBe('n/1')
    expect((await now(within.getMulti(['2', 'a', 'z']))).map(text)).toEqual(['n/2', undefined, undefined])
    expect(await now(within.getEntry('1'))).toMatchObject({ key: new TextEncoder().encode('1') })
    await now(within.put('4', 'four'))
    expect(text(await now(client.get('n/4')))).toBe('four')
    expect(await now(within.compareAndSwap('4', 'four', 'IV'))).toBe(true)
    expect(keysOf((await now(within.scanPrefix('m'))).entries)).toEqual(['m/3'])
  })

  it('reaches nothing else, whatever range is given', async () => {
    const { client, now, within } = await filled()
    expect(keysOf((await now(within.range())).entries)).toEqual(['1', '2', 'm/3'])
    expect(keysOf((await now(within.range({ from: '2' }))).entries)).toEqual(['2', 'm/3'])
    expect(keysOf((await now(within.range({ to: '2', reverse: true }))).entries)).toEqual(['1'])
    const { deletedCount, previous } = await now(within.deleteRange({ prefix: '' }, { previous: true }))
    expect([deletedCount, keysOf(previous ?? [])]).toEqual([3, ['1', '2', 'm/3']])
    expect((await now(client.range())).count).toBe(3)
  })

  it('at the end of all keys ends where they do', async () => {
    const { client, now } = lone()
    const last = client.namespace(new Uint8Array([0xff, 0xff]))
    await now(client.put(new Uint8Array([0xff]), 'before'))
    await now(last.put(new Uint8Array([0xff]), 'within'))
    expect(await now(last.range())).toMatchObject({ count: 1, entries: [{ key: new Uint8Array([0xff]) }] })
    expect(await now(last.deleteRange({}))).toMatchObject({ deletedCount: 1 })
    expect((await now(client.range())).count).toBe(1)
  })

  it('holds for transactions, those within others too', async () => {
    const { client, now, within } = await filled()
    const answer = await now(
      within
        .txn()
        .if(compare.value('1', '=', 'n/1'), compare.missing('a'))
        .then(
          op.txn({ if: [compare.exists('2')], then: [op.get('2'), op.delete('2', { previous: true })] }),
          op.range({ prefix: '' }),
          op.put('5', 'five'),
        )
        .commit(),
    )
    if (!answer.succeeded) throw new Error('it holds')
    const [inner, range] = answer.results
    if (!inner.succeeded) throw new Error('it holds')
    const [got, deleted] = inner.results
    expect([text(got.entry?.key), text(deleted.previous?.key), keysOf(range.entries)]).toEqual(['2', '2', ['1', 'm/3']])
    expect(text(await now(client.get('n/5')))).toBe('five')
  })

  it("shows of a lease's keys its own", async () => {
    const { client, now, within } = await filled()
    const lease = await now(client.grantLease(5000, { keepAlive: false }))
    await now(client.put('a', 'leased', { lease }))
    await now(within.put('1', 'leased', { lease }))
    expect((await now(within.timeToLive(lease.id))).keys.map(text)).toEqual(['1'])
    expect((await now(client.timeToLive(lease.id))).keys.map(text)).toEqual(['a', 'n/1'])
  })

  it('watches its own keys', async () => {
    const { now, client, within, server } = await filled()
    const watch = within.watch({ prefix: '' }, { fromRevision: 1, previous: true })
    const events = watch[Symbol.asyncIterator]()
    const first = await now(events.next())
    expect(first.value).toMatchObject({ type: 'changes', changes: [{ entry: { key: new TextEncoder().encode('1') } }] })
    watch.cancel()
    const live = within.watch('9')
    await now(client.put('n/9', 'nine'))
    const { value } = await now(live[Symbol.asyncIterator]().next())
    expect(value).toMatchObject({
      revision: server.keyValues.revision,
      changes: [{ entry: { key: new Uint8Array([57]) } }],
    })
    live.cancel()
  })

  it('of a namespace has both prefixes', async () => {
    const { client, now, within } = await filled()
    const deeper: ClientApi = within.namespace('m/')
    expect(keysOf((await now(deeper.range())).entries)).toEqual(['3'])
    await now(deeper.put('ü', 'umlaut'))
    expect(text(await now(client.get('n/m/ü')))).toBe('umlaut')
  })

  it('leaves that much less for keys', async () => {
    const { client, now } = lone()
    const within = client.namespace('n'.repeat(60))
    await now(within.put('1234', 'value'))
    await expect(within.put('12345', 'value')).rejects.toMatchObject({ code: 'TOO_LARGE' })
    expect(() => client.namespace('n'.repeat(64))).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
  })
})
