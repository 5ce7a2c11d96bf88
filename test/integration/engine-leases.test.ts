import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { EmbeddedEngine, Watch } from '../../src/index.js'
import { EnginePlace, optionsOfThree, text } from './engine-place.js'
import { WorkerEngine } from './engine-worker-handle.js'
import { until } from './websocket-subject.js'

const TTL_MS = 4000

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(() => place.dispose())

/** What was left of a lease at a moment. */
interface Left {
  readonly id: number
  readonly remainingMs: number
  readonly at: number
}

/** A lease that nobody keeps alive, with a key, of which a part is over. */
async function leasePartlyOver({ client }: EmbeddedEngine): Promise<Left> {
  const lease = await client.grantLease(TTL_MS, { keepAlive: false })
  await client.put('held', 'here', { lease })
  await until(() => lease.heldForMs < 0.65 * TTL_MS, 'part of it is over')
  const at = performance.now()
  // Cluster time is known as of the last entry.
  await client.put('mark', '')
  const { remainingMs } = await lease.timeToLive()
  return { id: lease.id, remainingMs, at }
}

/** It has as much left as before, but for the time since then in which the cluster can have had a leader. */
async function expectTheRest({ client }: EmbeddedEngine, left: Left, downMs = 0): Promise<void> {
  const begun = performance.now()
  await client.put('mark', '')
  const { remainingMs } = await client.timeToLive(left.id)
  expect(text(await client.get('held'))).toBe('here')
  expect(remainingMs).toBeLessThanOrEqual(left.remainingMs)
  expect(remainingMs).toBeGreaterThan(left.remainingMs - (performance.now() - left.at - downMs) - 1)
  while ((await client.get('held')) !== undefined) await new Promise((resolve) => setTimeout(resolve, 5))
  expect(performance.now() - begun).toBeGreaterThan(remainingMs - 1)
}

/** Nothing runs for half a second. */
async function down(): Promise<number> {
  const begun = performance.now()
  await until(() => performance.now() - begun > 500, 'half a second is over')
  return performance.now() - begun
}

describe('a lease that nobody keeps alive', () => {
  it('has left after a restart what it had left before, however long the server was down', async () => {
    const engine = await place.start()
    const left = await leasePartlyOver(engine)
    await engine.stop()
    const downMs = await down()
    await expectTheRest(await place.start(), left, downMs)
  })

  it('has it after a restart from a snapshot, too', async () => {
    const engine = await place.start({ logEntriesKept: 0 })
    const left = await leasePartlyOver(engine)
    await engine.snapshot()
    await engine.client.put('mark', '')
    await engine.snapshot()
    await engine.stop()
    const downMs = await down()
    await expectTheRest(await place.start({ logEntriesKept: 0 }), left, downMs)
  })

  it('has it with the next leader, and its key goes on all servers at one revision', async () => {
    const options = await optionsOfThree(place)
    const engines = await Promise.all(options.map((each) => place.start(each)))
    await Promise.all(engines.map((engine) => engine.ready()))
    const leader = engines.find(({ isLeader }) => isLeader)!
    const left = await leasePartlyOver(leader)
    const others = engines.filter((engine) => engine !== leader)
    const deletes = others.map(({ client }) => firstDelete(client.watch('held', { only: 'deletes' })))
    await leader.stop()
    await until(() => others.some(({ isLeader }) => isLeader), 'another leads')
    await expectTheRest(others[0]!, left)
    expect(new Set(await Promise.all(deletes)).size).toBe(1)
  })
})

async function firstDelete(watch: Watch): Promise<number | undefined> {
  for await (const event of watch) {
    if (event.type === 'changes') return event.revision
  }
  return undefined
}

/** Leadership may move by itself meanwhile, so it is asked for until it is there. */
async function handOverTo(id: number, engines: readonly EmbeddedEngine[]): Promise<void> {
  const isThere = (): boolean => engines.every(({ leaderId }) => leaderId === id)
  while (!isThere()) {
    await until(() => isThere() || engines.some(({ isLeader }) => isLeader), 'somebody leads')
    const asked = engines.find(({ isLeader }) => isLeader)?.transferLeadership(id)
    await asked?.catch((error: { readonly code?: string }) => expect(error.code).toMatch(/REFUSED|TIMEOUT|NOT_LEADER/))
    // Refused at once while the leader has yet to hear of the server: it hears nothing before the event loop turns.
    await nextTurn()
  }
}

describe('a session', () => {
  it('applies each command once though the leader is killed with many of them on their way', async () => {
    const options = await optionsOfThree(place)
    const [first, ...rest] = options.map((each, at) => ({ ...each, electionPriority: at === 0 ? 1 : -1 }))
    const worker = new WorkerEngine(first!)
    try {
      const engines = await Promise.all(rest.map((each) => place.start(each)))
      await worker.started
      const [engine] = engines
      await handOverTo(1, engines)
      const session = await engine!.client.openSession()
      const calls: Promise<{ readonly revision: number }>[] = []
      const send = (count: number): void => {
        for (let at = 0; at < count; at++) calls.push(session.put('counter', `${calls.length}`))
      }
      send(100)
      await calls[0]
      send(400)
      const killed = worker.kill()
      send(500)
      await killed
      const answers = await Promise.all(calls)
      expect(new Set(answers.map(({ revision }) => revision)).size).toBe(1000)
      expect(await engine!.client.getEntry('counter')).toMatchObject({ version: 1000 })
      await session.close()
    } finally {
      await worker.kill()
    }
  }, 60_000)

  it('stays without a call as long as its engine runs', async () => {
    const engine = await place.start()
    const session = await engine.client.openSession({ sessionTimeoutMs: 1000 })
    await session.put('a', '1')
    const begun = performance.now()
    await until(() => performance.now() - begun > 1500, 'more than its time is over')
    await session.put('a', '2')
    expect(session.signal.aborted).toBe(false)
    await engine.stop()
    await expect(session.put('a', '3')).rejects.toMatchObject({ code: 'STOPPED' })
  })
})
