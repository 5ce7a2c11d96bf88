import { describe, expect, it } from 'vitest'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { FIRST_KEY } from '../../src/state-machines/kv/keys.js'
import { AppliedLog, batchOf, del, keyOf, keyRange, put, textOf, utf8 } from './kv-batch.js'

const compacted = expect.objectContaining({ code: 'COMPACTED' }) as unknown
const ALL = keyRange('')

function logOf(limits: ConstructorParameters<typeof KeyValueStore>[0]): AppliedLog {
  return new AppliedLog(new KeyValueStore(limits))
}

const textAt = ({ store }: AppliedLog, key: string, revision: number) => {
  const found = store.get(keyOf(key), revision)
  return found && textOf(found.value)
}

describe('the history of the key-value store', () => {
  it('gives a key as it was, through overwriting, deletion and creation anew', () => {
    const log = new AppliedLog()
    for (const command of [put('a', 'one'), put('a', 'two'), put('a', 'longer'), del('a'), put('a', 'new')]) {
      log.apply(command)
    }
    expect([0, 1, 2, 3, 4, 5].map((revision) => textAt(log, 'a', revision))).toEqual([
      undefined,
      'one',
      'two',
      'longer',
      undefined,
      'new',
    ])
    expect(log.store.get(keyOf('a'), 3)).toMatchObject({ createRevision: 1, modRevision: 3, version: 3 })
    expect(log.store.get(keyOf('a'))).toMatchObject({ createRevision: 5, modRevision: 5, version: 1 })
  })

  it('gives a range as it was, with the keys that are gone and without those that came', () => {
    const log = new AppliedLog()
    for (const command of [put('a', '1'), put('c', '3'), del('a'), put('b', '2')]) log.apply(command)
    const keysAt = (revision: number) => log.store.range(ALL, revision).entries.map(({ key }) => textOf(key))
    expect([1, 2, 3, 4].map(keysAt)).toEqual([['a'], ['a', 'c'], ['c'], ['b', 'c']])
    expect(log.store.range({ ...ALL, limit: 1, reverse: true }, 2)).toMatchObject({ more: true, count: 2, revision: 2 })
  })

  it('gives the keys of a prefix, as they are and as they were', () => {
    const log = new AppliedLog()
    for (const key of ['a', 'aa', 'ab', 'b']) log.apply(put(key, key))
    expect(log.store.scanPrefix(keyOf('a')).entries.map(({ key }) => textOf(key))).toEqual(['a', 'aa', 'ab'])
    expect(log.store.scanPrefix(keyOf('a'), 2)).toMatchObject({ count: 2, revision: 2 })
    expect(log.store.scanPrefix(FIRST_KEY).count).toBe(4)
    expect(log.store.scanPrefix(keyOf(Uint8Array.of(0xff))).count).toBe(0)
  })

  it('refuses a revision that is still to come, and one that is none', () => {
    const log = new AppliedLog()
    log.apply(put('a', '1'))
    for (const revision of [2, -1, 0.5]) {
      expect(() => log.store.range(ALL, revision)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
  })

  it('keeps so many changes, and says COMPACTED of what lies before', () => {
    const log = logOf({ historyEntriesMax: 10 })
    for (let i = 1; i <= 30; i++) log.apply(put('a', `${i}`))
    expect(log.store.compactedRevision).toBe(20)
    expect(textAt(log, 'a', 20)).toBe('20')
    expect(() => textAt(log, 'a', 19)).toThrow(compacted)
    expect(log.store.changesSince(21, ALL).revisions).toHaveLength(10)
    expect(() => log.store.changesSince(20, ALL)).toThrow(compacted)
  })

  it('keeps so many bytes, and forgets a revision whole', () => {
    const log = logOf({ historyBytesMax: 1000 })
    for (let i = 0; i < 8; i++) log.apply(put(`${i}`, new Uint8Array(200)))
    log.apply({ type: 'deleteRange', from: '', to: undefined })
    expect(log.store.compactedRevision).toBe(9)
    log.apply(put('a', '1'))
    expect(log.store.changesSince(10, ALL).revisions).toHaveLength(1)
  })

  it('keeps changes for so long, in cluster time', () => {
    const log = logOf({ historyAgeMsMax: 100 })
    for (const clusterTime of [0, 50, 100, 120]) {
      log.clusterTime = clusterTime
      log.apply(put('a', `${clusterTime}`))
    }
    expect(log.store.compactedRevision).toBe(1)
  })

  it('forgets what a command says, and no more when told twice', () => {
    const log = new AppliedLog()
    for (let i = 1; i <= 5; i++) log.apply(put('a', `${i}`))
    expect(log.apply({ type: 'compact', revision: 3 })).toEqual({ compactedRevision: 3, revision: 6 })
    expect(textAt(log, 'a', 3)).toBe('3')
    expect(() => textAt(log, 'a', 2)).toThrow(compacted)
    log.apply({ type: 'compact', revision: 1 })
    expect(textAt(log, 'a', 3)).toBe('3')
    expect(log.apply({ type: 'compact', revision: 1000 })).toEqual({ compactedRevision: 8, revision: 8 })
  })

  it('holds through its growth and through slabs that are used again', () => {
    const log = logOf({ historyEntriesMax: 3000 })
    const valueOf = (i: number) => `${i}`.padStart(200, '.')
    for (let first = 1; first <= 9000; first += 1000) {
      const commands = Array.from({ length: 1000 }, (_, i) => put(`${(first + i) % 7}`, valueOf(first + i)))
      log.store.apply(batchOf(commands, first))
    }
    for (const revision of [6001, 7500, 9000]) expect(textAt(log, `${revision % 7}`, revision)).toBe(valueOf(revision))
    expect(log.store.compactedRevision).toBe(6000)
  })

  it('comes through a snapshot, also one that is read after more was written', () => {
    const log = new AppliedLog()
    for (const command of [put('a', 'one'), put('b', 'x'), put('a', 'two'), del('b')]) log.apply(command)
    const chunks = log.store.snapshot()
    for (let i = 0; i < 2000; i++) log.apply(put('a', `${i}`.padStart(100)))
    const other = new AppliedLog()
    const sink = other.store.restore()
    for (const chunk of chunks) sink.write(chunk)
    sink.end()
    expect([1, 2, 3, 4].map((revision) => textAt(other, 'a', revision))).toEqual(['one', 'one', 'two', 'two'])
    expect([1, 2, 3, 4].map((revision) => textAt(other, 'b', revision))).toEqual([undefined, 'x', 'x', undefined])
    expect(other.store.revision).toBe(4)
  })

  it('gives changes a piece at a time, in whole revisions', () => {
    const log = new AppliedLog()
    log.apply(put('a', '1'))
    log.apply({ type: 'txn', compares: [], then: [put('b', '2'), put('c', '3')], else: [] })
    log.apply(put('d', '4'))
    const first = log.store.changesSince(1, ALL, 2)
    expect(first.revisions.map(({ revision, changes }) => [revision, changes.length])).toEqual([
      [1, 1],
      [2, 2],
    ])
    expect(first.next).toBe(3)
    expect(log.store.changesSince(first.next, ALL, 2)).toMatchObject({ revisions: [{ revision: 3 }], next: 4 })
  })

  it('gives bytes that are the caller’s own', () => {
    const log = new AppliedLog()
    log.apply(put('a', 'one'))
    log.apply(put('a', 'two'))
    log.store.get(keyOf('a'), 1)?.value.fill(0)
    log.store.range(ALL).entries[0]?.value.fill(0)
    expect(log.store.get(keyOf('a'), 1)?.value).toEqual(utf8('one'))
    expect(log.text('a')).toBe('two')
  })
})
