import { mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type EmbeddedEngine, verifyDataDir } from '../../src/index.js'
import { damageAtOpen, isDamage } from '../../src/storage/level-faults.js'
import { EnginePlace, text } from './engine-place.js'

let place: EnginePlace
let folder: string

beforeEach(async () => {
  place = await EnginePlace.make()
  folder = join(place.directory(1), 'log', 'log')
})

afterEach(() => place.dispose())

async function started(): Promise<EmbeddedEngine> {
  const engine = await place.start({ logStore: 'level' })
  await engine.ready()
  return engine
}

/** A directory that an engine has left, with a table: what was only in LevelDB's log becomes one when it is opened. */
async function written(): Promise<void> {
  const engine = await started()
  await engine.client.put('key', 'value')
  await engine.stop()
  await (await started()).stop()
}

async function named(pattern: RegExp): Promise<string> {
  const name = (await readdir(folder)).find((name) => pattern.test(name))
  return join(folder, name ?? 'none')
}

async function flip(path: string, offset: number, mask: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[offset]! ^= mask
  await writeFile(path, bytes)
}

async function everyTable(harm: (path: string) => Promise<void>): Promise<void> {
  const tables = (await readdir(folder)).filter((name) => name.endsWith('.ldb'))
  for (const name of tables) await harm(join(folder, name))
}

describe('a directory of Level, of whose own files', () => {
  const harms: readonly [string, () => Promise<void>][] = [
    ['CURRENT has a bit flipped in its name', () => flip(join(folder, 'CURRENT'), 3, 1)],
    ['CURRENT has its newline flipped', () => flip(join(folder, 'CURRENT'), 15, 1)],
    ['CURRENT is emptied', () => truncate(join(folder, 'CURRENT'), 0)],
    ['CURRENT names nothing', () => writeFile(join(folder, 'CURRENT'), '\n')],
    ['CURRENT names more than a name can hold', () => writeFile(join(folder, 'CURRENT'), `${'x'.repeat(300)}\n`)],
    ['CURRENT is gone', () => rm(join(folder, 'CURRENT'))],
    ['the MANIFEST is gone', async () => rm(await named(/^MANIFEST/))],
    ['the MANIFEST is emptied', async () => truncate(await named(/^MANIFEST/), 0)],
    ['a table is gone', () => everyTable(rm)],
    ['a table is cut short', () => everyTable((path) => truncate(path, 10))],
    ['a table is emptied', () => everyTable((path) => truncate(path, 0))],
  ]
  for (const [what, harm] of harms) {
    it(`${what}, is damaged: verifyDataDir reports it, and the server does not start, and says what to do`, async () => {
      await written()
      await harm()
      const before = await readdir(folder)
      const { ok, findings } = await verifyDataDir(place.directory(1))
      expect(ok).toBe(false)
      expect(findings).toMatchObject([
        { kind: 'damage', message: expect.stringMatching(/LevelDB (reports|has lost)/) as string },
      ])
      expect(findings[0]?.message).not.toContain('actorum-verify-')
      expect(await readdir(folder)).toEqual(before)
      const advice = /is damaged: LevelDB .* remove it from the cluster and let it join anew/
      await expect(place.start()).rejects.toMatchObject({
        code: 'CORRUPT',
        message: expect.stringMatching(advice) as string,
      })
      // Whoever keeps it as it is, as advised, still has all that was left.
      const tables = before.filter((name) => name.endsWith('.ldb'))
      expect(await readdir(folder)).toEqual(expect.arrayContaining(tables))
      await expect(place.start()).rejects.toMatchObject({ code: 'CORRUPT' })
    })
  }
})

describe('a directory of Level that is not damaged', () => {
  it.each([
    ['whose folder is empty', []],
    ['where LevelDB had not yet written its CURRENT', ['LOCK', 'LOG', 'MANIFEST-000001', '000001.dbtmp']],
  ])('%s, is begun', async (_, names) => {
    await mkdir(folder, { recursive: true })
    for (const name of names) await writeFile(join(folder, name), '')
    const engine = await started()
    await engine.client.put('key', 'value')
    expect(text(await engine.client.get('key'))).toBe('value')
  })

  it('but cannot be begun, has a disk that fails', async () => {
    await mkdir(folder, { recursive: true })
    await symlink(join(place.root, 'nowhere', 'MANIFEST'), join(folder, 'MANIFEST-000001'))
    await expect(place.start()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  })

  it('is in use, and refused for that, whatever else is wrong with it', async () => {
    await started()
    await rm(join(folder, 'CURRENT'))
    await expect(place.start()).rejects.toMatchObject({ code: 'LOCKED' })
    await expect(verifyDataDir(place.directory(1))).rejects.toMatchObject({ code: 'LOCKED' })
  })
})

describe('what the system says to LevelDB', () => {
  const begun = ['CURRENT', 'LOCK', '000005.ldb', '000007.log', 'MANIFEST-000006']
  const said = (path: string, why: string): Error =>
    Object.assign(new Error(`IO error: ${path}: ${why}`), { code: 'LEVEL_IO_ERROR' })

  it.each([
    'No space left on device',
    'Input/output error',
    'Permission denied',
    'Too many open files',
    'Read-only file system',
    'Cannot allocate memory',
  ])('is no damage where it is: %s', (why) => {
    for (const path of begun) {
      expect(isDamage(said(path, why))).toBe(false)
      expect(damageAtOpen(said(path, why), begun)).toBeUndefined()
    }
  })

  it.each([
    ['D:\\data\\MANIFEST-000006', ': The system cannot find the file specified.\r\n'],
    ['D:\\data\\000005.ldb', ''],
  ])('is damage in the words of Windows too: %s%s', (path, why) => {
    const error = Object.assign(new Error(`IO error: ${path}${why}`), { code: 'LEVEL_IO_ERROR' })
    expect(damageAtOpen(error, begun)).toContain('LevelDB reports')
  })

  it('is no damage where a file cannot be made in a folder that has gone from under a server', () => {
    expect(isDamage(said('/gone/000008.log', 'No such file or directory'))).toBe(false)
  })

  it('is no damage where a file system cannot do what LevelDB asks of it', () => {
    expect(damageAtOpen(said('/data/MANIFEST-000006', 'Invalid argument'), begun)).toBeUndefined()
  })
})
