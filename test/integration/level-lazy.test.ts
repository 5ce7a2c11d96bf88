import { expect, it } from 'vitest'
import { OpenStore } from '../../src/testing/log-store-subject.js'
import { LevelPlace } from './level-place.js'

/** Paths of LevelDB's native code in this process. */
function nativeCode(): string[] {
  return JSON.stringify(process.report.getReport()).match(/classic-level[^"]*\.node/g) ?? []
}

it('LevelDB is loaded when a store is opened, not when it is imported', async () => {
  const place = await LevelPlace.make()
  expect(nativeCode()).toEqual([])
  await (await OpenStore.open(place.store())).close()
  expect(nativeCode()).not.toEqual([])
  await place.dispose()
})
