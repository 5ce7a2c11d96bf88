import { describe, expect, it } from 'vitest'
import type { Boundary, LogIndex, Term } from '../../src/machines/types.js'
import type { LogStore, LogWrite, Recovered, StoredSnapshot } from '../../src/storage/ports.js'
import { fitToSnapshot } from '../../src/storage/restore-point.js'

const configuration = { voters: [1, 2, 3], learners: [] }
const HARD_STATE = { term: 3, votedFor: 2, promiseMs: 100 }

function boundary(index: LogIndex, term: Term): Boundary {
  return { index, term, checksum: 9, clusterTime: 5, configuration }
}

function snapshot(index: LogIndex, term: Term): StoredSnapshot {
  return { id: { index, term, byteLength: 1, checksum: 1 }, boundary: boundary(index, term), clusterId: 'cluster' }
}

/** A log that begins after `begin` and has one term each from the given indexes on, up to `lastIndex`. */
function log(begin: Boundary, lastIndex: LogIndex, termStarts: Recovered['termStarts']): Recovered {
  return {
    fresh: false,
    storeId: 'store',
    clusterId: undefined,
    hardState: HARD_STATE,
    boundary: begin,
    lastIndex,
    lastChecksum: 1,
    lastClusterTime: 1,
    termStarts,
    configurations: [],
    notices: [],
  }
}

function fit(recovered: Recovered, newest: StoredSnapshot | undefined, failure?: Error) {
  const writes: LogWrite[] = []
  const store: Pick<LogStore, 'write'> = {
    write: (write, callback) => {
      writes.push(write)
      callback(failure)
    },
  }
  const found: { error: Error | undefined; recovered: Recovered }[] = []
  fitToSnapshot(store, recovered, newest, (error, fitted) => found.push({ error, recovered: fitted }))
  return { writes, ...found[0]! }
}

describe('a recovered log and the newest snapshot', () => {
  const empty = boundary(0, 0)

  it('fit when the log has the last entry that the snapshot covers, or begins right after it', () => {
    const long = log(empty, 20, [{ index: 1, term: 1 }])
    expect(fit(long, snapshot(10, 1))).toEqual({ writes: [], error: undefined, recovered: long })
    const after = log(boundary(10, 1), 20, [{ index: 11, term: 2 }])
    expect(fit(after, snapshot(10, 1))).toEqual({ writes: [], error: undefined, recovered: after })
    expect(fit(long, undefined)).toEqual({ writes: [], error: undefined, recovered: long })
  })

  it('are made to fit after a crash in the middle of an installation: the log begins anew after the snapshot', () => {
    const short = fit(log(empty, 5, [{ index: 1, term: 1 }]), snapshot(10, 3))
    expect(short.writes).toEqual([{ runs: [], boundary: boundary(10, 3), truncateFrom: 1, clusterId: 'cluster' }])
    expect(short.recovered).toMatchObject({ boundary: { index: 10 }, lastIndex: 10, lastChecksum: 9, termStarts: [] })
    expect(short.recovered.clusterId).toBe('cluster')
    const conflicting = fit(log(empty, 20, [{ index: 1, term: 1 }]), snapshot(10, 3))
    expect(conflicting.writes).toHaveLength(1)
    expect(fit(log(empty, 0, []), snapshot(10, 3)).writes[0]).not.toHaveProperty('truncateFrom')
  })

  it('are in the term of the snapshot, without a vote, when the crash came before the log was told of that term', () => {
    const { writes, recovered } = fit(log(empty, 5, [{ index: 1, term: 1 }]), snapshot(10, 4))
    const hardState = { term: 4, votedFor: undefined, promiseMs: 100 }
    expect(writes).toMatchObject([{ boundary: boundary(10, 4), hardState }])
    expect(recovered.hardState).toEqual(hardState)
    expect(fit(log(empty, 5, [{ index: 1, term: 1 }]), snapshot(10, 3)).recovered.hardState).toBe(HARD_STATE)
  })

  it('are refused as CORRUPT when the log begins after all that any snapshot covers', () => {
    const { error } = fit(log(boundary(30, 1), 40, [{ index: 31, term: 1 }]), snapshot(10, 1))
    expect(error).toMatchObject({ code: 'CORRUPT' })
    expect(fit(log(boundary(30, 1), 40, [{ index: 31, term: 1 }]), undefined).error).toMatchObject({ code: 'CORRUPT' })
  })

  it('are refused as CORRUPT when the log is a new one, for no snapshot is made without a log', () => {
    const made = { ...log(empty, 0, []), fresh: true }
    expect(fit(made, snapshot(10, 1))).toMatchObject({ writes: [], error: { code: 'CORRUPT' } })
    expect(fit(made, undefined).error).toBeUndefined()
  })

  it('leave the failure of the disk to the caller', () => {
    expect(fit(log(empty, 5, [{ index: 1, term: 1 }]), snapshot(10, 3), new Error('EIO')).error).toEqual(
      new Error('EIO'),
    )
  })
})
