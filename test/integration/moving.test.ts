import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { EmbeddedEngine } from '../../src/index.js'
import { EnginePlace, freeAddress, optionsOfThree } from './engine-place.js'
import { isSettled, JoinedServers, leaderAmong } from './joined-servers.js'
import { until } from './websocket-subject.js'

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(() => place.dispose())

/** Ready, and without a change of the membership that the leader makes by itself. */
async function settled(engines: readonly EmbeddedEngine[]): Promise<void> {
  await Promise.all(engines.map((engine) => engine.ready()))
  await until(() => engines.every(isSettled), 'their configuration is committed')
}

function addressOf(id: number, engine: EmbeddedEngine): string | undefined {
  return engine.members().find((member) => member.id === id)?.address
}

describe('a server whose move was announced', () => {
  it('stays at its new address at every start, though members in its options still has the former one', async () => {
    const options = await optionsOfThree(place)
    const engines = await Promise.all(options.map((each) => place.start(each)))
    await settled(engines)
    const leader = leaderAmong(engines)
    const moves = engines.find((engine) => engine !== leader)!
    const listen = await freeAddress()
    await leader.changeMembership({ addresses: [{ id: moves.id, address: listen }] })
    await moves.stop()
    // At the first start its log may be behind and have the former address; at the second one it has the new.
    for (let starts = 1; starts <= 2; starts++) {
      const moved = await place.start({ ...options[moves.id - 1], listen })
      await moved.ready()
      const { revision } = await leader.client.put('key', `written at start ${starts}`)
      await until(() => moved.status().lastApplied >= revision, `it has the write at start ${starts}`)
      expect(addressOf(moves.id, moved)).toBe(listen)
      await moved.stop()
      expect(addressOf(moves.id, leader)).toBe(listen)
    }
  })
})

describe('one of two servers', () => {
  it('moves by an announcement of unknown outcome, which is committed once it starts there', async () => {
    const servers = await JoinedServers.make()
    try {
      const engines = await servers.grown(2)
      const leader = leaderAmong(engines)
      const { id } = engines.find((engine) => engine !== leader)!
      const listen = await freeAddress()
      const announced = leader.changeMembership({ addresses: [{ id, address: listen }] }, { timeoutMs: 1000 })
      await expect(announced).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
      await engines[id - 1]!.stop()
      const moved = await servers.place.start({ id, dataDir: servers.place.directory(id), listen })
      await settled([leader, moved])
      expect([leader, moved].map((engine) => addressOf(id, engine))).toEqual([listen, listen])
      await leader.client.put('key', 'value')
    } finally {
      await servers.place.dispose()
    }
  })
})
