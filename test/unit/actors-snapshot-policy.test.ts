import { describe, expect, it } from 'vitest'
import { SnapshotPolicy, type Applied, type SnapshotPolicyOptions } from '../../src/actors/snapshot-policy.js'
import type { EntryRun } from '../../src/machines/entry-run.js'
import type { Boundary, LogIndex } from '../../src/machines/types.js'
import type { Callback, LogStore, StoredSnapshot } from '../../src/storage/ports.js'
import { runAfter } from '../machine-harness.js'

const NEVER: SnapshotPolicyOptions = {
  snapshotEntries: 0,
  snapshotLogBytes: 0,
  snapshotIntervalMs: 0,
  logEntriesKept: 0,
}

function stored(index: LogIndex, byteLength = 100): StoredSnapshot {
  const boundary: Boundary = {
    index,
    term: 1,
    checksum: 0,
    clusterTime: 0,
    configuration: { voters: [1], learners: [] },
  }
  return { id: { index, term: 1, byteLength, checksum: 0 }, boundary, clusterId: undefined }
}

function applied(index: LogIndex, appliedBytes = 0, others: Partial<Applied> = {}): Applied {
  const end = { index, term: 1, checksum: 0, clusterTime: 0 }
  return { end, appliedBytes, isIncomplete: false, boundaryIndex: 0, ...others }
}

/** A policy over a log of runs of two entries each, up to 100. */
function policy(options: Partial<SnapshotPolicyOptions>, snapshots: StoredSnapshot[] = [], peersAt: LogIndex[] = []) {
  const runs: EntryRun[] = []
  while ((runs.at(-1)?.lastIndex ?? 0) < 100) runs.push(runAfter(runs.at(-1), 1, 2))
  const taken: Callback<StoredSnapshot>[] = []
  const compacted: LogIndex[] = []
  const failures: Error[] = []
  const log: LogStore = {
    open: () => undefined,
    write: () => undefined,
    read: (from, _, callback) =>
      callback(
        undefined,
        runs.filter(({ lastIndex }) => lastIndex >= from),
      ),
    close: () => undefined,
  }
  const self = new SnapshotPolicy(
    {
      log,
      snapshots: { stored: snapshots },
      take: (callback) => taken.push(callback),
      compact: ({ index }) => compacted.push(index),
      peersAt: () => peersAt,
      fail: (error) => failures.push(error),
    },
    { ...NEVER, ...options },
    0,
  )
  /** The snapshot under way is stored. */
  const complete = (snapshot: StoredSnapshot): void => {
    snapshots.unshift(snapshot)
    snapshots.splice(2)
    taken.shift()?.(undefined, snapshot)
  }
  return { self, taken, compacted, failures, complete }
}

describe('the snapshot policy', () => {
  it('takes a snapshot after so many entries, one at a time, and none while nothing is applied', () => {
    const { self, taken, complete } = policy({ snapshotEntries: 10 })
    self.review(applied(9), 0)
    expect(taken).toHaveLength(0)
    self.review(applied(10), 0)
    self.review(applied(30), 0)
    expect(taken).toHaveLength(1)
    complete(stored(10))
    self.review(applied(10), 0)
    self.review(applied(19), 0)
    expect(taken).toHaveLength(0)
    self.review(applied(20), 0)
    expect(taken).toHaveLength(1)
  })

  it('takes one after so many bytes of log, but not before four times what the last one has', () => {
    const { self, taken, complete } = policy({ snapshotLogBytes: 1000 })
    self.review(applied(10, 1000), 0)
    expect(taken).toHaveLength(1)
    complete(stored(10, 600))
    self.review(applied(20, 3000), 0)
    expect(taken).toHaveLength(0)
    self.review(applied(30, 3400), 0)
    expect(taken).toHaveLength(1)
  })

  it('takes one after so long, if anything was applied', () => {
    const { self, taken, complete } = policy({ snapshotIntervalMs: 1000 })
    self.review(applied(0), 5000)
    expect(taken).toHaveLength(0)
    self.review(applied(1), 5000)
    expect(taken).toHaveLength(1)
    complete(stored(1))
    self.review(applied(2), 5999)
    expect(taken).toHaveLength(0)
    self.review(applied(2), 6000)
    expect(taken).toHaveLength(1)
  })

  it('takes one at once when all were damaged and the log begins after what they covered', () => {
    const { self, taken } = policy({})
    self.review(applied(40, 0, { boundaryIndex: 20 }), 0)
    expect(taken).toHaveLength(1)
  })

  it('takes none of a state that is just being replaced, and says so to whoever asks', () => {
    const { self, taken } = policy({ snapshotEntries: 1 })
    self.review(applied(40, 0, { isIncomplete: true }), 0)
    const errors: (Error | undefined)[] = []
    self.take(applied(40, 0, { isIncomplete: true }), 0, (error) => errors.push(error))
    expect(taken).toHaveLength(0)
    expect(errors).toEqual([expect.objectContaining({ code: 'BUSY' })])
  })

  it('gives the newest one to whoever asks when nothing was applied since', () => {
    const newest = stored(40)
    const { self, taken } = policy({}, [newest])
    let given: StoredSnapshot | undefined
    self.take(applied(40), 0, (_, snapshot) => (given = snapshot))
    expect(taken).toHaveLength(0)
    expect(given).toBe(newest)
  })

  it('lets the log go only up to the older of two snapshots, and keeps what the options say', () => {
    const first = policy({ snapshotEntries: 10 })
    first.self.review(applied(10), 0)
    first.complete(stored(10))
    expect(first.compacted).toEqual([])
    first.self.review(applied(20), 0)
    first.complete(stored(20))
    expect(first.compacted).toEqual([10])
    const keeping = policy({ snapshotEntries: 10, logEntriesKept: 15 }, [stored(10)])
    keeping.self.review(applied(20), 0)
    keeping.complete(stored(20))
    // Entry 5 lies within the run that ends at 6: runs are never split.
    expect(keeping.compacted).toEqual([6])
  })

  it('keeps the log from where a peer is, as long as that is less than four times the snapshot', () => {
    const peersAt = [12]
    const { self, complete, compacted } = policy({ snapshotEntries: 10 }, [], peersAt)
    const takeAt = (index: LogIndex, bytes: number): void => {
      self.review(applied(index, bytes), 0)
      complete(stored(index, 100))
    }
    self.review(applied(0, 0), 0)
    takeAt(10, 100)
    takeAt(20, 200)
    takeAt(30, 300)
    // In steps from one snapshot to the next, however often it is looked at.
    for (peersAt[0] = 13; peersAt[0] < 19; peersAt[0]++) self.review(applied(30, 300), 0)
    expect(compacted).toEqual([10])
    peersAt[0] = 21
    self.review(applied(30, 300), 0)
    expect(compacted).toEqual([10, 20])
    takeAt(40, 700)
    expect(compacted.at(-1)).toBe(30)
  })

  it('takes another snapshot after the one under way for whoever asks when more is applied', () => {
    const { self, complete, taken } = policy({})
    const told: unknown[] = []
    self.take(applied(10), 0, () => told.push('at 10'))
    expect(self.taking).toBe(10)
    self.take(applied(10), 0, () => told.push('at 10 too'))
    self.whenTaken(() => self.take(applied(12), 0, () => told.push('at 12')))
    const shared = taken.splice(1)
    complete(stored(10))
    expect(self.taking).toBe(12)
    // Whoever had a share in the first ends nothing of the second.
    shared[0]?.(undefined, stored(10))
    expect(self.taking).toBe(12)
    complete(stored(12))
    expect(told).toEqual(['at 10', 'at 10 too', 'at 12'])
    expect(self.taking).toBeUndefined()
  })

  it('lets the server stop when a snapshot cannot be taken', () => {
    const { self, taken, failures } = policy({ snapshotEntries: 1 })
    self.review(applied(1), 0)
    taken[0]?.(new Error('EIO'), stored(0))
    expect(failures).toEqual([new Error('EIO')])
  })
})
