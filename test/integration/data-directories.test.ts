import { mkdirSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ActorumError, type EmbeddedEngine, forceNewCluster, verifyDataDir } from '../../src/index.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { RecordLogStore } from '../../src/storage/record-log-store.js'
import { DiskSnapshotStore } from '../../src/storage/snapshot-store.js'
import { EnginePlace, freeAddress, text } from './engine-place.js'

const KINDS = ['file', 'level'] as const
const SURE = { iUnderstandThatWritesMayBeLost: true } as const
const LOST = 'there are snapshots, but the log that belongs to them is missing'

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(async () => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  await place.dispose()
})

function code(expected: string): unknown {
  return expect.objectContaining({ code: expected })
}

async function written(logStore: (typeof KINDS)[number]): Promise<EmbeddedEngine> {
  const engine = await place.start({ logStore })
  await engine.ready()
  await engine.client.put('key', 'value')
  return engine
}

describe('a log that is missing beside its snapshots', () => {
  async function lost(logStore: (typeof KINDS)[number]): Promise<string> {
    const engine = await written(logStore)
    await engine.snapshot()
    await engine.stop()
    await rm(join(place.directory(1), 'log'), { recursive: true })
    return place.directory(1)
  }

  it.each(KINDS)(
    'keeps the server from starting as a new one with a %s log, as often as it tries',
    async (logStore) => {
      const dataDir = await lost(logStore)
      for (let attempt = 0; attempt < 2; attempt++) {
        const starting = place.start({ logStore })
        await expect(starting).rejects.toThrow(/has snapshots, but the log that belongs to them is missing/)
        await expect(starting).rejects.toEqual(code('CORRUPT'))
      }
      expect(await readdir(dataDir)).toEqual(['snapshots'])
    },
  )

  it.each(KINDS)('is missing too where a %s log was begun and never written to', async (logStore) => {
    const dataDir = await lost(logStore)
    await mkdir(join(dataDir, 'log', logStore === 'file' ? 'segments' : 'log'), { recursive: true })
    for (let attempt = 0; attempt < 2; attempt++) await expect(place.start()).rejects.toEqual(code('CORRUPT'))
    const { ok, findings } = await verifyDataDir(dataDir)
    expect(ok).toBe(false)
    expect(findings).toContainEqual({ kind: 'damage', message: LOST })
  })

  it('is found by verifyDataDir', async () => {
    const report = await verifyDataDir(await lost('file'))
    expect(report).toMatchObject({ ok: false, logStore: undefined, id: undefined, lastIndex: undefined })
    expect(report.findings).toEqual([{ kind: 'damage', message: LOST }])
    expect(report.snapshots).toHaveLength(1)
  })
})

describe('forceNewCluster', () => {
  it.each(KINDS)('makes no identity in a %s log that was begun and never written to', async (logStore) => {
    const dataDir = place.directory(1)
    await mkdir(join(dataDir, 'log', logStore === 'file' ? 'segments' : 'log'), { recursive: true })
    await expect(forceNewCluster({ dataDir, ...SURE })).rejects.toThrow(/never written to/)
    expect((await verifyDataDir(dataDir)).id).toBeUndefined()
    // Of three servers, it is still one that has yet to hear of the others.
    const members = [1, 2, 3].map((id) => ({ id, address: `127.0.0.1:${id}` }))
    const engine = await place.start({ listen: await freeAddress(), members, logStore })
    expect(engine.members().map((member) => member.id)).toEqual([1, 2, 3])
  })

  it.each(KINDS)('and an engine that starts meanwhile never both have the directory, on a %s log', async (logStore) => {
    await (await written(logStore)).stop()
    const outcomeOf = (starting: Promise<EmbeddedEngine>): Promise<unknown> =>
      starting.then(
        () => 'started',
        (error: unknown) => (error instanceof ActorumError ? error.code : error),
      )
    const attempts: Promise<unknown>[] = []
    const taking = vi.spyOn(KeyValueStore.prototype, 'snapshot').mockImplementationOnce(function (this: KeyValueStore) {
      taking.mockRestore()
      attempts.push(outcomeOf(place.start()))
      return this.snapshot()
    })
    const { clusterId } = await forceNewCluster({ dataDir: place.directory(1), log: place.log, ...SURE })
    expect(attempts).toHaveLength(1)
    expect(['LOCKED', 'INVALID_ARGUMENT']).toContain(await attempts[0])
    const engine = await place.start()
    await engine.ready()
    expect(engine.status().clusterId).toBe(clusterId)
    expect(text(await engine.client.get('key'))).toBe('value')
  })
})

describe('an engine', () => {
  it.each(KINDS)('looks for what is unfinished once more when it has the lock of a %s log', async (logStore) => {
    const dataDir = place.directory(1)
    const finding = vi.spyOn(RecordLogStore.prototype, 'find').mockImplementationOnce(function (
      this: RecordLogStore,
      id,
      handler,
      callback,
    ) {
      finding.mockRestore()
      this.find(id, handler, (error, found) => {
        mkdirSync(join(dataDir, 'unfinished'))
        callback(error, found)
      })
    })
    await expect(place.start({ logStore })).rejects.toThrow(/was not finished/)
    expect((await verifyDataDir(dataDir)).id).toBeUndefined()
    await rm(join(dataDir, 'unfinished'), { recursive: true })
    await (await place.start({ logStore })).ready()
  })

  it('begins no second log beside one of another kind that is begun at the same moment', async () => {
    for (let round = 0; round < 5; round++) {
      const dataDir = place.directory(round)
      const starting = KINDS.map((logStore) => place.start({ dataDir, logStore }))
      const outcomes = await Promise.allSettled(starting)
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      const refusals = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
      expect([code('LOCKED'), code('INVALID_ARGUMENT')]).toContainEqual(refusals[0])
      expect(await readdir(join(dataDir, 'log'))).not.toEqual(expect.arrayContaining(['log', 'segments']))
      await outcomes.find((outcome) => outcome.status === 'fulfilled')?.value.stop()
      await (await place.start({ dataDir })).ready()
    }
  })

  it('begins no two logs of different kinds in a folder that was there and empty, though it may begin neither', async () => {
    for (let round = 0; round < 5; round++) {
      const dataDir = place.directory(round)
      await mkdir(join(dataDir, 'log'), { recursive: true })
      const outcomes = await Promise.allSettled(KINDS.map((logStore) => place.start({ dataDir, logStore })))
      const begun = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
      expect(begun.length).toBeLessThan(2)
      expect(await readdir(join(dataDir, 'log'))).not.toEqual(expect.arrayContaining(['log', 'segments']))
      for (const engine of begun) await engine.stop()
      await (await place.start({ dataDir })).ready()
    }
  })

  it.each(KINDS)('lets go of its %s log though its snapshots could not be closed', async (logStore) => {
    const engine = await written(logStore)
    vi.spyOn(DiskSnapshotStore.prototype, 'close').mockImplementationOnce((done) => done(new Error('EDQUOT')))
    await expect(engine.stop()).rejects.toThrow(/EDQUOT/)
    const again = await place.start()
    await again.ready()
    expect(text(await again.client.get('key'))).toBe('value')
  })
})

describe('verifyDataDir', () => {
  it.each(KINDS)('lets go of a %s log that it could not copy', async (logStore) => {
    await (await written(logStore)).stop()
    for (const name of ['TMPDIR', 'TEMP', 'TMP']) vi.stubEnv(name, join(place.root, 'nowhere'))
    await expect(verifyDataDir(place.directory(1))).rejects.toEqual(code('STORAGE_FAILED'))
    vi.unstubAllEnvs()
    await (await place.start()).ready()
  })
})
