import { describe, expect, it } from 'vitest'
import { kvCommands } from '../../src/state-machines/kv/command-codec.js'
import type { KvCommand, TxnCommand } from '../../src/state-machines/kv/commands.js'
import { compareAndSwap, del, encoded, put } from './kv-batch.js'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

describe('the format of key-value commands', () => {
  it('does not change: these bytes are in logs', () => {
    expect(hex(encoded(put('ab', 'xyz')))).toBe('11' + '00000002' + '6162' + '78797a')
    expect(hex(encoded(del('ab')))).toBe('12' + '6162')
    expect(hex(encoded(compareAndSwap('ab', 'x', 'yz')))).toBe('13' + '00000002' + '6162' + '00000001' + '78' + '797a')
    expect(hex(encoded(compareAndSwap('ab', undefined, 'yz')))).toBe('14' + '00000002' + '6162' + '797a')
  })

  it('does not change for what came with leases, transactions and sessions', () => {
    const u64 = (number: number) => number.toString(16).padStart(16, '0')
    expect(hex(encoded(put('ab', 'x', { lease: 5 })))).toBe('1502' + u64(5) + '00000002' + '6162' + '78')
    expect(hex(encoded({ ...put('ab', 'x', { ttlMs: 2 ** 40 }), wantPrevious: true }))).toBe(
      '1505' + u64(2 ** 40) + '00000002' + '6162' + '78',
    )
    expect(hex(encoded({ type: 'delete', key: 'ab', wantPrevious: true }))).toBe('1601' + '6162')
    expect(hex(encoded({ type: 'deleteRange', from: 'a', to: 'b' }))).toBe('1708' + '0000000161' + '0000000162')
    expect(hex(encoded({ type: 'range', from: '', to: undefined, limit: 7, reverse: true }))).toBe(
      '1910' + '00000007' + '00000000',
    )
    const compares = [{ key: 'a', target: 'version', relation: '>', operand: 1 }] as const
    expect(hex(encoded({ type: 'txn', compares, then: [del('b')], else: [] }))).toBe(
      '1a' + '000000010000000100000000' + '0000000f' + '0103' + '0000000161' + u64(1) + '00000002' + '1262',
    )
    expect(hex(encoded({ type: 'grantLease', ttlMs: 9 }))).toBe('21' + u64(9))
    expect(hex(encoded({ type: 'expire' }))).toBe('1c')
    const inner = { type: 'keepLeaseAlive', lease: 4 } as const
    expect(hex(encoded({ type: 'inSession', session: 1, sequence: 3, lowestOutstanding: 2, command: inner }))).toBe(
      '1f' + u64(1) + u64(3) + u64(2) + '22' + u64(4),
    )
  })

  it('refuses what would stop the servers that apply it', () => {
    const refused = (code: string) => expect.objectContaining({ code }) as unknown
    const nested = (depth: number): TxnCommand => ({
      type: 'txn',
      compares: [],
      then: depth > 1 ? [nested(depth - 1)] : [],
      else: [],
    })
    const many = Array.from({ length: 1001 }, () => put('k', 'v'))
    expect(() => encoded(nested(8))).not.toThrow()
    expect(() => encoded(nested(9))).toThrow(refused('TOO_LARGE'))
    expect(() => encoded({ ...nested(1), then: many })).toThrow(refused('TOO_LARGE'))
    const wrong: KvCommand[] = [
      { type: 'grantLease', ttlMs: 0 },
      { type: 'grantLease', ttlMs: 1.5 },
      { type: 'revokeLease', lease: -1 },
      { type: 'openSession', timeoutMs: Infinity },
      { type: 'compact', revision: -1 },
      put('k', 'v', { lease: 1, ttlMs: 1 }),
      { type: 'txn', compares: [], then: [put('', 'v')], else: [] },
      { type: 'range', from: '', to: undefined, limit: 10_001 },
    ]
    for (const command of wrong) expect(() => encoded(command)).toThrow(refused('INVALID_ARGUMENT'))
  })

  it('tells a compare-and-swap that expects an empty value from one that expects no key', () => {
    expect(hex(encoded(compareAndSwap('a', '', 'v')))).not.toBe(hex(encoded(compareAndSwap('a', undefined, 'v'))))
  })

  it('is the same for a string and for its bytes, however long and wherever its first wide character', () => {
    for (const length of [0, 1, 23, 24, 25, 1023, 1024, 1025, 5000]) {
      for (const text of ['v'.repeat(length), 'v'.repeat(length) + 'ж', 'ж' + '😀'.repeat(length)]) {
        expect(hex(encoded(put('k' + text, text)))).toBe(hex(encoded(put(Buffer.from('k' + text), Buffer.from(text)))))
      }
    }
  })

  it('refuses a string without UTF-8 before anything is written', () => {
    expect(() => kvCommands.sizeOf(put('k', '\ud800'))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })
})
