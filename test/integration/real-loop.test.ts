import { execFile } from 'node:child_process'
import { cp, readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { EmbeddedEngine } from '../../src/index.js'
import { RecordLogStore } from '../../src/storage/record-log-store.js'
import { EnginePlace, optionsOfThree, text } from './engine-place.js'
import { WorkerEngine } from './engine-worker-handle.js'
import { type FullDiskReport, keyOf, VALUE } from './full-disk-worker.js'
import { until } from './websocket-subject.js'

// What the simulated scenarios show of the loop and the disk, on the real clock, real sockets and LevelDB.

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

describe('SCENARIO 39: overlapping disk writes, on Level', () => {
  it('there are none on leader or followers, and calls are answered in the order in which they were made', async () => {
    const write = vi.spyOn(RecordLogStore.prototype, 'write')
    const engines = await Promise.all((await optionsOfThree(place)).map((options) => place.start(options)))
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

describe('SCENARIO 17: a write that failed, on Level', () => {
  it('a disk without room stops the server with a clear error, and all that it acknowledged is there afterwards', async () => {
    const { acknowledged, codes, failure } = await writeUntilFull(place.directory(1))
    expect(acknowledged).toBeGreaterThan(0)
    expect(codes).toEqual(['OUTCOME_UNKNOWN', 'STORAGE_FAILED'])
    expect(failure).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(failure?.message).toMatch(/File too large.*Nothing was retried/i)
    const engine = await place.start()
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

describe('SCENARIO 20: what was acknowledged, on Level', () => {
  async function written(): Promise<EmbeddedEngine> {
    const engine = await place.start()
    await Promise.all(Array.from({ length: 20 }, (_, at) => engine.client.put(keyOf(at), 'acknowledged')))
    // One by one, so that the newest write holds entries alone: an earlier one gives the store the cluster's name.
    for (const key of ['name', 'last']) await engine.client.put(key, 'acknowledged')
    return engine
  }

  it('is on the disk at that moment, whatever happens to the process', async () => {
    await written()
    await cp(place.directory(1), place.directory('copy'), { recursive: true })
    const copy = await place.start({ dataDir: place.directory('copy') })
    const keys = [...Array.from({ length: 20 }, (_, at) => keyOf(at)), 'last']
    expect((await copy.client.getMulti(keys)).map(text)).toEqual(keys.map(() => 'acknowledged'))
  })

  it('is missed at start when the end of the log is gone, of which LevelDB says nothing', async () => {
    await written()
    await cp(place.directory(1), place.directory('copy'), { recursive: true })
    const directory = join(place.directory('copy'), 'log', 'log')
    const [newest] = (await readdir(directory))
      .filter((name) => name.endsWith('.log'))
      .toSorted()
      .toReversed()
    const path = join(directory, newest!)
    await truncate(path, (await stat(path)).size - 1)
    const start = place.start({ dataDir: place.directory('copy') })
    await expect(start).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringMatching(/entries up to \d+ had been acknowledged/) as string,
    })
  })
})
