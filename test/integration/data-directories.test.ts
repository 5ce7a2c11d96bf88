import { mkdirSync } from 'node:fs'
import fs from 'node:fs'
import fsPromises, { mkdir, readdir, realpath, rm } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ActorumError, type EmbeddedEngine, forceNewCluster, verifyDataDir } from '../../src/index.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { DirectoryLock } from '../../src/storage/file/directory-lock.js'
import { lockRefusal } from '../../src/storage/file/lock-refusal.js'
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

  describe('on a file system that is read only', () => {
    const readOnly = Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' })

    /** As the operating system refuses there whatever would write. */
    function makeReadOnly(): void {
      const { access, open } = fsPromises
      const isOfServer = (path: unknown): boolean => String(path).startsWith(place.directory(1))
      vi.spyOn(fsPromises, 'access').mockImplementation((path, mode) =>
        isOfServer(path) ? Promise.reject(readOnly) : access(path, mode),
      )
      vi.spyOn(fsPromises, 'open').mockImplementation(async (path, flags) => {
        const whole = await realpath(String(path)).catch(() => path)
        if (isOfServer(whole) && flags !== 'r') throw readOnly
        return open(path, flags)
      })
      const { openSync } = fs
      vi.spyOn(fs, 'openSync').mockImplementation((path, flags, mode) => {
        const isWriting = (Number(flags) & (fs.constants.O_RDWR | fs.constants.O_WRONLY)) !== 0
        if (isWriting && fs.existsSync(path) && isOfServer(fs.realpathSync(path))) throw readOnly
        return openSync(path, flags, mode)
      })
      syncBuiltinESMExports()
      const take = DirectoryLock.take.bind(DirectoryLock)
      vi.spyOn(DirectoryLock, 'take').mockImplementation((directory, nonce) =>
        isOfServer(directory) ? Promise.reject(lockRefusal(directory, readOnly)) : take(directory, nonce),
      )
    }

    afterEach(() => {
      vi.restoreAllMocks()
      syncBuiltinESMExports()
    })

    it('reads segment files without a lock, and says so', async () => {
      await (await written('file')).stop()
      makeReadOnly()
      const { ok, findings, lastIndex } = await verifyDataDir(place.directory(1))
      expect(findings).toMatchObject([{ kind: 'note', message: expect.stringContaining('read only') as string }])
      expect({ ok, lastIndex }).toEqual({ ok: true, lastIndex: expect.any(Number) as number })
    })

    it('sees the engine all the same that has them open by a mount of its own', async () => {
      await written('file')
      makeReadOnly()
      await expect(verifyDataDir(place.directory(1))).rejects.toEqual(code('LOCKED'))
    })

    it('says what to do with a log on Level', async () => {
      await (await written('level')).stop()
      makeReadOnly()
      const refusal = verifyDataDir(place.directory(1))
      await expect(refusal).rejects.toThrow(/read only.*copy the data directory to a disk that can be written to/)
      await expect(refusal).rejects.toEqual(code('STORAGE_FAILED'))
    })
  })
})
