import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import { encodeWatermark, WATERMARK_SLOT_BYTES } from '../../src/storage/watermark.js'
import {
  boundaryAt,
  bytesOf,
  errorOf,
  hardStateOf,
  LogWriter,
  OpenStore,
  writerAfter,
} from '../../src/testing/log-store-subject.js'
import { LevelPlace } from './level-place.js'

const REFUSALS = ['CORRUPT', 'UNSUPPORTED_FORMAT', 'STORAGE_FAILED']

/** A log with a compacted prefix, a rewritten suffix, several terms and votes. */
async function writeLog(place: LevelPlace): Promise<OpenStore> {
  const opened = await OpenStore.open(place.store())
  await opened.write({ hardState: hardStateOf(1, 1) })
  const writer = new LogWriter()
  const runs = Array.from({ length: 12 }, () => writer.run(5))
  for (const run of runs) await opened.write({ runs: [run] })
  await opened.write({ boundary: boundaryAt(runs[3]!) })
  await opened.write({ hardState: hardStateOf(2), truncateFrom: runs[8]!.firstIndex })
  const second = writerAfter(runs[7]!, 2)
  for (let count = 1; count < 8; count++) await opened.write({ runs: [second.run(count)] })
  await opened.write({ hardState: hardStateOf(3, 2) })
  return opened
}

/** All that a store holds, or the code with which it refuses to say or stops. */
async function contentsOf(place: LevelPlace): Promise<unknown> {
  const failures: Error[] = []
  try {
    const opened = await OpenStore.open(place.store(), undefined, { failed: (error) => failures.push(error) })
    const contents = await contentsOfOpen(opened).finally(() => opened.close())
    if (failures[0] !== undefined) throw failures[0]
    return contents
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}

async function contentsOfOpen(opened: OpenStore): Promise<unknown> {
  return { ...opened.recovered, runs: bytesOf(await opened.read(opened.recovered.boundary.index + 1)) }
}

describe.each(['in the log file', 'in table files'] as const)('SCENARIO 20: on Level, a flipped byte %s', (where) => {
  let place: LevelPlace
  let intact: string
  let expected: unknown
  let files: { readonly name: string; readonly size: number }[]

  beforeAll(async () => {
    place = await LevelPlace.make()
    const opened = await writeLog(place)
    if (where === 'in table files') {
      await opened.close()
      await (await OpenStore.open(place.store())).close()
    }
    await place.goOnWithCopy()
    intact = place.directory
    place.directory = `${intact}-expected`
    await cp(intact, place.directory, { recursive: true })
    expected = await contentsOf(place)
    const names = (await readdir(join(intact, 'log'))).filter((name) => !/^(LOCK|LOG.*)$/.test(name))
    const sizes = await Promise.all(names.map(async (name) => (await readFile(join(intact, 'log', name))).length))
    files = names.map((name, at) => ({ name, size: sizes[at] ?? 0 })).filter(({ size }) => size > 0)
  })

  afterAll(() => place.dispose())

  it('is harmless or refused: never a log other than the acknowledged one', async () => {
    expect(expected).toMatchObject({ lastIndex: 68, hardState: { term: 3, votedFor: 2 }, boundary: { index: 20 } })
    let refused = 0
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), async (which, offset, mask) => {
        const { name, size } = files[which % files.length]!
        place.directory = `${intact}-flipped`
        await rm(place.directory, { recursive: true, force: true })
        await cp(intact, place.directory, { recursive: true })
        const path = join(place.directory, 'log', name)
        const bytes = await readFile(path)
        bytes[offset % size]! ^= mask
        await writeFile(path, bytes)
        const found = await contentsOf(place)
        if (typeof found === 'string' && REFUSALS.includes(found)) refused++
        else expect(found).toEqual(expected)
      }),
      { numRuns: 120 },
    )
    expect(refused).toBeGreaterThan(0)
  })

  it('or a log cut short anywhere is noticed', async () => {
    const { name, size } = files.find(({ name }) => /\.(log|ldb)$/.test(name))!
    for (const share of [0, 0.3, 0.6, 0.9, 0.999]) {
      place.directory = `${intact}-cut`
      await rm(place.directory, { recursive: true, force: true })
      await cp(intact, place.directory, { recursive: true })
      const path = join(place.directory, 'log', name)
      await writeFile(path, (await readFile(path)).subarray(0, Math.floor(size * share)))
      expect(REFUSALS).toContain(await contentsOf(place))
    }
  })
})

describe('a data directory', () => {
  const withPlace = (check: (place: LevelPlace) => Promise<void>) => async () => {
    const place = await LevelPlace.make()
    try {
      await check(place)
    } finally {
      await place.dispose()
    }
  }

  it(
    'that lost its LevelDB files is refused, not begun anew',
    withPlace(async (place) => {
      await (await writeLog(place)).close()
      await rm(join(place.directory, 'log'), { recursive: true })
      expect(await contentsOf(place)).toBe('CORRUPT')
    }),
  )

  it(
    'that lost its watermark is refused',
    withPlace(async (place) => {
      await (await writeLog(place)).close()
      await rm(join(place.directory, 'watermark'))
      const error = await errorOf(OpenStore.open(place.store()))
      expect(error).toMatchObject({ code: 'CORRUPT' })
      expect(error.message).toContain('the watermark file is missing')
    }),
  )

  it(
    'with one damaged slot of its watermark is opened',
    withPlace(async (place) => {
      const opened = await writeLog(place)
      const { lastIndex } = (await opened.read(68))[0]!
      await opened.close()
      const path = join(place.directory, 'watermark')
      for (const slot of [0, 4096]) {
        const bytes = await readFile(path)
        bytes[slot + 20]! ^= 1
        await writeFile(path, bytes)
        const again = await OpenStore.open(place.store())
        expect(again.recovered.lastIndex).toBe(lastIndex)
        await again.close()
      }
    }),
  )

  it(
    'that was begun and not finished is begun again',
    withPlace(async (place) => {
      const blank = { sequence: 1, lastIndex: 0, lastChecksum: 0, recordVersion: 0, outOfOrder: false }
      const bytes = new Uint8Array(4096 + WATERMARK_SLOT_BYTES)
      bytes.set(encodeWatermark(blank, crc32), 4096)
      await mkdir(place.directory)
      await writeFile(join(place.directory, 'watermark'), bytes)
      expect((await OpenStore.open(place.store())).recovered.fresh).toBe(true)
    }),
  )

  it(
    'that cannot be made says why',
    withPlace(async (place) => {
      await mkdir(place.directory)
      const file = join(place.directory, 'file')
      await writeFile(file, '')
      place.directory = join(file, 'below')
      const error = await errorOf(OpenStore.open(place.store()))
      expect(error).toMatchObject({ code: 'STORAGE_FAILED' })
      expect(error.message).toMatch(/cannot be created: ENOTDIR/)
    }),
  )

  it(
    'in use is named, and so is what to do',
    withPlace(async (place) => {
      const opened = await OpenStore.open(place.store())
      const error = await errorOf(OpenStore.open(place.store()))
      expect(error.message).toContain(place.directory)
      expect(error.message).toContain('in use by another engine')
      await opened.close()
    }),
  )
})
