import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { election, lock, type LeadershipHold } from '../../../src/client/recipes/index.js'
import type { EmbeddedEngine, EngineOptions } from '../../../src/index.js'
import { RecipeWorld, Followed } from '../../unit/recipe-world.js'
import { EnginePlace, optionsOfThree } from '../engine-place.js'
import { until } from '../websocket-subject.js'

const TTL = { ttlMs: 1500 }

describe('SCENARIO 35: a lock is never granted on a lease that has expired, and its fencing token shows it', () => {
  it('who was cut off while waiting gets no lock by the lease of before, and waits behind those who came since', async () => {
    const world = RecipeWorld.make()
    const { id } = world.servers.follower()
    const other = world.following.find((client) => client !== world.client(id))!
    const held = await world.done(lock(world.leading, 'x', TTL))
    const cutOff = new Followed(lock(world.client(id), 'x', TTL))
    await world.pass(50)
    const leases = await world.done(world.leading.leases())
    world.servers.network.isolate(id, 'silent')
    await world.pass(3000)
    const since = new Followed(lock(other, 'x', TTL))
    await world.pass(50)
    await world.done(held.release())
    await world.until(() => since.isAnswered, 'it is held by who came since')
    world.servers.network.heal()
    await world.pass(2000)
    expect([since.value!.isHeld, cutOff.isAnswered]).toEqual([true, false])
    await world.done(since.value!.release())
    await world.until(() => cutOff.isAnswered, 'it is held by who was cut off')
    const [newest] = (await world.done(world.leading.leases())).slice(-1)
    expect(leases).not.toContain(newest)
    expect(cutOff.value!.token).toBeGreaterThan(since.value!.token)
    expect(since.value!.token).toBeGreaterThan(held.token)
  })
})

describe('SCENARIO 37: a client’s election recipe gives one leader after all servers restart', () => {
  let place: EnginePlace
  let options: EngineOptions[]

  beforeEach(async () => {
    place = await EnginePlace.make()
    options = await optionsOfThree(place)
  })

  afterEach(() => place.dispose())

  function startAll(): Promise<EmbeddedEngine[]> {
    return Promise.all(options.map((given) => place.start(given)))
  }

  it('each candidate stands again, one of them leads with a higher token than before, and all see the same', async () => {
    const before = await startAll()
    const old = await election(before[0]!.client, 'x').campaign('before', TTL)
    const waiting = election(before[1]!.client, 'x').campaign('waiting', TTL)
    waiting.catch(() => undefined)
    await Promise.all(before.map((engine) => engine.stop()))
    expect([old.isHeld, old.signal.aborted]).toEqual([false, true])
    await expect(waiting).rejects.toMatchObject({ code: 'STOPPED' })

    const after = await startAll()
    const won: LeadershipHold[] = []
    const campaigns = after.map(async ({ client, id }) => {
      const leadership = await election(client, 'x').campaign(`server ${id}`, TTL)
      won.push(leadership)
      return leadership
    })
    await until(() => won.length > 0, 'one is elected')
    expect(won[0]!.token).toBeGreaterThan(old.token)
    const seen = await Promise.all(after.map(({ client }) => election(client, 'x').leader()))
    expect(seen.map((leader) => leader?.token)).toEqual(won.map(({ token }) => [token, token, token]).flat())
    // It leads until it resigns, and then the next.
    await won[0]!.resign()
    await until(() => won.length > 1, 'the next is elected')
    await won[1]!.resign()
    await Promise.all(campaigns)
    const tokens = won.map(({ token }) => token)
    expect(tokens).toEqual([...tokens].sort((one, next) => one - next))
  })
})
