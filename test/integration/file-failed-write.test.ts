import fsPromises, { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { verifyDataDir } from '../../src/index.js'
import type { EntryRun } from '../../src/machines/entry-run.js'
import { errorOf, hardStateOf, LogWriter, OpenStore } from '../../src/testing/log-store-subject.js'
import { FilePlace } from './file-place.js'

interface Range {
  readonly segment: number
  readonly from: number
  readonly to: number
}

let place: FilePlace

beforeEach(async () => {
  place = await FilePlace.make()
})

afterEach(async () => {
  vi.restoreAllMocks()
  syncBuiltinESMExports()
  await place.dispose()
})

/** Notes what is written to segments, but not by the log's own appends, and how often it was synced; `fault` fails it. */
function watchWrites(fault?: Error): { readonly writes: Range[]; synced: number } {
  const seen = { writes: [] as Range[], synced: 0 }
  const openFile = fsPromises.open
  vi.spyOn(fsPromises, 'open').mockImplementation(async (path, flags) => {
    const file = await openFile(path, flags)
    if (!String(path).endsWith('.segment')) return file
    const segment = Number.parseInt(basename(String(path)), 10)
    const datasync = file.datasync.bind(file)
    const write = vi.spyOn(file, 'write')
    if (fault !== undefined) write.mockRejectedValue(fault)
    file.datasync = () => {
      const ranges = write.mock.calls.map((call: readonly unknown[]) => {
        const [length, from] = [Number(call[2]), Number(call[3])]
        return { segment, from, to: from + length }
      })
      seen.writes.push(...ranges)
      if (ranges.length > 0) seen.synced++
      return datasync()
    }
    return file
  })
  syncBuiltinESMExports()
  return seen
}

/** Writes `runs`, one a batch, of which the watermark covers the first `acknowledged`. */
async function writeRuns(runs: readonly EntryRun[], acknowledged: number): Promise<void> {
  const opened = await OpenStore.open(place.store())
  await opened.write({ hardState: hardStateOf(1) })
  let watermark = await readFile(join(place.directory, 'watermark'))
  for (const [at, run] of runs.entries()) {
    await opened.write({ runs: [run] })
    if (at < acknowledged) watermark = await readFile(join(place.directory, 'watermark'))
  }
  await opened.close()
  await writeFile(join(place.directory, 'watermark'), watermark)
}

/** Where a run lies, in which segment. */
async function rangeOf(run: EntryRun): Promise<Range> {
  for (let segment = 1; ; segment++) {
    const bytes = await readFile(join(place.directory, 'segments', `${String(segment).padStart(10, '0')}.segment`))
    const from = bytes.indexOf(run.bytes)
    if (from >= 0) return { segment, from, to: from + run.bytes.length }
  }
}

const covers = (writes: readonly Range[], { segment, from, to }: Range): boolean =>
  writes.some((write) => write.segment === segment && write.from <= from && write.to >= to)

describe('on segment files, what a failed write may have left in the cache alone', () => {
  it('is written once more, and synced, before it is believed; and what is acknowledged is let be', async () => {
    const writer = new LogWriter()
    const runs = Array.from({ length: 40 }, () => writer.run(5))
    await writeRuns(runs, 10)
    const before = await readFile(join(place.directory, 'segments', '0000000002.segment'))
    const seen = watchWrites()
    const opened = await OpenStore.open(place.store())
    expect(opened.recovered).toMatchObject({ lastIndex: 200, notices: [] })
    for (const [at, run] of runs.entries())
      expect([at, covers(seen.writes, await rangeOf(run))]).toEqual([at, at >= 10])
    expect(seen.synced).toBe(new Set(seen.writes.map(({ segment }) => segment)).size)
    expect(await readFile(join(place.directory, 'segments', '0000000002.segment'))).toEqual(before)
    await opened.close()
  })

  it('is nothing where all was acknowledged', async () => {
    const writer = new LogWriter()
    const runs = Array.from({ length: 5 }, () => writer.run(5))
    await writeRuns(runs, 5)
    const seen = watchWrites()
    await (await OpenStore.open(place.store())).close()
    expect(seen).toEqual({ writes: [], synced: 0 })
  })

  it('is a truncation too, which no watermark knows', async () => {
    const writer = new LogWriter()
    const runs = Array.from({ length: 5 }, () => writer.run(5))
    await writeRuns(runs, 5)
    const opened = await OpenStore.open(place.store())
    await opened.write({ truncateFrom: 21 })
    await opened.close()
    const seen = watchWrites()
    const again = await OpenStore.open(place.store())
    expect(again.recovered).toMatchObject({ lastIndex: 20, notices: [] })
    expect(seen.writes).not.toEqual([])
    await again.close()
  })

  it('is not believed where it cannot be written', async () => {
    await writeRuns([new LogWriter().run(5)], 0)
    watchWrites(new Error('EIO: i/o error, write'))
    const error = await errorOf(OpenStore.open(place.store()))
    expect(error).toMatchObject({ code: 'STORAGE_FAILED', message: expect.stringContaining('EIO') as string })
  })

  it('is not written by a look at the directory', async () => {
    await writeRuns([new LogWriter().run(5)], 0)
    const root = `${place.directory}-server`
    await mkdir(root)
    await rename(place.directory, join(root, 'log'))
    const path = join(root, 'log', 'segments', '0000000001.segment')
    const { mtimeMs } = await stat(path)
    const seen = watchWrites()
    expect(await verifyDataDir(root)).toMatchObject({ ok: true, lastIndex: 5 })
    expect([seen.writes, (await stat(path)).mtimeMs]).toEqual([[], mtimeMs])
  })
})
