import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { EmbeddedEngine, HealthReport } from '../../src/index.js'
import { RecordLogStore } from '../../src/storage/record-log-store.js'
import { EnginePlace, freeAddress, optionsOfThree, text } from './engine-place.js'
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

/** Asks for leadership until it has been there, whoever was elected: it may be handed on within a heartbeat interval. */
async function leadFrom(
  one: EmbeddedEngine,
  engines: readonly EmbeddedEngine[],
  hasHandedOver: () => boolean,
): Promise<void> {
  while (!hasHandedOver()) {
    await until(() => hasHandedOver() || engines.some(({ isLeader }) => isLeader), 'somebody leads')
    const leader = engines.find(({ isLeader }) => isLeader)
    if (leader !== one) await leader?.transferLeadership(one.id).catch(() => undefined)
    // What others have to say is heard once the event loop turns.
    await nextTurn()
  }
}

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
    await until(
      () => engine.status().members.every(({ storeId }) => storeId !== undefined),
      'it writes no more by itself',
    )
    vi.spyOn(RecordLogStore.prototype, 'write').mockImplementationOnce(() => {
      // A disk that never answers.
    })
    const put = engine.client.put('key', 'value', { timeoutMs: 300 })
    const isAnswered = expect(put).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    await until(() => codesOf(engine).includes('SLOW_DISK'), 'it is noticed')
    await isAnswered
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

  it('is degraded from the start by a disk with less free space than lowDiskBytes, and a lone server leads on', async () => {
    const engine = await place.start({ lowDiskBytes: Number.MAX_SAFE_INTEGER })
    expect(codesOf(engine)).toEqual(['LOW_DISK'])
    expect(engine.health().reasons[0]?.message).toMatch(/^\d+ bytes were free on the disk of .*server-1, fewer than/)
    await engine.ready()
    await engine.client.put('key', 'value')
    expect(engine.health().status).toBe('degraded')
    expect([engine.isLeader, place.notices]).toEqual([true, []])
  })

  it('moves leadership off a server whose disk is nearly full, which follows and stays degraded', async () => {
    const [given, ...others] = await optionsOfThree(place)
    const low = { ...given, electionPriority: 1, lowDiskBytes: Number.MAX_SAFE_INTEGER }
    const engines = await Promise.all([low, ...others].map((options) => place.start(options)))
    const suffering = engines[0]!
    const hasHandedOver = (): boolean => {
      return place.notices.some(({ message }) => /^server 1 hands leadership over .*lowDiskBytes/.test(message))
    }
    await leadFrom(suffering, engines, hasHandedOver)
    await until(() => engines.some(({ isLeader }) => isLeader) && !suffering.isLeader, 'another one leads')
    expect(codesOf(suffering)).toContain('LOW_DISK')
    await suffering.client.put('key', 'value')
    expect(text(await suffering.client.get('key'))).toBe('value')
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
