import { createWriteStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type EmbeddedEngine,
  forceNewCluster,
  type ForceOptions,
  restoreBackup,
  type RestoreOptions,
  verifyDataDir,
} from '../../src/index.js'
import { SegmentFiles } from '../../src/storage/file/segment-files.js'
import { FileSnapshotStore } from '../../src/storage/file-snapshot-store.js'
import { EnginePlace, freeAddress, text } from './engine-place.js'
import { isSettled, JoinedServers, leaderAmong, votersOf } from './joined-servers.js'
import { until } from './websocket-subject.js'

const KINDS = ['file', 'level'] as const

/** What a caller without types may give. */
const untyped = <Wanted>(given: unknown): Wanted => given as Wanted

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(() => {
  vi.restoreAllMocks()
  return place.dispose()
})

function code(expected: string): unknown {
  return expect.objectContaining({ code: expected })
}

/** A lone server that has been written to; its newest write is `newest`, and nothing is written by itself after it. */
async function written(logStore?: (typeof KINDS)[number]): Promise<EmbeddedEngine> {
  const engine = await place.start({ logStore })
  await engine.ready()
  await until(() => engine.status().members.every(({ storeId }) => storeId !== undefined), 'its directory is recorded')
  for (let at = 0; at < 20; at++) await engine.client.put(`key-${at}`, `value ${at}`)
  await engine.client.put('newest', 'before the backup')
  return engine
}

async function backedUp(): Promise<string> {
  const engine = await written()
  const from = join(place.root, 'backup')
  await engine.backup(from)
  await engine.client.put('newest', 'after the backup')
  await engine.stop()
  return from
}

/** And much more is written after it; `seen` is the revision of the last of that. */
async function backedUpAndWrittenTo(): Promise<{ readonly from: string; readonly seen: number }> {
  const from = await backedUp()
  const engine = await place.start()
  await engine.ready()
  for (let at = 0; at < 20; at++) await engine.client.put('newest', `lost ${at}`)
  const { revision: seen } = await engine.client.put('newest', 'lost')
  await engine.stop()
  return { from, seen }
}

/** Changes one byte of a file, counted from its middle. */
async function damage(path: string, from = 0): Promise<void> {
  const bytes = await readFile(path)
  const at = Math.floor(bytes.length / 2) + from
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
  await writeFile(path, bytes)
}

/** Every file below, with its bytes. */
async function contentsOf(directory: string): Promise<Map<string, string>> {
  const contents = new Map<string, string>()
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) contents.set(path, (await readFile(path)).toString('base64'))
  }
  return contents
}

async function snapshotIn(dataDir: string): Promise<string> {
  const names = await readdir(join(dataDir, 'snapshots'))
  return join(dataDir, 'snapshots', names.find((name) => name.endsWith('.complete')) ?? '')
}

describe('a backup', () => {
  it('goes to a file that appears once it is whole, and replaces an older one', async () => {
    const engine = await written()
    const target = join(place.root, 'backup')
    await writeFile(target, 'an older one')
    const { index, byteLength, clusterId } = await engine.backup(target)
    expect(index).toBeLessThanOrEqual(engine.status().lastApplied)
    expect(clusterId).toBe(engine.status().clusterId)
    expect((await readFile(target)).length).toBe(byteLength)
    expect((await readdir(place.root)).filter((name) => name.startsWith('backup'))).toEqual(['backup'])
  })

  it('takes away what an earlier one of that name left unfinished, and nothing else', async () => {
    const engine = await written()
    const target = join(place.root, 'backup')
    const ofAnother = `other.unfinished-${'0'.repeat(32)}`
    for (const name of [`backup.unfinished-${'0'.repeat(32)}`, ofAnother, 'backup.unfinished-of-mine']) {
      await writeFile(join(place.root, name), 'cut short')
      await utimes(join(place.root, name), 1, 1)
    }
    const ofNow = `backup.unfinished-${'1'.repeat(32)}`
    await writeFile(join(place.root, ofNow), 'another is at it')
    await utimes(join(place.root, ofNow), new Date(), new Date(Date.now() + 60_000))
    await engine.backup(target)
    const names = ['backup', ofNow, 'backup.unfinished-of-mine', ofAnother, 'server-1']
    expect((await readdir(place.root)).sort()).toEqual(names)
  })

  it('goes to a stream, which is left open, with the same bytes', async () => {
    const engine = await written()
    const target = join(place.root, 'streamed')
    const stream = createWriteStream(target)
    await until(() => isSettled(engine), 'the leader adds nothing by itself any more')
    await engine.backup(stream)
    expect(stream.writable).toBe(true)
    await new Promise((resolve) => stream.end(resolve))
    await engine.backup(join(place.root, 'filed'))
    expect(await readFile(target)).toEqual(await readFile(join(place.root, 'filed')))
  })

  it('is made while writes go on', async () => {
    const engine = await written()
    const [{ index }] = await Promise.all([
      engine.backup(join(place.root, 'backup')),
      ...Array.from({ length: 100 }, (_, at) => engine.client.put(`key-${at}`, 'during')),
    ])
    await engine.stop()
    const { index: restored } = await restoreBackup({ from: join(place.root, 'backup'), dataDir: place.directory(2) })
    expect(restored).toBe(index)
  })

  it('has every write that was answered before it was asked for, though a snapshot was under way', async () => {
    const engine = await place.start({ snapshotChunkBytes: 1024 })
    await engine.ready()
    for (let at = 0; at < 40; at++) await engine.client.put(`large-${at}`, 'x'.repeat(10_000))
    const earlier = engine.snapshot()
    const { revision } = await engine.client.put('newest', 'answered')
    const from = join(place.root, 'backup')
    const backup = await engine.backup(from)
    expect(backup.index).toBeGreaterThanOrEqual(revision)
    expect((await earlier).index).toBeLessThan(revision)
  })

  it('has every write from before a restart as soon as the server is ready again, as eventual reads do', async () => {
    const before = await place.start()
    await before.ready()
    await Promise.all(Array.from({ length: 5000 }, (_, at) => before.client.put(`key-${at}`, 'x'.repeat(100))))
    const { revision } = await before.client.put('newest', 'answered')
    await before.stop()
    const engine = await place.start()
    await engine.ready()
    expect(await engine.client.getEventual('newest')).toBeDefined()
    expect((await engine.backup(join(place.root, 'backup'))).index).toBeGreaterThanOrEqual(revision)
    expect((await engine.snapshot()).index).toBeGreaterThanOrEqual(revision)
  })

  it('is refused where the snapshot of it is damaged, and the next one is made of another', async () => {
    const engine = await written()
    await until(() => isSettled(engine), 'the leader adds nothing by itself any more')
    const { index } = await engine.snapshot()
    await damage(await snapshotIn(place.directory(1)))
    const target = join(place.root, 'backup')
    await expect(engine.backup(target)).rejects.toEqual(code('CORRUPT'))
    expect(engine.isLeader).toBe(true)
    expect(await engine.backup(target)).toMatchObject({ index })
    await engine.stop()
    expect(await restoreBackup({ from: target, dataDir: place.directory(2) })).toMatchObject({ index })
  })

  it('is refused where it cannot be written, and leaves nothing behind', async () => {
    const engine = await written()
    await mkdir(join(place.root, 'taken'))
    await expect(engine.backup(join(place.root, 'taken'))).rejects.toEqual(code('STORAGE_FAILED'))
    await expect(engine.backup(join(place.root, 'nowhere', 'backup'))).rejects.toEqual(code('STORAGE_FAILED'))
    await expect(engine.backup('')).rejects.toEqual(code('INVALID_ARGUMENT'))
    const full = { write: (_: Uint8Array, done: (error: Error) => void) => done(new Error('no space')) }
    await expect(engine.backup(full)).rejects.toThrow(/no space/)
    const cause = new Error('torn down')
    const broken = {
      write() {
        throw cause
      },
    }
    const refusal = await engine.backup(broken).catch((error: unknown) => error)
    expect(refusal).toMatchObject({ name: 'ActorumError', code: 'STORAGE_FAILED', cause })
    expect((await readdir(place.root)).sort()).toEqual(['server-1', 'taken'])
  })

  it('fails with its stream and takes nobody else along: a failed one ends neither process nor server', async () => {
    const engine = await written()
    const nowhere = createWriteStream(join(place.root, 'nowhere', 'backup'))
    await expect(engine.backup(nowhere)).rejects.toMatchObject({ code: 'STORAGE_FAILED', cause: { code: 'ENOENT' } })
    // Its write calls back with the error, and `error` comes once the file is closed.
    const full = new Writable({
      write: (_bytes, _encoding, done) => done(new Error('no space')),
      destroy: (error, done) => void setTimeout(() => done(error), 50),
    })
    const closed = new Promise((resolve) => full.once('close', resolve))
    await expect(engine.backup(full)).rejects.toThrow(/no space/)
    await closed
    const ended = new PassThrough().end()
    await expect(engine.backup(ended)).rejects.toThrow(/write after end/)
    for (const stream of [nowhere, full, ended]) {
      await until(() => stream.listenerCount('error') + stream.listenerCount('close') === 0, 'it is let go of')
    }
    await engine.client.put('key', 'the server goes on')
  })

  it('fails with a stream that is destroyed, before or in the midst of it, and calls nobody back', async () => {
    const engine = await written()
    const destroyed = new PassThrough().destroy()
    await expect(engine.backup(destroyed)).rejects.toEqual(code('STORAGE_FAILED'))
    const silent = new Writable({ write: () => void silent.destroy() })
    await expect(engine.backup(silent)).rejects.toThrow(/the stream was closed/)
    for (const stream of [destroyed, silent]) {
      await until(() => stream.listenerCount('error') + stream.listenerCount('close') === 0, 'it is let go of')
    }
  })

  it('listens to its stream while it goes on, from the call on, and no longer', async () => {
    const engine = await written()
    const stream = new PassThrough().resume()
    const before = stream.eventNames()
    const backup = engine.backup(stream)
    expect(stream.listenerCount('error')).toBe(1)
    await backup
    expect(stream.eventNames()).toEqual(before)
    const early = new PassThrough()
    const refused = engine.backup(early)
    early.destroy(new Error('before the first byte'))
    await expect(refused).rejects.toThrow(/before the first byte/)
    await engine.stop()
    const late = new PassThrough()
    await expect(engine.backup(late)).rejects.toEqual(code('STOPPED'))
    expect(late.listenerCount('error')).toBe(0)
  })
})

describe('what is for disasters', () => {
  const noOptions = [undefined, null, 5, 'x', [], {}, { dataDir: 5 }].map((given) => ({ given }))

  it.each(noOptions)('refuses options that are none ($given)', async ({ given }) => {
    const options = untyped<RestoreOptions & ForceOptions>(given)
    await expect(restoreBackup(options)).rejects.toEqual(code('INVALID_ARGUMENT'))
    await expect(forceNewCluster(options)).rejects.toEqual(code('INVALID_ARGUMENT'))
  })

  it('refuses options that mean nothing to it', async () => {
    const dataDir = place.directory(1)
    const restore = { from: 'backup', dataDir, members: [{ id: 1, address: 'a:1' }] }
    await expect(restoreBackup(restore)).rejects.toThrow(/no "members"/)
    const force = { dataDir, logStore: 'file', iUnderstandThatWritesMayBeLost: true } as const
    await expect(forceNewCluster(force)).rejects.toThrow(/no "logStore"/)
  })

  it('refuses to note an address that nobody can dial', async () => {
    const options = { dataDir: place.directory(1), listen: '0.0.0.0:9081' }
    const refusal = /nobody can dial that; name the one at which others reach this server there, or none$/
    await expect(restoreBackup({ from: 'backup', ...options })).rejects.toThrow(refusal)
    await expect(forceNewCluster({ iUnderstandThatWritesMayBeLost: true, ...options })).rejects.toThrow(refusal)
  })

  it('refuses to look at what is no path', async () => {
    for (const given of [undefined, null, 5, '', '\0', {}]) {
      const refusal: unknown = await verifyDataDir(untyped(given)).catch((error: unknown) => error)
      expect(refusal).toEqual(code('INVALID_ARGUMENT'))
      expect(refusal).toMatchObject({ message: expect.stringContaining('must be the path') as string })
    }
  })
})

describe('restoreBackup', () => {
  it.each(KINDS)('makes a new cluster of one, with the state of the backup, on a %s log', async (logStore) => {
    const from = await backedUp()
    const former = (await verifyDataDir(place.directory(1))).clusterId
    const dataDir = place.directory(7)
    const restored = await restoreBackup({ from, dataDir, id: 7, logStore })
    expect(restored.formerClusterId).toBe(former)
    expect(restored.clusterId).not.toBe(former)
    const engine = await place.start({ dataDir, id: 7, logStore })
    await engine.ready()
    expect(text(await engine.client.get('newest'))).toBe('before the backup')
    expect(engine.status()).toMatchObject({ clusterId: restored.clusterId, storeId: restored.storeId })
    expect((await verifyDataDir(place.directory(1))).ok).toBe(true)
  })

  it('lets terms only rise, and revisions beyond those of writes that the backup lacks', async () => {
    const { from, seen } = await backedUpAndWrittenTo()
    const dataDir = place.directory(2)
    const { index, revision } = await restoreBackup({ from, dataDir })
    expect(index).toBeLessThan(seen)
    expect(revision).toBe(index + 1e12)
    const engine = await place.start({ dataDir })
    await engine.ready()
    expect((await engine.client.put('key', 'value')).revision).toBeGreaterThan(revision)
    expect(engine.term).toBeGreaterThan(1)
    // And through the next one.
    await engine.backup(join(place.root, 'again'))
    const again = await restoreBackup({ from: join(place.root, 'again'), dataDir: place.directory(3) })
    expect(again.revision).toBeGreaterThan(2e12)
  })

  it('tells who goes on from a revision of before that it is no longer kept', async () => {
    const { from, seen } = await backedUpAndWrittenTo()
    const dataDir = place.directory(2)
    const { index } = await restoreBackup({ from, dataDir })
    const engine = await place.start({ dataDir })
    await engine.ready()
    for (const revision of [index, seen]) {
      await expect(engine.client.get('newest', { revision })).rejects.toEqual(code('COMPACTED'))
      const watch = engine.client.watch('newest', { fromRevision: revision })
      await expect(watch[Symbol.asyncIterator]().next()).rejects.toEqual(code('COMPACTED'))
    }
    expect(text(await engine.client.get('newest'))).toBe('before the backup')
  })

  it('keeps the past where nothing was written after the backup, if it is told so', async () => {
    const from = await backedUp()
    const dataDir = place.directory(2)
    const { index, revision } = await restoreBackup({ from, dataDir, revisionsAhead: 0 })
    expect(revision).toBe(index)
    const engine = await place.start({ dataDir })
    await engine.ready()
    expect(text(await engine.client.get('newest', { revision: index }))).toBe('before the backup')
  })

  it.each([-1, 1.5, '5', 1e15 + 2, null])('refuses %o as revisionsAhead', async (given) => {
    const from = await backedUp()
    const dataDir = place.directory(2)
    const refusal = { code: 'INVALID_ARGUMENT', message: expect.stringContaining('revisionsAhead is') as string }
    const revisionsAhead = untyped<number>(given)
    await expect(restoreBackup({ from, dataDir, revisionsAhead })).rejects.toMatchObject(refusal)
    const iUnderstandThatWritesMayBeLost = true
    const forced = forceNewCluster({ dataDir: place.directory(1), iUnderstandThatWritesMayBeLost, revisionsAhead })
    await expect(forced).rejects.toMatchObject(refusal)
  })

  it('is the beginning of a cluster of three, which servers of the former one cannot enter', async () => {
    const from = await backedUp()
    const dataDir = place.directory('restored')
    const listen = await freeAddress()
    await restoreBackup({ from, dataDir, id: 1, listen })
    const one = await place.start({ dataDir, listen, promotionAfterMs: 0 })
    const joining = { join: [listen], promotionAfterMs: 0 }
    for (const id of [2, 3]) {
      await place.start({ id, dataDir: place.directory(id), listen: await freeAddress(), ...joining })
    }
    await until(() => votersOf(one).length === 3, 'three servers vote')
    expect(text(await one.client.get('newest'))).toBe('before the backup')
    await place.start({ listen: await freeAddress(), join: [listen] })
    const isTold = (): boolean =>
      place.notices.some(({ message }) => /belongs to cluster|this is cluster/.test(message))
    await until(isTold, 'the former server is refused')
    expect(votersOf(one)).toEqual([1, 2, 3])
  })

  it('refuses a damaged backup before it makes anything', async () => {
    const from = await backedUp()
    await damage(from)
    const dataDir = place.directory(2)
    await expect(restoreBackup({ from, dataDir, id: 2 })).rejects.toEqual(code('CORRUPT'))
    await writeFile(from, (await readFile(from)).subarray(0, 100))
    await expect(restoreBackup({ from, dataDir, id: 2 })).rejects.toEqual(code('CORRUPT'))
    await writeFile(from, 'something else')
    await expect(restoreBackup({ from, dataDir, id: 2 })).rejects.toEqual(code('CORRUPT'))
    await expect(restoreBackup({ from: `${from}-2`, dataDir, id: 2 })).rejects.toEqual(code('INVALID_ARGUMENT'))
    expect(await readdir(place.root)).not.toContain('server-2')
  })

  it('refuses a directory that is not empty, and the id of the former cluster', async () => {
    const from = await backedUp()
    const before = await contentsOf(place.directory(1))
    await expect(restoreBackup({ from, dataDir: place.directory(1) })).rejects.toThrow(/is not empty/)
    const { clusterId = '' } = await verifyDataDir(place.directory(1))
    await expect(restoreBackup({ from, dataDir: place.directory(2), clusterId })).rejects.toEqual(
      code('INVALID_ARGUMENT'),
    )
    expect(await contentsOf(place.directory(1))).toEqual(before)
  })

  it('that was cut short can be done again, and no engine starts on what it left', async () => {
    const from = await backedUp()
    const dataDir = place.directory(2)
    await mkdir(join(dataDir, 'unfinished', 'snapshots'), { recursive: true })
    await expect(place.start({ dataDir, id: 2 })).rejects.toThrow(/was not finished/)
    await restoreBackup({ from, dataDir, id: 2 })
    expect((await verifyDataDir(dataDir)).ok).toBe(true)
  })

  it.each([['log'], ['log', 'snapshots']])(
    'that was cut short after %s had its place can be done again',
    async (...has) => {
      const from = await backedUp()
      const dataDir = place.directory(2)
      await restoreBackup({ from, dataDir, id: 2 })
      await mkdir(join(dataDir, 'unfinished'))
      await writeFile(join(dataDir, 'unfinished', 'restored'), '')
      if (!has.includes('snapshots')) await rename(join(dataDir, 'snapshots'), join(dataDir, 'unfinished', 'snapshots'))
      await expect(place.start({ dataDir, id: 2 })).rejects.toThrow(/was not finished; do that again/)
      const { storeId } = await restoreBackup({ from, dataDir, id: 2 })
      expect(await verifyDataDir(dataDir)).toMatchObject({ ok: true, findings: [], storeId })
      expect((await readdir(dataDir)).sort()).toEqual(['log', 'snapshots'])
    },
  )

  it('leaves alone what is no restore of its own', async () => {
    const from = await backedUp()
    const dataDir = place.directory(1)
    await mkdir(join(dataDir, 'unfinished'))
    await expect(restoreBackup({ from, dataDir })).rejects.toThrow(/all was done but to delete it/)
    await mkdir(join(dataDir, 'unfinished', 'log'))
    await expect(restoreBackup({ from, dataDir })).rejects.toThrow(/name a new one/)
    await writeFile(join(dataDir, 'unfinished', 'restored'), '')
    const before = await contentsOf(dataDir)
    await expect(restoreBackup({ from, dataDir })).rejects.toThrow(/name a new one/)
    expect(await contentsOf(dataDir)).toEqual(before)
  })
})

describe('SCENARIO: a majority is lost for good', () => {
  it.each(KINDS)('its survivor becomes a cluster by itself, and grows again, on a %s log', async (logStore) => {
    const servers = await JoinedServers.make()
    try {
      const engines = await servers.grown(3, { logStore })
      const survivor = engines.find(({ isLeader }) => !isLeader)!
      const { revision } = await leaderAmong(engines).client.put('key', 'value')
      await until(() => survivor.status().lastApplied >= revision, 'the survivor has it')
      await Promise.all(engines.map((engine) => engine.stop()))
      const { id } = survivor
      const dataDir = servers.place.directory(id)
      const listen = await servers.addressOf(id)
      const iUnderstandThatWritesMayBeLost = true as const
      const { log } = servers.place
      const forced = await forceNewCluster({ dataDir, id, listen, log, iUnderstandThatWritesMayBeLost })
      expect(forced.formerMembers.map((member) => member.id).sort()).toEqual([1, 2, 3].filter((other) => other !== id))
      expect(forced.lastIndex).toBeGreaterThanOrEqual(revision)
      expect(forced.revision).toBe(forced.lastIndex + 1e12)
      expect(servers.isTold('it cannot be told which had been committed')).toBe(true)
      const alone = await servers.place.start({ id, dataDir, listen, logStore, promotionAfterMs: 0 })
      await alone.ready()
      expect(text(await alone.client.get('key'))).toBe('value')
      expect((await alone.client.put('next', 'value')).revision).toBeGreaterThan(forced.revision)
      expect(alone.status().clusterId).toBe(forced.clusterId)
      const joined = await servers.join(4, { join: [listen], logStore })
      await until(() => votersOf(joined).length === 2, 'another server votes')
      await until(() => joined.status().clusterId === forced.clusterId, 'it knows the new cluster, not the former')
    } finally {
      await servers.place.dispose()
    }
  })

  it('a former member that comes back is not heard', async () => {
    const servers = await JoinedServers.make()
    try {
      const engines = await servers.grown(2)
      await Promise.all(engines.map((engine) => engine.stop()))
      const [dataDir, listen] = [servers.place.directory(1), await servers.addressOf(1)]
      await forceNewCluster({ dataDir, id: 1, listen, log: servers.place.log, iUnderstandThatWritesMayBeLost: true })
      const one = await servers.place.start({ dataDir, listen })
      await one.ready()
      const two = await servers.join(2)
      await until(() => servers.isTold('server 2 is not a member known here'), 'it is refused')
      expect(votersOf(one)).toEqual([1])
      expect(two.leaderId).toBeUndefined()
    } finally {
      await servers.place.dispose()
    }
  })

  it('needs the words, the right server, and a directory that nobody has open', async () => {
    const engine = await written()
    const dataDir = place.directory(1)
    const sure = { iUnderstandThatWritesMayBeLost: true } as const
    await expect(forceNewCluster({ dataDir, ...sure })).rejects.toEqual(code('LOCKED'))
    await engine.stop()
    const before = await readdir(dataDir)
    const unsure = Object.assign({ dataDir, ...sure }, { iUnderstandThatWritesMayBeLost: 'perhaps' })
    await expect(forceNewCluster(unsure)).rejects.toEqual(code('INVALID_ARGUMENT'))
    await expect(forceNewCluster({ dataDir, id: 2, ...sure })).rejects.toThrow(/belongs to server 1/)
    await expect(forceNewCluster({ dataDir: place.directory(9), ...sure })).rejects.toThrow(/holds no log/)
    expect(await readdir(dataDir)).toEqual(before)
  })

  it('keeps what was there, and refuses what is damaged', async () => {
    const engine = await written('file')
    await engine.stop()
    const dataDir = place.directory(1)
    const kept = await contentsOf(join(dataDir, 'log', 'segments'))
    const { log } = place
    const { keptIn } = await forceNewCluster({ dataDir, log, iUnderstandThatWritesMayBeLost: true })
    expect([...(await contentsOf(join(keptIn, 'log', 'segments'))).values()]).toEqual([...kept.values()])
    await damage(await snapshotIn(dataDir))
    const again = forceNewCluster({ dataDir, log, iUnderstandThatWritesMayBeLost: true })
    await expect(again).rejects.toEqual(code('CORRUPT'))
  })
})

describe('forceNewCluster', () => {
  const sure = { iUnderstandThatWritesMayBeLost: true } as const

  /** The directory of a server that is stopped, and where its former log would be kept. */
  async function survived(): Promise<{ readonly dataDir: string; readonly former: string; readonly folder: string }> {
    const engine = await written()
    const { storeId } = engine.status()
    await engine.stop()
    const dataDir = place.directory(1)
    return { dataDir, former: join(dataDir, `former-${storeId}`), folder: join(dataDir, 'unfinished') }
  }

  /** As an attempt has left a directory that was cut short between two renames. */
  async function cutShort(dataDir: string, former: string, folder: string, moved: readonly string[]): Promise<void> {
    for (const part of ['log', 'snapshots']) await mkdir(join(folder, part), { recursive: true })
    await mkdir(former)
    for (const part of moved) await rename(join(dataDir, part), join(former, part))
  }

  it.each([
    { moved: [], advice: 'delete the folder' },
    { moved: ['log'], advice: 'move log from' },
    { moved: ['log', 'snapshots'], advice: 'move log and snapshots from' },
  ])('succeeds once its advice is followed, where it was cut short with $moved moved', async ({ moved, advice }) => {
    const { dataDir, former, folder } = await survived()
    const older = join(dataDir, 'former-0')
    for (const part of ['log', 'snapshots']) await mkdir(join(older, part), { recursive: true })
    await utimes(older, 1, 1)
    await cutShort(dataDir, former, folder, moved)
    const refusal = await forceNewCluster({ dataDir, log: place.log, ...sure }).catch((error: unknown) => error)
    expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(advice) as string })
    if (moved.length > 0) expect(String(refusal)).toContain(`${advice} ${former} to ${dataDir}, then`)
    expect(String(refusal)).toContain(`delete the folder ${folder}, and call again`)
    for (const part of moved) await rename(join(former, part), join(dataDir, part))
    await rm(folder, { recursive: true })
    expect((await verifyDataDir(dataDir)).findings).toContainEqual({
      kind: 'note',
      message: expect.stringMatching(/^former-[0-9a-f]{32} is empty, and of no use/) as string,
    })
    expect(await forceNewCluster({ dataDir, log: place.log, ...sure })).toMatchObject({ keptIn: former })
  })

  it('is told to move back what is left, where its advice was followed by half', async () => {
    const { dataDir, former, folder } = await survived()
    const newer = join(dataDir, 'former-0')
    await cutShort(dataDir, former, folder, ['log', 'snapshots'])
    for (const part of ['log', 'snapshots']) await mkdir(join(newer, part), { recursive: true })
    await rename(join(former, 'log'), join(dataDir, 'log'))
    const advice = `move snapshots from ${former} to ${dataDir}, then delete the folder ${folder}, and call again`
    await expect(forceNewCluster({ dataDir, ...sure })).rejects.toThrow(advice)
  })

  it('that was cut short while the new parts get their places is done once the second has its own', async () => {
    const { dataDir, former, folder } = await survived()
    await forceNewCluster({ dataDir, log: place.log, ...sure })
    await mkdir(folder)
    await rename(join(dataDir, 'snapshots'), join(folder, 'snapshots'))
    const advice = `move snapshots from ${folder} to ${dataDir}, then delete ${folder}: the new cluster is made`
    await expect(forceNewCluster({ dataDir, ...sure })).rejects.toThrow(advice)
    await rename(join(folder, 'snapshots'), join(dataDir, 'snapshots'))
    await expect(forceNewCluster({ dataDir, ...sure })).rejects.toThrow(`delete the folder ${folder}, which is empty`)
    expect(await readdir(former)).toEqual(['log', 'snapshots'])
  })

  it('says what to do when a rename fails half-way, and succeeds after that', async () => {
    const { dataDir, former, folder } = await survived()
    // Put there once all has been looked at, it is in the way of the former snapshots.
    const close = vi.spyOn(FileSnapshotStore.prototype, 'close').mockImplementationOnce((callback) => {
      void mkdir(join(former, 'snapshots', 'another'), { recursive: true }).then(() => callback(undefined))
    })
    await expect(forceNewCluster({ dataDir, ...sure })).rejects.toMatchObject({
      code: 'STORAGE_FAILED',
      message: expect.stringContaining(
        `move log from ${former} to ${dataDir}, then delete the folder ${folder}, and call again`,
      ) as string,
    })
    close.mockRestore()
    await rename(join(former, 'log'), join(dataDir, 'log'))
    await rm(folder, { recursive: true })
    const inTheWay = `the folder ${former}, where the former log is to be kept, is not empty; move it elsewhere`
    await expect(forceNewCluster({ dataDir, ...sure })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(inTheWay) as string,
    })
    expect(await readdir(dataDir)).not.toContain('unfinished')
    await rm(former, { recursive: true })
    await forceNewCluster({ dataDir, log: place.log, ...sure })
  })

  it('takes away what it made when what it read cannot be closed', async () => {
    const { dataDir } = await survived()
    const close = vi.spyOn(FileSnapshotStore.prototype, 'close')
    close.mockImplementationOnce((callback) => callback(undefined))
    close.mockImplementationOnce((callback) => callback(new Error('EIO')))
    const attempt = forceNewCluster({ dataDir, ...sure })
    await expect(attempt).rejects.toThrow(/EIO; nothing was moved: free space or repair the disk, and call again$/)
    await expect(attempt).rejects.toEqual(code('STORAGE_FAILED'))
    expect(close).toHaveBeenCalledTimes(2)
    close.mockRestore()
    expect((await readdir(dataDir)).sort()).toEqual(['log', 'snapshots'])
    await forceNewCluster({ dataDir, log: place.log, ...sure })
  })

  it('takes away what it made when the first rename fails', async () => {
    const { dataDir, former } = await survived()
    const close = vi.spyOn(FileSnapshotStore.prototype, 'close').mockImplementationOnce((callback) => {
      void mkdir(join(former, 'log', 'another'), { recursive: true }).then(() => callback(undefined))
    })
    await expect(forceNewCluster({ dataDir, ...sure })).rejects.toThrow(/nothing was moved/)
    close.mockRestore()
    expect(await readdir(dataDir)).not.toContain('unfinished')
    const engine = await place.start()
    await engine.ready()
    expect(text(await engine.client.get('newest'))).toBe('before the backup')
  })
})

describe('a disk that is full', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  const noRoom = /ENOSPC: no space left on device, write; .*free space or repair the disk, and call again$/

  it('keeps the survivor as it was: an engine starts there, and a cluster can be forced later', async () => {
    await (await written('file')).stop()
    const dataDir = place.directory(1)
    const before = await verifyDataDir(dataDir)
    const making = vi.spyOn(SegmentFiles.prototype, 'make').mockRejectedValue(full)
    const attempt = forceNewCluster({ dataDir, iUnderstandThatWritesMayBeLost: true })
    await expect(attempt).rejects.toThrow(noRoom)
    await expect(attempt).rejects.toEqual(code('STORAGE_FAILED'))
    making.mockRestore()
    expect(await verifyDataDir(dataDir)).toEqual(before)
    expect((await readdir(dataDir)).sort()).toEqual(['log', 'snapshots'])
    const engine = await place.start()
    await engine.ready()
    await engine.stop()
    await forceNewCluster({ dataDir, log: place.log, iUnderstandThatWritesMayBeLost: true })
  })

  it('leaves nothing of a restore, which can be done again', async () => {
    const from = await backedUp()
    const dataDir = place.directory(2)
    const making = vi.spyOn(SegmentFiles.prototype, 'make').mockRejectedValue(full)
    const attempt = restoreBackup({ from, dataDir })
    await expect(attempt).rejects.toThrow(noRoom)
    await expect(attempt).rejects.toEqual(code('STORAGE_FAILED'))
    making.mockRestore()
    expect(await readdir(dataDir)).toEqual([])
    await restoreBackup({ from, dataDir })
  })
})

describe('verifyDataDir', () => {
  it.each(KINDS)('reads all of a %s log and of its snapshots, and changes nothing', async (logStore) => {
    const engine = await written(logStore)
    const { index } = await engine.snapshot()
    await engine.client.put('key', 'after the snapshot')
    const { storeId, clusterId, lastLogIndex, term } = engine.status()
    await engine.stop()
    const before = await contentsOf(place.directory(1))
    const report = await verifyDataDir(place.directory(1))
    expect(report).toMatchObject({ ok: true, findings: [], logStore, id: 1, storeId, clusterId, term })
    expect(report).toMatchObject({ boundary: 0, lastIndex: lastLogIndex, lastTerm: term, snapshots: [{ index }] })
    expect(await contentsOf(place.directory(1))).toEqual(before)
  })

  it.each(KINDS)('refuses a %s log that an engine has open, and one that is none', async (logStore) => {
    await written(logStore)
    await expect(verifyDataDir(place.directory(1))).rejects.toEqual(code('LOCKED'))
    await expect(verifyDataDir(place.root)).rejects.toEqual(code('INVALID_ARGUMENT'))
    await expect(verifyDataDir(join(place.root, 'nowhere'))).rejects.toEqual(code('INVALID_ARGUMENT'))
  })

  it('finds a damaged snapshot, and a log that begins after what is left', async () => {
    const from = await backedUp()
    const dataDir = place.directory(2)
    await restoreBackup({ from, dataDir, id: 2 })
    await damage(await snapshotIn(dataDir))
    const { ok, findings, snapshots } = await verifyDataDir(dataDir)
    expect(ok).toBe(false)
    expect(snapshots).toEqual([])
    expect(findings.map(({ kind }) => kind)).toEqual(['damage', 'damage'])
    expect(findings[0]?.message).toMatch(/does not match its checksum/)
    expect(findings[1]?.message).toMatch(/begins after entry/)
  })

  it('finds a lost watermark and a lost record, and leaves both as they are', async () => {
    const engine = await written()
    await engine.stop()
    const directory = join(place.directory(1), 'log')
    await rename(join(directory, 'watermark'), join(directory, 'mark'))
    const { ok, findings, lastIndex } = await verifyDataDir(place.directory(1))
    expect({ ok, lastIndex }).toEqual({ ok: false, lastIndex: undefined })
    expect(findings[0]?.message).toMatch(/the watermark file is missing/)
    expect(await readdir(directory)).not.toContain('watermark')
  })

  it('finds a damaged segment', async () => {
    const engine = await written('file')
    await engine.stop()
    const segments = join(place.directory(1), 'log', 'segments')
    const [first = ''] = (await readdir(segments)).sort()
    const bytes = await readFile(join(segments, first))
    bytes.writeUInt8(bytes.readUInt8(600) ^ 1, 600)
    await writeFile(join(segments, first), bytes)
    const { ok, findings } = await verifyDataDir(place.directory(1))
    expect(ok).toBe(false)
    expect(findings.some(({ kind }) => kind === 'damage')).toBe(true)
  })

  it('tells of what counts for nothing', async () => {
    const engine = await written()
    await engine.snapshot()
    await engine.stop()
    await writeFile(join(place.directory(1), 'snapshots', 'snapshot.writing'), 'cut short')
    const { ok, findings } = await verifyDataDir(place.directory(1))
    expect(ok).toBe(true)
    expect(findings).toMatchObject([{ kind: 'note' }])
  })
})
