import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DirectoryLock, isLockName } from '../../src/storage/file/directory-lock.js'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'actorum-lock-'))
})

afterEach(() => rm(directory, { recursive: true, force: true }))

const lockNames = async (): Promise<string[]> => (await readdir(directory)).filter(isLockName)

/** A process that takes the lock, says whether it has it, and keeps it. */
async function takeElsewhere() {
  const worker = fileURLToPath(new URL('./file-lock-worker.ts', import.meta.url))
  const child = execFile(process.execPath, ['--import', 'tsx', worker, directory])
  const [told] = (await once(child.stdout!, 'data')) as [string]
  return {
    taken: told.trim() === 'taken',
    kill: async (): Promise<void> => {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

describe('the lock on a directory', () => {
  it('is one at a time', async () => {
    const lock = await DirectoryLock.take(directory, 'a')
    expect(lock).toBeDefined()
    expect(await DirectoryLock.take(directory, 'b')).toBeUndefined()
    await lock?.release()
    expect(await lockNames()).toEqual([])
    const again = await DirectoryLock.take(directory, 'c')
    expect(again).toBeDefined()
    await again?.release()
  })

  it('is had by one at most of many who come at the same time', async () => {
    const locks = await Promise.all(Array.from({ length: 20 }, (_, at) => DirectoryLock.take(directory, `${at}`)))
    const held = locks.filter((lock) => lock !== undefined)
    expect(held.length).toBeLessThanOrEqual(1)
    await Promise.all(held.map((lock) => lock.release()))
    expect(await lockNames()).toEqual([])
  })

  it('is kept by another process, and dies with it', async () => {
    const other = await takeElsewhere()
    expect(other.taken).toBe(true)
    expect(await DirectoryLock.take(directory, 'here')).toBeUndefined()
    await other.kill()
    const lock = await DirectoryLock.take(directory, 'again')
    expect(lock).toBeDefined()
    expect(await lockNames()).toEqual(['lock-again'])
    await lock?.release()
  })

  it('is refused to another process', async () => {
    const lock = await DirectoryLock.take(directory, 'here')
    const other = await takeElsewhere()
    expect(other.taken).toBe(false)
    await other.kill()
    await lock?.release()
  })

  it.runIf(process.platform === 'linux')('knows directories whose path is too long for a socket', async () => {
    const deep = join(directory, 'd'.repeat(200))
    await mkdir(deep)
    const lock = await DirectoryLock.take(deep, 'a')
    expect(lock).toBeDefined()
    expect(await DirectoryLock.take(deep, 'b')).toBeUndefined()
    await lock?.release()
    expect(await readdir(deep)).toEqual([])
  })
})
