import { describe, expect, it } from 'vitest'
import type { Random } from '../../src/machines/time-and-chance.js'
import type { KvCommand, KvCompare, KvOperation } from '../../src/state-machines/kv/commands.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { stateMachineSuite } from '../../src/testing/state-machine-suite.js'
import { batchOf, batchOfPayloads, compareAndSwap, del, encoded, keyOf, put, utf8 } from './kv-batch.js'

describe('the key-value store is a state machine', () => {
  for (const { name, check } of stateMachineSuite({ create: () => new KeyValueStore(), command: randomCommand })) {
    it(name, check)
  }
})

function randomCommand(random: Random): KvCommand {
  const below = (count: number) => random.uint32() % count
  if (below(10) === 0) return randomControl(below)
  if (below(5) > 0) return randomOperation(random, 2)
  const lowestOutstanding = below(6)
  const sequence = lowestOutstanding + below(6)
  const command = below(2) === 0 ? randomOperation(random, 1) : ({ type: 'grantLease', ttlMs: 1 + below(9) } as const)
  return { type: 'inSession', session: 1 + below(60), sequence, lowestOutstanding, command }
}

function randomControl(below: (count: number) => number): KvCommand {
  const all: KvCommand[] = [
    { type: 'grantLease', ttlMs: 1 + below(5) },
    { type: 'keepLeaseAlive', lease: 1 + below(200) },
    { type: 'revokeLease', lease: 1 + below(200) },
    { type: 'openSession', timeoutMs: 1 + below(5) },
    { type: 'keepSessionAlive', session: 1 + below(200) },
    { type: 'closeSession', session: 1 + below(200) },
    { type: 'compact', revision: below(100) },
    { type: 'expire' },
  ]
  return all[below(all.length)] ?? { type: 'expire' }
}

function randomOperation(random: Random, depth: number): KvOperation {
  const below = (count: number) => random.uint32() % count
  const bytes = () => Uint8Array.from({ length: 1 + below(3) }, () => below(2))
  const text = () => ['k', 'v', 'ключ'][below(3)] ?? 'k'
  const some = () => (below(2) === 0 ? bytes() : text())
  const wantPrevious = below(2) === 0
  switch (below(depth > 0 ? 9 : 8)) {
    case 0:
      return { type: 'delete', key: some(), wantPrevious }
    case 1:
      return compareAndSwap(some(), below(2) === 0 ? undefined : some(), some())
    case 2:
      return { type: 'deleteRange', from: some(), to: below(2) === 0 ? undefined : some(), wantPrevious }
    case 3:
      return { type: 'get', key: some() }
    case 4:
      return { type: 'range', from: '', to: undefined, limit: 1 + below(4), reverse: below(2) === 0 }
    case 5:
      return { type: 'put', key: some(), value: some(), wantPrevious, ttlMs: 1 + below(5) }
    case 6:
      return { type: 'put', key: some(), value: some(), lease: 1 + below(60) }
    case 7:
      return put(some(), some())
    default: {
      const operations = () => Array.from({ length: below(4) }, () => randomOperation(random, depth - 1))
      const compare: KvCompare = { key: some(), target: 'version', relation: '>', operand: below(3) }
      return { type: 'txn', compares: [compare], then: operations(), else: operations() }
    }
  }
}

describe('the key-value store', () => {
  it('gives every command the revision of its log index, also one that changes nothing', () => {
    const store = new KeyValueStore()
    const commands = [
      put('a', '1'),
      del('a'),
      del('a'),
      compareAndSwap('a', '1', '2'),
      compareAndSwap('a', undefined, '3'),
    ]
    expect(store.apply(batchOf(commands, 7))).toEqual([
      { revision: 7 },
      { deleted: true, revision: 8 },
      { deleted: false, revision: 9 },
      { swapped: false, revision: 10 },
      { swapped: true, revision: 11 },
    ])
    expect(store.get(keyOf('a'))).toEqual({
      value: utf8('3'),
      createRevision: 11,
      modRevision: 11,
      version: 1,
      lease: 0,
    })
  })

  it('keeps the revision of a value that a failed compare-and-swap left in place', () => {
    const store = new KeyValueStore()
    store.apply(
      batchOf([put('a', 'one'), compareAndSwap('a', 'two', 'three'), compareAndSwap('a', undefined, 'three')]),
    )
    expect(store.get(keyOf('a'))).toMatchObject({ value: utf8('one'), modRevision: 1 })
  })

  it('lets a compare-and-swap later in a batch see the writes before it', () => {
    const store = new KeyValueStore()
    const commands = [
      put('a', '1'),
      compareAndSwap('a', '1', '2'),
      compareAndSwap('a', '1', '3'),
      compareAndSwap('a', '2', '4'),
    ]
    const swapped = store.apply(batchOf(commands)).map((result) => 'swapped' in result && result.swapped)
    expect(swapped).toEqual([false, true, false, true])
    expect(store.getValue(keyOf('a'))).toEqual(utf8('4'))
  })

  it('compares whole values: neither a beginning nor an empty value is a match', () => {
    const store = new KeyValueStore()
    store.apply(batchOf([put('a', 'value'), compareAndSwap('a', 'val', 'x'), compareAndSwap('a', '', 'x')]))
    expect(store.getValue(keyOf('a'))).toEqual(utf8('value'))
    expect(store.apply(batchOf([put('e', ''), compareAndSwap('e', '', 'x')], 4))[1]).toEqual({
      swapped: true,
      revision: 5,
    })
  })

  it('tells an empty value from none', () => {
    const store = new KeyValueStore()
    store.apply(batchOf([put('a', '')]))
    expect(store.getMulti([keyOf('a'), keyOf('b')])).toEqual([new Uint8Array(), undefined])
  })

  it('takes a string for its UTF-8 bytes, in keys and in values', () => {
    const store = new KeyValueStore()
    store.apply(batchOf([put('ключ', 'зн😀')]))
    expect(store.getValue(keyOf(utf8('ключ')))).toEqual(utf8('зн😀'))
    store.apply(batchOf([del(utf8('ключ'))], 2))
    expect(store.size).toBe(0)
  })

  it('gives every caller bytes of his own', () => {
    const store = new KeyValueStore()
    store.apply(batchOf([put('a', 'mine')]))
    store.getValue(keyOf('a'))?.fill(0)
    store.get(keyOf('a'))?.value.fill(0)
    store.getMulti([keyOf('a')])[0]?.fill(0)
    expect(store.getValue(keyOf('a'))).toEqual(utf8('mine'))
  })

  it('keeps no view of the bytes it applied, so that a small value cannot pin a large frame', () => {
    const store = new KeyValueStore()
    store.apply(batchOf([put('a', 'v'.repeat(100)), put('b', 'w'.repeat(100_000))]))
    expect(store.getValue(keyOf('a'))?.buffer.byteLength).toBeLessThanOrEqual(4096)
  })

  it('gives plain Uint8Arrays although the bytes came in a Node Buffer', () => {
    const store = new KeyValueStore()
    store.apply(batchOf([put('a', 'v')]))
    expect(Object.getPrototypeOf(store.getValue(keyOf('a')))).toBe(Uint8Array.prototype)
  })

  it('stops at a command of a newer version and at a malformed one', () => {
    const apply = (payload: Uint8Array) => () => new KeyValueStore().apply(batchOfPayloads([payload]))
    const whole = encoded(put('key', ''))
    expect(apply(Uint8Array.of(0x31, 0, 0, 0, 1, 97))).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_FORMAT' }))
    expect(apply(Uint8Array.of())).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_FORMAT' }))
    for (let length = 1; length < whole.length; length++) {
      expect(apply(whole.subarray(0, length))).toThrow(expect.objectContaining({ code: 'CORRUPT' }))
    }
    expect(apply(Uint8Array.of(0x11, 0, 0, 0, 0, 97))).toThrow(/empty key/)
    expect(apply(Uint8Array.of(0x12))).toThrow(/empty key/)
  })
})
