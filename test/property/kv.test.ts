import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ActorumError } from '../../src/errors.js'
import type { KvCommand, KvResult, SingleKeyCommand } from '../../src/state-machines/kv/commands.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import type { Bytes } from '../../src/state-machines/kv/keys.js'
import { batchOf, batchOfPayloads, encoded, keyOf, restore } from '../unit/kv-batch.js'

const bytes = (minLength: number): fc.Arbitrary<Bytes> =>
  fc.oneof(
    fc.uint8Array({ minLength, maxLength: 40 }),
    fc.string({ minLength, maxLength: 40, unit: 'grapheme' }),
    fc.constantFrom('a', 'b'),
  )
const command: fc.Arbitrary<SingleKeyCommand> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key: bytes(1), value: bytes(0) }),
  fc.record({ type: fc.constant('delete' as const), key: bytes(1) }),
  fc.record({
    type: fc.constant('compareAndSwap' as const),
    key: bytes(1),
    expected: fc.option(bytes(0), { nil: undefined }),
    value: bytes(0),
  }),
)

/** One of each kind that the three above are not. */
const others: readonly KvCommand[] = [
  { type: 'put', key: 'k', value: 'v', ttlMs: 5, wantPrevious: true },
  { type: 'deleteRange', from: 'a', to: 'z', wantPrevious: true },
  { type: 'range', from: 'a', to: undefined, limit: 3 },
  {
    type: 'txn',
    compares: [
      { key: 'k', target: 'value', relation: '<', operand: 'v' },
      { key: 'k', target: 'version', relation: '=', operand: 1 },
    ],
    then: [{ type: 'get', key: 'k' }],
    else: [{ type: 'txn', compares: [], then: [{ type: 'delete', key: 'k' }], else: [] }],
  },
  { type: 'inSession', session: 1, sequence: 2, lowestOutstanding: 1, command: { type: 'grantLease', ttlMs: 5 } },
  { type: 'openSession', timeoutMs: 5 },
]

const hex = (value: Bytes) => Buffer.from(value).toString('hex')

/** The same in the plainest way: a map of hexadecimal strings. */
class Model {
  readonly map = new Map<string, string>()

  apply(command: SingleKeyCommand, revision: number): KvResult {
    const key = hex(command.key)
    switch (command.type) {
      case 'put':
        this.map.set(key, hex(command.value))
        return { revision }
      case 'delete':
        return { deleted: this.map.delete(key), revision }
      case 'compareAndSwap': {
        const swapped = this.map.get(key) === (command.expected === undefined ? undefined : hex(command.expected))
        if (swapped) this.map.set(key, hex(command.value))
        return { swapped, revision }
      }
    }
  }
}

describe('the key-value store', () => {
  it('does what a plain map does, also after a snapshot and its restoration', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), fc.nat(60), (commands, restart) => {
        const model = new Model()
        let store = new KeyValueStore()
        for (const [i, command] of commands.entries()) {
          if (i === restart) store = restored(store)
          expect(store.apply(batchOf([command], i + 1))).toEqual([model.apply(command, i + 1)])
          const found = store.getValue(keyOf(command.key))
          expect(found && hex(found)).toBe(model.map.get(hex(command.key)))
        }
        expect(store.size).toBe(model.map.size)
      }),
    )
  })

  it('meets any bytes as a command with a result or a named error', () => {
    const damaged = fc
      .tuple(fc.oneof(command, fc.constantFrom(...others)), fc.nat(100), fc.nat(255))
      .map(([command, at, byte]) => {
        const payload = encoded(command)
        payload[at % payload.length] = byte
        return payload
      })
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.uint8Array({ maxLength: 30 }), damaged), { maxLength: 5 }), (payloads) => {
        const batch = batchOfPayloads(payloads)
        expectNamedError(() => expect(new KeyValueStore().apply(batch)).toHaveLength(payloads.length))
      }),
      { numRuns: 1000 },
    )
  })

  it('meets any bytes as a snapshot with a state or a named error', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.uint8Array({ maxLength: 60 }).map((rest) => Uint8Array.of(1, ...rest)),
          { maxLength: 4 },
        ),
        (chunks) => {
          expectNamedError(() => restore(new KeyValueStore(), chunks))
        },
      ),
      { numRuns: 1000 },
    )
  })
})

function restored(store: KeyValueStore): KeyValueStore {
  const other = new KeyValueStore()
  restore(other, store.snapshot())
  return other
}

function expectNamedError(act: () => void): void {
  try {
    act()
  } catch (error) {
    if (!(error instanceof ActorumError)) throw error
    expect(['CORRUPT', 'UNSUPPORTED_FORMAT']).toContain(error.code)
  }
}
