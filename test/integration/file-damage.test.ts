import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import type { EntryRun } from '../../src/machines/entry-run.js'
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
import { copyDirectory, FilePlace, storeIn } from './file-place.js'

const REFUSALS: unknown[] = ['CORRUPT', 'UNSUPPORTED_FORMAT']

let place: FilePlace
/** Runs that are on disk and in the log no more: compacted, or truncated. */
let gone: readonly EntryRun[]

beforeEach(async () => {
  place = await FilePlace.make()
})

afterEach(() => place.dispose())

/** A log with a compacted prefix, a rewritten suffix, several terms and votes, in several segments. */
async function writeLog(): Promise<OpenStore> {
  const opened = await OpenStore.open(place.store())
  await opened.write({ hardState: hardStateOf(1, 1) })
  const writer = new LogWriter()
  const runs = Array.from({ length: 40 }, () => writer.run(5))
  for (const run of runs) await opened.write({ runs: [run] })
  await opened.write({ boundary: boundaryAt(runs[3]!) })
  await opened.write({ hardState: hardStateOf(2), truncateFrom: runs[36]!.firstIndex })
  gone = [...runs.slice(0, 4), ...runs.slice(36)]
  const second = writerAfter(runs[35]!, 2)
  for (let count = 1; count < 8; count++) await opened.write({ runs: [second.run(count)] })
  await opened.write({ hardState: hardStateOf(3, 2) })
  return opened
}

/** All that the store in `directory` holds, or the code with which it refuses to say. */
async function contentsOf(directory: string): Promise<unknown> {
  try {
    const opened = await OpenStore.open(storeIn(directory))
    const runs = await opened.read(opened.recovered.boundary.index + 1)
    const sums = runs.map(({ bytes }) => crc32(bytes))
    await opened.close()
    return JSON.parse(JSON.stringify({ ...opened.recovered, sums }))
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : String(error)
  }
}

interface SegmentFile {
  readonly path: string
  /** Without the zeros at its end. */
  readonly written: number
}

/**
 * What of each segment in `directory` is written; the last may be one that is not used yet. An open store gets the
 * next ready beside its writes, and that one has another name until it is.
 */
async function segmentsIn(directory: string): Promise<SegmentFile[]> {
  const folder = join(directory, 'segments')
  const names = (await readdir(folder)).filter((name) => name.endsWith('.segment'))
  const paths = names.toSorted().map((name) => join(folder, name))
  return Promise.all(
    paths.map(async (path) => ({ path, written: (await readFile(path)).findLastIndex((byte) => byte !== 0) + 1 })),
  )
}

/** The last segment with frames in it. */
async function lastSegment(directory: string): Promise<SegmentFile> {
  return (await segmentsIn(directory)).findLast(({ written }) => written > 32)!
}

async function change(path: string, change: (bytes: Buffer) => void): Promise<void> {
  const bytes = await readFile(path)
  change(bytes)
  await writeFile(path, bytes)
}

describe('SCENARIO 20: on segment files, damage', () => {
  let expected: unknown

  beforeEach(async () => {
    await (await writeLog()).close()
    await place.goOnWithCopy()
    expected = await contentsOf(place.directory)
    expect(expected).toMatchObject({ lastIndex: 208, hardState: { term: 3, votedFor: 2 }, boundary: { index: 20 } })
    expect((await segmentsIn(place.directory)).length).toBeGreaterThan(2)
  })

  /** What a copy of the directory holds after it was harmed. */
  async function after(harm: (directory: string) => Promise<void>): Promise<unknown> {
    const copy = `${place.directory}-harmed`
    await rm(copy, { recursive: true, force: true })
    await copyDirectory(place.directory, copy)
    await harm(copy)
    return contentsOf(copy)
  }

  it('by a flipped byte in what is written is refused', async () => {
    const damages = fc.sample(fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 })), 60)
    for (const [which, offset, mask] of damages) {
      let isFormatOfGone = false
      const outcome = await after(async (directory) => {
        const files = (await segmentsIn(directory)).filter(({ written }) => written > 32)
        const { path, written } = files[which % files.length]!
        await change(path, (bytes) => {
          isFormatOfGone = gone.some((run) => bytes.indexOf(run.bytes) === offset % written)
          bytes[offset % written]! ^= mask
        })
      })
      // A run that seems to be of a newer format is recovery's to refuse, which is not shown what is gone.
      const harmless = isFormatOfGone ? [expected] : []
      const allowed: unknown = expect.toBeOneOf([...REFUSALS, ...harmless])
      expect([which, offset, mask, outcome]).toEqual([which, offset, mask, allowed])
    }
  })

  it('by a flipped byte in what is not written yet is noticed, and cut off', async () => {
    const outcome = await after(async (directory) => {
      const { path, written } = await lastSegment(directory)
      await change(path, (bytes) => (bytes[written + 40]! ^= 1))
    })
    expect(outcome).toEqual({ ...Object(expected), notices: [expect.stringContaining('had not been acknowledged')] })
  })

  it('by cutting a segment short is refused', async () => {
    for (const share of [0, 0.01, 0.3, 0.6, 0.99]) {
      const outcome = await after(async (directory) => {
        const { path, written } = await lastSegment(directory)
        await truncate(path, Math.floor(written * share))
      })
      expect([share, outcome]).toEqual([share, 'CORRUPT'])
    }
  })

  it('by writing zeros over the end of the log is refused', async () => {
    for (const share of [0.02, 0.3, 0.6, 0.99]) {
      const outcome = await after(async (directory) => {
        const { path, written } = await lastSegment(directory)
        await change(path, (bytes) => bytes.fill(0, Math.max(32, Math.floor(written * share))))
      })
      expect([share, outcome]).toEqual([share, 'CORRUPT'])
    }
  })

  it('by the loss of a segment that was written to is refused', async () => {
    const { length } = (await segmentsIn(place.directory)).filter(({ written }) => written > 32)
    for (let which = 0; which < length; which++) {
      const outcome = await after(async (directory) => rm((await segmentsIn(directory))[which]!.path))
      expect([which, outcome]).toEqual([which, 'CORRUPT'])
    }
  })

  it('by two segments that changed places is refused', async () => {
    const outcome = await after(async (directory) => {
      const [one, other] = await segmentsIn(directory)
      const bytes = await readFile(one!.path)
      await writeFile(one!.path, await readFile(other!.path))
      await writeFile(other!.path, bytes)
    })
    expect(outcome).toBe('CORRUPT')
  })

  it('by an older copy of a segment that comes back is refused', async () => {
    const older = await after(async (directory) => {
      const { path, written } = await lastSegment(directory)
      // As it was one frame before.
      const bytes = await readFile(path)
      const mark = bytes.subarray(32, 36)
      await change(path, (bytes) => bytes.fill(0, bytes.lastIndexOf(mark, written)))
    })
    expect(older).toBe('CORRUPT')
  })

  it('leaves a directory as it is when it is refused', async () => {
    const { path } = await lastSegment(place.directory)
    await change(path, (bytes) => (bytes[100]! ^= 1))
    const before = await readFile(path)
    expect(await contentsOf(place.directory)).toBe('CORRUPT')
    expect(await readFile(path)).toEqual(before)
  })

  it('a format byte that is not known, with a checksum that is right, asks for an upgrade', async () => {
    const { path } = await lastSegment(place.directory)
    await change(path, (bytes) => {
      bytes[0] = 3
      bytes.writeUInt32BE(crc32(bytes.subarray(8, 32), crc32(bytes.subarray(0, 4))), 4)
    })
    const error = await errorOf(OpenStore.open(place.store()))
    expect(error).toMatchObject({ code: 'UNSUPPORTED_FORMAT' })
    expect(error.message).toMatch(/Upgrade Actorum/)
  })
})

describe('on segment files, a write cut short', () => {
  /** A log that ends with one unacknowledged batch of a vote and two runs. */
  async function withBatchInFlight(): Promise<{ before: unknown; frameAt: number; path: string; written: number }> {
    const opened = await OpenStore.open(place.store())
    const writer = new LogWriter()
    await opened.write({ hardState: hardStateOf(1), runs: [writer.run(3, 7)] })
    await opened.close()
    const watermark = await readFile(join(place.directory, 'watermark'))
    const before = await contentsOf(place.directory)
    const { written: frameAt } = await lastSegment(place.directory)
    const again = await OpenStore.open(place.store())
    await again.write({ hardState: hardStateOf(2, 3), runs: [writer.run(2, 8), writer.run(4, 9)] })
    await again.close()
    await writeFile(join(place.directory, 'watermark'), watermark)
    const { path, written } = await lastSegment(place.directory)
    return { before, frameAt: Math.ceil(frameAt / 8) * 8, path, written }
  }

  it('counts not at all, wherever it was cut, and the log goes on after it', async () => {
    const { before, frameAt, path, written } = await withBatchInFlight()
    const whole = await readFile(path)
    const watermark = await readFile(join(place.directory, 'watermark'))
    for (let end = frameAt; end < written; end += 7) {
      await writeFile(path, Buffer.from(whole).fill(0, end))
      const opened = await OpenStore.open(place.store())
      const { notices, ...recovered } = opened.recovered
      expect({ ...Object(before), ...recovered, notices: [] }).toEqual(before)
      expect(notices).toHaveLength(end === frameAt ? 0 : 1)
      const next = writerAfter((await opened.read(1))[0]!).run(1)
      await opened.write({ runs: [next] })
      await opened.close()
      const again = await OpenStore.open(place.store())
      expect([again.recovered.lastIndex, again.recovered.notices]).toEqual([4, []])
      await again.close()
      await writeFile(join(place.directory, 'watermark'), watermark)
    }
  })

  it('counts not at all, whichever of its sectors the disk had not written', async () => {
    const { before, frameAt, path } = await withBatchInFlight()
    const whole = await readFile(path)
    for (const at of [frameAt, frameAt + 48, frameAt + 96]) {
      const watermark = await readFile(join(place.directory, 'watermark'))
      await writeFile(path, Buffer.from(whole).fill(0, at, at + 48))
      const found = await contentsOf(place.directory)
      expect(found).toMatchObject({ ...Object(before), notices: [expect.any(String)] })
      await writeFile(join(place.directory, 'watermark'), watermark)
    }
  })
})

describe('on segment files in mem-first mode, a crash of the machine', () => {
  it('that lost a write before one that it kept leaves neither, now or after other writes', async () => {
    place = await FilePlace.make({ durability: 'mem-first' })
    const writer = new LogWriter()
    const opened = await OpenStore.open(place.store())
    const kept = writer.run(2, 1)
    await opened.write({ hardState: hardStateOf(1), runs: [kept] })
    await opened.close()
    const watermark = await readFile(join(place.directory, 'watermark'))
    const { path, written } = await lastSegment(place.directory)
    const again = await OpenStore.open(place.store())
    const lost = writer.run(3, 2)
    for (const run of [lost, writer.run(1, 3), writer.run(2, 4)]) await again.write({ runs: [run] })
    await again.close()
    await change(path, (bytes) =>
      bytes.fill(0, Math.ceil(written / 8) * 8, bytes.indexOf(lost.bytes) + lost.bytes.length),
    )
    await writeFile(join(place.directory, 'watermark'), watermark)

    const after = await OpenStore.open(place.store())
    expect(after.recovered).toMatchObject({ lastIndex: 2, notices: [expect.stringContaining('mem-first')] })
    // As long as the one that is lost, so that it ends where the next one began.
    const anew = writerAfter(kept).run(3, 5)
    await after.write({ runs: [anew] })
    await after.close()
    const last = await OpenStore.open(place.store())
    expect(last.recovered).toMatchObject({ lastIndex: 5, lastChecksum: anew.checksum, notices: [] })
    await last.close()
  })
})

describe('a data directory of segment files', () => {
  it('that lost all of them is refused, not begun anew', async () => {
    await (await writeLog()).close()
    await rm(join(place.directory, 'segments'), { recursive: true })
    expect(await contentsOf(place.directory)).toBe('CORRUPT')
  })

  it('that lost its watermark is refused', async () => {
    await (await writeLog()).close()
    await rm(join(place.directory, 'watermark'))
    expect((await errorOf(OpenStore.open(place.store()))).message).toContain('the watermark file is missing')
  })

  it('whose first write was cut short is begun anew', async () => {
    await (await OpenStore.open(place.store())).close()
    const { path, written } = await lastSegment(place.directory)
    await change(path, (bytes) => bytes.fill(0, written - 20))
    const blank = { sequence: 1, lastIndex: 0, lastChecksum: 0, recordVersion: 0, outOfOrder: false }
    const bytes = new Uint8Array(4096 + WATERMARK_SLOT_BYTES)
    bytes.set(encodeWatermark(blank, crc32), 4096)
    await writeFile(join(place.directory, 'watermark'), bytes)
    const opened = await OpenStore.open(place.store())
    expect(opened.recovered.fresh).toBe(true)
    await opened.close()
    expect(await contentsOf(place.directory)).toMatchObject({ fresh: false, notices: [] })
  })

  it('loses its oldest segments to compaction, and no more', async () => {
    const opened = await OpenStore.open(place.store())
    const writer = new LogWriter()
    await opened.write({ hardState: hardStateOf(1) })
    const runs = Array.from({ length: 300 }, () => writer.run(5))
    for (const run of runs) await opened.write({ runs: [run] })
    const before = await segmentsIn(place.directory)
    await opened.write({ boundary: boundaryAt(runs[289]!) })
    await opened.close()
    const left = await segmentsIn(place.directory)
    expect(left.length).toBeLessThan(before.length / 4)
    const again = await OpenStore.open(place.store())
    expect(again.recovered).toMatchObject({ lastIndex: 1500, boundary: { index: 1450 }, hardState: { term: 1 } })
    expect(bytesOf(await again.read(1451))).toEqual(bytesOf(runs.slice(290)))
  })

  it('that cannot be made says why', async () => {
    await mkdir(place.directory)
    const file = join(place.directory, 'file')
    await writeFile(file, '')
    place.directory = join(file, 'below')
    const error = await errorOf(OpenStore.open(place.store()))
    expect(error).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(error.message).toMatch(/cannot be created: ENOTDIR/)
    expect((await stat(file)).size).toBe(0)
  })
})
