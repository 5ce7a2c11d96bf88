import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import { ENTRY_HEADER_BYTES, RUN_HEADER_BYTES, sealRun, type EntryRun } from '../../src/machines/entry-run.js'
import type { Checksum } from '../../src/machines/types.js'
import { encodeFrame } from '../../src/storage/file/format.js'
import { Replay } from '../../src/storage/file/replay.js'
import type { Salt } from '../../src/storage/file/segment-header.js'
import { bytesOf, hardStateOf, LogWriter, OpenStore } from '../../src/testing/log-store-subject.js'
import { FilePlace } from './file-place.js'

const FRAME_MARK = 0xac70_f2a3
/** More than any test here writes: what was written begins and ends in the first segment. */
const SEGMENT_BYTES = 2 * 1024 * 1024

let place: FilePlace

beforeEach(async () => {
  place = await FilePlace.make({ segmentBytes: SEGMENT_BYTES })
})

afterEach(() => place.dispose())

/** A run of one command, after the run given. */
function runOf(value: Uint8Array, after: Pick<EntryRun, 'lastIndex' | 'checksum'>): EntryRun {
  const bytes = new Uint8Array(RUN_HEADER_BYTES + ENTRY_HEADER_BYTES + value.length)
  new DataView(bytes.buffer).setUint32(RUN_HEADER_BYTES, value.length)
  bytes.set(value, RUN_HEADER_BYTES + ENTRY_HEADER_BYTES)
  const origin = { server: 1, nonce: 7, batch: 1 }
  const spec = { kind: 'command', count: 1, firstIndex: after.lastIndex + 1, term: 1, clusterTime: 50 } as const
  return sealRun(bytes, { ...spec, wallTime: 0, origin, previousChecksum: after.checksum }, crc32)
}

/** The last write's bytes, as they lie in the file of the only segment that is used. */
interface LastWrite {
  readonly path: string
  readonly whole: Buffer
  readonly from: number
  readonly to: number
}

const lengthWritten = (bytes: Buffer): number => Math.ceil((bytes.findLastIndex((byte) => byte !== 0) + 1) / 8) * 8

/** Writes `kept`, which is acknowledged, and then a run of `value`, which the watermark knows nothing of. */
async function writeUnacknowledged(kept: EntryRun, value: Uint8Array): Promise<LastWrite> {
  const opened = await OpenStore.open(place.store())
  await opened.write({ hardState: hardStateOf(1), runs: [kept] })
  const path = join(place.directory, 'segments', '0000000001.segment')
  const from = lengthWritten(await readFile(path))
  const watermark = await readFile(join(place.directory, 'watermark'))
  await opened.write({ runs: [runOf(value, kept)] })
  await opened.close()
  await writeFile(join(place.directory, 'watermark'), watermark)
  const whole = await readFile(path)
  return { path, whole, from, to: lengthWritten(whole) }
}

/** Opens the store as it would be if the bytes between had never reached the disk. */
async function openWithout(write: LastWrite, from: number, to: number): Promise<OpenStore> {
  const watermark = await readFile(join(place.directory, 'watermark'))
  await writeFile(write.path, Buffer.from(write.whole).fill(0, from, to))
  const opened = await OpenStore.open(place.store())
  await opened.close()
  await writeFile(join(place.directory, 'watermark'), watermark)
  return opened
}

/** A sound frame with a sound run in it, as one makes it who knows all but the salt. */
function forgedFrame(salt: Salt): Uint8Array {
  const run = new LogWriter({ index: 8, checksum: 5, term: 1 }).run(1)
  return Buffer.concat(encodeFrame({ serverRecord: undefined, removed: [], runs: [run] }, 1, salt, crc32).pieces)
}

/** Heads, one after another, that claim to reach as far as there is anything. */
function forgedHeads(length: number, offset: number): Uint8Array {
  const value = new Uint8Array(length)
  const view = new DataView(value.buffer)
  for (let at = offset; at + 40 <= length; at += 40) {
    view.setUint32(at, FRAME_MARK)
    view.setUint32(at + 24, length / 2)
    view.setUint32(at + 32, length / 2 + 1000)
  }
  return value
}

const salts = fc.oneof(
  fc.constant<Salt>({ ofHeads: undefined, ofFrames: 0 }),
  fc.record<Salt>({ ofHeads: fc.nat(0xffff_ffff), ofFrames: fc.nat(0xffff_ffff) }),
)
const pieces = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  salts.map(forgedFrame),
  fc.nat(7).map((offset) => forgedHeads(400, offset)),
)
const values = fc.array(pieces, { minLength: 1, maxLength: 6 }).map((those) => new Uint8Array(Buffer.concat(those)))
/** Where bytes are missing, as shares of what was written. */
const holes = fc.array(
  fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
  {
    minLength: 6,
    maxLength: 6,
  },
)

describe('on segment files, a torn tail', () => {
  it('is cut whatever clients wrote, and all that was acknowledged is there', async () => {
    await fc.assert(
      fc.asyncProperty(values, holes, async (value, holes) => {
        await place.dispose()
        place = await FilePlace.make({ segmentBytes: 8192 })
        const kept = new LogWriter().run(3, 7)
        const write = await writeUnacknowledged(kept, value)
        const span = write.to - write.from
        const cuts = holes.map((shares) => shares.map((share) => write.from + Math.round(share * span)))
        for (const [from = 0, to = 0] of [...cuts, [write.from, write.from + 48]].map((cut) =>
          cut.toSorted((a, b) => a - b),
        )) {
          const { recovered } = await openWithout(write, from, to)
          // A hole where there were zeros anyway is none.
          const isWhole = write.whole.subarray(from, to).every((byte) => byte === 0)
          expect([from, to, recovered.lastIndex]).toEqual([from, to, isWhole ? 4 : 3])
        }
      }),
      { numRuns: 40 },
    )
  })

  it.each([0, 1, 2, 3, 4, 5, 6, 7])(
    'that holds a sound frame of another segment is cut (offset %i)',
    async (offset) => {
      const kept = new LogWriter().run(3, 7)
      const value = new Uint8Array(2000).fill(7)
      value.set(forgedFrame({ ofHeads: 1, ofFrames: 2 }), 1000 + offset)
      value.set(forgedFrame({ ofHeads: undefined, ofFrames: 0 }), 1400 + offset)
      const write = await writeUnacknowledged(kept, value)
      const { recovered } = await openWithout(write, write.from, write.from + 160)
      expect(recovered).toMatchObject({ lastIndex: 3, notices: [expect.stringContaining('had not been acknowledged')] })
    },
  )

  it('is followed by what was written there next, and that alone', async () => {
    const kept = new LogWriter().run(3, 7)
    const write = await writeUnacknowledged(kept, forgedHeads(4000, 3))
    await openWithout(write, write.from, write.from + 40)
    const opened = await OpenStore.open(place.store())
    const next = runOf(new Uint8Array(10), kept)
    await opened.write({ runs: [next] })
    await opened.close()
    const again = await OpenStore.open(place.store())
    expect(again.recovered).toMatchObject({ lastIndex: 4, notices: [] })
    expect(bytesOf(await again.read(1))).toEqual(bytesOf([kept, next]))
  })
})

describe('on segment files, looking for frames behind a fault', () => {
  it.each([0, 3])('sums each byte of a megabyte of forged heads a few times at most (offset %i)', async (offset) => {
    const write = await writeUnacknowledged(new LogWriter().run(3, 7), forgedHeads(1_000_000, offset))
    for (const hole of [write.from, write.to - 200]) {
      let summed = 0
      const counting: Checksum = (bytes, seed) => {
        summed += bytes.length
        return crc32(bytes, seed)
      }
      const replay = new Replay('data directory', counting)
      replay.take(1, Buffer.from(write.whole).fill(0, hole, hole + 200))
      expect(replay).toMatchObject({ faulty: true, end: { segment: 1, at: write.from } })
      expect(summed).toBeLessThan(3_000_000)
    }
  })
})
