import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { verifyDataDir } from '../../src/index.js'
import { crc32 } from '../../src/machines/checksum.js'
import type { EntryRun } from '../../src/machines/entry-run.js'
import { encodeServerRecord } from '../../src/storage/server-record.js'
import { encodeWatermark } from '../../src/storage/watermark.js'
import { boundaryAt, bytesOf, hardStateOf, INITIAL, LogWriter, OpenStore } from '../../src/testing/log-store-subject.js'
import { FilePlace, SEGMENT_BYTES } from './file-place.js'

let place: FilePlace

beforeEach(async () => {
  place = await FilePlace.make()
})

afterEach(() => place.dispose())

/** A segment's header of format 1. */
function headerOf(sequence: number): Buffer {
  const header = Buffer.alloc(32)
  header.writeUInt8(1, 0)
  header.writeDoubleBE(sequence, 8)
  return sealed(header)
}

/** A frame in a segment of format 1. */
function frameOf(previous: number, record: Uint8Array, runs: readonly EntryRun[]): Buffer {
  const head = Buffer.alloc(40 + record.length + runs.length * 16)
  const body = Buffer.concat(runs.map(({ bytes }) => bytes))
  head.writeUInt32BE(0xac70_f2a3, 0)
  head.writeUInt32BE(previous, 8)
  head.writeUInt32BE(record.length, 24)
  head.writeUInt32BE(runs.length, 28)
  const length = Math.ceil((head.length + body.length) / 8) * 8
  head.writeUInt32BE(length, 32)
  head.set(record, 40)
  for (const [at, run] of runs.entries()) {
    const entry = 40 + record.length + at * 16
    head.writeDoubleBE(run.firstIndex, entry)
    head.writeUInt32BE(run.bytes.length, entry + 8)
    head.writeUInt32BE(run.checksum, entry + 12)
  }
  return Buffer.concat([sealed(head), body], length)
}

function sealed(head: Buffer): Buffer {
  head.writeUInt32BE(crc32(head.subarray(8), crc32(head.subarray(0, 4))), 4)
  return head
}

const NOTHING = new Uint8Array()

/** Two segments of format 1, of which the second may be one that was made and not yet used. */
async function writeFirstFormat(directory: string, runs: readonly EntryRun[], isSecondUsed: boolean): Promise<void> {
  const { serverId, storeId, clusterId } = INITIAL
  const boundary = { index: 0, term: 0, checksum: 0, clusterTime: 0, configuration: INITIAL.configuration }
  const kept = { version: 1, serverId, storeId, clusterId, hardState: hardStateOf(1, 1), boundary }
  const record = encodeServerRecord(kept, crc32)
  const segments = [headerOf(1), headerOf(2)]
  let previous = 0
  for (const [at, run] of runs.entries()) {
    const segment = isSecondUsed && at >= runs.length / 2 ? 1 : 0
    const begins = segments[segment]!.length === 32
    const frame = frameOf(previous, begins ? record : NOTHING, [run])
    previous = frame.readUInt32BE(4)
    segments[segment] = Buffer.concat([segments[segment]!, frame])
  }
  await mkdir(join(directory, 'segments'), { recursive: true })
  for (const [at, segment] of segments.entries()) {
    await writeFile(join(directory, 'segments', `000000000${at + 1}.segment`), Buffer.concat([segment], SEGMENT_BYTES))
  }
  const last = runs.at(-1)!
  const mark = {
    sequence: 0,
    lastIndex: last.lastIndex,
    lastChecksum: last.checksum,
    recordVersion: 1,
    outOfOrder: false,
  }
  await writeFile(join(directory, 'watermark'), encodeWatermark(mark, crc32))
}

const formatOf = async (sequence: number): Promise<number | undefined> =>
  (await readFile(join(place.directory, 'segments', `000000000${sequence}.segment`)))[0]

describe.each([true, false])('a log in segments of the first format (the second one in use: %s)', (isSecondUsed) => {
  it('opens, goes on in them and then in new ones, and loses them to compaction', async () => {
    const writer = new LogWriter()
    const runs = Array.from({ length: 6 }, () => writer.run(5))
    await writeFirstFormat(place.directory, runs, isSecondUsed)
    const opened = await OpenStore.open(place.store())
    expect(opened.recovered).toMatchObject({ lastIndex: 30, hardState: { term: 1, votedFor: 1 }, notices: [] })
    for (let count = 0; count < 40; count++) {
      runs.push(writer.run(5))
      await opened.write({ runs: [runs.at(-1)!] })
    }
    await opened.close()
    expect([await formatOf(1), await formatOf(2), await formatOf(3)]).toEqual([1, 1, 2])

    const again = await OpenStore.open(place.store())
    expect(again.recovered).toMatchObject({ lastIndex: 230, notices: [] })
    expect(bytesOf(await again.read(1))).toEqual(bytesOf(runs))
    await again.write({ boundary: boundaryAt(runs[44]!) })
    await again.close()
    await expect(formatOf(2)).rejects.toMatchObject({ code: 'ENOENT' })
    const last = await OpenStore.open(place.store())
    expect(last.recovered).toMatchObject({ lastIndex: 230, boundary: { index: 225 }, notices: [] })
    await last.close()
  })

  it('is cut where its last write was cut short, and goes on there', async () => {
    const writer = new LogWriter()
    const runs = Array.from({ length: 6 }, () => writer.run(5))
    await writeFirstFormat(place.directory, runs, isSecondUsed)
    const opened = await OpenStore.open(place.store())
    const watermark = await readFile(join(place.directory, 'watermark'))
    const torn = writer.run(5)
    await opened.write({ runs: [torn] })
    await opened.close()
    await writeFile(join(place.directory, 'watermark'), watermark)
    const path = join(place.directory, 'segments', `000000000${isSecondUsed ? 2 : 1}.segment`)
    const bytes = await readFile(path)
    await writeFile(path, bytes.fill(0, bytes.indexOf(torn.bytes), bytes.indexOf(torn.bytes) + 20))
    const again = await OpenStore.open(place.store())
    expect(again.recovered).toMatchObject({ lastIndex: 30, notices: [expect.any(String)] })
    await again.write({ runs: [torn] })
    await again.close()
    const last = await OpenStore.open(place.store())
    expect(last.recovered).toMatchObject({ lastIndex: 35, notices: [] })
    await last.close()
  })

  it('is verified, and left as it is', async () => {
    const root = place.directory
    place.directory = join(root, 'log')
    await writeFirstFormat(place.directory, [new LogWriter().run(5)], isSecondUsed)
    const before = await readFile(join(place.directory, 'segments', '0000000001.segment'))
    expect(await verifyDataDir(root)).toMatchObject({ ok: true, lastIndex: 5, logStore: 'file', term: 1 })
    expect(await readFile(join(place.directory, 'segments', '0000000001.segment'))).toEqual(before)
  })
})
