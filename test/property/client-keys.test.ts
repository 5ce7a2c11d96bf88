import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RangeOptions } from '../../src/client/client-api.js'
import { KeyPrefix } from '../../src/client/key-prefix.js'
import { cursorOf, nextPage, pageAsked } from '../../src/client/paging.js'
import type { CommandResult } from '../../src/client/store-port.js'
import type { KvCommand, KvCompare, KvOperation } from '../../src/state-machines/kv/commands.js'
import { charsOf, FIRST_KEY, isInRange, prefixRange } from '../../src/state-machines/kv/keys.js'
import type { KvEntry, KvResult } from '../../src/state-machines/kv/results.js'
import { AppliedLog, del, put } from '../unit/kv-batch.js'

/** Few keys, many of them neighbours, at both ends of what bytes there are. */
const byte = fc.constantFrom(0, 1, 0x61, 0xfe, 0xff)
const bytes = (minLength: number, maxLength: number) =>
  fc.array(byte, { minLength, maxLength }).map((list) => Uint8Array.from(list))
const key = bytes(1, 2)
const value = bytes(0, 2)
const bound = bytes(0, 2)
const end = fc.option(bytes(0, 2), { nil: undefined })
const wantPrevious = fc.boolean()

const operation: fc.Arbitrary<KvOperation> = fc.letrec<{ operation: KvOperation; compare: KvCompare }>((tie) => ({
  compare: fc.oneof(
    fc.record({ key, target: fc.constant('value' as const), relation: fc.constant('=' as const), operand: value }),
    fc.record({
      key,
      target: fc.constant('version' as const),
      relation: fc.constant('>' as const),
      operand: fc.nat(1),
    }),
  ),
  operation: fc.oneof(
    { maxDepth: 2 },
    fc.record({ type: fc.constant('put' as const), key, value, wantPrevious }),
    fc.record({ type: fc.constant('delete' as const), key, wantPrevious }),
    fc.record({ type: fc.constant('get' as const), key }),
    fc.record({
      type: fc.constant('compareAndSwap' as const),
      key,
      expected: fc.option(value, { nil: undefined }),
      value,
    }),
    fc.record({ type: fc.constant('deleteRange' as const), from: bound, to: end, wantPrevious }),
    fc.record({ type: fc.constant('range' as const), from: bound, to: end, reverse: fc.boolean() }),
    fc.record({
      type: fc.constant('txn' as const),
      compares: fc.array(tie('compare'), { maxLength: 2 }),
      then: fc.array(tie('operation'), { maxLength: 3 }),
      else: fc.array(tie('operation'), { maxLength: 3 }),
    }),
  ),
})).operation

function granted(result: KvResult): CommandResult {
  if ('refused' in result) throw new Error('nothing here is refused')
  return result
}

function startsWith(whole: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.every((each, at) => whole[at] === each)
}

describe('a namespace', () => {
  it('is a store of its own: commands have the same results there, and touch nothing outside', () => {
    fc.assert(
      fc.property(bytes(1, 2), fc.array(bytes(1, 3)), fc.array(operation), (prefix, others, operations) => {
        const names = new KeyPrefix(charsOf(prefix, 0, prefix.length))
        const [shared, own] = [new AppliedLog(), new AppliedLog()]
        const outside = others.filter((other) => !startsWith(other, prefix))
        for (const other of outside) {
          shared.apply(put(other, 'outside'))
          own.apply(del('none'))
        }
        const before = outsideOf(shared, prefix)
        for (const command of operations) {
          const within = granted(shared.apply(names.addToCommand(command)))
          expect(names.takeFromResult(within)).toEqual(granted(own.apply(command)))
        }
        expect(outsideOf(shared, prefix)).toEqual(before)
      }),
    )
  })

  it("of a session's command is the namespace of that command", () => {
    fc.assert(
      fc.property(bytes(1, 2), operation, (prefix, command) => {
        const names = new KeyPrefix(charsOf(prefix, 0, prefix.length))
        const inSession = { type: 'inSession', session: 1, sequence: 1, lowestOutstanding: 1 } as const
        const whole: KvCommand = { ...inSession, command }
        expect(names.addToCommand(whole)).toEqual({ ...inSession, command: names.addToCommand(command) })
      }),
    )
  })

  function outsideOf({ store }: AppliedLog, prefix: Uint8Array): readonly KvEntry[] {
    const within = prefixRange(charsOf(prefix, 0, prefix.length))
    const { entries } = store.range({ from: FIRST_KEY, to: undefined })
    return entries.filter((entry) => !isInRange(charsOf(entry.key, 0, entry.key.length), within))
  }
})

describe('the pages of a range', () => {
  const query: fc.Arbitrary<RangeOptions> = fc.record({
    from: fc.option(bound, { nil: undefined }),
    to: end,
    limit: fc.integer({ min: 1, max: 4 }),
    reverse: fc.boolean(),
    keysOnly: fc.boolean(),
  })
  const writes = fc.array(operation, { maxLength: 20 })

  it('are together what the range was at the first, in either direction and whatever is written meanwhile', () => {
    fc.assert(
      fc.property(writes, query, fc.array(writes, { maxLength: 8 }), (first, options, between) => {
        const log = new AppliedLog()
        for (const command of first) log.apply(command)
        const { whole, query: asked } = pageAsked(options, 64)
        const { reverse, keysOnly } = asked
        const expected = log.store.range({ ...whole, reverse, keysOnly })
        const found: KvEntry[] = []
        const later = [...between]
        for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
          const page = pageAsked({ ...options, cursor }, 64)
          const result = log.store.range(page.query, page.revision)
          expect(result.entries.length).toBeLessThanOrEqual(options.limit ?? 0)
          expect(result.count).toBe(expected.count - found.length)
          found.push(...result.entries)
          const next = nextPage(page, { ...result, revision: page.revision ?? result.revision })
          cursor = next && cursorOf(next)
          for (const command of later.shift() ?? []) log.apply(command)
        }
        expect(found).toEqual(expected.entries)
      }),
    )
  })
})
