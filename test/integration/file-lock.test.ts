import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DirectoryLock, isLockName, type LockSystem } from '../../src/storage/file/directory-lock.js'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'actorum-lock-'))
})

afterEach(() => rm(directory, { recursive: true, force: true }))

const lockNames = async (): Promise<string[]> => (await readdir(directory)).filter(isLockName)

/** Another system than the one that this runs on. */
function systemOf(platform: string, listen: LockSystem['listen']): LockSystem {
  return { platform, temporaryDirectory: directory, listen }
}

function listen(path: string): Promise<Server> {
  const server = createServer((connection) => connection.destroy())
  return new Promise((resolve, reject) => server.once('error', reject).listen(path, () => resolve(server)))
}

function refusing(code: string): LockSystem {
  return systemOf('linux', () => Promise.reject(Object.assign(new Error(`listen ${code}`), { code })))
}

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

  it.skipIf(process.platform === 'win32')(
    'reaches such a directory by a short link where no descriptor leads there',
    async () => {
      const deep = join(directory, 'd'.repeat(200))
      await mkdir(deep)
      const paths: string[] = []
      const system = systemOf('darwin', (path) => {
        paths.push(path)
        return listen(path)
      })
      const lock = await DirectoryLock.take(deep, 'a', system)
      expect(lock).toBeDefined()
      expect(await DirectoryLock.take(deep, 'b', system)).toBeUndefined()
      expect(paths.every((path) => path.length <= 103)).toBe(true)
      expect(await readdir(deep)).toEqual(['lock-a'])
      expect(await readdir(directory)).toEqual(['d'.repeat(200)])
      await lock?.release()
      expect(await readdir(deep)).toEqual([])
    },
  )

  it('outlives connections that cannot be accepted', async () => {
    const servers: Server[] = []
    const system = systemOf(process.platform, async (path) => {
      servers.push(await listen(path))
      return servers[0]!
    })
    const lock = await DirectoryLock.take(directory, 'a', system)
    for (const code of ['ENFILE', 'EMFILE', 'ENOMEM']) servers[0]!.emit('error', new Error(`accept ${code}`))
    expect(await DirectoryLock.take(directory, 'b')).toBeUndefined()
    await lock?.release()
    expect(await lockNames()).toEqual([])
  })

  it('is not kept by what a copy of a directory has in its place', async () => {
    await writeFile(join(directory, 'lock-of-the-one-copied'), '')
    const lock = await DirectoryLock.take(directory, 'a')
    expect(await lockNames()).toEqual(['lock-a'])
    await lock?.release()
  })

  it.each([
    ['EPERM', /file system takes none.*logStore: 'level'/],
    ['ENOTSUP', /file system takes none.*logStore: 'level'/],
    ['EROFS', /listen EROFS.*Let this process write there/],
    ['EACCES', /listen EACCES.*Let this process write there/],
    ['EMFILE', /Make room/],
  ])('that cannot be made (%s) is refused with words of what to do', async (code, message) => {
    const taken = DirectoryLock.take(directory, 'a', refusing(code))
    await expect(taken).rejects.toMatchObject({
      code: 'STORAGE_FAILED',
      message: expect.stringMatching(message) as string,
    })
    expect(await readdir(directory)).toEqual([])
  })

  it('is a pipe on Windows, which another has when its name is taken', async () => {
    const names: string[] = []
    const taken = systemOf('win32', (name) => {
      names.push(name)
      return Promise.reject(Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' }))
    })
    expect(await DirectoryLock.take('C:\\Data\\1', 'a', taken)).toBeUndefined()
    expect(await DirectoryLock.take('c:\\data\\1', 'b', taken)).toBeUndefined()
    expect(await DirectoryLock.take('c:\\data\\2', 'c', taken)).toBeUndefined()
    expect(names[0]).toMatch(/^\\\\\.\\pipe\\actorum-[\da-f]{64}$/)
    expect(names[1]).toBe(names[0])
    expect(names[2]).not.toBe(names[0])
  })
})
