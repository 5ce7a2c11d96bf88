import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { EmbeddedEngine, HealthReport } from '../../src/index.js'
import { RecordLogStore } from '../../src/storage/record-log-store.js'
import { EnginePlace, freeAddress } from './engine-place.js'
import { until } from './websocket-subject.js'

let place: EnginePlace

beforeEach(async () => {
  place = await EnginePlace.make()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await place.dispose()
})

function watch(engine: EmbeddedEngine): { readonly reports: HealthReport[]; isComplete: boolean } {
  const seen = { reports: [] as HealthReport[], isComplete: false }
  engine.health$.subscribe({
    next: (report) => seen.reports.push(report),
    complete: () => (seen.isComplete = true),
  })
  return seen
}

const codesOf = (engine: EmbeddedEngine): readonly string[] => engine.health().reasons.map(({ code }) => code)

describe("an engine's health", () => {
  it('is told at once, and completes when the engine is stopped', async () => {
    const engine = await place.start()
    await engine.ready()
    const seen = watch(engine)
    expect(seen.reports).toEqual([{ status: 'ok', reasons: [] }])
    await engine.stop()
    expect(seen.isComplete).toBe(true)
  })

  it('is degraded by an event loop that stood still for longer than stalledLoopMs, and is ok again by itself', async () => {
    const engine = await place.start({ stalledLoopMs: 250 })
    await engine.ready()
    const seen = watch(engine)
    const end = performance.now() + 600
    while (performance.now() < end);
    await until(() => codesOf(engine).includes('EVENT_LOOP_STALLED'), 'it is noticed')
    await until(() => engine.health().status === 'ok', 'it is over')
    expect(seen.reports.map(({ status }) => status).slice(-2)).toEqual(['degraded', 'ok'])
  })

  it('is degraded by a write that takes longer than slowDiskMs', async () => {
    const engine = await place.start({ slowDiskMs: 50 })
    await engine.ready()
    vi.spyOn(RecordLogStore.prototype, 'write').mockImplementationOnce(() => {
      // A disk that never answers.
    })
    const put = engine.client.put('key', 'value', { timeoutMs: 300 })
    await until(() => codesOf(engine).includes('SLOW_DISK'), 'it is noticed')
    await expect(put).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
  })

  it('is degraded on a server that finds no leader', async () => {
    const listen = await freeAddress()
    const members = [
      { id: 1, address: listen },
      { id: 2, address: await freeAddress() },
    ]
    const engine = await place.start({ listen, members })
    await until(() => codesOf(engine).includes('NO_LEADER'), 'it is noticed')
  })

  it('ends with FULL_DISK when the log cannot be written for lack of space', async () => {
    const engine = await place.start()
    await engine.ready()
    const seen = watch(engine)
    const failure = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    vi.spyOn(RecordLogStore.prototype, 'write').mockImplementationOnce((_, callback) => callback(failure))
    await expect(engine.client.put('key', 'value')).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(engine.health()).toMatchObject({ status: 'failed', reasons: [{ code: 'FULL_DISK' }] })
    expect(seen).toMatchObject({ isComplete: true })
    expect(seen.reports.at(-1)).toEqual(engine.health())
  })
})
