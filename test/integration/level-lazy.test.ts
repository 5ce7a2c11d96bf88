import { expect, it } from 'vitest'
import { OpenStore } from '../../src/testing/log-store-subject.js'
import { EnginePlace } from './engine-place.js'
import { LevelPlace } from './level-place.js'

/** Paths of LevelDB's native code in this process. */
function nativeCode(): string[] {
  return JSON.stringify(process.report.getReport()).match(/classic-level[^"]*\.node/g) ?? []
}

it('LevelDB is not loaded by an engine on segment files', async () => {
  const place = await EnginePlace.make()
  const engine = await place.start()
  await engine.client.put('hello', 'world')
  await engine.stop()
  expect(nativeCode()).toEqual([])
  await place.dispose()
})

it('LevelDB is loaded when a store is opened, not when it is imported', async () => {
  const place = await LevelPlace.make()
  expect(nativeCode()).toEqual([])
  await (await OpenStore.open(place.store())).close()
  expect(nativeCode()).not.toEqual([])
  await place.dispose()
})
