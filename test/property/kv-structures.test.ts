import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Deadline, Deadlines } from '../../src/state-machines/kv/deadlines.js'
import { KeyIndex } from '../../src/state-machines/kv/key-index.js'
import { isInRange, type KeyChars, prefixRange } from '../../src/state-machines/kv/keys.js'
import { RangeTree } from '../../src/state-machines/kv/range-tree.js'
import { keyOf, keyRange } from '../unit/kv-batch.js'

const number = fc.nat(3000)
const name = (each: number): KeyChars => keyOf(String(each * 7919).padStart(9, '0'))

describe('the index of keys', () => {
  it('gives what a sorted list gives, forwards and backwards, with more keys than fit a chunk', () => {
    fc.assert(
      fc.property(fc.array(number, { maxLength: 200 }), fc.nat(2500), number, number, (gone, count, from, to) => {
        const index = new KeyIndex()
        const all = new Set<KeyChars>()
        // In an order that is none.
        for (let i = 0; i < count; i++) all.add(name((i * 1231) % 3001))
        for (const key of all) index.add(key)
        for (const key of gone.map(name)) {
          if (all.delete(key)) index.delete(key)
        }
        const range = keyRange(name(from), to % 5 === 0 ? undefined : name(to))
        const expected = [...all].filter((key) => isInRange(key, range)).sort()
        expect([...index.ascending(range.from, range.to)]).toEqual(expected)
        expect(index.count(range.from, range.to)).toBe(expected.length)
        expect([...index.descending(range.from, range.to)]).toEqual(expected.reverse())
      }),
      { numRuns: 30 },
    )
  })

  it('holds nothing that was deleted', () => {
    const index = new KeyIndex()
    const keys = Array.from({ length: 2000 }, (_, i) => name(i))
    keys.forEach((key) => index.add(key))
    keys.forEach((key) => index.delete(key))
    expect([...index.ascending(keyRange('').from, undefined)]).toEqual([])
    expect(index.count(keyRange('').from, undefined)).toBe(0)
  })
})

describe('deadlines', () => {
  it('come up in order, whatever was removed and however many were given more time', () => {
    const item = fc.record({
      deadline: fc.nat(20),
      more: fc.nat(20),
      fate: fc.constantFrom('stay', 'extend', 'remove'),
    })
    fc.assert(
      fc.property(fc.array(item, { maxLength: 60 }), (items) => {
        const deadlines = new Deadlines<Deadline>()
        const all = items.map(({ deadline }, id): Deadline => ({ id, deadline, queuedAt: 0, place: 0 }))
        all.forEach((each) => deadlines.add(each))
        items.forEach(({ fate, more }, id) => {
          const each = all[id]
          if (each === undefined) return
          if (fate === 'extend') each.deadline += more
          if (fate === 'remove') deadlines.remove(each)
        })
        const left = all.filter((_, id) => items[id]?.fate !== 'remove')
        const found: Deadline[] = []
        for (let first = deadlines.first; first !== undefined; first = deadlines.first) {
          found.push(first)
          deadlines.remove(first)
        }
        expect(found).toEqual(left.sort((one, other) => one.deadline - other.deadline || one.id - other.id))
      }),
    )
  })
})

describe('the tree of watched ranges', () => {
  it('finds every range that has a key and no other, whatever came and went', () => {
    const bound = fc
      .string({ unit: fc.constantFrom('a', 'b', 'ÿ'), minLength: 1, maxLength: 3 })
      .map((text) => text as KeyChars)
    const range = fc.oneof(fc.record({ from: bound, to: fc.option(bound, { nil: undefined }) }), bound.map(prefixRange))
    const ranges = fc.array(fc.record({ range, ends: fc.boolean() }), { maxLength: 300 })
    fc.assert(
      fc.property(ranges, bound, (ranges, key) => {
        const tree = new RangeTree<number>()
        const releases = ranges.map(({ range }, item) => tree.add(range, item))
        releases.forEach((release, item) => {
          if (ranges[item]?.ends === true) release()
        })
        const expected = ranges.flatMap(({ range, ends }, item) => (!ends && isInRange(key, range) ? [item] : []))
        const found: number[] = []
        tree.visit(key, (item) => found.push(item))
        expect(found.sort((one, other) => one - other)).toEqual(expected)
        expect(tree.covers(key)).toBe(expected.length > 0)
      }),
    )
  })
})
