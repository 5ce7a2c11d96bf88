import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { restoreBackup, verifyDataDir } from '../../src/index.js'
import { DirectoryLock, isLockName } from '../../src/storage/file/directory-lock.js'
import { lockRefusal } from '../../src/storage/file/lock-refusal.js'
import { SegmentFiles } from '../../src/storage/file/segment-files.js'
import { EnginePlace, text } from './engine-place.js'

let place: EnginePlace
let from: string

beforeEach(async () => {
  place = await EnginePlace.make()
  from = join(place.root, 'backup')
  const engine = await place.start()
  await engine.ready()
  await engine.client.put('key', 'value')
  await engine.backup(from)
  await engine.stop()
})

afterEach(async () => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  await place.dispose()
})

function code(expected: string): unknown {
  return expect.objectContaining({ name: 'ActorumError', code: expected })
}

function processOf(worker: URL, ...given: readonly string[]) {
  return execFile(process.execPath, ['--import', 'tsx', fileURLToPath(worker), ...given])
}

/** Does something when a restore has come to making its log, which goes on after that. */
function whileRestoring(act: () => Promise<unknown>): void {
  const making = vi.spyOn(SegmentFiles.prototype, 'make').mockImplementationOnce(async function (
    this: SegmentFiles,
    ...of
  ) {
    making.mockRestore()
    await act()
    return this.make(...of)
  })
}

describe('of two restores into one directory', () => {
  async function expectOneOf(dataDir: string, attempts: readonly ReturnType<typeof restoreBackup>[]): Promise<void> {
    const outcomes = await Promise.allSettled(attempts)
    const restored = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    const refusals = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
    expect(restored).toHaveLength(1)
    expect(refusals).toEqual([code('LOCKED')])
    const storeId = restored[0]?.storeId
    expect(await verifyDataDir(dataDir)).toMatchObject({ ok: true, findings: [], storeId })
    expect((await readdir(dataDir)).sort()).toEqual(['log', 'snapshots'])
  }

  it('at the same time exactly one wins, and the other harms nothing', async () => {
    const dataDir = place.directory(2)
    await expectOneOf(dataDir, [restoreBackup({ from, dataDir }), restoreBackup({ from, dataDir })])
  })

  it('the one wins that came first, though the other comes when it has half of it', async () => {
    const dataDir = place.directory(2)
    const seconds: ReturnType<typeof restoreBackup>[] = []
    whileRestoring(async () => {
      const second = restoreBackup({ from, dataDir })
      seconds.push(second)
      await second.catch(() => undefined)
    })
    const first = await restoreBackup({ from, dataDir })
    expect(seconds).toHaveLength(1)
    await expectOneOf(dataDir, [Promise.resolve(first), ...seconds])
  })

  it('the one wins that came first, where the other is of another process, until that one is killed', async () => {
    const dataDir = place.directory(2)
    await mkdir(dataDir)
    const other = processOf(new URL('./file-lock-worker.ts', import.meta.url), dataDir)
    await once(other.stdout!, 'data')
    await expect(restoreBackup({ from, dataDir })).rejects.toThrow(
      `another restore is at work in ${dataDir}: let it end, or name another directory; nothing was restored`,
    )
    expect((await readdir(dataDir)).filter((name) => !isLockName(name))).toEqual([])
    const ended = once(other, 'exit')
    other.kill('SIGKILL')
    await ended
    await expectOneOf(dataDir, [restoreBackup({ from, dataDir }), restoreBackup({ from, dataDir })])
  })

  it('both may meet at the lock, and then they try again', async () => {
    const take = vi.spyOn(DirectoryLock, 'take').mockResolvedValueOnce(undefined)
    await restoreBackup({ from, dataDir: place.directory(2) })
    expect(take.mock.calls.length).toBeGreaterThan(1)
  })
})

describe('a restore', () => {
  it('whose process was killed can be done again', async () => {
    const dataDir = place.directory(2)
    await once(processOf(new URL('./restore-worker.ts', import.meta.url), from, dataDir), 'exit')
    const left = await readdir(dataDir)
    expect(left).toContain('unfinished')
    if (process.platform !== 'win32') expect(left.filter(isLockName)).toHaveLength(1)
    await restoreBackup({ from, dataDir })
    expect((await readdir(dataDir)).sort()).toEqual(['log', 'snapshots'])
    expect(await verifyDataDir(dataDir)).toMatchObject({ ok: true, findings: [] })
  })

  it('takes no file for a lock that only has such a name', async () => {
    const dataDir = place.directory(2)
    await mkdir(dataDir)
    await writeFile(join(dataDir, 'lock-smith'), 'mine')
    await expect(restoreBackup({ from, dataDir })).rejects.toThrow(/is not empty \(lock-smith\)/)
    await mkdir(join(dataDir, 'unfinished'))
    await expect(restoreBackup({ from, dataDir })).rejects.toThrow(/is not empty \(lock-smith\)/)
    expect(await readFile(join(dataDir, 'lock-smith'), 'utf8')).toBe('mine')
  })

  it('keeps away an engine that starts meanwhile', async () => {
    const dataDir = place.directory(2)
    let refusal: unknown
    whileRestoring(async () => {
      refusal = await place.start({ dataDir }).catch((error: unknown) => error)
    })
    const { clusterId } = await restoreBackup({ from, dataDir })
    expect(refusal).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('was not finished') as string,
    })
    const engine = await place.start({ dataDir })
    await engine.ready()
    expect(engine.status().clusterId).toBe(clusterId)
    expect(text(await engine.client.get('key'))).toBe('value')
  })

  it('makes way for an engine that had looked around before it began, and makes its log only then', async () => {
    const dataDir = place.directory(2)
    whileRestoring(() => mkdir(join(dataDir, 'log', 'segments'), { recursive: true }))
    const refusal = restoreBackup({ from, dataDir })
    await expect(refusal).rejects.toThrow(/is not empty \(log\)/)
    await expect(refusal).rejects.toEqual(code('INVALID_ARGUMENT'))
    expect(await readdir(join(dataDir, 'log'))).toEqual(['segments'])
    await (await place.start({ dataDir })).ready()
  })

  it('is kept apart from others on a file system without sockets too, if its log is to be on Level', async () => {
    const dataDir = place.directory(2)
    for (const name of ['TMPDIR', 'TEMP', 'TMP']) vi.stubEnv(name, place.root)
    const noSockets = Object.assign(new Error('listen ENOTSUP'), { code: 'ENOTSUP' })
    const take = DirectoryLock.take.bind(DirectoryLock)
    let other: DirectoryLock | undefined
    vi.spyOn(DirectoryLock, 'take').mockImplementation(async (directory, nonce) => {
      if (!directory.includes('actorum-restore-')) throw lockRefusal(directory, noSockets)
      other ??= await take(directory, 'other')
      return take(directory, nonce)
    })
    await expect(restoreBackup({ from, dataDir })).rejects.toThrow(/logStore: 'level', which locks a file/)
    await expect(restoreBackup({ from, dataDir, logStore: 'level' })).rejects.toEqual(code('LOCKED'))
    await other?.release()
    await restoreBackup({ from, dataDir, logStore: 'level' })
    expect(await verifyDataDir(dataDir)).toMatchObject({ ok: true, findings: [] })
  })
})
