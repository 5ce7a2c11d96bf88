import { describe, expect, it } from 'vitest'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { prefixRange, singleKeyRange } from '../../src/state-machines/kv/keys.js'
import type { KvChange } from '../../src/state-machines/kv/watchers.js'
import { AppliedLog, batchOf, del, keyOf, put, restore, textOf } from './kv-batch.js'

/** Watches and notes down what it is told: revision, key, value, previous value. */
function noted(log: AppliedLog, range = prefixRange(keyOf('k'))) {
  const told: unknown[] = []
  const end = log.store.watch(range, {
    changed: (revision, changes) => told.push([revision, ...changes.map(wordsOf)]),
    replaced: () => told.push('replaced'),
  })
  return { told, end }
}

function wordsOf(change: KvChange): string {
  const before = change.previous === undefined ? '' : ` was ${textOf(change.previous.value)}`
  if (change.type === 'delete') return `${textOf(change.key)} deleted${before}`
  return `${textOf(change.entry.key)} = ${textOf(change.entry.value)}${before}`
}

describe('who watches a range', () => {
  it('is told of writes and deletions with what was before, and of nothing else', () => {
    const log = new AppliedLog()
    const { told } = noted(log)
    log.store.apply(batchOf([put('k', '1'), put('other', 'x'), put('k', '2'), del('k'), del('k')]))
    expect(told).toEqual([
      [1, 'k = 1'],
      [3, 'k = 2 was 1'],
      [4, 'k deleted was 2'],
    ])
  })

  it('is told of a transaction once, each key by what became of it', () => {
    const log = new AppliedLog()
    const { told } = noted(log)
    log.apply(put('k1', 'old'))
    const then = [put('k2', 'a'), put('k1', 'b'), put('k2', 'c'), put('k3', 'd'), del('k3')]
    log.apply({ type: 'txn', compares: [], then, else: [] })
    expect(told).toEqual([
      [1, 'k1 = old'],
      [2, 'k1 = b was old', 'k2 = c'],
    ])
  })

  it('is told of expiry as of a deletion', () => {
    const log = new AppliedLog()
    const { told } = noted(log)
    log.apply(put('k', '1', { ttlMs: 10 }))
    log.clusterTime = 10
    log.apply({ type: 'expire' })
    expect(told.at(-1)).toEqual([2, 'k deleted was 1'])
  })

  it('is told from when it begins until it ends, also of a key that nobody watched before', () => {
    const log = new AppliedLog()
    log.apply(put('k', '1'))
    const single = noted(log, singleKeyRange(keyOf('k')))
    const range = noted(log)
    log.apply(put('k', '2'))
    single.end()
    single.end()
    log.apply(put('k', '3'))
    range.end()
    log.apply(put('k', '4'))
    expect(single.told).toEqual([[2, 'k = 2 was 1']])
    expect(range.told).toEqual([
      [2, 'k = 2 was 1'],
      [3, 'k = 3 was 2'],
    ])
  })

  it('is not told any more when another ends it in the midst of telling', () => {
    const log = new AppliedLog()
    const ends: (() => void)[] = []
    log.store.watch(singleKeyRange(keyOf('k')), {
      changed: () => ends.forEach((end) => end()),
      replaced: () => undefined,
    })
    const { told, end } = noted(log)
    ends.push(end)
    log.apply(put('k', '1'))
    expect(told).toEqual([])
  })

  it('is not told of what was applied before it came, though others are being told of it', () => {
    const log = new AppliedLog()
    const late: unknown[] = []
    const end = log.store.watch(singleKeyRange(keyOf('k')), {
      changed: () => {
        end()
        late.push(noted(log).told)
      },
      replaced: () => undefined,
    })
    log.store.apply(batchOf([put('k', '1'), put('k', '2')]))
    log.store.apply(batchOf([put('k', '3')], 3))
    expect(late).toEqual([[[3, 'k = 3 was 2']]])
  })

  it('is told of what a compaction in the same batch forgets', () => {
    const log = new AppliedLog()
    const { told } = noted(log)
    log.store.apply(batchOf([put('k', '1'), put('k', '2'), { type: 'compact', revision: 2 }, del('k')]))
    expect(told).toEqual([
      [1, 'k = 1'],
      [2, 'k = 2 was 1'],
      [4, 'k deleted was 2'],
    ])
    expect(() => log.store.changesSince(2, prefixRange(keyOf('k')))).toThrow(
      expect.objectContaining({ code: 'COMPACTED', revision: 3 }),
    )
  })

  it('reads a history of large values in pieces of about a mebibyte', () => {
    const log = new AppliedLog()
    for (let at = 0; at < 5; at++) log.apply(put(`k${at}`, new Uint8Array(600 * 1024)))
    const range = prefixRange(keyOf('k'))
    const { revisions, next } = log.store.changesSince(1, range, 1000)
    expect([revisions.length, next]).toEqual([2, 3])
    expect(log.store.changesSince(1, range).revisions).toHaveLength(5)
  })

  it('is told of what the history is too small to keep', () => {
    const log = new AppliedLog(new KeyValueStore({ historyEntriesMax: 0 }))
    const { told } = noted(log)
    log.store.apply(batchOf([put('k', '1'), put('k', '2')]))
    expect(log.store.compactedRevision).toBe(2)
    expect(told).toEqual([
      [1, 'k = 1'],
      [2, 'k = 2 was 1'],
    ])
  })

  it('learns when a snapshot has replaced the state', () => {
    const log = new AppliedLog()
    const { told } = noted(log)
    const other = new AppliedLog()
    other.apply(put('k', 'theirs'))
    restore(log.store, other.store.snapshot())
    log.revision = 1
    log.apply(put('k', 'ours'))
    expect(told).toEqual(['replaced', [2, 'k = ours was theirs']])
  })
})
