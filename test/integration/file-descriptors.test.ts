import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { errorOf, hardStateOf, LogWriter, OpenStore } from '../../src/testing/log-store-subject.js'
import { FilePlace, storeIn } from './file-place.js'

/** Segments' descriptors, as they are opened and closed. */
class Descriptors {
  readonly open = new Set<number>()
  /** Closed though they were not open: by then they may be somebody else's. */
  readonly strange: number[] = []
  opened = 0
  /** Which opening from now on fails. */
  failAt = 0

  watch(): void {
    const { openSync, closeSync } = fs
    vi.spyOn(fs, 'openSync').mockImplementation((path, flags, mode) => {
      const isSegment = String(path).endsWith('.segment')
      if (isSegment && --this.failAt === 0) throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' })
      const descriptor = openSync(path, flags, mode)
      if (isSegment) this.open.add(descriptor)
      if (isSegment) this.opened++
      return descriptor
    })
    const others = new Set<number>()
    vi.spyOn(fs, 'closeSync').mockImplementation((descriptor) => {
      if (this.open.delete(descriptor)) others.add(descriptor)
      else if (others.has(descriptor)) this.strange.push(descriptor)
      closeSync(descriptor)
    })
    syncBuiltinESMExports()
  }
}

let place: FilePlace
let descriptors: Descriptors

beforeEach(async () => {
  place = await FilePlace.make()
  descriptors = new Descriptors()
  descriptors.watch()
})

afterEach(async () => {
  vi.restoreAllMocks()
  syncBuiltinESMExports()
  await place.dispose()
})

/** Writes until the next segment is needed and its opening fails, the first of its descriptors or the second. */
async function writeUntilFailure(opened: OpenStore, failAt: number): Promise<void> {
  descriptors.failAt = failAt
  const writer = new LogWriter()
  const error = await errorOf(
    (async () => {
      for (let count = 0; count < 40; count++) await opened.write({ runs: [writer.run(5)] })
    })(),
  )
  expect(error).toMatchObject({ code: 'STORAGE_FAILED', message: expect.stringContaining('EMFILE') as string })
}

const perSegment = process.platform === 'linux' ? 2 : 1

describe.each(Array.from({ length: perSegment }, (_, at) => at + 1))(
  'a segment that cannot be opened (%i)',
  (failAt) => {
    it('leaves the one before it to be closed, once', async () => {
      const opened = await OpenStore.open(place.store())
      await opened.write({ hardState: hardStateOf(1) })
      await writeUntilFailure(opened, failAt)
      await opened.close()
      expect(descriptors).toMatchObject({ opened: perSegment + failAt - 1, strange: [] })
      expect([...descriptors.open]).toEqual([])
    })

    it('leaves nothing open when it is the first', async () => {
      await (await OpenStore.open(place.store())).close()
      descriptors.failAt = failAt
      const error = await errorOf(OpenStore.open(storeIn(place.directory)))
      expect(error).toMatchObject({ code: 'STORAGE_FAILED' })
      expect([...descriptors.open]).toEqual([])
      await (await OpenStore.open(place.store())).close()
    })
  },
)

describe('a segment whose sync failed', () => {
  it('is closed all the same', async () => {
    place = await FilePlace.make({ durability: 'mem-first' })
    let failures = 0
    const handler = { failed: () => void failures++ }
    const opened = await OpenStore.open(place.store(), undefined, handler)
    await opened.write({ hardState: hardStateOf(1) })
    vi.spyOn(fs, 'fdatasync').mockImplementation((_, callback) => setImmediate(callback, new Error('EIO')))
    syncBuiltinESMExports()
    const writer = new LogWriter()
    await opened.write({ runs: [writer.run(5)] })
    await vi.waitUntil(() => failures === 1)
    expect(await errorOf(opened.close())).toMatchObject({ code: 'STORAGE_FAILED' })
    expect([...descriptors.open]).toEqual([])
    expect(descriptors.strange).toEqual([])
  })
})
