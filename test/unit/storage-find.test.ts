import { describe, expect, it } from 'vitest'
import type { Recovered } from '../../src/storage/ports.js'
import type { RecordLogStore } from '../../src/storage/record-log-store.js'
import { INITIAL } from '../../src/testing/log-store-subject.js'
import { MemoryPlace } from './storage-memory-place.js'

const NOBODY = { failed: () => undefined }

function find(store: RecordLogStore, serverId = INITIAL.serverId): Promise<Recovered | undefined> {
  return new Promise((resolve, reject) => {
    store.find(serverId, NOBODY, (error, found) => (error === undefined ? resolve(found) : reject(error)))
  })
}

function create(store: RecordLogStore): Promise<Recovered> {
  return new Promise((resolve, reject) => {
    store.create(INITIAL, (error, made) => (error === undefined ? resolve(made) : reject(error)))
  })
}

function close(store: RecordLogStore): Promise<void> {
  return new Promise((resolve, reject) => {
    store.close((error) => (error === undefined ? resolve() : reject(error)))
  })
}

describe('looking for a log', () => {
  it('makes none where there is none, and keeps the place locked until it is closed', async () => {
    const place = new MemoryPlace()
    const store = place.store()
    expect(await find(store)).toBeUndefined()
    await expect(find(place.store())).rejects.toMatchObject({ code: 'LOCKED' })
    await close(store)
    expect(await find(place.store())).toBeUndefined()
  })

  it('lets one be made there, once', async () => {
    const place = new MemoryPlace()
    const store = place.store()
    await expect(create(store)).rejects.toThrow(/only where none was found/)
    await find(store)
    expect(await create(store)).toMatchObject({ fresh: true, storeId: INITIAL.storeId })
    await expect(create(store)).rejects.toThrow(/only where none was found/)
    await close(store)
    expect(await find(place.store())).toMatchObject({ fresh: false, storeId: INITIAL.storeId })
  })

  it('is refused where it is of another server', async () => {
    const place = new MemoryPlace()
    await (await place.open()).close()
    await expect(find(place.store(), INITIAL.serverId + 1)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})
