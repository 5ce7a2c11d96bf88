import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EntryRun } from '../../src/machines/entry-run.js'
import { seededRandom } from '../../src/machines/time-and-chance.js'
import type { HardState } from '../../src/machines/types.js'
import type { InFlight } from '../../src/storage/memory-log-store.js'
import type { Durability, LogWrite } from '../../src/storage/ports.js'
import type { RunEnd } from '../../src/storage/run-index.js'
import { boundaryAt, bytesOf, hardStateOf, LogWriter, type OpenStore } from '../../src/testing/log-store-subject.js'
import { MemoryPlace } from './storage-memory-place.js'

/** One write, as numbers that shrink. */
interface Step {
  readonly kind: 'append' | 'truncate' | 'vote' | 'compact' | 'install'
  readonly counts: readonly number[]
  /** Which run, from the end, a truncation or boundary is at. */
  readonly back: number
}

/** What a log store should hold. */
interface Held {
  readonly hardState: HardState
  readonly boundary: RunEnd
  readonly runs: readonly EntryRun[]
}

const EMPTY: Held = { hardState: hardStateOf(1), boundary: { index: 0, checksum: 0 }, runs: [] }

const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom('append', 'append', 'append', 'truncate', 'vote', 'compact', 'install'),
    counts: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
    back: fc.nat(4),
  }),
  { minLength: 1, maxLength: 25 },
)
const crash = fc.record({
  atMs: fc.nat(60),
  seed: fc.nat(),
  inFlight: fc.constantFrom<InFlight>('lost', 'torn', 'whole'),
  watermark: fc.constantFrom('kept' as const, 'stale' as const, 'lost' as const),
})

/** Plays the part of a leader's or follower's log: writes follow each other, each after the one before is complete. */
class Player {
  readonly #opened: OpenStore
  #fill = 0
  /** After each acknowledged write; then, while one is in flight, what it would give. */
  readonly history: Held[] = [EMPTY]
  acknowledged = 0

  constructor(opened: OpenStore) {
    this.#opened = opened
  }

  play(steps: readonly Step[]): void {
    const [step, ...rest] = steps
    if (step === undefined) return
    const before = this.history[this.acknowledged]!
    const [write, after] = this.#writeOf(step, before)
    this.history.push(after)
    this.#opened.store.write(write, (error) => {
      if (error !== undefined) throw error
      this.acknowledged++
      this.play(rest)
    })
  }

  #writeOf({ kind, counts, back }: Step, held: Held): [LogWrite, Held] {
    const { runs, hardState } = held
    const at = Math.max(0, runs.length - 1 - back)
    const run = runs[at]
    if (kind === 'vote' || run === undefined) {
      const next = hardState.votedFor === undefined ? { ...hardState, votedFor: 2 } : hardStateOf(hardState.term + 1)
      const appended = this.#append(held, runs, counts, next.term)
      return [
        { hardState: next, runs: appended },
        { ...held, hardState: next, runs: [...runs, ...appended] },
      ]
    }
    switch (kind) {
      case 'append': {
        const appended = this.#append(held, runs, counts, hardState.term)
        return [{ runs: appended }, { ...held, runs: [...runs, ...appended] }]
      }
      case 'truncate': {
        const kept = runs.slice(0, at)
        const appended = back === 0 ? [] : this.#append(held, kept, counts, hardState.term)
        return [
          { truncateFrom: run.firstIndex, runs: appended },
          { ...held, runs: [...kept, ...appended] },
        ]
      }
      case 'compact':
        return [
          { boundary: boundaryAt(run), runs: [] },
          { ...held, boundary: endOf(run), runs: runs.slice(at + 1) },
        ]
      case 'install': {
        const snapshot = new LogWriter({ index: runs.at(-1)!.lastIndex + 5, checksum: ++this.#fill, term: 1 }).run(1)
        const write = { truncateFrom: runs[0]!.firstIndex, boundary: boundaryAt(snapshot), runs: [] }
        return [write, { ...held, boundary: endOf(snapshot), runs: [] }]
      }
    }
  }

  #append(held: Held, kept: readonly EntryRun[], counts: readonly number[], term: number): EntryRun[] {
    const last = kept.at(-1)
    const { index, checksum } = last === undefined ? held.boundary : endOf(last)
    const writer = new LogWriter({ index, checksum, term })
    return counts.map((count) => writer.run(count, ++this.#fill % 256))
  }
}

describe('SCENARIO 20: in disk-first mode no crash loses what was acknowledged', () => {
  it('after a crash at any moment the log is as acknowledged, or as the write in flight would have left it', async () => {
    await fc.assert(
      fc.asyncProperty(steps, crash, async (steps, { atMs, seed, inFlight, watermark }) => {
        const { place, player } = await playUntil('disk-first', steps, atMs, seed)
        place.disk.crash({ inFlight, watermark, survives: coin(seed) })
        await expectOneOf(place, possibleAfter(player, inFlight))
      }),
      { numRuns: 300 },
    )
  })
})

describe('in mem-first mode', () => {
  it('the end of the process loses nothing acknowledged', async () => {
    await fc.assert(
      fc.asyncProperty(steps, crash, async (steps, { atMs, seed, inFlight }) => {
        const { place, player } = await playUntil('mem-first', steps, atMs, seed)
        place.disk.kill({ inFlight })
        await expectOneOf(place, possibleAfter(player, inFlight))
      }),
      { numRuns: 300 },
    )
  })

  it('a crash of the machine leaves an earlier log, and every vote that was acknowledged', async () => {
    await fc.assert(
      fc.asyncProperty(steps, crash, async (steps, { atMs, seed, inFlight, watermark }) => {
        const { place, player } = await playUntil('mem-first', steps, atMs, seed)
        place.disk.crash({ inFlight, watermark, survives: coin(seed) })
        const held = await recover(place)
        expect(player.history.some((before) => isPrefix(held, before))).toBe(true)
        const vote = player.history[player.acknowledged]!.hardState
        const next = player.history.at(-1)!.hardState
        expect([vote, next]).toContainEqual(held.hardState)
      }),
      { numRuns: 300 },
    )
  })

  it('a crash of the machine leaves every configuration that was acknowledged, and all before it', async () => {
    const place = new MemoryPlace('mem-first', 4)
    const opened = await place.openWith([])
    const log = new LogWriter()
    const configuration = { voters: [1, 2, 3], learners: [] }
    await opened.write({ hardState: hardStateOf(1), runs: [log.run(2)] })
    await opened.write({ runs: [log.run(1)] })
    await opened.write({ runs: [log.run(1), log.configuration(configuration)] })
    await opened.write({ runs: [log.run(3)] })
    place.disk.crash({ watermark: 'lost' })
    const { recovered } = await place.open()
    expect(recovered.lastIndex).toBe(5)
    expect(recovered.configurations).toEqual([{ index: 5, configuration }])
  })
})

async function playUntil(durability: Durability, steps: readonly Step[], atMs: number, seed: number) {
  const place = new MemoryPlace(durability, 4)
  const opened = await place.openWith([])
  const random = seededRandom(seed)
  place.disk.latencyMs = () => random.uint32() % 5
  const player = new Player(opened)
  player.play(steps)
  place.clock.advance(atMs)
  place.disk.latencyMs = undefined
  return { place, player }
}

/** The acknowledged log, and the one with the write in flight; a torn one is cut before its last run. */
function possibleAfter({ history, acknowledged }: Player, inFlight: InFlight): Held[] {
  const before = history[acknowledged]!
  const after = history[acknowledged + 1] ?? before
  return inFlight === 'torn' ? [before, after, { ...after, runs: after.runs.slice(0, -1) }] : [before, after]
}

async function recover(place: MemoryPlace): Promise<Held> {
  const opened = await place.open()
  const { hardState, boundary, lastIndex } = opened.recovered
  return { hardState, boundary, runs: lastIndex > boundary.index ? await opened.read(boundary.index + 1) : [] }
}

async function expectOneOf(place: MemoryPlace, possible: readonly Held[]): Promise<void> {
  const held = asText(await recover(place))
  expect(possible.map(asText)).toContainEqual(held)
  // What was recovered was also put in order: the next start finds the same.
  place.disk.crash()
  expect(asText(await recover(place))).toEqual(held)
}

function asText(held: Held) {
  const { term, votedFor } = held.hardState
  return { term, votedFor, boundary: held.boundary.index, runs: bytesOf(held.runs) }
}

/** Whether `held` is `whole`, shortened at its end and perhaps compacted further. */
function isPrefix(held: Held, whole: Held): boolean {
  if (whole.boundary.index > held.boundary.index) return false
  const runs = bytesOf(whole.runs.filter(({ firstIndex }) => firstIndex > held.boundary.index))
  return bytesOf(held.runs).every((run, at) => run === runs[at])
}

function endOf(run: EntryRun): RunEnd {
  return { index: run.lastIndex, checksum: run.checksum }
}

function coin(seed: number): () => boolean {
  const random = seededRandom(seed)
  return () => random.uint32() % 2 === 0
}
