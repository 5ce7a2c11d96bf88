import { beforeEach, describe, expect, it } from 'vitest'
import type { ClientApi } from '../../src/client/client-api.js'
import { counter, discover, register } from '../../src/client/recipes/index.js'
import { RecipeWorld } from './recipe-world.js'

const TTL = { ttlMs: 2000 }
let world: RecipeWorld

beforeEach(() => {
  world = RecipeWorld.make()
})

/** The lists of a service as they come, each as `instance=value`. */
function lists(client: ClientApi, service: string): string[][] {
  const seen: string[][] = []
  void (async () => {
    for await (const instances of discover(client, service)) {
      seen.push(instances.map(({ instance, value }) => `${instance}=${new TextDecoder().decode(value)}`))
    }
  })()
  return seen
}

describe('a registered instance', () => {
  it('is on the list of all, with its newest value, until it is released', async () => {
    const seen = lists(world.following[0]!, 'api')
    await world.pass(20)
    const one = await world.done(register(world.leading, 'api', 'one', 'host:1', TTL))
    const two = await world.done(register(world.following[1]!, 'api', 'a/two', 'host:2', TTL))
    await world.done(one.update('host:3'))
    await world.pass(5000)
    await world.done(one.release())
    await world.until(() => seen.length === 5, 'the list is short again')
    expect(seen).toEqual([
      [],
      ['one=host:1'],
      ['a/two=host:2', 'one=host:1'],
      ['a/two=host:2', 'one=host:3'],
      ['a/two=host:2'],
    ])
    expect([one.signal.aborted, two.signal.aborted]).toEqual([true, false])
    expect(await world.codeOf(one.update('host:4'))).toBe('LOST')
  })

  it('keeps the value that was given, whatever the caller does with his buffer and options after that', async () => {
    const seen = lists(world.following[0]!, 'api')
    await world.pass(20)
    const value = Buffer.from('host:1')
    const registering = register(world.leading, 'api', 'one', value, TTL)
    value.fill('!')
    const one = await world.done(registering)
    const [next, options] = [Buffer.from('host:2'), { timeoutMs: 1000 }]
    const updating = one.update(next, options)
    next.fill('!')
    options.timeoutMs = NaN
    await world.done(updating)
    const end = { timeoutMs: 1000 }
    const releasing = one.release(end)
    end.timeoutMs = NaN
    await world.done(releasing)
    await world.until(() => seen.length === 4, 'the list is empty again')
    expect(seen).toEqual([[], ['one=host:1'], ['one=host:2'], []])
  })

  it('goes when its process is cut off, and comes back by itself when it is not any more', async () => {
    const { id } = world.servers.follower()
    const registration = await world.done(register(world.client(id), 'api', 'one', 'host:1', TTL))
    const seen = lists(world.leading, 'api')
    await world.pass(20)
    world.servers.network.isolate(id, 'silent')
    await world.pass(4000)
    expect(seen).toEqual([['one=host:1'], []])
    world.servers.network.heal()
    await world.until(() => seen.length === 3, 'it is back')
    expect([seen.at(-1), registration.signal.aborted]).toEqual([['one=host:1'], false])
    await world.done(registration.update('host:2'))
    await world.pass(5000)
    expect(seen.slice(3)).toEqual([['one=host:2']])
  })

  it('is put back by an update when its lease is gone, though it has not heard of that', async () => {
    const registration = await world.done(register(world.leading, 'api', 'one', 'host:1', TTL))
    const [lease] = await world.done(world.leading.leases())
    await world.done(world.following[0]!.revoke(lease!))
    await world.done(registration.update('host:2'))
    expect(await world.count('actorum/service/api/')).toBe(1)
  })

  it('takes the place of the same instance of a process that died; that one, if alive, is told', async () => {
    const old = await world.done(register(world.leading, 'api', 'one', 'host:1', TTL))
    const seen = lists(world.leading, 'api')
    const fresh = await world.done(register(world.following[0]!, 'api', 'one', 'host:2', TTL))
    expect(await world.codeOf(old.update('host:1'))).toBe('LOST')
    expect(old.signal.aborted).toBe(true)
    await world.done(old.release())
    await world.pass(5000)
    expect([seen.at(-1), fresh.signal.aborted]).toEqual([['one=host:2'], false])
  })

  it('is told when its client is closed', async () => {
    const registration = await world.done(register(world.leading, 'api', 'one', 'host:1', TTL))
    await world.leading.close()
    await world.until(() => registration.signal.aborted, 'it is told')
    expect(registration.signal.reason).toMatchObject({ code: 'LOST' })
  })
})

describe('a counter', () => {
  it('gives each who adds one a number of its own, and misses none', async () => {
    const calls = [1, 2, 3, 1, 2, 3].map((id) => counter(world.client(id), 'x').add(1))
    const sums = await world.done(Promise.all(calls))
    expect([...sums].sort()).toEqual([1, 2, 3, 4, 5, 6])
    expect(await world.done(counter(world.leading, 'x').add(-10))).toBe(-4)
    expect(await world.done(counter(world.leading, 'x').value())).toBe(-4)
  })

  it('adds with the options that it was called with', async () => {
    const options = { timeoutMs: 1000 }
    const adding = counter(world.leading, 'x').add(1, options)
    options.timeoutMs = NaN
    expect(await world.done(adding)).toBe(1)
  })

  it('is 0 before anybody has added to it', async () => {
    expect(await world.done(counter(world.leading, 'x').value())).toBe(0)
  })

  it('refuses what is no integer, and a sum beyond the safe integers', async () => {
    const x = counter(world.leading, 'x')
    expect(await world.codeOf(x.add(0.5))).toBe('INVALID_ARGUMENT')
    await world.done(x.add(Number.MAX_SAFE_INTEGER))
    expect(await world.codeOf(x.add(1))).toBe('INVALID_ARGUMENT')
    expect(await world.done(counter(world.leading, 'x').value())).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('adds once within a session, though its server is cut off from the others in the midst of it', async () => {
    const { id } = world.servers.follower()
    const session = await world.done(world.client(id).openSession({ sessionTimeoutMs: 60_000 }))
    expect(await world.done(counter(session, 'x').add(1))).toBe(1)
    const adding = counter(session, 'x').add(1, { timeoutMs: 30_000 })
    world.servers.turn()
    world.servers.network.isolate(id, 'silent')
    await world.pass(3000)
    world.servers.network.heal()
    expect(await world.done(adding)).toBe(2)
    expect(await world.done(counter(world.leading, 'x').value())).toBe(2)
  })
})
