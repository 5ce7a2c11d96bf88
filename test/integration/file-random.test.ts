import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LogWrite } from '../../src/storage/ports.js'
import { boundaryAt, bytesOf, hardStateOf, LogWriter, OpenStore } from '../../src/testing/log-store-subject.js'
import { MemoryPlace } from '../unit/storage-memory-place.js'
import { FilePlace } from './file-place.js'

/** One step, as numbers that shrink. */
interface Step {
  readonly kind: 'append' | 'truncate' | 'vote' | 'compact' | 'install' | 'reopen'
  readonly counts: readonly number[]
  /** Which run, from the end, a truncation or boundary is at. */
  readonly back: number
}

const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom('append', 'append', 'append', 'truncate', 'vote', 'compact', 'install', 'reopen'),
    counts: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 }),
    back: fc.nat(6),
  }),
  { minLength: 1, maxLength: 40 },
)

/** The write that a step makes of what the log holds. */
async function writeOf({ kind, counts, back }: Step, opened: OpenStore, log: Log): Promise<Partial<LogWrite>> {
  const runs = log.lastIndex > log.boundary.index ? await opened.read(log.boundary.index + 1) : []
  const run = runs[Math.max(0, runs.length - 1 - back)]
  const after = (end: { readonly index: number; readonly checksum: number }) => {
    const writer = new LogWriter({ ...end, term: log.term })
    return counts.map((count) => writer.run(count, ++log.fill % 256))
  }
  const last = runs.at(-1)
  const end = last === undefined ? log.boundary : { index: last.lastIndex, checksum: last.checksum }
  if (kind === 'vote' || run === undefined) return { hardState: hardStateOf(++log.term, 2), runs: after(end) }
  if (kind === 'truncate') {
    const before = runs[runs.indexOf(run) - 1]
    const kept = before === undefined ? log.boundary : { index: before.lastIndex, checksum: before.checksum }
    return { truncateFrom: run.firstIndex, runs: back === 0 ? [] : after(kept) }
  }
  if (kind === 'compact') return { boundary: boundaryAt(run) }
  if (kind === 'install') {
    const snapshot = new LogWriter({ index: end.index + 5, checksum: ++log.fill, term: 1 }).run(1)
    return { truncateFrom: runs[0]!.firstIndex, boundary: boundaryAt(snapshot) }
  }
  return { runs: after(end) }
}

/** What the steps so far have made. */
interface Log {
  term: number
  fill: number
  boundary: { readonly index: number; readonly checksum: number }
  lastIndex: number
}

async function contentsOf(opened: OpenStore): Promise<unknown> {
  const { boundary, lastIndex } = opened.recovered
  return { ...opened.recovered, runs: lastIndex > boundary.index ? bytesOf(await opened.read(boundary.index + 1)) : [] }
}

/** Takes the same steps on both, and compares what each holds whenever it is opened anew. */
async function compare(file: FilePlace, memory: MemoryPlace, steps: readonly Step[]): Promise<void> {
  const log: Log = { term: 0, fill: 0, boundary: { index: 0, checksum: 0 }, lastIndex: 0 }
  let [one, other] = [await OpenStore.open(file.store()), await memory.open()]
  for (const step of [...steps, { kind: 'reopen', counts: [], back: 0 } as const]) {
    if (step.kind === 'reopen') {
      await Promise.all([one.close(), other.close()])
      ;[one, other] = [await OpenStore.open(file.store()), await memory.open()]
      expect(await contentsOf(one)).toEqual(await contentsOf(other))
      continue
    }
    const write = await writeOf(step, other, log)
    await Promise.all([one.write(write), other.write(write)])
    if (write.boundary !== undefined) log.boundary = write.boundary
    const kept = write.truncateFrom === undefined ? log.lastIndex : write.truncateFrom - 1
    log.lastIndex = Math.max(write.runs?.at(-1)?.lastIndex ?? kept, log.boundary.index)
    if (log.lastIndex > log.boundary.index) {
      const from = log.boundary.index + 1
      expect(bytesOf(await one.read(from, 2000))).toEqual(bytesOf(await other.read(from, 2000)))
    }
  }
  await Promise.all([one.close(), other.close()])
}

describe.each(['disk-first', 'mem-first'] as const)('the log store on segment files, %s', (durability) => {
  it('holds after any writes and reopenings what the one in memory holds', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.constantFrom(1024, 4096), async (steps, segmentBytes) => {
        const file = await FilePlace.make({ durability, segmentBytes })
        try {
          await compare(file, new MemoryPlace(durability), steps)
        } finally {
          await file.dispose()
        }
      }),
      { numRuns: 25 },
    )
  })
})
