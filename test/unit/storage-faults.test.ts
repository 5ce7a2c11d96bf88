import { describe, expect, it } from 'vitest'
import { encodeServerRecord } from '../../src/storage/server-record.js'
import { crc32 } from '../../src/machines/checksum.js'
import { boundaryAt, errorOf, hardStateOf, LogWriter, writerAfter } from '../../src/testing/log-store-subject.js'
import { MemoryPlace, pairs } from './storage-memory-place.js'

describe('SCENARIO 17: a write or fsync that failed is never retried into a success', () => {
  it('after a failed write nothing more is written, and each later write fails with the first cause', async () => {
    const place = new MemoryPlace()
    const [one, two, three] = pairs(3)
    const opened = await place.openWith([one!])
    place.disk.failNextWrite()
    await expect(opened.write({ runs: [two!] })).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(opened.write({ runs: [two!, three!] })).rejects.toThrow('EIO: write failed')
    await opened.close()
    const again = await place.open()
    expect(again.recovered.lastIndex).toBe(2)
  })

  it('after a failed fsync nothing more is written, though the entries may have reached the disk', async () => {
    const place = new MemoryPlace()
    const [one, two] = pairs(2)
    const opened = await place.openWith([one!])
    place.disk.failNextSync()
    await expect(opened.write({ runs: [two!] })).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(opened.write({ hardState: hardStateOf(2) })).rejects.toThrow('EIO: fsync failed')
    place.disk.crash()
    const again = await place.open()
    expect(again.recovered).toMatchObject({ lastIndex: 2, hardState: { term: 1 } })
  })

  it('a failed background sync stops a mem-first server, once', async () => {
    const place = new MemoryPlace('mem-first')
    const opened = await place.openWith(pairs(1))
    place.disk.failNextSync()
    place.clock.advance(500)
    expect(place.failures).toMatchObject([{ code: 'STORAGE_FAILED' }])
    await expect(opened.write({ hardState: hardStateOf(2) })).rejects.toBe(place.failures[0])
  })

  it('a full disk stops the server with an error that says so', async () => {
    const place = new MemoryPlace()
    const opened = await place.openWith(pairs(1))
    place.disk.full = true
    const error = await errorOf(opened.write({ hardState: hardStateOf(2) }))
    expect(error).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(error.message).toMatch(/memory disk failed \(write\): ENOSPC.*free space/)
  })

  it('a read-only disk stops the server before it has started', async () => {
    const place = new MemoryPlace()
    await (await place.openWith(pairs(1))).close()
    place.disk.readOnly = true
    const error = await errorOf(place.open())
    expect(error).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(error.message).toContain('EROFS')
    place.disk.readOnly = false
    expect((await place.open()).recovered.lastIndex).toBe(2)
  })
})

describe('SCENARIO 18: a torn tail is cut, damage in the middle is refused', () => {
  it('a torn tail is cut with a notice, and later appends survive the next restart', async () => {
    const place = new MemoryPlace()
    const runs = pairs(3)
    const opened = await place.openWith(runs.slice(0, 2))
    place.disk.tearNextWrite()
    await errorOf(opened.write({ runs: runs.slice(2) }))
    place.disk.kill()

    const second = await place.open()
    expect(second.recovered.lastIndex).toBe(4)
    expect(second.recovered.notices).toEqual([expect.stringMatching(/cut after entry 4: the record of entry 5/)])
    expect(place.disk.firstIndexes()).toEqual([1, 3])
    await second.write({ runs: [writerAfter(runs[1]!).run(1)] })
    place.disk.crash()

    const third = await place.open()
    expect(third.recovered).toMatchObject({ lastIndex: 5, notices: [] })
  })

  it.each([1, 3])('a damaged record before the last, at entry %i, is refused and left as it is', async (first) => {
    const place = new MemoryPlace()
    await (await place.openWith(pairs(3))).close()
    place.disk.corruptRecord(first, 80)
    const error = await errorOf(place.open())
    expect(error).toMatchObject({ code: 'CORRUPT' })
    expect(error.message).toContain(`the record of entry ${first} is damaged`)
    expect(error.message).toContain('Keep it as it is')
    expect(place.disk.firstIndexes()).toEqual([1, 3, 5])
  })

  it('damage in the middle is refused also where the watermark is too old to cover it', async () => {
    const place = new MemoryPlace()
    const runs = pairs(3)
    const opened = await place.openWith(runs.slice(0, 1))
    place.disk.latencyMs = () => 1
    void errorOf(opened.write({ runs: runs.slice(1) }))
    place.disk.crash({ inFlight: 'whole' })
    place.disk.latencyMs = undefined
    place.disk.corruptRecord(3, 80)
    const error = await errorOf(place.open())
    expect(error).toMatchObject({ code: 'CORRUPT' })
    expect(error.message).toContain('entry 5 is sound')
  })

  it('the last record is not a torn tail once it was acknowledged', async () => {
    const place = new MemoryPlace()
    await (await place.openWith(pairs(3))).close()
    place.disk.corruptRecord(5, 100)
    await expect(place.open()).rejects.toThrow('entries up to 6 had been acknowledged')
  })

  it("damage does not reach the bytes that the server's own log holds", async () => {
    const place = new MemoryPlace()
    const [run] = pairs(1)
    const before = run!.bytes.slice()
    await place.openWith([run!])
    place.disk.corruptRecord(1, 80)
    expect(run!.bytes).toEqual(before)
  })
})

describe('SCENARIO 19: lastApplied on disk never exceeds the log', () => {
  it('the only applied index on disk is the boundary, and a log never ends before it', async () => {
    const place = new MemoryPlace()
    const runs = pairs(3)
    const opened = await place.openWith(runs)
    const elsewhere = new LogWriter({ index: 40, checksum: 7, term: 1 }).run(2)
    await opened.write({ boundary: boundaryAt(runs[1]!) })
    await opened.write({ boundary: boundaryAt(elsewhere) })
    place.disk.crash()
    const { boundary, lastIndex } = (await place.open()).recovered
    expect([boundary.index, lastIndex]).toEqual([42, 42])
  })

  it('a boundary that is not the end of a run of this log is not written', async () => {
    const place = new MemoryPlace()
    const runs = pairs(2)
    const opened = await place.openWith(runs)
    const stranger = { ...boundaryAt(runs[0]!), checksum: 1 }
    await expect(opened.write({ boundary: stranger })).rejects.toMatchObject({ code: 'INVARIANT_BROKEN' })
    await expect(opened.write({ boundary: { ...stranger, index: 3 } })).rejects.toThrow('the end of one of its runs')
  })
})

describe('SCENARIO 20: a damaged or shortened log is noticed at start', () => {
  it.each([1, 3, 5])('the record of entry %i, lost without a word, is missed', async (first) => {
    const place = new MemoryPlace()
    await (await place.openWith(pairs(3))).close()
    place.disk.removeRecord(first)
    await expect(place.open()).rejects.toMatchObject({ code: 'CORRUPT' })
  })

  it('an older term and vote, brought back, is refused', async () => {
    const place = new MemoryPlace()
    const opened = await place.openWith(pairs(1))
    await opened.write({ hardState: hardStateOf(2, 3) })
    await opened.close()
    const before = { ...opened.recovered, version: 2, serverId: 1, hardState: hardStateOf(1) }
    place.disk.replaceServerRecord(encodeServerRecord(before, crc32))
    await expect(place.open()).rejects.toThrow('the newest term and vote are lost')
  })

  it("a missing or damaged server's record is refused", async () => {
    for (const harm of ['lost', 'damaged'] as const) {
      const place = new MemoryPlace()
      await (await place.openWith([])).close()
      if (harm === 'lost') place.disk.removeRecord(0)
      else place.disk.corruptRecord(0, 30)
      const error = await errorOf(place.open())
      expect(error).toMatchObject({ code: 'CORRUPT' })
      expect(error.message).toContain("the server's own record (its term, vote and identity)")
    }
  })

  it('without a watermark nothing shows what was acknowledged, so the store is refused', async () => {
    for (const harm of ['missing', 'damaged'] as const) {
      const place = new MemoryPlace()
      await (await place.openWith(pairs(1))).close()
      if (harm === 'missing') place.disk.removeWatermark()
      else place.disk.corruptWatermark(9)
      const error = await errorOf(place.open())
      expect(error).toMatchObject({ code: 'CORRUPT' })
      expect(error.message).toContain(`the watermark file is ${harm}`)
    }
  })

  it('an entry that was rewritten does not come back in the place of the new one', async () => {
    const place = new MemoryPlace()
    const [one, old] = pairs(2)
    const opened = await place.openWith([one!, old!])
    await opened.write({ truncateFrom: 3, runs: [writerAfter(one!).run(2, 9)] })
    await opened.close()
    place.disk.replaceRun(old!)
    await expect(place.open()).rejects.toThrow('entry 4 is not the one that had been acknowledged there')
  })

  it('damage is refused while the store is running, too', async () => {
    const place = new MemoryPlace()
    const opened = await place.openWith(pairs(3))
    place.disk.corruptRecord(3, 75)
    expect(await opened.read(1, 1)).toHaveLength(1)
    await expect(opened.read(1)).rejects.toMatchObject({ code: 'CORRUPT' })
  })
})

describe('a store of a newer version', () => {
  it('is refused with the words to upgrade', async () => {
    const place = new MemoryPlace()
    const [run] = pairs(1)
    await (await place.openWith([run!])).close()
    const bytes = run!.bytes.slice()
    bytes[0] = 9
    place.disk.replaceRun({ ...run!, bytes })
    const error = await errorOf(place.open())
    expect(error).toMatchObject({ code: 'UNSUPPORTED_FORMAT' })
    expect(error.message).toContain('run format 9 is not known here')
    expect(error.message).toContain('Upgrade Actorum')
  })
})
