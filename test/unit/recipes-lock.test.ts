import { beforeEach, describe, expect, it } from 'vitest'
import { lock, tryLock } from '../../src/client/recipes/index.js'
import { op } from '../../src/client/txn.js'
import { Followed, RecipeWorld } from './recipe-world.js'

const TTL = { ttlMs: 2000 }
let world: RecipeWorld

beforeEach(() => {
  world = RecipeWorld.make()
})

describe('a lock', () => {
  it('goes to one at a time, in the order in which they asked, each with a higher token', async () => {
    const [first, second, third] = [world.leading, ...world.following]
    const held = await world.done(lock(first, 'x', TTL))
    const waiting = new Followed(lock(second!, 'x', TTL))
    await world.pass(50)
    const behind = new Followed(lock(third!, 'x', TTL))
    await world.pass(3000)
    expect([held.isHeld, waiting.isAnswered, behind.isAnswered]).toEqual([true, false, false])
    await world.done(held.release())
    await world.until(() => waiting.isAnswered, 'the second holds it')
    expect([held.isHeld, held.signal.aborted, behind.isAnswered]).toEqual([false, true, false])
    await world.done(waiting.value!.release())
    await world.until(() => behind.isAnswered, 'the third holds it')
    const tokens = [held, waiting.value!, behind.value!].map(({ token }) => token)
    expect(tokens).toEqual([...tokens].sort((one, other) => one - other))
    expect(new Set(tokens).size).toBe(3)
  })

  it('of another name is another lock, also of one that begins with the same and a slash', async () => {
    await world.done(lock(world.leading, 'a/b', TTL))
    const held = await world.done(lock(world.leading, 'a', TTL))
    expect(held.isHeld).toBe(true)
  })

  it('is held for as long as its options said at the call', async () => {
    const [first, second] = [{ ttlMs: 2000 }, { ttlMs: 2000 }]
    const held = tryLock(world.leading, 'x', first)
    first.ttlMs = NaN
    expect(await world.done(held)).toMatchObject({ isHeld: true })
    const waiting = new Followed(lock(world.following[0]!, 'x', second))
    await world.pass(50)
    second.ttlMs = NaN
    // Its lease is lost, so that it takes another place in the queue.
    for (const lease of await world.done(world.leading.leases())) await world.done(world.leading.revoke(lease))
    await world.until(() => waiting.isAnswered, 'the second holds it')
    expect([waiting.error, waiting.value?.isHeld]).toEqual([undefined, true])
  })

  it('is of the namespace of its client', async () => {
    await world.done(lock(world.leading.namespace('one/'), 'x', TTL))
    await world.done(lock(world.leading.namespace('other/'), 'x', TTL))
    expect([await world.count('one/'), await world.count('other/')]).toEqual([1, 1])
  })

  it('is not waited for by one who aborts: the place is given up, and who is behind moves up', async () => {
    const held = await world.done(lock(world.leading, 'x', TTL))
    const abort = new AbortController()
    const aborted = world.codeOf(lock(world.leading, 'x', { ...TTL, signal: abort.signal }))
    await world.pass(50)
    const behind = new Followed(lock(world.following[0]!, 'x', TTL))
    await world.pass(50)
    expect(await world.count('actorum/lock/x/')).toBe(3)
    abort.abort()
    expect(await aborted).toBe('ABORTED')
    await world.pass(50)
    expect([await world.count('actorum/lock/x/'), behind.isAnswered]).toEqual([2, false])
    await world.done(held.release())
    await world.until(() => behind.isAnswered, 'it is held by the one behind')
    expect(behind.value?.isHeld).toBe(true)
  })

  it('is waited for no longer than timeoutMs', async () => {
    await world.done(lock(world.leading, 'x', TTL))
    const from = world.now
    expect(await world.codeOf(lock(world.following[0]!, 'x', { ...TTL, timeoutMs: 700 }))).toBe('TIMEOUT')
    expect(world.now - from).toBeGreaterThanOrEqual(700)
    expect(world.now - from).toBeLessThan(800)
    await world.pass(50)
    expect(await world.count('actorum/lock/x/')).toBe(1)
  })

  it('is refused at once with a signal that has fired, a wrong option or no name', async () => {
    const signal = AbortSignal.abort()
    expect(await world.codeOf(lock(world.leading, 'x', { signal }))).toBe('ABORTED')
    expect(await world.codeOf(lock(world.leading, 'x', { timeoutMs: 0 }))).toBe('INVALID_ARGUMENT')
    expect(await world.codeOf(lock(world.leading, 'x', { ttlMs: 10 }))).toBe('INVALID_ARGUMENT')
    expect(await world.codeOf(lock(world.leading, '', TTL))).toBe('INVALID_ARGUMENT')
    await expect(lock(world.leading, '', TTL)).rejects.toThrow('is ""; give a string that is not empty')
    const none: object[] = [{ signal: { aborted: false, addEventListener: 1 } }, { timeoutMs: Symbol('time') }]
    for (const wrong of none) expect(await world.codeOf(lock(world.leading, 'x', wrong))).toBe('INVALID_ARGUMENT')
    const misspelt = { ...TTL, ttl: 1000 }
    expect(await world.codeOf(lock(world.leading, 'x', misspelt))).toBe('INVALID_ARGUMENT')
    expect(await world.count('')).toBe(0)
  })

  it('is released by leaving the block that uses it', async () => {
    const work = async (): Promise<void> => {
      await using held = await lock(world.leading, 'x', TTL)
      await held.guarded().put('done', 'yes')
    }
    await world.done(work())
    expect([await world.valueOf(world.leading, 'done'), await world.count('actorum/lock/x/')]).toEqual(['yes', 0])
  })
})

describe('tryLock', () => {
  it('gives the lock when it is free, and undefined when it is not', async () => {
    const held = await world.done(tryLock(world.leading, 'x', TTL))
    expect(held?.isHeld).toBe(true)
    expect(await world.done(tryLock(world.following[0]!, 'x', TTL))).toBeUndefined()
    await world.done(held!.release())
    expect(await world.done(tryLock(world.following[0]!, 'x', TTL))).toBeDefined()
  })

  it('gives it to exactly one of two who try together', async () => {
    const [one, other] = world.following.map((client) => new Followed(tryLock(client, 'x', TTL)))
    await world.until(() => one!.isAnswered && other!.isAnswered, 'both are answered')
    expect([one!.value, other!.value].filter((held) => held !== undefined)).toHaveLength(1)
  })
})

describe('a lock whose holder is cut off', () => {
  it('is lost by the holder, who is told, before another holds it', async () => {
    const [client, other] = world.following
    const id = world.servers.follower().id
    const held = await world.done(lock(client!, 'x', TTL))
    const next = new Followed(lock(other!, 'x', TTL))
    await world.pass(50)
    const events: string[] = []
    held.signal.addEventListener('abort', () => events.push('lost'))
    world.servers.network.isolate(id, 'silent')
    await world.until(() => {
      if (next.isAnswered) events.push('held by another')
      return next.isAnswered
    }, 'the other holds it')
    expect(events).toEqual(['lost', 'held by another'])
    expect(held.signal.reason).toMatchObject({ code: 'LOST' })
    expect(next.value!.token).toBeGreaterThan(held.token)
  })

  it('is waited for anew by a waiter who was cut off for longer than its time to live', async () => {
    const held = await world.done(lock(world.leading, 'x', TTL))
    const { id } = world.servers.follower()
    const waiting = new Followed(lock(world.client(id), 'x', TTL))
    await world.pass(50)
    world.servers.network.isolate(id, 'silent')
    await world.pass(4000)
    expect(await world.count('actorum/lock/x/')).toBe(1)
    world.servers.network.heal()
    await world.pass(1000)
    await world.done(held.release())
    await world.until(() => waiting.isAnswered, 'it is held by the waiter')
    expect(waiting.value!.isHeld).toBe(true)
  })
})

describe('a lock and its leader', () => {
  it('stays with its holder and its queue when the leader is killed', async () => {
    const [one, other] = world.following
    const held = await world.done(lock(one!, 'x', { ttlMs: 10_000 }))
    const waiting = new Followed(lock(other!, 'x', { ttlMs: 10_000 }))
    await world.pass(50)
    world.servers.kill(world.servers.all.find(({ leads }) => leads)!.id)
    await world.pass(3000)
    expect([held.isHeld, waiting.isAnswered]).toEqual([true, false])
    await world.done(held.release())
    await world.until(() => waiting.isAnswered, 'it is held by the next')
    expect(waiting.value!.isHeld).toBe(true)
  })
})

describe('guarded writes', () => {
  it('are made while the lock is held', async () => {
    const held = await world.done(lock(world.leading, 'x', TTL))
    const guarded = held.guarded()
    await world.done(guarded.put('a', '1'))
    expect(await world.done(guarded.put('a', '2', { previous: true }))).toMatchObject({ previous: { version: 1 } })
    expect(await world.done(guarded.compareAndSwap('a', '2', '3'))).toBe(true)
    expect(await world.done(guarded.compareAndSwap('a', '2', '4'))).toBe(false)
    const { results } = await world.done(guarded.commit([op.get('a'), op.put('b', '1')]))
    expect(new TextDecoder().decode(results[0].entry?.value)).toBe('3')
    expect(await world.done(guarded.delete('a'))).toMatchObject({ deleted: true })
    expect(await world.done(guarded.deleteRange({ prefix: 'b' }))).toMatchObject({ deletedCount: 1 })
  })

  it('are refused with LOST once the lease is gone, though its holder has not heard of it', async () => {
    const [client, other] = world.following
    const held = await world.done(lock(client!, 'x', TTL))
    const [lease] = await world.done(other!.leases())
    await world.done(other!.revoke(lease!))
    expect(held.isHeld).toBe(true)
    expect(await world.codeOf(held.guarded().put('a', '1'))).toBe('LOST')
    expect(await world.valueOf(client!, 'a')).toBeUndefined()
  })

  it('are refused with LOST when the next one holds it, and those of the next are made', async () => {
    const [client, other] = world.following
    const held = await world.done(lock(client!, 'x', TTL))
    const next = new Followed(lock(other!, 'x', TTL))
    const [lease] = await world.done(other!.leases())
    await world.done(other!.revoke(lease!))
    await world.until(() => next.isAnswered, 'the next holds it')
    const [late, sound] = [held.guarded().put('a', 'late'), next.value!.guarded().put('a', 'sound')]
    expect([await world.codeOf(late), await world.codeOf(sound)]).toEqual(['LOST', 'done'])
    expect(await world.valueOf(client!, 'a')).toBe('sound')
  })

  it('are refused with LOST after a release', async () => {
    const held = await world.done(lock(world.leading, 'x', TTL))
    await world.done(held.release())
    expect(await world.codeOf(held.guarded().put('a', '1'))).toBe('LOST')
  })

  it('may be part of a transaction of one’s own', async () => {
    const held = await world.done(lock(world.leading, 'x', TTL))
    const put = () => world.leading.txn().if(held.whileHeld).then(op.put('a', '1')).commit()
    expect(await world.done(put())).toMatchObject({ succeeded: true })
    await world.done(held.release())
    expect(await world.done(put())).toMatchObject({ succeeded: false })
  })
})
