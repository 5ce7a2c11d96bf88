import { cp, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { verifyDataDir } from '../../src/index.js'
import { isLockName } from '../../src/storage/file/directory-lock.js'
import { EnginePlace, text } from './engine-place.js'

const KINDS = ['file', 'level'] as const

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(() => place.dispose())

describe("an engine's log", () => {
  it('is kept in segment files where nothing else is asked for', async () => {
    await (await place.start()).stop()
    expect((await readdir(join(place.directory(1), 'log'))).toSorted()).toEqual(['segments', 'watermark'])
  })

  it.each(KINDS)('stays with the store that made it (%s), asked for or not', async (logStore) => {
    const first = await place.start({ logStore })
    await first.client.put('hello', 'world')
    await first.stop()
    const second = await place.start()
    expect(text(await second.client.get('hello'))).toBe('world')
    await second.stop()
    expect(await verifyDataDir(place.directory(1))).toMatchObject({ ok: true, logStore })
  })

  it.each([
    ['level', 'file'],
    ['file', 'level'],
  ] as const)('of kind %s is refused to an engine that asks for %s, which is told what to do', async (made, asked) => {
    await (await place.start({ logStore: made })).stop()
    const error = { code: 'INVALID_ARGUMENT', message: expect.stringContaining(`logStore: '${made}'`) as string }
    await expect(place.start({ logStore: asked })).rejects.toMatchObject(error)
    await place.start({ logStore: made })
  })

  it('is refused where there are two, and both are left as they are', async () => {
    await (await place.start({ logStore: 'level' })).stop()
    await (await place.start({ dataDir: place.directory(2) })).stop()
    const [log, other] = [1, 2].map((server) => join(place.directory(server), 'log'))
    await cp(join(other!, 'segments'), join(log!, 'segments'), { recursive: true })
    const names = await readdir(log!, { recursive: true })
    const error = { code: 'INVALID_ARGUMENT', message: expect.stringContaining('has two logs') as string }
    for (const logStore of [undefined, 'level', 'file'] as const) {
      await expect(place.start({ logStore })).rejects.toMatchObject(error)
    }
    await expect(verifyDataDir(place.directory(1))).rejects.toMatchObject(error)
    expect(await readdir(log!, { recursive: true })).toEqual(names)
  })

  it('is begun anew only where there is none: a directory that cannot be looked at is refused', async () => {
    await mkdir(place.directory(1), { recursive: true })
    await writeFile(join(place.directory(1), 'log'), 'a file')
    await expect(place.start()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  })
})

describe.each(KINDS)('an engine on a log of kind %s', (logStore) => {
  it.each(['disk-first', 'mem-first'] as const)('keeps its data through a restart (%s)', async (durability) => {
    const first = await place.start({ logStore, durability })
    await Promise.all(Array.from({ length: 100 }, (_, at) => first.client.put(`key-${at}`, `value-${at}`)))
    await first.stop()
    const second = await place.start({ logStore, durability })
    expect(text(await second.client.get('key-99'))).toBe('value-99')
    expect(second.status().storeId).toBe(first.status().storeId)
  })

  it('is locked while another has its directory, and leaves no lock behind', async () => {
    const engine = await place.start({ logStore })
    await expect(place.start()).rejects.toMatchObject({ code: 'LOCKED' })
    await engine.stop()
    const names = await readdir(join(place.directory(1), 'log'))
    expect(names.filter(isLockName)).toEqual([])
  })
})
