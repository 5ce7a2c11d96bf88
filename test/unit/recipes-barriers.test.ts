import { beforeEach, describe, expect, it } from 'vitest'
import { barrier, doubleBarrier, semaphore, type Hold } from '../../src/client/recipes/index.js'
import { Followed, RecipeWorld } from './recipe-world.js'

const TTL = { ttlMs: 2000 }
let world: RecipeWorld

beforeEach(() => {
  world = RecipeWorld.make()
})

describe('a semaphore', () => {
  it('has at most so many holders at a time, and goes on in the order in which they asked', async () => {
    const calls: Followed<Hold>[] = []
    for (const id of [1, 2, 3, 1]) {
      calls.push(new Followed(semaphore(world.client(id), 'x', 2).acquire(TTL)))
      await world.pass(50)
    }
    expect(calls.map(({ isAnswered }) => isAnswered)).toEqual([true, true, false, false])
    await world.done(calls[1]!.value!.release())
    await world.until(() => calls[2]!.isAnswered, 'the third has a permit')
    expect(calls[3]!.isAnswered).toBe(false)
    await world.done(calls[0]!.value!.release())
    await world.until(() => calls[3]!.isAnswered, 'the fourth has a permit')
  })

  it('gives a permit at once or not at all', async () => {
    const x = semaphore(world.leading, 'x', 1)
    const held = await world.done(x.tryAcquire(TTL))
    expect([held?.isHeld, await world.done(x.tryAcquire(TTL))]).toEqual([true, undefined])
  })

  it('gives back the permit of one who is cut off', async () => {
    const { id } = world.servers.follower()
    await world.done(semaphore(world.client(id), 'x', 1).acquire(TTL))
    const waiting = new Followed(semaphore(world.leading, 'x', 1).acquire(TTL))
    world.servers.network.isolate(id, 'silent')
    await world.until(() => waiting.isAnswered, 'the next has it')
    expect(waiting.value!.isHeld).toBe(true)
  })

  it('refuses one who counts other permits than those who are there', async () => {
    await world.done(semaphore(world.leading, 'x', 2).acquire(TTL))
    expect(await world.codeOf(semaphore(world.leading, 'x', 3).acquire(TTL))).toBe('INVALID_ARGUMENT')
    expect(() => semaphore(world.leading, 'x', 0)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    const two: unknown = '2'
    expect(() => semaphore(world.leading, 'x', two as number)).toThrow('is "2"; it must be an integer')
    expect(() => doubleBarrier(world.leading, 'x', two as number)).toThrow('is "2"; it must be an integer')
  })
})

describe('a barrier', () => {
  it('lets all pass that wait at it when it is lifted', async () => {
    expect(await world.done(barrier(world.leading, 'x').hold())).toBe(true)
    expect(await world.done(barrier(world.leading, 'x').hold())).toBe(false)
    const waiting = world.following.map((client) => new Followed(barrier(client, 'x').wait()))
    await world.pass(3000)
    expect(waiting.map(({ isAnswered }) => isAnswered)).toEqual([false, false])
    expect(await world.done(barrier(world.leading, 'x').lift())).toBe(true)
    await world.until(() => waiting.every(({ isAnswered }) => isAnswered), 'both pass')
    expect(waiting.map(({ error }) => error)).toEqual([undefined, undefined])
  })

  it('is no hindrance when nobody holds it', async () => {
    expect(await world.codeOf(barrier(world.leading, 'x').wait())).toBe('done')
    expect(await world.done(barrier(world.leading, 'x').lift())).toBe(false)
  })

  it('is waited at until the signal fires or the time is up', async () => {
    const x = barrier(world.leading, 'x')
    await world.done(x.hold())
    expect(await world.codeOf(x.wait({ timeoutMs: 500 }))).toBe('TIMEOUT')
    const abort = new AbortController()
    const waiting = world.codeOf(x.wait({ signal: abort.signal }))
    await world.pass(50)
    abort.abort()
    expect(await waiting).toBe('ABORTED')
  })
})

describe('a double barrier', () => {
  it('is entered by all together, left by all together, and then entered again', async () => {
    const place = (id: number) => doubleBarrier(world.client(id), 'x', 3)
    for (let round = 0; round < 2; round++) {
      const entering = [1, 2].map((id) => new Followed(place(id).enter(TTL)))
      await world.pass(3000)
      expect(entering.map(({ isAnswered }) => isAnswered)).toEqual([false, false])
      entering.push(new Followed(place(3).enter(TTL)))
      await world.until(() => entering.every(({ isAnswered }) => isAnswered), 'all have entered')
      const leaving = entering.slice(0, 2).map(({ value }) => new Followed(value!.leave()))
      await world.pass(3000)
      expect(leaving.map(({ isAnswered }) => isAnswered)).toEqual([false, false])
      leaving.push(new Followed(entering[2]!.value!.leave()))
      await world.until(() => leaving.every(({ isAnswered }) => isAnswered), 'all have left')
      expect(leaving.map(({ error }) => error)).toEqual([undefined, undefined, undefined])
    }
  })

  it('refuses one more than it is for', async () => {
    const entering = [1, 2].map((id) => new Followed(doubleBarrier(world.client(id), 'x', 2).enter(TTL)))
    await world.until(() => entering.every(({ isAnswered }) => isAnswered), 'both have entered')
    expect(await world.codeOf(doubleBarrier(world.client(3), 'x', 2).enter(TTL))).toBe('REFUSED')
    await world.pass(50)
    expect(await world.count('actorum/double-barrier/x/')).toBe(2)
  })

  it('is left by one who is cut off once its time to live is over', async () => {
    const { id } = world.servers.follower()
    const others = [1, 2, 3].filter((other) => other !== id)
    const entering = [id, others[0]!].map((at) => new Followed(doubleBarrier(world.client(at), 'x', 2).enter(TTL)))
    await world.until(() => entering.every(({ isAnswered }) => isAnswered), 'both have entered')
    world.servers.network.isolate(id, 'silent')
    expect(await world.codeOf(entering[1]!.value!.leave())).toBe('done')
    await world.until(() => entering[0]!.value!.signal.aborted, 'the other is told that it counts as gone')
  })
})
