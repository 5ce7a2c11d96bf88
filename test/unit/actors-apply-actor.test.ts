import { describe, expect, it } from 'vitest'
import { ApplyActor } from '../../src/actors/apply-actor.js'
import type { EntryRun } from '../../src/machines/entry-run.js'
import type { CommittedBatch, SnapshotSink, StateMachine } from '../../src/state-machines/ports.js'
import type { Callback, LogStore } from '../../src/storage/ports.js'
import { LogWriter } from '../../src/testing/log-store-subject.js'

/** A disk that holds some runs, whose reads end when they are told to. */
class ReadOnlyStore implements LogStore {
  readonly asked: number[] = []
  runs: readonly EntryRun[] = []
  runsPerRead = Infinity
  #ends: (() => void)[] = []

  open(): void {}
  write(): void {}
  close(): void {}

  read(from: number, _bytesMax: number, callback: Callback<readonly EntryRun[]>): void {
    this.asked.push(from)
    this.#ends.push(() => {
      const found = this.runs.filter(({ lastIndex }) => lastIndex >= from)
      callback(undefined, found.slice(0, this.runsPerRead))
    })
    this.fail = (error) => callback(error, [])
  }

  fail: (error: Error) => void = () => undefined

  end(): void {
    this.#ends.shift()?.()
  }
}

/** Gives back the index of each command; knows what it applied. */
class Indexes implements StateMachine<never, number> {
  readonly commands = { sizeOf: () => 0, write: () => undefined }
  readonly batches: CommittedBatch[] = []
  resultsShort = 0

  apply(batch: CommittedBatch): readonly number[] {
    this.batches.push(batch)
    const count = batch.resultsWanted ? batch.count - this.resultsShort : 0
    return Array.from({ length: count }, (_, at) => batch.firstIndex + at)
  }

  snapshot(): Iterable<Uint8Array> {
    return []
  }

  restore(): SnapshotSink {
    return { write: () => undefined, end: () => undefined, abandon: () => undefined }
  }

  get firstIndexes(): readonly number[] {
    return this.batches.map(({ firstIndex }) => firstIndex)
  }
}

function applier(isAwaited: (run: EntryRun) => boolean = () => false) {
  const store = new ReadOnlyStore()
  const stateMachine = new Indexes()
  const results: (readonly number[] | undefined)[] = []
  const names: string[] = []
  const failures: Error[] = []
  let wakes = 0
  const actor = new ApplyActor(
    {
      stateMachine,
      store,
      isAwaited,
      applied: (_, found) => results.push(found),
      named: (clusterId) => names.push(clusterId),
      fail: (error) => failures.push(error),
      wake: () => wakes++,
    },
    { index: 0, term: 0, checksum: 0, clusterTime: 0 },
  )
  /** A commit and the turn that it came in; everything is on disk unless said otherwise. */
  const commit = (index: number, runs: readonly EntryRun[], durableIndex = Infinity): void => {
    actor.commit({ index, runs })
    actor.advance(durableIndex)
  }
  const advance = (durableIndex = Infinity): void => actor.advance(durableIndex)
  return { actor, commit, advance, store, stateMachine, results, names, failures, wakes: () => wakes }
}

function pairs(count: number): readonly EntryRun[] {
  const writer = new LogWriter()
  return Array.from({ length: count }, () => writer.run(2))
}

describe('the apply actor', () => {
  it('applies committed runs in log order, each once, with their commands as they were proposed', () => {
    const { commit, stateMachine, store, advance, actor } = applier()
    const runs = pairs(3)
    commit(2, runs.slice(0, 1))
    commit(6, runs.slice(1))
    advance()
    expect(stateMachine.firstIndexes).toEqual([1, 3, 5])
    const [batch] = stateMachine.batches
    expect(batch).toMatchObject({ firstIndex: 1, count: 2, term: 1, clusterTime: 10, resultsWanted: false })
    expect([...batch!.bounds].map((bound) => bound - batch!.bounds[0]!)).toEqual([0, 20, 25, 45])
    expect(actor.lastApplied).toBe(6)
    expect(store.asked).toEqual([])
  })

  it('asks for results only of runs whose proposers wait here', () => {
    const runs = pairs(2)
    const { commit, results, stateMachine } = applier((run) => run === runs[1])
    commit(4, runs)
    expect(stateMachine.batches.map(({ resultsWanted }) => resultsWanted)).toEqual([false, true])
    expect(results).toEqual([undefined, [3, 4]])
  })

  it('hands no-ops and configurations to nobody, but hears what the cluster is named', () => {
    const { commit, stateMachine, names, results } = applier()
    const writer = new LogWriter()
    const runs = [writer.noop('cluster-7'), writer.configuration({ voters: [1], learners: [] }), writer.run(1)]
    commit(3, runs)
    expect(names).toEqual(['cluster-7'])
    expect(stateMachine.firstIndexes).toEqual([3])
    expect(results).toEqual([undefined, undefined, undefined])
  })

  it('reads from disk what a commit does not bring along, a piece at a time, and asks for a turn after each', () => {
    const { commit, stateMachine, store, wakes, advance, actor } = applier()
    const runs = pairs(5)
    store.runs = runs
    store.runsPerRead = 2
    commit(10, runs.slice(4))
    advance()
    expect(store.asked).toEqual([1])
    expect(stateMachine.firstIndexes).toEqual([])
    store.end()
    expect([wakes(), stateMachine.firstIndexes]).toEqual([1, []])
    advance()
    expect(stateMachine.firstIndexes).toEqual([1, 3])
    store.end()
    advance()
    expect(stateMachine.firstIndexes).toEqual([1, 3, 5, 7, 9])
    expect(store.asked).toEqual([1, 5])
    expect(actor.lastApplied).toBe(10)
  })

  it('reads a whole committed backlog that nothing came along with', () => {
    const { commit, stateMachine, store, advance } = applier()
    store.runs = pairs(3)
    commit(4, [])
    store.end()
    advance()
    // The third run is on disk and not committed.
    expect(stateMachine.firstIndexes).toEqual([1, 3])
  })

  it('reads no further than what is surely on disk, and has not been truncated', () => {
    const { commit, stateMachine, store, advance } = applier()
    const [first, second, third] = pairs(3)
    store.runs = [first!, second!, third!]
    commit(6, [], 0)
    expect(store.asked).toEqual([])
    advance(4)
    store.end()
    advance(4)
    expect(stateMachine.firstIndexes).toEqual([1, 3])
    advance(6)
    store.end()
    advance(6)
    expect(stateMachine.firstIndexes).toEqual([1, 3, 5])
  })

  it('keeps in memory only so much behind a long backlog: the rest is read from disk in its turn', () => {
    const { commit, stateMachine, store, advance, actor } = applier()
    const writer = new LogWriter()
    const large = Array.from({ length: 7 }, () => writer.run(80_000))
    store.runs = large
    store.runsPerRead = 1
    commit(80_000, [])
    for (const run of large.slice(1)) commit(run.lastIndex, [run])
    expect(actor.releasedIndex).toBe(560_000)
    for (let reads = 0; actor.lastApplied < 560_000 && reads < 10; reads++) {
      store.end()
      advance()
    }
    expect(stateMachine.firstIndexes).toEqual(large.map(({ firstIndex }) => firstIndex))
    expect(store.asked).toEqual([1, 480_001])
  })

  it('takes from memory what is there, although the disk still holds what it replaced', () => {
    const { commit, stateMachine, store, advance } = applier()
    const [first, second] = pairs(2)
    const replaced = new LogWriter({ index: 2, checksum: first!.checksum, term: 1 }).run(2, 9)
    store.runs = [first!, replaced]
    commit(4, [second!])
    store.end()
    advance()
    expect(stateMachine.batches.map(({ bytes }) => bytes)).toEqual([first!.bytes, second!.bytes])
  })

  it('goes on with what is committed while it reads', () => {
    const { commit, stateMachine, store, advance } = applier()
    const runs = pairs(4)
    store.runs = runs.slice(0, 2)
    commit(4, runs.slice(1, 2))
    commit(6, runs.slice(2, 3))
    store.end()
    advance()
    commit(8, runs.slice(3))
    expect(stateMachine.firstIndexes).toEqual([1, 3, 5, 7])
    expect(store.asked).toEqual([1])
  })

  it('passes on what the disk says when it cannot read', () => {
    const { commit, store, failures } = applier()
    commit(4, [])
    const error = new Error('EIO')
    store.fail(error)
    expect(failures).toEqual([error])
  })

  it('refuses a state machine that does not give one result a command', () => {
    const { commit, stateMachine } = applier(() => true)
    stateMachine.resultsShort = 1
    expect(() => commit(2, pairs(1))).toThrow(/returned 1 results for 2 commands/)
  })
})
