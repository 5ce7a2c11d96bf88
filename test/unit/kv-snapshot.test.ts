import { describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { raisedTo } from '../../src/state-machines/kv/snapshot.js'
import { batchOf, del, keyOf, put, restore, utf8 } from './kv-batch.js'

const CHUNK = 256 * 1024

function storeOf(...commands: Parameters<typeof batchOf>[0]): KeyValueStore {
  const store = new KeyValueStore()
  store.apply(batchOf(commands))
  return store
}

function restored(chunks: Iterable<Uint8Array>): KeyValueStore {
  const store = new KeyValueStore()
  restore(store, chunks)
  return store
}

/** The first frame of a snapshot, its records, changed, with a checksum that fits again: what only a bug could write. */
function forged(change: (view: DataView) => void): Uint8Array[] {
  const [first, ...others] = storeOf(put('a', '1'), put('b', '2')).snapshot()
  if (first === undefined) throw new Error('a snapshot without frames')
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength)
  change(view)
  seal(view)
  return [first, ...others]
}

function seal(frame: DataView): void {
  const bytes = new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength)
  frame.setUint32(16, crc32(bytes.subarray(20), crc32(bytes.subarray(0, 16))))
}

/** What the first version wrote: records { u32 keyLength, u32 valueLength, f64 modRevision, key, value }, and no more. */
function format1(...records: readonly (readonly [string, string, number])[]): Uint8Array[] {
  const body = Buffer.concat(
    records.map(([key, value, modRevision]) => {
      const header = Buffer.alloc(16)
      header.writeUInt32BE(key.length)
      header.writeUInt32BE(value.length, 4)
      header.writeDoubleBE(modRevision, 8)
      return Buffer.concat([header, Buffer.from(key + value)])
    }),
  )
  const frame = Buffer.concat([Buffer.from([1, 1]), Buffer.alloc(18), body])
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  view.setUint32(8, records.length)
  view.setUint32(12, body.length)
  seal(view)
  return [frame]
}

const corrupt = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'CORRUPT', message: expect.stringMatching(message) as string })

describe('a snapshot of the key-value store', () => {
  it('brings back keys, values and revisions', () => {
    const store = restored(storeOf(put('a', '1'), put('b', '2'), put('a', '3'), del('b'), put('ж', '')).snapshot())
    expect(store.get(keyOf('a'))).toMatchObject({ value: utf8('3'), createRevision: 1, modRevision: 3, version: 2 })
    expect(store.get(keyOf('ж'))).toMatchObject({ value: new Uint8Array(), modRevision: 5 })
    expect(store.size).toBe(2)
  })

  it('of an empty store is one frame', () => {
    const chunks = [...new KeyValueStore().snapshot()]
    expect(chunks.map(({ length }) => length)).toEqual([20 + 24])
    expect(restored(chunks).size).toBe(0)
  })

  it('comes in chunks of at most 256 KiB, but for a value larger than that', () => {
    const large = put('large', new Uint8Array(CHUNK + 1))
    const small = Array.from({ length: 3000 }, (_, i) => put(`key ${i}`, new Uint8Array(256)))
    const sizes = [...storeOf(...small.slice(0, 1500), large, ...small.slice(1500)).snapshot()].map(
      ({ length }) => length,
    )
    expect(sizes.filter((size) => size > CHUNK)).toHaveLength(1)
    expect(sizes.length).toBeLessThan(8)
  })

  it('may be read more than once', () => {
    const snapshot = storeOf(put('a', '1')).snapshot()
    expect([...snapshot]).toEqual([...snapshot])
  })

  it('is found again however its bytes are cut on the way', () => {
    const store = storeOf(put('a', '1'), put('large', new Uint8Array(CHUNK)), put('b', '2'))
    const whole = Buffer.concat([...store.snapshot()])
    for (const size of [1000, 65_536, whole.length]) {
      const cuts = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
        whole.subarray(i * size, (i + 1) * size),
      )
      expect(restored(cuts).getValue(keyOf('b'))).toEqual(utf8('2'))
    }
    const bytes = [...storeOf(put('b', '2')).snapshot()].flatMap((chunk) => [...chunk])
    expect(restored(bytes.map((byte) => Uint8Array.of(byte))).size).toBe(1)
  })

  it('is raised to a later revision, before which nothing can be read, however its bytes are cut', async () => {
    const store = storeOf(put('a', '1'), put('large', new Uint8Array(2 * CHUNK)), put('a', '3'))
    const whole = Buffer.concat([...store.snapshot()])
    for (const size of [1, 1000, whole.length]) {
      const cuts = function* (): Generator<Uint8Array> {
        // Each in the same buffer, as whoever reads a file has it.
        const buffer = new Uint8Array(size)
        for (let at = 0; at < whole.length; at += size) {
          const length = whole.copy(buffer, 0, at, at + size)
          yield buffer.subarray(0, length)
        }
      }
      const raised: Uint8Array[] = []
      for await (const chunk of raisedTo(1e12, cuts())) raised.push(Uint8Array.from(chunk))
      const later = restored(raised)
      expect(later.get(keyOf('a'))).toMatchObject({ value: utf8('3'), createRevision: 1, modRevision: 3, version: 2 })
      expect([later.revision, later.compactedRevision]).toEqual([1e12, 1e12])
      expect(() => later.get(keyOf('a'), 3)).toThrow(expect.objectContaining({ code: 'COMPACTED' }) as Error)
    }
  })

  it('that is damaged is not raised', async () => {
    const [first, ...others] = [...storeOf(put('a', '1')).snapshot()]
    first![25]! ^= 1
    const raised = async (): Promise<void> => {
      for await (const chunk of raisedTo(1e12, [first!, ...others])) expect(chunk.length).toBeGreaterThan(0)
    }
    await expect(raised()).rejects.toThrow(corrupt(/does not match its checksum/))
  })

  it('keeps no chunk alive once it is restored', () => {
    const store = restored(storeOf(put('a', 'v'.repeat(100)), put('b', 'w'.repeat(100_000))).snapshot())
    expect(store.getValue(keyOf('a'))?.buffer.byteLength).toBeLessThanOrEqual(4096)
  })

  it('is refused with any one byte changed', () => {
    const whole = Buffer.concat([...storeOf(put('a', '1'), put('b', '2')).snapshot()])
    for (let at = 0; at < whole.length; at++) {
      const damaged = Buffer.from(whole)
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at)
      expect(() => restored([damaged])).toThrow(/key-value snapshot|snapshot format/)
    }
  })

  it('is refused when cut short, and when a frame is missing, out of place or too many', () => {
    const frames = [...storeOf(...Array.from({ length: 3 }, (_, i) => put(`${i}`, new Uint8Array(CHUNK)))).snapshot()]
    const [first, second, last] = frames as [Uint8Array, Uint8Array, Uint8Array]
    expect(() => restored([])).toThrow(corrupt(/ends after 0 frames/))
    expect(() => restored([first, second])).toThrow(corrupt(/ends after 2 frames/))
    expect(() => restored([first, second, last.subarray(0, -1)])).toThrow(corrupt(/ends within a frame/))
    expect(() => restored([first, second, last.subarray(0, 3)])).toThrow(corrupt(/ends within a frame/))
    expect(() => restored([first, last])).toThrow(corrupt(/frame 2 in the place of frame 1/))
    expect(() => restored([...frames, last])).toThrow(corrupt(/goes on after its last frame/))
  })

  it('of another format version is refused as such', () => {
    expect(() => restored([new Uint8Array(20).fill(3, 0, 1)])).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_FORMAT' }),
    )
  })

  it('is refused when its records contradict it, checksum or not', () => {
    const record = 20
    expect(() => restored(forged((view) => view.setUint32(8, 3)))).toThrow(corrupt(/beyond it/))
    expect(() => restored(forged((view) => view.setUint32(8, 1)))).toThrow(corrupt(/longer than its items/))
    expect(() => restored(forged((view) => view.setUint32(record, 0)))).toThrow(corrupt(/empty key/))
    expect(() => restored(forged((view) => view.setUint32(record + 5, 1000)))).toThrow(corrupt(/beyond it/))
    expect(() => restored(forged((view) => view.setUint32(record + 10, 2 ** 30)))).toThrow(corrupt(/safe integer/))
    expect(() => restored(forged((view) => view.setUint32(record + 14, 0)))).toThrow(corrupt(/revision 0/))
    expect(() => restored(forged((view) => view.setUint8(record + 34, 1)))).toThrow(corrupt(/lease|beyond it/))
    expect(() => restored(forged((view) => view.setUint8(record + 35 + 4, 97)))).toThrow(corrupt(/key twice/))
    expect(() => restored(forged((view) => view.setUint16(2, 6)))).toThrow(corrupt(/./))
    expect(() => restored(forged((view) => view.setUint16(2, 9)))).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_FORMAT' }),
    )
  })

  it('of the first version still restores: its past is compacted, and every key was written once', () => {
    const store = restored(format1(['a', '1', 3], ['b', '22', 7]))
    expect(store.get(keyOf('b'))).toEqual({
      value: utf8('22'),
      createRevision: 7,
      modRevision: 7,
      version: 1,
      lease: 0,
    })
    expect([store.size, store.revision, store.compactedRevision]).toEqual([2, 7, 7])
    expect(() => restored(format1(['a', '1', 0.5]))).toThrow(corrupt(/revision 0.5/))
    expect(() => restored(format1(['a', '1', 3], ['a', '2', 4]))).toThrow(corrupt(/key twice/))
  })

  it('that is refused leaves the store as it was', () => {
    const store = storeOf(put('a', '1'))
    expect(() =>
      restore(
        store,
        forged((view) => view.setUint32(8, 1)),
      ),
    ).toThrow()
    expect(store.getValue(keyOf('a'))).toEqual(utf8('1'))
  })
})
