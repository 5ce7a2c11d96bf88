import { describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import { MemorySnapshotDisk, MemorySnapshotStore } from '../../src/storage/memory-snapshot-store.js'
import type { SnapshotFile } from '../../src/storage/snapshot-disk.js'
import { snapshotStoreSuite, type SnapshotStoreSubject } from '../../src/testing/snapshot-store-suite.js'
import {
  boundaryOf,
  chunksOf,
  hexOf,
  OpenSnapshots,
  promised,
  write,
} from '../../src/testing/snapshot-store-subject.js'
import { errorOf } from '../../src/testing/log-store-subject.js'
import { VirtualTime } from './virtual-time.js'

const CHUNKS = chunksOf(100, 2000, 30)

class MemorySnapshotPlace {
  readonly disk = new MemorySnapshotDisk()
  readonly clock = new VirtualTime()

  store(): MemorySnapshotStore {
    return new MemorySnapshotStore(this.disk, { checksum: crc32, clock: this.clock })
  }

  open(): Promise<OpenSnapshots> {
    return OpenSnapshots.open(this)
  }
}

const subject: SnapshotStoreSubject = {
  async place() {
    const place = new MemorySnapshotPlace()
    return {
      store: () => place.store(),
      kill: async () => place.disk.kill(),
      corrupt: async ({ index }, offset) => {
        const name = place.disk.fileNames().find((one) => one.startsWith(`snapshot-${index}-`))!
        place.disk.corruptFile(name, offset)
      },
      dispose: async () => undefined,
    }
  },
}

describe('the snapshot store in memory', () => {
  for (const { name, check } of snapshotStoreSuite) it(name, () => check(subject))
})

/** A snapshot made elsewhere, and its file. */
async function foreign(index = 20) {
  const opened = await new MemorySnapshotPlace().open()
  const { id } = await opened.keep(boundaryOf(index), CHUNKS)
  return { id, file: await opened.read(id) }
}

describe('a snapshot on a disk that fails', () => {
  it('is complete after a crash, or not there, wherever the crash comes in its making', async () => {
    const outcomes = new Set<string>()
    for (let crashAt = 0; crashAt < 40; crashAt++) {
      for (const inFlight of ['lost', 'torn', 'whole'] as const) {
        const place = new MemorySnapshotPlace()
        const opened = await place.open()
        const kept = await opened.keep(boundaryOf(5), CHUNKS)
        let steps = 0
        place.disk.latencyMs = () => (++steps > crashAt ? 1 : 0)
        const made = opened.keep(boundaryOf(9), CHUNKS)
        const isMade = { value: false }
        void made.then(() => (isMade.value = true))
        for (let turn = 0; turn < 100 && !isMade.value && steps <= crashAt; turn++) {
          place.clock.turn()
          await Promise.resolve()
        }
        place.disk.crash({ inFlight, survives: () => crashAt % 2 === 0 })
        place.disk.heal()
        const again = await place.open()
        expect(again.found.notices).toEqual([])
        for (const { id } of again.store.stored) expect(hexOf(await again.chunks(id))).toEqual(hexOf(CHUNKS))
        expect(again.indexes).toContain(kept.id.index)
        if (isMade.value) expect(again.indexes).toEqual([9, 5])
        outcomes.add(again.indexes.join())
      }
    }
    expect([...outcomes].sort()).toEqual(['5', '9,5'])
  })

  it('that comes from another server is complete after a crash or goes on from what is sound of it', async () => {
    const { id, file } = await foreign()
    for (let sent = 0; sent <= file.length; sent += 211) {
      for (const survives of [
        () => true,
        () => false,
        (() =>
          (
            (at) => () =>
              at++ % 2 === 0
          )(0))(),
      ]) {
        const place = new MemorySnapshotPlace()
        const opened = await place.open()
        for (let at = 0; at < sent; at += 100) await opened.receive(id, at, file.subarray(at, Math.min(at + 100, sent)))
        place.disk.crash({ survives })
        const again = await place.open()
        const asked = await again.receive(id, 0, new Uint8Array())
        if (asked.outcome !== 'more') throw new Error(`asked for more, was told ${asked.outcome}`)
        expect(asked.offset).toBeLessThanOrEqual(sent)
        const { outcome } = await again.receive(id, asked.offset, file.subarray(asked.offset))
        expect(outcome).toBe('complete')
        expect(hexOf(await again.chunks(id))).toEqual(hexOf(CHUNKS))
      }
    }
  })

  it('that came from another server is whole after a crash once it was called complete', async () => {
    const { id, file } = await foreign()
    const place = new MemorySnapshotPlace()
    const opened = await place.open()
    expect(await opened.receive(id, 0, file)).toMatchObject({ outcome: 'complete' })
    place.disk.crash()
    const again = await place.open()
    expect(again.found).toMatchObject({ stored: [{ id }], notices: [] })
    expect(hexOf(await again.chunks(id))).toEqual(hexOf(CHUNKS))
  })

  it.each([
    ['a failed write', (disk: MemorySnapshotDisk) => disk.failNextWrite()],
    ['a torn write', (disk: MemorySnapshotDisk) => disk.tearNextWrite()],
    ['a failed sync', (disk: MemorySnapshotDisk) => disk.failNextSync()],
    ['a full disk', (disk: MemorySnapshotDisk) => (disk.full = true)],
    ['a disk that takes no writes', (disk: MemorySnapshotDisk) => (disk.readOnly = true)],
  ])('is not completed by %s, and nothing is tried again', async (_, fail) => {
    const place = new MemorySnapshotPlace()
    const opened = await place.open()
    const { id } = await opened.keep(boundaryOf(5), CHUNKS)
    fail(place.disk)
    expect(await errorOf(opened.keep(boundaryOf(9), CHUNKS))).toMatchObject({ code: 'STORAGE_FAILED' })
    place.disk.heal()
    expect(await errorOf(opened.read(id))).toMatchObject({ code: 'STORAGE_FAILED' })
    place.disk.crash()
    const again = await place.open()
    expect(again.indexes).toEqual([5])
  })

  it('is not heard of again after the process that was writing it has died', async () => {
    const place = new MemorySnapshotPlace()
    const opened = await place.open()
    const writer = opened.store.create(boundaryOf(9), undefined)
    await write(writer, new Uint8Array(9))
    place.disk.latencyMs = () => 5
    const heard: unknown[] = []
    writer.commit((error) => heard.push(error))
    place.disk.kill()
    place.clock.advance(100)
    expect(heard).toEqual([])
  })

  it('that was removed may come back, and is removed again', async () => {
    const place = new MemorySnapshotPlace()
    const opened = await place.open()
    for (const index of [5, 9, 13]) await opened.keep(boundaryOf(index), CHUNKS)
    place.disk.crash()
    expect(place.disk.fileNames()).toHaveLength(3)
    expect((await place.open()).indexes).toEqual([13, 9])
    expect(place.disk.fileNames()).toHaveLength(2)
  })
})

it('a snapshot of a newer format stops the start, with the advice to upgrade', async () => {
  const place = new MemorySnapshotPlace()
  const opened = await place.open()
  const { id } = await opened.keep(boundaryOf(5), CHUNKS)
  const file = await opened.read(id)
  await opened.close()
  file[0] = 2
  const view = new DataView(file.buffer)
  view.setUint32(4, crc32(file.subarray(8, 16 + view.getUint32(12)), crc32(file.subarray(0, 4))))
  const name = place.disk.fileNames()[0]!
  const disk = place.disk.session(place.clock)
  await promised((done) => disk.open(done))
  const handle = await promised<SnapshotFile>((done) => disk.file(name, 'append', done))
  await promised<void>((done) => handle.write(0, file, done))
  place.disk.kill()
  const error = await errorOf(place.open())
  expect(error).toMatchObject({ code: 'UNSUPPORTED_FORMAT' })
  expect(error.message).toMatch(/newer version.*Upgrade Actorum/)
})

it('an incomplete snapshot is removed at the next start once a complete one goes as far', async () => {
  const { id, file } = await foreign(20)
  const place = new MemorySnapshotPlace()
  const opened = await place.open()
  await opened.receive(id, 0, file.subarray(0, 500))
  await opened.keep(boundaryOf(9), CHUNKS)
  const again = await place.open()
  expect(place.disk.fileNames().filter((name) => name.endsWith('.partial'))).toHaveLength(1)
  await again.keep(boundaryOf(21), CHUNKS)
  await place.open()
  expect(place.disk.fileNames().filter((name) => name.endsWith('.partial'))).toEqual([])
})

it('a file that nobody here made is left alone', async () => {
  const place = new MemorySnapshotPlace()
  const disk = place.disk.session(place.clock)
  await promised((done) => disk.open(done))
  await promised((done) => disk.file('notes.txt', 'create', done))
  place.disk.kill()
  expect((await place.open()).found).toEqual({ stored: [], notices: [] })
  expect(place.disk.fileNames()).toEqual(['notes.txt'])
})
