import { cp, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { SnapshotId } from '../../src/machines/types.js'
import { FileSnapshotStore } from '../../src/storage/file-snapshot-store.js'
import { errorOf } from '../../src/testing/log-store-subject.js'
import { snapshotStoreSuite, type SnapshotStorePlace } from '../../src/testing/snapshot-store-suite.js'
import {
  boundaryOf,
  chunksOf,
  hexOf,
  OpenSnapshots,
  promised,
  write,
} from '../../src/testing/snapshot-store-subject.js'

const CHUNKS = chunksOf(100, 2000, 30)

/** A directory of its own for snapshots. */
class FileSnapshotPlace implements SnapshotStorePlace {
  readonly #root: string
  readonly #stores: FileSnapshotStore[] = []
  #copies = 0
  directory: string

  private constructor(root: string) {
    this.#root = root
    this.directory = join(root, 'data', 'snapshots')
  }

  static async make(): Promise<FileSnapshotPlace> {
    return new FileSnapshotPlace(await mkdtemp(join(tmpdir(), 'actorum-snapshots-')))
  }

  store(): FileSnapshotStore {
    const store = new FileSnapshotStore({ directory: this.directory, checksum: crc32 })
    this.#stores.push(store)
    return store
  }

  /** What the operating system holds at this moment is what an ended process leaves: go on with a copy of it. */
  async kill(): Promise<void> {
    const copy = join(this.#root, `copy-${++this.#copies}`)
    await cp(this.directory, copy, { recursive: true })
    this.directory = copy
  }

  async corrupt({ index }: SnapshotId, offset: number): Promise<void> {
    const name = (await this.names()).find((one) => one.startsWith(`snapshot-${index}-`))!
    const file = await open(join(this.directory, name), 'r+')
    const byte = new Uint8Array(1)
    await file.read(byte, 0, 1, offset)
    await file.write(new Uint8Array([byte[0]! ^ 1]), 0, 1, offset)
    await file.close()
  }

  names(): Promise<string[]> {
    return readdir(this.directory)
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#stores.map((store) => new Promise((resolve) => store.close(resolve))))
    await rm(this.#root, { recursive: true, force: true })
  }
}

async function inPlace(check: (place: FileSnapshotPlace) => Promise<void>): Promise<void> {
  const place = await FileSnapshotPlace.make()
  await check(place).finally(() => place.dispose())
}

describe('the snapshot store in files', () => {
  for (const { name, check } of snapshotStoreSuite) it(name, () => check({ place: () => FileSnapshotPlace.make() }))
})

describe('a snapshot directory', () => {
  it('holds a file for each complete snapshot, and none that is left over', () =>
    inPlace(async (place) => {
      const opened = await OpenSnapshots.open(place)
      for (const index of [5, 9, 13]) await opened.keep(boundaryOf(index), CHUNKS)
      const own = opened.store.create(boundaryOf(17), undefined)
      await write(own, new Uint8Array(9))
      await place.kill()
      const again = await OpenSnapshots.open(place)
      const expected = again.store.stored.map(({ id: { index, term, byteLength, checksum } }) =>
        [`snapshot-${index}-${term}-${byteLength}`, checksum.toString(16).padStart(8, '0')].join('-'),
      )
      expect((await place.names()).sort()).toEqual(expected.map((name) => `${name}.complete`).sort())
    }))

  it('keeps a damaged snapshot under another name, and says which', () =>
    inPlace(async (place) => {
      const opened = await OpenSnapshots.open(place)
      await opened.keep(boundaryOf(5), CHUNKS)
      const { id } = await opened.keep(boundaryOf(9), CHUNKS)
      await opened.close()
      await place.corrupt(id, 30)
      const { found } = await OpenSnapshots.open(place)
      const damaged = (await place.names()).filter((name) => name.endsWith('.damaged'))
      expect(damaged).toHaveLength(1)
      expect(found.notices).toEqual([expect.stringContaining(damaged[0]!)])
    }))

  it('with a snapshot of a newer format is not opened, and the advice is to upgrade', () =>
    inPlace(async (place) => {
      const opened = await OpenSnapshots.open(place)
      await opened.keep(boundaryOf(5), CHUNKS)
      await opened.close()
      const path = join(place.directory, (await place.names())[0]!)
      const file = await readFile(path)
      file[0] = 2
      const end = 16 + file.readUInt32BE(12)
      file.writeUInt32BE(crc32(file.subarray(8, end), crc32(file.subarray(0, 4))), 4)
      await writeFile(path, file)
      const error = await errorOf(OpenSnapshots.open(place))
      expect(error).toMatchObject({ code: 'UNSUPPORTED_FORMAT' })
      expect(error.message).toMatch(/newer version.*Upgrade Actorum/)
    }))

  it('with a snapshot cut short anywhere goes on with the one before', () =>
    inPlace(async (place) => {
      const opened = await OpenSnapshots.open(place)
      const { id } = await opened.keep(boundaryOf(5), CHUNKS)
      await opened.close()
      const path = join(place.directory, (await place.names())[0]!)
      const file = await readFile(path)
      for (const length of [0, 10, 100, 500, id.byteLength - 1]) {
        await writeFile(path, file.subarray(0, length))
        const again = await OpenSnapshots.open(place)
        expect(again.indexes).toEqual([])
        expect(again.found.notices).toHaveLength(1)
        await again.close()
      }
    }))

  it('that cannot be made says why', () =>
    inPlace(async (place) => {
      await mkdir(join(place.directory, '..'), { recursive: true })
      await writeFile(place.directory, '')
      const error = await errorOf(OpenSnapshots.open(place))
      expect(error).toMatchObject({ code: 'STORAGE_FAILED' })
      expect(error.message).toContain(place.directory)
    }))

  it('is read while it is being closed without harm', () =>
    inPlace(async (place) => {
      const opened = await OpenSnapshots.open(place)
      const { id } = await opened.keep(boundaryOf(5), CHUNKS)
      const reader = await opened.reader(id)
      const first = promised<Uint8Array | undefined>((done) => reader.next(done))
      reader.close()
      await opened.close()
      expect(hexOf([(await first)!])).toEqual(hexOf(CHUNKS.slice(0, 1)))
    }))
})
