import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rmdir, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { EmbeddedEngine } from '../../src/index.js'
import { configurationOf } from '../../src/machines/context.js'
import { RecordLogStore } from '../../src/storage/record-log-store.js'
import { EnginePlace, optionsOfThree, text } from './engine-place.js'
import { WorkerEngine } from './engine-worker-handle.js'
import { copyDirectory } from './file-place.js'
import { type FullDiskReport, keyOf, VALUE } from './full-disk-worker.js'
import { until } from './websocket-subject.js'

// What the simulated scenarios show of the loop and the disk, on the real clock, real sockets and both log stores.

const KINDS = ['file', 'level'] as const

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await place.dispose()
})

describe('SCENARIO 38: after a pause longer than an election timeout, on real sockets', () => {
  it('a server whose event loop was blocked hears the waiting heartbeats before its expired timer', async () => {
    const timing = { electionTimeoutMs: 600, heartbeatIntervalMs: 50 }
    const [one, two, three] = (await optionsOfThree(place)).map((options) => ({ ...options, ...timing }))
    const workers = [one!, two!].map((options) => new WorkerEngine(options))
    try {
      await Promise.all(workers.map(({ started }) => started))
      const leaderId = await workers[0]!.call('leaderId')
      const engine = await place.start(three)
      await engine.ready()
      expect(engine.leaderId).toBe(leaderId)
      const { term } = engine
      const roles = new Set<string>()
      const subscription = engine.roleActor.subscribe(() => roles.add(engine.role))
      for (let pause = 0; pause < 2; pause++) {
        block(2.2 * timing.electionTimeoutMs)
        const resumedAt = performance.now()
        const heardAt = (): number => engine.roleActor.getSnapshot().context.contact.at
        await until(() => heardAt() > resumedAt || roles.size > 1, 'the leader is heard again')
        await engine.client.put('pause', `${pause}`)
      }
      subscription.unsubscribe()
      expect([...roles]).toEqual(['follower'])
      expect(engine).toMatchObject({ term, leaderId })
    } finally {
      await Promise.all(workers.map((worker) => worker.kill()))
    }
  })

  /** Nothing else runs in this process for `ms`. */
  function block(ms: number): void {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  }
})

describe.each(KINDS)('SCENARIO 39: overlapping disk writes, on a log of kind %s', (logStore) => {
  it('there are none on leader or followers, and calls are answered in the order in which they were made', async () => {
    const write = vi.spyOn(RecordLogStore.prototype, 'write')
    const engines = await Promise.all(
      (await optionsOfThree(place)).map((options) => place.start({ ...options, logStore })),
    )
    await Promise.all(engines.map((engine) => engine.ready()))
    const indexes = engines.map((engine) => {
      const seen: number[] = []
      engine.roleActor.subscribe(({ context }) => seen.push(context.durable.index))
      return seen
    })
    const answered: number[][] = engines.map(() => [])
    const calls: Promise<unknown>[] = []
    for (let call = 0; call < 300; call++) {
      const at = call % engines.length
      calls.push(engines[at]!.client.put(`key ${call % 7}`, `${call}`).then(() => answered[at]?.push(call)))
      await (call % 30 === 29 ? calls[call - 15] : nextTurn())
    }
    await Promise.all(calls)
    for (const order of answered) {
      expect(order).toHaveLength(100)
      expect(order).toEqual(order.toSorted((a, b) => a - b))
    }
    for (const seen of indexes) expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    // The store refuses a second write while one is in flight, and the server would have stopped.
    expect(write.mock.calls.length).toBeGreaterThanOrEqual(30)
    expect(engines.map((engine) => engine.status().failure)).toEqual([undefined, undefined, undefined])
  })
})

describe('SCENARIO 17: a write that failed, on segment files', () => {
  it('a disk without room for another segment stops the server once it needs one, and all that it acknowledged is there afterwards', async () => {
    const engine = await place.start({ logStore: 'file' })
    await engine.ready()
    const inTheWay = join(place.directory(1), 'log', 'segments', '0000000002.segment.unfinished')
    await mkdir(inTheWay)
    const value = new Uint8Array(512 * 1024)
    let acknowledged = 0
    const writeUntilFull = async (): Promise<void> => {
      for (; ; acknowledged++) await engine.client.put(keyOf(acknowledged), value.fill(acknowledged))
    }
    await expect(writeUntilFull()).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(acknowledged).toBeGreaterThan(20)
    expect(engine.status().failure).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(engine.status().failure?.message).toMatch(/Nothing was retried/)
    await engine.stop()
    await rmdir(inTheWay)
    const again = await place.start()
    for (let at = 0; at < acknowledged; at++) {
      const found = await again.client.get(keyOf(at))
      expect([found?.length, found?.every((byte) => byte === at)]).toEqual([value.length, true])
    }
  })
})

describe('SCENARIO 17: a write that failed, on Level', () => {
  it('a disk without room stops the server with a clear error, and all that it acknowledged is there afterwards', async () => {
    const { acknowledged, codes, failure } = await writeUntilFull(place.directory(1))
    expect(acknowledged).toBeGreaterThan(0)
    expect(codes).toEqual(['OUTCOME_UNKNOWN', 'STORAGE_FAILED'])
    expect(failure).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(failure?.message).toMatch(/File too large.*Nothing was retried/i)
    const engine = await place.start({ logStore: 'level' })
    for (let at = 0; at < acknowledged; at++) expect(text(await engine.client.get(keyOf(at)))).toBe(VALUE)
  })

  /** No file of the process may grow beyond 1,024 blocks, of 512 or 1,024 bytes. */
  function writeUntilFull(directory: string): Promise<FullDiskReport> {
    const worker = fileURLToPath(new URL('./full-disk-worker.ts', import.meta.url))
    const args = ['-c', 'ulimit -f 1024; exec "$0" "$@"', process.execPath, '--import', 'tsx', worker, directory]
    return new Promise((resolve, reject) => {
      execFile('/bin/sh', args, { timeout: 15_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
        if (error === null) resolve(JSON.parse(stdout) as FullDiskReport)
        else reject(new Error(stderr, { cause: error }))
      })
    })
  }
})

describe.each(KINDS)('SCENARIO 20: what was acknowledged, on a log of kind %s', (logStore) => {
  async function written(): Promise<EmbeddedEngine> {
    const engine = await place.start({ logStore })
    await Promise.all(Array.from({ length: 20 }, (_, at) => engine.client.put(keyOf(at), 'acknowledged')))
    // From then on nothing is written but what is asked for: a copy takes time.
    await until(() => namesItsStore(engine), 'the configuration names the store')
    // One by one, so that the newest write holds entries alone: an earlier one gives the store the cluster's name.
    for (const key of ['name', 'last']) await engine.client.put(key, 'acknowledged')
    return engine
  }

  const namesItsStore = ({ roleActor }: EmbeddedEngine): boolean => {
    const { members } = configurationOf(roleActor.getSnapshot().context)
    return members?.every(({ storeId }) => storeId !== undefined) === true
  }

  it('is on the disk at that moment, whatever happens to the process', async () => {
    await written()
    await copyDirectory(place.directory(1), place.directory('copy'))
    const copy = await place.start({ dataDir: place.directory('copy') })
    const keys = [...Array.from({ length: 20 }, (_, at) => keyOf(at)), 'last']
    expect((await copy.client.getMulti(keys)).map(text)).toEqual(keys.map(() => 'acknowledged'))
  })

  it('is missed at start when the end of the log is gone', async () => {
    await written()
    await copyDirectory(place.directory(1), place.directory('copy'))
    await loseEnd(join(place.directory('copy'), 'log'))
    const start = place.start({ dataDir: place.directory('copy') })
    await expect(start).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringMatching(/entries up to \d+ had been acknowledged/) as string,
    })
  })

  /** LevelDB says nothing of it, and in a segment it looks like room that is not yet used. */
  async function loseEnd(directory: string): Promise<void> {
    if (logStore === 'level') {
      const path = await newestIn(join(directory, 'log'), '.log')
      return truncate(path, (await stat(path)).size - 1)
    }
    const path = await newestIn(join(directory, 'segments'), '.segment')
    const bytes = await readFile(path)
    const end = bytes.findLastIndex((byte) => byte !== 0)
    await writeFile(path, bytes.fill(0, end))
  }

  async function newestIn(directory: string, ending: string): Promise<string> {
    const names = (await readdir(directory)).filter((name) => name.endsWith(ending))
    return join(directory, names.toSorted().at(-1)!)
  }
})
