import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeDirectory, syncDirectory, type DirectorySystem } from '../../src/storage/file-directories.js'
import { patiently, type PatienceSystem } from '../../src/storage/file-patience.js'

const failing = (code: string): Promise<never> => Promise.reject(Object.assign(new Error(code), { code }))

interface Refusals {
  readonly platform?: string
  readonly open?: string
  readonly sync?: string
}

/** A system that refuses calls with the codes given, and notes those that it was asked for. */
class Directories implements DirectorySystem {
  readonly calls: string[] = []
  readonly platform: string
  readonly #refusals: Refusals

  constructor(refusals: Refusals) {
    this.#refusals = refusals
    this.platform = refusals.platform ?? 'linux'
  }

  async open() {
    const { open, sync } = this.#refusals
    this.calls.push('open')
    if (open !== undefined) await failing(open)
    return {
      sync: async (): Promise<void> => {
        this.calls.push('sync')
        if (sync !== undefined) await failing(sync)
      },
      close: async (): Promise<void> => void this.calls.push('close'),
    }
  }
}

describe('the names in a directory', () => {
  it('are durable once it is synced', async () => {
    const system = new Directories({})
    await syncDirectory('log', system)
    expect(system.calls).toEqual(['open', 'sync', 'close'])
  })

  it('need no sync on Windows, which has none for directories', async () => {
    const system = new Directories({ platform: 'win32' })
    await syncDirectory('log', system)
    expect(system.calls).toEqual([])
  })

  it.each(['EINVAL', 'ENOTSUP'])('are left to a file system that cannot sync directories (%s)', async (sync) => {
    const system = new Directories({ sync })
    await syncDirectory('log', system)
    expect(system.calls).toEqual(['open', 'sync', 'close'])
  })

  it('are left to the system in a directory that may be written to and not read', async () => {
    await syncDirectory('log', new Directories({ open: 'EACCES' }))
  })

  it.each([{ sync: 'EIO' }, { sync: 'ENOSPC' }, { open: 'EMFILE' }, { open: 'ENOENT' }])(
    'are not taken for durable after any other failure (%j)',
    async (refusals) => {
      const system = new Directories(refusals)
      await expect(syncDirectory('log', system)).rejects.toMatchObject({ code: refusals.sync ?? refusals.open })
      expect(system.calls.at(-1)).toBe('open' in refusals ? 'open' : 'close')
    },
  )
})

describe('a directory that is made', () => {
  let root: string

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'actorum-directories-'))
  })

  afterEach(() => rm(root, { recursive: true, force: true }))

  /** Makes it, and gives the directories that were synced. */
  async function syncedBy(path: string): Promise<string[]> {
    const synced: string[] = []
    const open = async (opened: string) => ({
      sync: async (): Promise<void> => void synced.push(opened),
      close: async (): Promise<void> => undefined,
    })
    await makeDirectory(path, { platform: 'linux', open })
    expect((await stat(path)).isDirectory()).toBe(true)
    return synced
  }

  it('has its name made durable, and so has each that was missing on the way', async () => {
    const [first, second, third] = [join(root, 'a'), join(root, 'a', 'b'), join(root, 'a', 'b', 'c')]
    expect(await syncedBy(third)).toEqual([root, first, second])
    expect(await syncedBy(third)).toEqual([])
    expect(await syncedBy(join(second, 'd'))).toEqual([second])
  })

  it('may be made by others at the same time', async () => {
    const path = join(root, 'a', 'b', 'c')
    await Promise.all(Array.from({ length: 8 }, () => makeDirectory(path)))
    expect((await stat(path)).isDirectory()).toBe(true)
  })

  it('is refused where there is a file, or on the way to it', async () => {
    const file = join(root, 'file')
    await writeFile(file, '')
    await mkdir(join(root, 'a'))
    for (const path of [file, join(file, 'a'), join(root, 'a', '..', 'file', 'a', 'b')]) {
      await expect(makeDirectory(path)).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
      await expect(makeDirectory(path)).rejects.toThrow(/cannot be created: (ENOTDIR|EEXIST)/)
    }
    expect((await stat(dirname(file))).isDirectory()).toBe(true)
  })
})

/** A file that another program holds for so many attempts, on a system where waiting takes no time. */
class HeldFile {
  attempts = 0
  readonly waits: number[] = []
  readonly #heldFor: number
  readonly #code: string

  constructor(heldFor: number, code = 'EBUSY') {
    this.#heldFor = heldFor
    this.#code = code
  }

  readonly rename = async (): Promise<void> => {
    if (++this.attempts <= this.#heldFor) await failing(this.#code)
  }

  on(platform: string): PatienceSystem {
    return { platform, wait: async (delayMs) => void this.waits.push(delayMs) }
  }
}

describe('a file that another program has open', () => {
  it.each(['EACCES', 'EBUSY', 'EPERM'])('is renamed once that lets go of it, on Windows (%s)', async (code) => {
    const file = new HeldFile(3, code)
    await patiently(file.rename, file.on('win32'))
    expect(file).toMatchObject({ attempts: 4, waits: [10, 30, 100] })
  })

  it('is given up after some seconds', async () => {
    const file = new HeldFile(100)
    await expect(patiently(file.rename, file.on('win32'))).rejects.toMatchObject({ code: 'EBUSY' })
    const waited = file.waits.reduce((sum, delayMs) => sum + delayMs, 0)
    expect(waited).toBeGreaterThan(2000)
    expect(waited).toBeLessThan(10_000)
  })

  it('is not waited for elsewhere, or when something else is wrong', async () => {
    const elsewhere = new HeldFile(1)
    await expect(patiently(elsewhere.rename, elsewhere.on('linux'))).rejects.toMatchObject({ code: 'EBUSY' })
    const gone = new HeldFile(1, 'ENOENT')
    await expect(patiently(gone.rename, gone.on('win32'))).rejects.toMatchObject({ code: 'ENOENT' })
    expect([elsewhere.waits, gone.waits]).toEqual([[], []])
  })
})
