import { beforeEach, describe, expect, it } from 'vitest'
import type { ClientApi } from '../../src/client/client-api.js'
import { election, leaderOf, type ElectedLeader } from '../../src/client/recipes/index.js'
import { Followed, RecipeWorld } from './recipe-world.js'

const TTL = { ttlMs: 2000 }
let world: RecipeWorld

beforeEach(() => {
  world = RecipeWorld.make()
})

function nameOf(leader: ElectedLeader | undefined): string | undefined {
  return leader && new TextDecoder().decode(leader.value)
}

/** Who is seen to lead, one after the other. */
function follow(
  client: ClientApi,
  signal?: AbortSignal,
): { readonly seen: (string | undefined)[]; end: Promise<void> } {
  const seen: (string | undefined)[] = []
  const end = (async () => {
    for await (const leader of election(client, 'x').observe({ signal })) seen.push(nameOf(leader))
  })()
  return { seen, end }
}

describe('an election', () => {
  it('has one leader at a time, in the order in which they stood, each with a higher token', async () => {
    const [one, other] = world.following.map((client) => election(client, 'x'))
    expect(await world.done(one!.leader())).toBeUndefined()
    const first = await world.done(one!.campaign('first', TTL))
    const waiting = new Followed(other!.campaign('second', TTL))
    await world.pass(50)
    expect(await world.done(other!.leader())).toMatchObject({ token: first.token })
    await world.done(first.resign())
    await world.until(() => waiting.isAnswered, 'the second leads')
    expect(nameOf(await world.done(one!.leader()))).toBe('second')
    expect(waiting.value!.token).toBeGreaterThan(first.token)
    expect([first.isHeld, first.signal.aborted]).toEqual([false, true])
  })

  it('is won with the value that was given, whatever the caller does with his buffer after that', async () => {
    const [value, again] = [Buffer.from('given'), Buffer.from('given')]
    const campaign = election(world.leading, 'x').campaign(value, TTL)
    value.fill('!')
    const leadership = await world.done(campaign)
    expect(nameOf(await world.done(election(world.leading, 'x').leader()))).toBe('given')
    await world.done(leadership.release())
    const seen: (string | undefined)[] = []
    const job = async (_ends: AbortSignal, { release }: { release: () => Promise<void> }): Promise<void> => {
      again.fill('!')
      seen.push(nameOf(await election(world.leading, 'x').leader()))
      if (seen.length === 1) await release()
    }
    const run = leaderOf(world.leading, 'x', (ends, held) => job(ends, { release: () => held.release() }), {
      value: again,
      ...TTL,
    })
    await world.done(run)
    expect(seen).toEqual(['given', 'given'])
  })

  it('tells who observes it of who leads now and of each change, candidates aside', async () => {
    const [one, other] = world.following.map((client) => election(client, 'x'))
    const stop = new AbortController()
    const { seen, end } = follow(world.leading, stop.signal)
    await world.pass(20)
    const first = await world.done(one!.campaign('first', TTL))
    const waiting = new Followed(other!.campaign('second', TTL))
    await world.pass(50)
    await world.done(first.proclaim('first, louder'))
    await world.done(first.resign())
    await world.until(() => waiting.isAnswered, 'the second leads')
    await world.done(waiting.value!.resign())
    await world.pass(50)
    expect(seen).toEqual([undefined, 'first', 'first, louder', 'second', undefined])
    stop.abort()
    await world.done(end)
  })

  it('refuses the proclamation of one who leads no more', async () => {
    const leadership = await world.done(election(world.leading, 'x').campaign('first', TTL))
    const [lease] = await world.done(world.leading.leases())
    await world.done(world.following[0]!.revoke(lease!))
    expect(await world.codeOf(leadership.proclaim('still here'))).toBe('LOST')
    expect(await world.done(election(world.leading, 'x').leader())).toBeUndefined()
  })
})

describe('leaderOf', () => {
  it('runs a job on one process at a time, and on the next when one has ended', async () => {
    const running = new Set<number>()
    let mostAtOnce = 0
    const ends: (() => void)[] = []
    const calls = [0, 1, 2].map(
      (at) =>
        new Followed(
          leaderOf(
            world.client(at + 1),
            'x',
            async () => {
              running.add(at)
              mostAtOnce = Math.max(mostAtOnce, running.size)
              await new Promise<void>((resolve) => ends.push(resolve))
              running.delete(at)
              return at
            },
            TTL,
          ),
        ),
    )
    for (let ended = 0; ended < 3; ended++) {
      await world.until(() => ends.length > ended, 'a job runs')
      await world.pass(100)
      ends[ended]!()
      await world.until(() => calls.filter(({ isAnswered }) => isAnswered).length > ended, 'its call ends')
    }
    expect(calls.map(({ value }) => value)).toEqual([0, 1, 2])
    expect(mostAtOnce).toBe(1)
  })

  it('tells the job when leadership is lost, waits for its end, and campaigns again', async () => {
    const stop = new AbortController()
    let runs = 0
    const told: unknown[] = []
    const job = async (signal: AbortSignal): Promise<void> => {
      runs++
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      told.push(signal.reason)
      signal.throwIfAborted()
    }
    const call = world.codeOf(leaderOf(world.leading, 'x', job, { ...TTL, signal: stop.signal }))
    await world.until(() => runs === 1, 'it runs')
    world.servers.network.isolate(world.servers.all.find(({ leads }) => leads)!.id, 'silent')
    await world.until(() => told.length === 1, 'it is told')
    expect(told).toMatchObject([{ code: 'LOST' }])
    world.servers.network.heal()
    await world.until(() => runs === 2, 'it runs again')
    stop.abort()
    expect(await call).toBe('ABORTED')
    expect(told).toHaveLength(2)
    expect(await world.done(election(world.leading, 'x').leader())).toBeUndefined()
  })

  it('passes on what the job throws while it leads, and resigns', async () => {
    const job = (): never => {
      throw new RangeError('broken')
    }
    await expect(world.done(leaderOf(world.leading, 'x', job, TTL))).rejects.toThrow('broken')
    expect(await world.done(election(world.leading, 'x').leader())).toBeUndefined()
  })
})
