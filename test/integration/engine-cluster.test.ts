import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { EmbeddedEngine, EngineOptions } from '../../src/index.js'
import { EnginePlace, optionsOfThree, text } from './engine-place.js'
import { until } from './websocket-subject.js'

async function startThree(place: EnginePlace, more: Partial<EngineOptions> = {}): Promise<EmbeddedEngine[]> {
  const options = await optionsOfThree(place)
  const engines = await Promise.all(options.map((each) => place.start({ ...each, ...more })))
  await Promise.all(engines.map((engine) => engine.ready()))
  return engines
}

function leaderOf(engines: readonly EmbeddedEngine[]): EmbeddedEngine {
  const leader = engines.find(({ isLeader }) => isLeader)
  if (leader === undefined) throw new Error('nobody leads')
  return leader
}

const codeOf = (error: { readonly code?: string }): string | undefined => error.code

describe('three engines', () => {
  let place: EnginePlace
  let engines: EmbeddedEngine[]

  beforeAll(async () => {
    place = await EnginePlace.make()
    engines = await startThree(place)
  })

  afterAll(() => place.dispose())

  it('elect one leader, on whom all agree', () => {
    const { id, term } = leaderOf(engines)
    expect(engines.filter(({ isLeader }) => isLeader)).toHaveLength(1)
    expect(engines.map(({ leaderId }) => leaderId)).toEqual([id, id, id])
    expect(engines.map((engine) => engine.term)).toEqual([term, term, term])
    expect(engines.map(({ role }) => role).sort()).toEqual(['follower', 'follower', 'leader'])
  })

  it('agree on the name of their cluster, and each has a disk of its own', async () => {
    await engines[0]!.client.put('name', 'known')
    await until(() => engines.every((engine) => engine.status().clusterId !== undefined), 'the name is known')
    expect(new Set(engines.map((engine) => engine.status().clusterId)).size).toBe(1)
    expect(new Set(engines.map((engine) => engine.status().storeId)).size).toBe(3)
    expect(engines.map((engine) => engine.status().members.length)).toEqual([3, 3, 3])
  })

  it('take writes and reads from every one of them', async () => {
    for (const { client, id } of engines) {
      const key = `of-${id}`
      const { revision } = await client.put(key, `${id}`)
      for (const other of engines) expect(text(await other.client.get(key))).toBe(`${id}`)
      expect((await client.getMulti([key, 'none'])).map(text)).toEqual([`${id}`, undefined])
      expect(await client.compareAndSwap(key, 'wrong', 'x')).toBe(false)
      expect(await client.compareAndSwap(key, `${id}`, 'x')).toBe(true)
      const deleted = await client.delete(key)
      expect(deleted.deleted).toBe(true)
      expect(deleted.revision).toBeGreaterThan(revision)
      for (const other of engines) expect(await other.client.get(key)).toBeUndefined()
    }
  })

  it('count every one of many concurrent compare-and-swaps', async () => {
    await engines[0]!.client.put('counter', '0')
    const add = async (engine: EmbeddedEngine): Promise<void> => {
      for (let tries = 0; tries < 1000; tries++) {
        const before = text(await engine.client.get('counter'))
        if (await engine.client.compareAndSwap('counter', before, `${Number(before) + 1}`)) return
      }
    }
    await Promise.all(Array.from({ length: 15 }, (_, at) => add(engines[at % 3]!)))
    expect(text(await engines[1]!.client.get('counter'))).toBe('15')
  })

  it('read by every consistency on every server', async () => {
    const { revision } = await leaderOf(engines).client.put('fresh', 'value')
    for (const { client } of engines) {
      for (const consistency of ['linearizable', 'lease'] as const) {
        expect(text(await client.get('fresh', { consistency }))).toBe('value')
        expect((await client.getMulti(['fresh'], { consistency })).map(text)).toEqual(['value'])
      }
      expect(text(await client.getLinearizable('fresh'))).toBe('value')
      expect(text(await client.getLease('fresh'))).toBe('value')
    }
    await until(() => engines.every((engine) => engine.status().lastApplied >= revision), 'all have applied it')
    for (const { client } of engines) expect(text(await client.getEventual('fresh'))).toBe('value')
  })

  it('carry values of the largest size, and many at once', async () => {
    const value = new Uint8Array(1024 * 1024).fill(7)
    const follower = engines.find(({ isLeader }) => !isLeader)!
    await Promise.all(['a', 'b', 'c'].map((key) => follower.client.put(key, value)))
    for (const { client } of engines) expect((await client.get('b'))?.length).toBe(value.length)
    await Promise.all(Array.from({ length: 1000 }, (_, at) => engines[at % 3]!.client.put(`many-${at}`, `${at}`)))
    expect(text(await engines[0]!.client.get('many-998'))).toBe('998')
  })

  it('keep bytes of their own: a buffer that a caller changes changes nothing on any server', async () => {
    const follower = engines.find(({ isLeader }) => !isLeader)!
    const value = Uint8Array.of(1, 2, 3)
    const call = follower.client.put('buffer', value)
    value.fill(9)
    await call
    for (const { client } of engines) {
      const got = await client.get('buffer')
      expect([...(got ?? [])]).toEqual([1, 2, 3])
      got?.fill(8)
      expect([...((await client.getLease('buffer')) ?? [])]).toEqual([1, 2, 3])
    }
  })
})

describe('of three engines', () => {
  let place: EnginePlace

  beforeEach(async () => {
    place = await EnginePlace.make()
  })

  afterEach(() => place.dispose())

  it('one alone waits for the others: calls made before there is a leader work once there is one', async () => {
    const [one, two, three] = await optionsOfThree(place)
    const alone = await place.start(one)
    const write = alone.client.put('hello', 'world')
    const read = alone.client.get('hello')
    await expect(alone.client.put('late', 'x', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'NO_LEADER' })
    const controller = new AbortController()
    const aborted = alone.client.put('aborted', 'x', { signal: controller.signal })
    setImmediate(() => controller.abort('enough'))
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' })
    expect(await alone.client.getEventual('hello')).toBeUndefined()
    await place.start(two)
    await place.start(three)
    expect((await write).revision).toBeGreaterThan(0)
    await read
    expect((await alone.client.getMulti(['hello', 'late', 'aborted'])).map(text)).toEqual([
      'world',
      undefined,
      undefined,
    ])
  })

  it('a follower that may not forward names the leader, and still reads what it has itself', async () => {
    const engines = await startThree(place, { forwardToLeader: false })
    const { id, client } = leaderOf(engines)
    const { revision } = await client.put('hello', 'world')
    for (const follower of engines.filter(({ isLeader }) => !isLeader)) {
      const refused = { code: 'NOT_LEADER', leaderId: id }
      await expect(follower.client.put('hello', 'x')).rejects.toMatchObject(refused)
      await expect(follower.client.get('hello')).rejects.toMatchObject(refused)
      await expect(follower.client.getLease('hello')).rejects.toMatchObject(refused)
      await until(() => follower.status().lastApplied >= revision, 'it has applied the write')
      expect(text(await follower.client.getEventual('hello'))).toBe('world')
    }
  })

  it('a leader that stops hands over: the next one is elected without a pre-vote, and nothing answered is lost', async () => {
    const engines = await startThree(place)
    const leader = leaderOf(engines)
    const others = engines.filter((engine) => engine !== leader)
    const roles = new Set<string>()
    for (const { roleActor } of others) {
      roleActor.subscribe(({ value }) => void roles.add(typeof value === 'string' ? value : 'leader'))
    }
    const calls = Array.from({ length: 50 }, (_, at) =>
      leader.client.put(`key-${at}`, 'value').then(() => 'ok', codeOf),
    )
    await leader.stop()
    const outcomes = await Promise.all(calls)
    expect(outcomes.filter((outcome) => !['ok', 'OUTCOME_UNKNOWN', 'STOPPED'].includes(outcome ?? ''))).toEqual([])
    await until(() => others.some(({ isLeader }) => isLeader), 'another leads')
    expect(roles).toContain('candidate')
    expect(roles).not.toContain('preCandidate')
    const values = await others[0]!.client.getMulti(outcomes.map((_, at) => `key-${at}`))
    expect(outcomes.filter((outcome, at) => outcome === 'ok' && values[at] === undefined)).toEqual([])
    const failed = outcomes.filter((outcome, at) => outcome === 'STOPPED' && values[at] !== undefined)
    expect(failed).toEqual([])
  })

  it('two go on without the third, which catches up when it is back', async () => {
    const options = await optionsOfThree(place)
    const engines = await Promise.all(options.map((each) => place.start(each)))
    await Promise.all(engines.map((engine) => engine.ready()))
    const absent = engines.find(({ isLeader }) => !isLeader)!
    await absent.stop()
    const { client } = leaderOf(engines)
    for (let at = 0; at < 20; at++) await client.put(`key-${at}`, `${at}`)
    const back = await place.start(options[absent.id - 1])
    expect(text(await back.client.get('key-19'))).toBe('19')
    expect((await back.client.getMulti(['key-0', 'key-10'], { consistency: 'eventual' })).map(text)).toEqual([
      '0',
      '10',
    ])
  })

  it('one without the others leads no more: its calls end, none of them as if they had succeeded', async () => {
    const engines = await startThree(place)
    const leader = leaderOf(engines)
    await leader.client.put('hello', 'world')
    await Promise.all(engines.filter((engine) => engine !== leader).map((engine) => engine.stop()))
    await expect(leader.client.put('hello', 'x', { timeoutMs: 3000 })).rejects.toMatchObject({
      code: expect.stringMatching(/^(OUTCOME_UNKNOWN|NO_LEADER)$/) as string,
    })
    await until(() => !leader.isLeader, 'it steps down')
    await expect(leader.client.get('hello', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'NO_LEADER' })
    const controller = new AbortController()
    const read = leader.client.get('hello', { signal: controller.signal })
    controller.abort()
    await expect(read).rejects.toMatchObject({ code: 'ABORTED' })
    expect(text(await leader.client.getEventual('hello'))).toBe('world')
  })

  it.each(['disk-first', 'mem-first'] as const)('all restart with everything they had (%s)', async (durability) => {
    const options = (await optionsOfThree(place)).map((each) => ({ ...each, durability }))
    const first = await Promise.all(options.map((each) => place.start(each)))
    await Promise.all(Array.from({ length: 90 }, (_, at) => first[at % 3]!.client.put(`key-${at}`, `${at}`)))
    const term = leaderOf(first).term
    const { clusterId } = first[0]!.status()
    await Promise.all(first.map((engine) => engine.stop()))

    const second = await Promise.all(options.map((each) => place.start(each)))
    const values = await second[1]!.client.getMulti(Array.from({ length: 90 }, (_, at) => `key-${at}`))
    expect(values.map(text)).toEqual(Array.from({ length: 90 }, (_, at) => `${at}`))
    expect(second[1]!.term).toBeGreaterThan(term)
    expect(second.map((engine) => engine.status().clusterId)).toEqual([clusterId, clusterId, clusterId])
  })
})
