import { expect, it } from 'vitest'
import { OpenStore } from '../../src/testing/log-store-subject.js'
import { LevelPlace } from './level-place.js'

const nativeCode = (): string[] => {
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] }
  return sharedObjects.filter((path) => path.includes('classic-level'))
}

it('LevelDB is loaded when a store is opened, not when it is imported', async () => {
  const place = await LevelPlace.make()
  expect(nativeCode()).toEqual([])
  await (await OpenStore.open(place.store())).close()
  expect(nativeCode()).not.toEqual([])
  await place.dispose()
})
