import { describe, expect, it } from 'vitest'
import { FIRST_KEY } from '../../src/state-machines/kv/keys.js'
import type { KvEntry } from '../../src/state-machines/kv/results.js'
import { clientOf, done, lone } from './memory-clients.js'
import { MemoryServers } from './memory-servers.js'

const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes)
const keysOf = (entries: readonly KvEntry[]) => entries.map(({ key }) => text(key))

async function filled() {
  const { client, now, ...rest } = lone()
  for (const key of ['a', 'b', 'c', 'd', 'e']) await now(client.put(key, key))
  return { client, now, ...rest }
}

describe('a range', () => {
  it('comes in pages, all as of the revision of the first', async () => {
    const { client, now } = await filled()
    const first = await now(client.range({ limit: 2 }))
    expect(first).toMatchObject({ count: 5, more: true })
    await now(client.put('c', 'changed'))
    await now(client.delete('d'))
    await now(client.put('cc', 'new'))
    const second = await now(client.range({ limit: 2, cursor: first.cursor }))
    const third = await now(client.range({ limit: 2, cursor: second.cursor }))
    expect([first, second, third].map(({ entries }) => keysOf(entries))).toEqual([['a', 'b'], ['c', 'd'], ['e']])
    expect(text(second.entries[0]?.value)).toBe('c')
    expect([second.count, third.count, third.more, third.cursor]).toEqual([3, 1, false, undefined])
    expect([second.revision, third.revision]).toEqual([first.revision, first.revision])
  })

  it('comes from the last key to the first, or without values, or as a number', async () => {
    const { client, now } = await filled()
    const last = await now(client.range({ from: 'b', reverse: true, limit: 3, keysOnly: true }))
    expect([keysOf(last.entries), last.entries[0]?.value.length]).toEqual([['e', 'd', 'c'], 0])
    const query = { from: 'b', reverse: true, keysOnly: true, cursor: last.cursor }
    expect(keysOf((await now(client.range(query))).entries)).toEqual(['b'])
    expect(await now(client.range({ countOnly: true, limit: 1 }))).toMatchObject({ count: 5, entries: [], more: false })
    expect(await now(client.range({ from: 'c', to: 'b' }))).toMatchObject({ count: 0, entries: [], more: false })
  })

  it('ends a page early where its values are large', async () => {
    const { client, now, server } = await filled()
    const { revision } = await now(client.put('large', new Uint8Array(1000)))
    const range = server.keyValues.range({ from: FIRST_KEY, to: undefined, bytesMax: 3 })
    expect(range).toMatchObject({ more: true, count: 6, revision })
    expect(keysOf(range.entries)).toEqual(['a', 'b'])
  })

  it('goes on at another server', async () => {
    const servers = new MemoryServers(3)
    const [here, there] = [clientOf(servers, servers.elect()), clientOf(servers, servers.follower())]
    for (const key of ['a', 'b', 'c']) await done(servers, here.put(key, key))
    const { cursor } = await done(servers, here.range({ limit: 2 }))
    expect(keysOf((await done(servers, there.range({ cursor }))).entries)).toEqual(['c'])
  })

  it('refuses a cursor that is damaged, unknown, or of another query', async () => {
    const { client, now } = await filled()
    const { cursor = '', revision } = await now(client.range({ limit: 2 }))
    const wrong = [
      '',
      'nonsense',
      '2' + cursor.slice(1),
      cursor.slice(0, -2),
      cursor + 'A',
      cursor.replace(/.$/, '_'),
      '1====',
    ]
    for (const damaged of wrong) {
      await expect(client.range({ cursor: damaged })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    const others = [
      { prefix: 'a' },
      { from: 'a' },
      { to: 'z' },
      { reverse: true },
      { keysOnly: true },
      { revision: revision - 1 },
    ]
    for (const query of others) await expect(client.range({ ...query, cursor })).rejects.toThrow(/another query/)
    expect(keysOf((await now(client.range({ cursor, revision, limit: 1 }))).entries)).toEqual(['c'])
  })

  it('whose past is forgotten between two pages is COMPACTED', async () => {
    const { client, now } = await filled()
    const { cursor } = await now(client.range({ limit: 2 }))
    const { revision } = await now(client.put('a', 'again'))
    await now(client.compact(revision))
    await expect(now(client.range({ cursor }))).rejects.toMatchObject({ code: 'COMPACTED', revision })
  })
})

describe('the entries of a range', () => {
  it('are all there as of one revision, page after page, whatever is written meanwhile', async () => {
    const { client, now } = await filled()
    const from = new Uint8Array([98])
    const entries = client.entries({ from, limit: 1 })[Symbol.asyncIterator]()
    from[0] = 0
    const found: KvEntry[] = []
    for (;;) {
      const next = await now(entries.next())
      if (next.done === true) break
      found.push(next.value)
      await now(client.put('zz', 'later'))
      await now(client.delete('e'))
    }
    expect(keysOf(found)).toEqual(['b', 'c', 'd', 'e'])
  })

  it('are read no further than they are asked for', async () => {
    const { client, now } = await filled()
    const entries = client.entries({ limit: 2 })[Symbol.asyncIterator]()
    await now(entries.next())
    await entries.return?.()
    expect(await entries.next()).toEqual({ value: undefined, done: true })
  })
})
