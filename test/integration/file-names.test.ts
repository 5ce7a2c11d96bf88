import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { crc32 } from '../../src/machines/checksum.js'
import { FileDisk } from '../../src/storage/file-disk.js'
import type { DiskContents } from '../../src/storage/record-disk.js'
import { hardStateOf, OpenStore } from '../../src/testing/log-store-subject.js'
import { FilePlace } from './file-place.js'

let place: FilePlace

beforeEach(async () => {
  place = await FilePlace.make()
})

afterEach(() => place.dispose())

/** Opens and closes what is there, and gives the directories that were synced. */
async function syncedByOpening(): Promise<string[]> {
  const synced: string[] = []
  const open = async (opened: string) => ({
    sync: async (): Promise<void> => void synced.push(opened),
    close: async (): Promise<void> => undefined,
  })
  const directorySystem = { platform: 'linux', open }
  const disk = new FileDisk({ directory: place.directory, checksum: crc32, directorySystem })
  await new Promise<DiskContents>((resolve, reject) => {
    disk.open((error, contents) => (error === undefined ? resolve(contents) : reject(error)))
  })
  await new Promise((resolve) => disk.close(resolve))
  return synced
}

describe('a data directory of segment files that is there already', () => {
  it('has its names synced when it is opened: who made them may have been killed before', async () => {
    const opened = await OpenStore.open(place.store())
    await opened.write({ hardState: hardStateOf(1) })
    await opened.close()
    const parent = dirname(place.directory)
    const names = [dirname(parent), parent, place.directory, join(place.directory, 'segments')]
    expect(await syncedByOpening()).toEqual(expect.arrayContaining(names))
  })
})
