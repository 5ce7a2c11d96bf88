import { describe, expect, it } from 'vitest'
import type { KvCompare, KvOperation, TxnCommand } from '../../src/state-machines/kv/commands.js'
import { AppliedLog, del, keyOf, put, textOf } from './kv-batch.js'

function txn(compares: readonly KvCompare[], then: readonly KvOperation[], otherwise: readonly KvOperation[] = []) {
  return { type: 'txn', compares, then, else: otherwise } satisfies TxnCommand
}

/** Whether a comparison holds. */
function holds(log: AppliedLog, compare: KvCompare): boolean {
  const result = log.apply(txn([compare], []))
  return 'succeeded' in result && result.succeeded
}

describe('a transaction', () => {
  it('takes one branch by all its comparisons, and gives a result for each operation of it', () => {
    const log = new AppliedLog()
    log.apply(put('a', '1'))
    const absent = { key: 'b', target: 'version', relation: '=', operand: 0 } as const
    const command = txn([absent], [put('b', '2'), { type: 'get', key: 'a' }], [del('a')])
    expect(log.apply(command)).toMatchObject({
      succeeded: true,
      results: [{ revision: 2 }, { entry: { modRevision: 1, version: 1 } }],
    })
    expect(log.apply(command)).toMatchObject({ succeeded: false, results: [{ deleted: true }], revision: 3 })
    expect([log.text('a'), log.text('b')]).toEqual([undefined, '2'])
  })

  it('writes at one revision, later operations seeing what earlier ones wrote', () => {
    const log = new AppliedLog()
    const sum = { type: 'range', from: '', to: undefined } as const
    const nested = txn([{ key: 'a', target: 'value', relation: '=', operand: '1' }], [put('a', '2')], [del('a')])
    const result = log.apply(txn([], [put('a', '1'), put('b', 'x'), sum, nested, { type: 'get', key: 'a' }]))
    expect(result).toMatchObject({
      results: [{}, {}, { count: 2, revision: 1 }, { succeeded: true }, { entry: { version: 2, modRevision: 1 } }],
    })
    expect(log.store.range({ from: keyOf('a'), to: undefined }).entries.map((each) => textOf(each.value))).toEqual([
      '2',
      'x',
    ])
  })

  it('does nothing at all when it names a lease that does not exist, wherever it does', () => {
    const log = new AppliedLog()
    const nested = txn([], [], [put('b', '', { lease: 99 })])
    expect(log.apply(txn([], [put('a', '1'), nested]))).toEqual({ refused: 'LEASE_NOT_FOUND', revision: 1 })
    expect(log.store.size).toBe(0)
  })

  it('compares values by their bytes, and no value of a key that does not exist', () => {
    const log = new AppliedLog()
    log.apply(put('k', 'bb'))
    const value = (relation: KvCompare['relation'], operand: string, key = 'k') =>
      holds(log, { key, target: 'value', relation, operand })
    expect([value('=', 'bb'), value('>', 'b'), value('<', 'c'), value('!=', 'bb')]).toEqual([true, true, true, false])
    expect([value('=', '', 'none'), value('!=', '', 'none'), value('<', 'z', 'none')]).toEqual([false, false, false])
  })

  it('compares revisions, versions and leases, which are 0 where there is no key', () => {
    const log = new AppliedLog()
    log.apply({ type: 'grantLease', ttlMs: 1000 })
    log.apply(put('k', '1'))
    log.apply(put('k', '2', { lease: 1 }))
    const number = (target: 'version' | 'createRevision' | 'modRevision' | 'lease', operand: number, key = 'k') =>
      holds(log, { key, target, relation: '=', operand })
    expect([number('version', 2), number('createRevision', 2), number('modRevision', 3), number('lease', 1)]).toEqual([
      true,
      true,
      true,
      true,
    ])
    expect([number('modRevision', 0, 'none'), number('lease', 0, 'none')]).toEqual([true, true])
  })
})
