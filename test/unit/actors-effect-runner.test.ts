import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EffectRunner, mergeSteps, type MergedWrite } from '../../src/actors/effect-runner.js'
import { ActorumError } from '../../src/errors.js'
import type { Answer, Commit, Effect, Persist, SnapshotWork } from '../../src/machines/effects.js'
import type { EntryRun } from '../../src/machines/entry-run.js'
import type { LocalEvent } from '../../src/machines/events.js'
import type { Envelope } from '../../src/machines/messages.js'
import type { HardState } from '../../src/machines/types.js'
import type { Callback, LogStore, LogWrite } from '../../src/storage/ports.js'
import type { Transport } from '../../src/transport/ports.js'
import { accepted, entries, hardState, persists, voteReply } from '../machine-harness.js'

/** A store whose writes and reads end when they are told to. */
class HeldStore implements LogStore {
  readonly written: LogWrite[] = []
  #ends: Callback[] = []
  reads: Callback<readonly EntryRun[]>[] = []

  open(): void {}

  write(write: LogWrite, callback: Callback): void {
    this.written.push(write)
    this.#ends.push(callback)
  }

  read(_from: number, _bytesMax: number, callback: Callback<readonly EntryRun[]>): void {
    this.reads.push(callback)
  }

  close(callback: Callback): void {
    callback(undefined)
  }

  end(error?: Error): void {
    this.#ends.shift()?.(error)
  }
}

class SentOnly implements Transport {
  readonly sent: Envelope[] = []
  start(): void {}
  setPeers(): void {}
  setClusterId(): void {}
  send(to: number, message: Envelope['message']): void {
    this.sent.push({ to, message })
  }
  ask(): void {}
  stop(callback: () => void): void {
    callback()
  }
}

/** A runner in a log that ends at 10, whose completed writes come back at once. */
function runner() {
  const store = new HeldStore()
  const transport = new SentOnly()
  const commits: Commit[] = []
  const answers: Answer[] = []
  const notices: string[] = []
  const posted: LocalEvent[] = []
  const works: SnapshotWork[] = []
  const failures: Error[] = []
  const completed: LocalEvent[] = []
  const self: EffectRunner = new EffectRunner(
    {
      transport,
      store,
      commit: (commit) => commits.push(commit),
      answer: (answer) => answers.push(answer),
      workOnSnapshot: (work) => works.push(work),
      notify: (text) => notices.push(text),
      written: (write: MergedWrite) => completed.push(self.complete(write, 7)),
      post: (event) => posted.push(event),
      fail: (error) => failures.push(error),
    },
    10,
  )
  const run = (...effects: readonly Effect[]): void => effects.forEach((effect) => self.run(effect))
  return { self, run, store, transport, commits, answers, notices, works, posted, failures, completed }
}

const BEFORE = entries(Array.from({ length: 10 }, () => 1))
const [eleven, twelve] = entries([1, 1], BEFORE)
const reply = (matchIndex: number): Envelope => ({ to: 2, message: accepted(1, matchIndex) })
const append = (run: EntryRun | undefined): Effect => persists({ runs: [run!], lastIndex: run!.lastIndex })

describe('the effect runner', () => {
  it('does every kind of effect, each item in its order', () => {
    const { run, transport, commits, answers, notices, works, store, posted } = runner()
    const answer: Answer = { type: 'readsReady', nonce: 1, id: 1, index: 3 }
    const commit: Commit = { index: 10, runs: [] }
    const request = { peer: 3, from: 4, bytesMax: 100, term: 1, truncations: 2 }
    run(
      { type: 'sendMessages', messages: [reply(3), reply(4)] },
      { type: 'commit', commits: [commit] },
      { type: 'answerRequests', answers: [answer] },
      { type: 'notices', texts: ['a notice'] },
      { type: 'workOnSnapshots', works: [{ type: 'stream', peer: 2 }] },
      { type: 'readEntries', requests: [request] },
    )
    expect(transport.sent).toEqual([reply(3), reply(4)])
    expect([commits, answers, notices]).toEqual([[commit], [answer], ['a notice']])
    expect(works).toEqual([{ type: 'stream', peer: 2 }])
    store.reads[0]?.(undefined, BEFORE)
    expect(posted).toEqual([{ type: 'entriesRead', peer: 3, term: 1, truncations: 2, runs: BEFORE }])
  })

  it('writes at the end of a turn, all its steps as one', () => {
    const { self, run, store } = runner()
    run(append(eleven), append(twelve))
    expect(store.written).toEqual([])
    self.flush()
    expect(store.written).toEqual([{ runs: [eleven, twelve] }])
  })

  it('has one write in flight; the steps that arrive meanwhile form the next', () => {
    const { self, run, store } = runner()
    run(append(eleven))
    self.flush()
    run(append(twelve))
    self.flush()
    run(persists({ hardState: hardState(2), lastIndex: 12 }))
    self.flush()
    expect(store.written).toEqual([{ runs: [eleven] }])
    store.end()
    self.flush()
    expect(store.written[1]).toEqual({ runs: [twelve], hardState: hardState(2) })
  })

  it('sends what reveals a step only once that step is durable, and tells the machine after it', () => {
    const { self, run, store, transport, completed } = runner()
    run(persists({ runs: [eleven!], lastIndex: 11, messages: [reply(11)] }))
    self.flush()
    expect(transport.sent).toEqual([])
    store.end()
    expect(transport.sent).toEqual([reply(11)])
    expect(completed).toEqual([{ type: 'persisted', hardState: undefined, index: 11, truncations: 0, lastApplied: 7 }])
  })

  it('gives back the very HardState that was written, by which the machine knows it again', () => {
    const { self, run, store, completed } = runner()
    const voted = hardState(3, 2)
    run(persists({ hardState: voted, lastIndex: 10, messages: [{ to: 2, message: voteReply(3, true) }] }))
    self.flush()
    store.end()
    expect(completed[0]?.type === 'persisted' && completed[0].hardState).toBe(voted)
  })

  it('does not ask the store to write nothing: such a step only waits its turn', () => {
    const { self, run, store, transport } = runner()
    run(append(eleven))
    self.flush()
    run(persists({ lastIndex: 11, messages: [reply(11)] }))
    store.end()
    self.flush()
    expect(store.written).toHaveLength(1)
    expect(transport.sent).toEqual([reply(11)])
  })

  it("writes the cluster's id with the next step, or by itself where there is none, and then no more", () => {
    const { self, run, store } = runner()
    self.recordClusterId('cluster-1')
    run(append(eleven))
    self.flush()
    expect(store.written).toEqual([{ runs: [eleven], clusterId: 'cluster-1' }])
    store.end()
    self.flush()
    self.recordClusterId('cluster-2')
    self.flush()
    expect(store.written.slice(1)).toEqual([{ runs: [], clusterId: 'cluster-2' }])
    store.end()
    self.flush()
    expect(store.written).toHaveLength(2)
  })

  it("a write of the cluster's id alone reaches as far as the one before it, in the machine's own count", () => {
    const { self, run, store, completed } = runner()
    run(persists({ runs: [eleven!], truncateFrom: 11, lastIndex: 11, truncations: 3 }))
    self.flush()
    store.end()
    self.recordClusterId('cluster-1')
    self.flush()
    store.end()
    expect(completed.map((event) => event.type === 'persisted' && [event.index, event.truncations])).toEqual([
      [11, 3],
      [11, 3],
    ])
  })

  it('writes nothing more after a failed write, sends nothing that waited for it, and says so', () => {
    const { self, run, store, transport, failures } = runner()
    run(persists({ runs: [eleven!], lastIndex: 11, messages: [reply(11)] }))
    self.flush()
    store.end(new Error('EIO'))
    run(append(twelve))
    self.flush()
    expect(store.written).toHaveLength(1)
    expect(transport.sent).toEqual([])
    expect(failures).toEqual([expect.objectContaining({ code: 'STORAGE_FAILED' })])
    expect(failures[0]?.message).toContain('EIO')
  })

  it("passes a store's own error on as it is, of a read too", () => {
    const { run, store, failures } = runner()
    const damaged = new ActorumError('CORRUPT', 'entry 4 is lost')
    run({ type: 'readEntries', requests: [{ peer: 3, from: 4, bytesMax: 100, term: 1, truncations: 0 }] })
    store.reads[0]?.(damaged, [])
    expect(failures).toEqual([damaged])
  })
})

/** A log as the steps change it. */
interface Model {
  readonly runs: readonly EntryRun[]
  readonly hardState: HardState | undefined
}

function applied(
  { runs, hardState: before }: Model,
  step: Pick<Persist, 'runs' | 'truncateFrom' | 'hardState'>,
): Model {
  const { truncateFrom = Infinity } = step
  return {
    runs: [...runs.filter(({ firstIndex }) => firstIndex < truncateFrom), ...step.runs],
    hardState: step.hardState ?? before,
  }
}

/** Each step: how many runs are truncated from the end, and of how many entries in which term new ones are added. */
const changes = fc.array(fc.record({ cut: fc.constantFrom(0, 0, 0, 1, 2, 5), added: fc.nat(3), voted: fc.boolean() }), {
  maxLength: 8,
})

function stepsFrom(start: readonly EntryRun[], plan: readonly Change[]) {
  let log = start
  let truncations = 0
  return plan.map(({ cut, added, voted }, at): Persist => {
    const kept = log.slice(0, Math.max(0, log.length - cut))
    const truncateFrom = kept.length < log.length ? log[kept.length]?.firstIndex : undefined
    if (truncateFrom !== undefined) truncations++
    const runs = entries(
      Array.from({ length: added }, () => at + 2),
      kept,
    )
    log = [...kept, ...runs]
    const vote = voted ? { hardState: hardState(at + 2) } : {}
    const from = truncateFrom === undefined ? {} : { truncateFrom }
    return { ...vote, ...from, runs, lastIndex: log.length, truncations, messages: [reply(at)] }
  })
}

interface Change {
  readonly cut: number
  readonly added: number
  readonly voted: boolean
}

describe('merged steps', () => {
  it('change the log as the steps one after another do, wherever the writes are cut', () => {
    fc.assert(
      fc.property(changes, fc.nat(4), fc.infiniteStream(fc.boolean()), (plan, length, cuts) => {
        const start = BEFORE.slice(0, length)
        const steps = stepsFrom(start, plan)
        const expected = steps.reduce<Model>(applied, { runs: start, hardState: undefined })
        let found: Model = { runs: start, hardState: undefined }
        let writtenIndex = length
        const messages: Envelope[] = []
        for (const group of grouped(steps, cuts)) {
          const merged = mergeSteps(group, writtenIndex)
          checkFits(merged.write, found)
          found = applied(found, merged.write)
          expect(merged.lastIndex).toBe(found.runs.length)
          expect(merged.truncations).toBe(group.at(-1)?.truncations)
          writtenIndex = merged.lastIndex
          messages.push(...merged.messages)
        }
        expect(found).toEqual(expected)
        expect(messages).toEqual(steps.flatMap((step) => step.messages))
      }),
    )
  })
})

/** What every log store asks of a write. */
function checkFits({ truncateFrom, runs }: LogWrite, before: Model): void {
  if (truncateFrom !== undefined) expect(before.runs.map(({ firstIndex }) => firstIndex)).toContain(truncateFrom)
  const end = truncateFrom === undefined ? before.runs.length : truncateFrom - 1
  runs.forEach((run, at) => expect(run.firstIndex).toBe(end + 1 + at))
}

function grouped(steps: readonly Persist[], cuts: Iterator<boolean>): readonly (readonly Persist[])[] {
  const groups: Persist[][] = []
  for (const step of steps) {
    const group = groups.at(-1)
    if (group === undefined || cuts.next().value === true) groups.push([step])
    else group.push(step)
  }
  return groups
}
