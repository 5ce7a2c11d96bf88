import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { EmbeddedEngine, EngineOptions, WatchEvent } from '../../src/index.js'
import { EnginePlace, optionsOfThree, text } from './engine-place.js'

/** Values put, until `last` is among them. */
async function valuesUntil(last: string, events: AsyncIterable<WatchEvent>): Promise<(string | undefined)[]> {
  const values: (string | undefined)[] = []
  for await (const event of events) {
    if (event.type !== 'changes') continue
    for (const change of event.changes) values.push(change.type === 'put' ? text(change.entry.value) : undefined)
    if (values.includes(last)) break
  }
  return values
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => `${from + at}`)

describe('a watch of three engines', () => {
  let place: EnginePlace
  let options: EngineOptions[]
  let engines: EmbeddedEngine[]

  beforeEach(async () => {
    place = await EnginePlace.make()
    options = await optionsOfThree(place)
    engines = await Promise.all(options.map((each) => place.start(each)))
    await Promise.all(engines.map((engine) => engine.ready()))
  })

  afterEach(() => place.dispose())

  const write = async (engine: EmbeddedEngine, values: readonly string[]) => {
    for (const value of values) await engine.client.put('k', value)
  }
  const leader = () => engines.find(({ isLeader }) => isLeader) ?? expect.unreachable('somebody leads')
  const follower = () => engines.find(({ isLeader }) => !isLeader) ?? expect.unreachable('somebody follows')

  it('goes on through a failover', async () => {
    const watched = follower()
    const values = valuesUntil('40', watched.client.watch('k', { fromRevision: 1, bufferedChangesMax: 3 }))
    await write(watched, numbers(1, 20))
    await leader().stop()
    await write(watched, numbers(21, 40))
    expect(await values).toEqual(numbers(1, 40))
  })

  it('ends with its engine and says where to resume, and goes on there on the same server after its restart', async () => {
    const watched = follower()
    const other = leader()
    const watch = watched.client.watch('k', { fromRevision: 1 })
    await write(watched, numbers(1, 5))
    const before: (string | undefined)[] = []
    const fail = (async () => {
      for await (const event of watch) {
        if (event.type !== 'changes') continue
        for (const change of event.changes) before.push(change.type === 'put' ? text(change.entry.value) : undefined)
      }
    })()
    const ended = expect(fail).rejects.toMatchObject({ code: 'STOPPED', revision: expect.any(Number) as number })
    await watched.stop()
    await ended
    await write(other, numbers(6, 10))
    const own = options[watched.id - 1]!
    const restarted = await place.start(own)
    const resumed = restarted.client.watch('k', { fromRevision: watch.nextRevision })
    expect([...before, ...(await valuesUntil('10', resumed))]).toEqual(numbers(1, 10))
  })

  it('observes on any server what there is and then what comes, and a namespace sees its own keys', async () => {
    await leader().client.put('config/a', '1')
    const { client } = follower()
    await client.refresh()
    await client.get('config/a')
    const seen: string[] = []
    for await (const event of client.namespace('config/').observe('')) {
      if (event.type === 'state') {
        for (const { key, value } of event.entries) seen.push(`${text(key)}=${text(value)}`)
        await leader().client.put('config/b', '2')
        continue
      }
      if (event.type !== 'changes') continue
      for (const change of event.changes) if (change.type === 'put') seen.push(text(change.entry.key) ?? '')
      break
    }
    expect(seen).toEqual(['a=1', 'b'])
  })
})
