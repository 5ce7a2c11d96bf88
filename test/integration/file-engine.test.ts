import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isLockName } from '../../src/storage/file/directory-lock.js'
import { EnginePlace, text } from './engine-place.js'

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(() => place.dispose())

describe('an engine on segment files', () => {
  it.each(['disk-first', 'mem-first'] as const)('keeps its data through a restart (%s)', async (durability) => {
    const first = await place.start({ logStore: 'file', durability })
    await Promise.all(Array.from({ length: 100 }, (_, at) => first.client.put(`key-${at}`, `value-${at}`)))
    await first.stop()
    const second = await place.start({ logStore: 'file', durability })
    expect(text(await second.client.get('key-99'))).toBe('value-99')
    expect(second.status().storeId).toBe(first.status().storeId)
  })

  it('is locked while another has its directory, and leaves no lock behind', async () => {
    const engine = await place.start({ logStore: 'file' })
    await expect(place.start({ logStore: 'file' })).rejects.toMatchObject({ code: 'LOCKED' })
    await engine.stop()
    const names = await readdir(join(place.directory(1), 'log'))
    expect(names.filter(isLockName)).toEqual([])
  })

  it.each([
    ['level', 'file'],
    ['file', 'level'],
  ] as const)('a directory of kind %s is refused to one of kind %s, which is told what to do', async (made, asked) => {
    await (await place.start({ logStore: made })).stop()
    const error = { code: 'INVALID_ARGUMENT', message: expect.stringContaining(`logStore: '${made}'`) as string }
    await expect(place.start({ logStore: asked })).rejects.toMatchObject(error)
    await place.start({ logStore: made })
  })
})
