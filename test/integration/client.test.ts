import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { firstValueFrom } from 'rxjs'
import { compare, type EmbeddedEngine, op } from '../../src/index.js'
import { EnginePlace, optionsOfThree, text } from './engine-place.js'

describe("one engine's client", () => {
  let place: EnginePlace

  beforeEach(async () => {
    place = await EnginePlace.make()
  })

  afterEach(() => place.dispose())

  it('finds versions, revisions and the history again after a restart', async () => {
    const first = await place.start()
    const { revision } = await first.client.put('key', 'first')
    await first.client.put('key', 'second')
    const before = await first.client.getEntry('key')
    await first.stop()
    const { client } = await place.start()
    expect(await client.getEntry('key')).toEqual(before)
    expect(text(await client.get('key', { revision }))).toBe('first')
  })

  it('finds a range of thousands of keys page by page, while writes go on', async () => {
    const { client } = await place.start()
    const keys = Array.from({ length: 2500 }, (_, at) => `key-${String(at).padStart(5, '0')}`)
    await Promise.all(keys.map((key) => client.put(key, key)))
    const found: (string | undefined)[] = []
    for await (const { key } of client.entries({ prefix: 'key-' })) {
      if (found.length % 500 === 0) await client.delete(keys.at(-1 - found.length) ?? '')
      found.push(text(key))
    }
    expect(found).toEqual(keys)
    const page = await client.range({ reverse: true, limit: 1 })
    expect(page).toMatchObject({ count: 2495, more: true })
  })

  it('refuses a transaction longer than requestBytesMax', async () => {
    const { client } = await place.start({ valueBytesMax: 1024, requestBytesMax: 200 * 1024 })
    const operations = Array.from({ length: 250 }, (_, at) => op.put(`${at}`, new Uint8Array(1000)))
    await expect(
      client
        .txn()
        .then(...operations)
        .commit(),
    ).rejects.toMatchObject({ code: 'TOO_LARGE' })
    expect(
      await client
        .txn()
        .then(...operations.slice(125))
        .commit(),
    ).toMatchObject({ succeeded: true })
    expect(await client.range({ countOnly: true })).toMatchObject({ count: 125 })
  })

  it('closes with its engine', async () => {
    const engine = await place.start()
    const { client } = engine
    const watch = client.namespace('a/').watch('key')
    const told = firstValueFrom(watch.asObservable())
    await Promise.all([engine.stop(), expect(told).rejects.toMatchObject({ code: 'STOPPED' })])
    await expect(client.get('key')).rejects.toMatchObject({ code: 'STOPPED' })
    expect(client.leaderId()).toBeUndefined()
  })
})

describe("three engines' clients", () => {
  let place: EnginePlace
  let engines: EmbeddedEngine[]
  let follower: EmbeddedEngine
  let leader: EmbeddedEngine

  beforeAll(async () => {
    place = await EnginePlace.make()
    engines = await Promise.all((await optionsOfThree(place)).map((options) => place.start(options)))
    await Promise.all(engines.map((engine) => engine.ready()))
    const [one, other] = [engines.find(({ isLeader }) => isLeader), engines.find(({ isLeader }) => !isLeader)]
    if (one === undefined || other === undefined) throw new Error('nobody leads, or all do')
    leader = one
    follower = other
  })

  afterAll(() => place.dispose())

  it('do all of it at a follower too', async () => {
    const { client } = follower
    const { revision } = await client.put('a', '1', { previous: true })
    const swapped = await client
      .txn()
      .if(compare.modRevision('a', '=', revision))
      .then(op.put('a', '2'), op.put('b', '2'))
      .commit()
    expect(swapped.succeeded).toBe(true)
    const scan = await leader.client.scanPrefix('')
    expect(scan.entries.map(({ key, value }) => [text(key), text(value)])).toEqual([
      ['a', '2'],
      ['b', '2'],
    ])
    expect(text(await client.get('a', { revision }))).toBe('1')
    for (const consistency of ['linearizable', 'lease'] as const) {
      expect(await client.range({ consistency })).toMatchObject({ count: 2 })
    }
    const { cursor } = await leader.client.range({ limit: 1 })
    expect((await client.range({ cursor })).entries.map(({ key }) => text(key))).toEqual(['b'])
    expect(await client.deleteRange({ prefix: '' })).toMatchObject({ deletedCount: 2 })
    expect(await leader.client.range({ countOnly: true })).toMatchObject({ count: 0 })
  })

  it('read at a revision as it is applied on their own server', async () => {
    const { revision } = await leader.client.put('key', 'new')
    const read = { consistency: 'eventual', revision } as const
    for (const { client } of engines) expect(text(await client.get('key', read))).toBe('new')
  })

  it('know the members, and by refresh the leader', async () => {
    const { client } = follower
    await client.refresh()
    expect(client.leaderId()).toBe(leader.id)
    const members = await client.listMembers()
    expect(members.map(({ id, role, isLeader }) => ({ id, role, isLeader }))).toEqual(
      [1, 2, 3].map((id) => ({ id, role: 'voter', isLeader: id === leader.id })),
    )
    expect(await firstValueFrom(client.watchMembership())).toMatchObject({ voters: [1, 2, 3], leaderId: leader.id })
  })

  it('make transactions of many clients one after the other: nothing is lost', async () => {
    const { client } = follower
    await client.put('sum', '0')
    const add = async ({ client: each }: EmbeddedEngine): Promise<void> => {
      for (;;) {
        const entry = await each.getEntry('sum')
        const next = `${Number(text(entry?.value)) + 1}`
        const guard = compare.modRevision('sum', '=', entry?.modRevision ?? 0)
        if ((await each.txn().if(guard).then(op.put('sum', next)).commit()).succeeded) return
      }
    }
    await Promise.all(engines.flatMap((engine) => Array.from({ length: 5 }, () => add(engine))))
    expect(text(await client.get('sum'))).toBe('15')
  })
})
