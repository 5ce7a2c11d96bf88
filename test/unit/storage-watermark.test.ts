import { describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import { INITIAL_HARD_STATE } from '../../src/machines/types.js'
import { decodeServerRecord, encodeServerRecord } from '../../src/storage/server-record.js'
import { encodeWatermark, newestWatermark } from '../../src/storage/watermark.js'
import { MemoryPlace, pairs } from './storage-memory-place.js'

const OLDER = { sequence: 6, lastIndex: 10, lastChecksum: 0xffff_ffff, recordVersion: 3, outOfOrder: false }
const NEWER = { sequence: 7, lastIndex: 2 ** 53 - 1, lastChecksum: 1, recordVersion: 4, outOfOrder: true }

describe('a watermark', () => {
  it('is the newer of its two slots', () => {
    expect(newestWatermark([encodeWatermark(OLDER, crc32), encodeWatermark(NEWER, crc32)], crc32)).toEqual(NEWER)
  })

  it('is the older one when any byte of the newer is damaged, and none when both are', () => {
    const [older, newer] = [encodeWatermark(OLDER, crc32), encodeWatermark(NEWER, crc32)]
    for (let at = 0; at < newer.length; at++) {
      const damaged = newer.slice()
      damaged[at]! ^= 0x10
      expect(newestWatermark([older, damaged], crc32)).toEqual(OLDER)
      expect(newestWatermark([older.subarray(0, at), damaged], crc32)).toBe('damaged')
    }
  })

  it('in mem-first mode follows the syncs: entries not yet synced may be lost with the machine, and are not missed', async () => {
    const place = new MemoryPlace('mem-first')
    const [one, two, three] = pairs(3)
    const opened = await place.openWith([one!])
    place.clock.advance(50)
    await opened.write({ runs: [two!] })
    place.disk.crash({ watermark: 'kept' })
    const again = await place.open()
    expect(again.recovered.lastIndex).toBe(2)

    await again.write({ runs: [two!, three!] })
    place.clock.advance(50)
    place.disk.crash({ watermark: 'kept' })
    expect((await place.open()).recovered.lastIndex).toBe(6)
  })

  it('in mem-first mode lets what a crash of the machine left out of order be cut', async () => {
    const place = new MemoryPlace('mem-first')
    const opened = await place.openWith(pairs(3))
    let steps = 0
    expect(opened.recovered.lastIndex).toBe(0)
    place.disk.crash({ survives: () => ++steps !== 2 })
    const again = await place.open()
    expect(again.recovered.lastIndex).toBe(2)
    expect(again.recovered.notices[0]).toContain('In mem-first mode a crash of the machine can lose the last interval')
    expect(place.disk.firstIndexes()).toEqual([1])
  })
})

describe("the server's record", () => {
  const boundary = { index: 3, term: 2, checksum: 9, clusterTime: 1.5, configuration: { voters: [1], learners: [] } }
  const record = { version: 8, serverId: 1, storeId: 's', clusterId: 'c', hardState: INITIAL_HARD_STATE, boundary }

  it('is read as it was written', () => {
    expect(decodeServerRecord(encodeServerRecord(record, crc32), crc32)).toEqual(record)
  })

  it('is refused when any byte is damaged or missing, and told from one of a newer version', () => {
    const bytes = encodeServerRecord(record, crc32)
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice()
      damaged[at]! ^= 0x10
      expect(decodeServerRecord(damaged, crc32)).toEqual({ malformed: 'it does not match its checksum' })
      expect(decodeServerRecord(bytes.subarray(0, at), crc32)).toHaveProperty('malformed')
    }
    const newer = bytes.slice()
    newer[0] = 2
    new DataView(newer.buffer).setUint32(4, crc32(newer.subarray(8), crc32(newer.subarray(0, 4))))
    expect(decodeServerRecord(newer, crc32)).toMatchObject({ newer: true })
  })
})
