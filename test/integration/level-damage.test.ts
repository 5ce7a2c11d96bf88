import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import { encodeWatermark, WATERMARK_SLOT_BYTES } from '../../src/storage/watermark.js'
import {
  boundaryAt,
  errorOf,
  hardStateOf,
  LogWriter,
  OpenStore,
  writerAfter,
} from '../../src/testing/log-store-subject.js'
import { contentsOf, type Damage } from './level-damage-worker.js'
import { LevelPlace } from './level-place.js'

/** An abort is LevelDB's own: an assertion that fails on some damaged tables. The server does not start. */
const REFUSALS: unknown[] = ['CORRUPT', 'UNSUPPORTED_FORMAT', 'ABORTED']

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

/** What becomes of a store after each damage: what it holds, the code of its refusal, or ABORTED. */
async function outcomesOf(intact: string, damages: readonly Damage[]): Promise<unknown[]> {
  const outcomes: unknown[] = []
  while (outcomes.length < damages.length) {
    const worker = fileURLToPath(new URL('./level-damage-worker.ts', import.meta.url))
    const rest = JSON.stringify(damages.slice(outcomes.length))
    const { stdout, died } = await new Promise<{ stdout: string; died: boolean }>((resolve, reject) => {
      const options = { maxBuffer: 2 ** 26 }
      execFile(process.execPath, ['--import', 'tsx', worker, intact, rest], options, (error, stdout) => {
        if (error === null || error.signal) resolve({ stdout, died: error !== null })
        else reject(new Error('the worker failed', { cause: error }))
      })
    })
    for (const line of stdout.split('\n').slice(0, -1)) outcomes.push(JSON.parse(line))
    if (died) outcomes.push('ABORTED')
  }
  return outcomes
}

describe.each(['in the log file', 'in table files'] as const)('SCENARIO 20: on Level, damage %s', (where) => {
  let place: LevelPlace
  let intact: string
  let expected: unknown
  let files: { readonly file: string; readonly size: number }[]

  beforeAll(async () => {
    place = await LevelPlace.make()
    const opened = await writeLog(place)
    if (where === 'in table files') {
      // LevelDB turns its log into a table when it is opened.
      await opened.close()
      await (await OpenStore.open(place.store())).close()
    }
    await place.goOnWithCopy()
    intact = place.directory
    const names = (await readdir(join(intact, 'log'))).filter((name) => !/^(LOCK|LOG.*)$/.test(name))
    const sizes = await Promise.all(names.map(async (name) => (await readFile(join(intact, 'log', name))).length))
    files = names.map((file, at) => ({ file, size: sizes[at] ?? 0 })).filter(({ size }) => size > 0)
    await place.goOnWithCopy()
    expected = JSON.parse(JSON.stringify(await contentsOf(place.directory)))
  })

  afterAll(() => place.dispose())

  it('by a flipped byte is harmless or refused: the log is never another than the acknowledged one', async () => {
    expect(expected).toMatchObject({ lastIndex: 68, hardState: { term: 3, votedFor: 2 }, boundary: { index: 20 } })
    const damages = fc
      .sample(fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 })), 60)
      .map(([which, offset, mask]): Damage => {
        const { file, size } = files[which % files.length]!
        return { file, offset: offset % size, mask }
      })
    const outcomes = await outcomesOf(intact, damages)
    for (const [at, outcome] of outcomes.entries()) {
      if (!REFUSALS.includes(outcome)) expect([damages[at], outcome]).toEqual([damages[at], expected])
    }
    expect(outcomes).toContain('CORRUPT')
  })

  it('by cutting a file short anywhere is refused', async () => {
    const { file, size } = files.find(({ file }) => /\.(log|ldb)$/.test(file))!
    const offsets = [0, 0.3, 0.6, 0.9, 0.999].map((share) => Math.floor(size * share))
    const outcomes = await outcomesOf(
      intact,
      offsets.map((offset) => ({ file, offset, mask: undefined })),
    )
    for (const outcome of outcomes) expect(REFUSALS).toContain(outcome)
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
      expect(await contentsOf(place.directory)).toBe('CORRUPT')
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
