import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/machines/time-and-chance.js'
import type { CheckOptions, Verdict } from '../../src/testing/linearizability/checker.js'
import { checkLinearizable } from '../../src/testing/linearizability/checker.js'
import type { Operation } from '../../src/testing/linearizability/history.js'
import { describeOperation } from '../../src/testing/linearizability/history.js'
import { simulateRegister } from '../property/linearizability-register.js'

type Span = readonly [call: number, end: number]

const at = ([call, end]: Span, key = 'x') => ({ client: 'c', key, call, return: end, outcome: 'ok' as const })
const put = (span: Span, value: string, revision: number | null = null, key = 'x'): Operation => {
  return { ...at(span, key), op: 'put', input: value, output: revision }
}
const get = (span: Span, output: string | null, key = 'x'): Operation => ({
  ...at(span, key),
  op: 'get',
  input: null,
  output,
})
const remove = (span: Span, deleted: boolean): Operation => ({
  ...at(span),
  op: 'delete',
  input: null,
  output: { deleted },
})
const swap = (span: Span, expected: string | null, value: string, output: boolean): Operation => {
  return { ...at(span), op: 'cas', input: { expected, value }, output }
}
const unknown = (operation: Operation): Operation => ({
  ...operation,
  output: null,
  return: Infinity,
  outcome: 'unknown',
})
const failed = (operation: Operation): Operation => ({ ...operation, output: null, outcome: 'failed' })

const check = (...history: Operation[]): boolean | undefined => checkLinearizable(history).valid

describe('a linearizable history', () => {
  it('may be empty', () => {
    expect(check()).toBe(true)
  })

  it('may show a write before the write returns, and to one reader before it shows to another under way', () => {
    expect(check(put([0, 100], '1'), get([10, 20], '1'), get([5, 50], null))).toBe(true)
  })

  it('may show a write of unknown outcome long after', () => {
    expect(check(unknown(put([0, 1], '1')), get([10, 20], null), get([500, 510], '1'))).toBe(true)
  })

  it('may never show a write of unknown outcome', () => {
    expect(check(put([0, 1], '1'), unknown(put([2, 3], '2')), get([10, 20], '1'))).toBe(true)
  })

  it('may show a write of unknown outcome between others of the same value', () => {
    const history = [put([0, 1], '1'), unknown(put([2, 3], '2')), unknown(put([2, 3], '2')), get([4, 5], '2')]
    expect(check(...history, put([6, 7], '1'), get([8, 9], '2'))).toBe(true)
  })

  it('may need a chain of compare-and-swaps that never returned', () => {
    const chain = [
      unknown(put([0, 1], '1')),
      unknown(swap([0, 1], '1', '2', true)),
      unknown(swap([0, 1], '2', '3', true)),
    ]
    expect(check(...chain, get([10, 20], '3'))).toBe(true)
  })

  it('may have a compare-and-swap fail for a write that never returned', () => {
    expect(check(put([0, 1], '1'), unknown(put([0, 2], '7')), swap([10, 20], '1', '2', false))).toBe(true)
  })

  it('may have a key deleted by a call that never returned', () => {
    expect(check(put([0, 1], '1'), unknown(remove([2, 3], true)), get([10, 20], '1'), get([30, 40], null))).toBe(true)
  })

  it('may read a lease read stale when leases are held to no more than eventual', () => {
    const stale: Operation = { ...at([4, 5]), op: 'get', input: null, output: '1', consistency: 'lease' }
    const history = [put([0, 1], '1'), put([2, 3], '2'), stale]
    expect(checkLinearizable(history).valid).toBe(false)
    expect(checkLinearizable(history, { leaseReads: 'eventual' }).valid).toBe(true)
  })

  it('takes operations that touch as concurrent', () => {
    expect(check(put([0, 10], '1'), get([10, 20], null))).toBe(true)
  })
})

describe('a history is not linearizable that has', () => {
  it('a stale read', () => {
    expect(check(put([0, 1], '1'), put([2, 3], '2'), get([4, 5], '1'))).toBe(false)
  })

  it('a lost update: two increments from one value', () => {
    const increments = [swap([2, 10], '0', '1', true), swap([2, 10], '0', '1', true)]
    expect(check(put([0, 1], '0'), ...increments, get([11, 12], '1'))).toBe(false)
  })

  it('a read of a value that was never written', () => {
    expect(check(put([0, 1], '1'), get([2, 3], '9'))).toBe(false)
  })

  it('two compare-and-swaps that both create the key', () => {
    expect(check(swap([0, 10], null, 'a', true), swap([0, 10], null, 'b', true))).toBe(false)
  })

  it('a compare-and-swap that failed though the value matched throughout', () => {
    expect(check(put([0, 1], '1'), swap([2, 3], '1', '2', false))).toBe(false)
  })

  it('a write that vanishes after it was read', () => {
    expect(check(unknown(put([0, 1], '1')), get([2, 3], '1'), get([4, 5], null))).toBe(false)
  })

  it('the effect of a write that failed', () => {
    expect(check(failed(put([0, 1], '1')), get([2, 3], '1'))).toBe(false)
  })

  it('an effect before its cause: a read of a write of unknown outcome that was called later', () => {
    expect(check(get([0, 1], '1'), unknown(put([2, 3], '1')))).toBe(false)
  })

  it('one write of unknown outcome seen twice, with another between', () => {
    const first = [unknown(put([0, 1], '1')), get([2, 3], '1'), put([4, 5], '2'), get([6, 7], '2')]
    expect(check(...first, get([8, 9], '1'))).toBe(false)
  })

  it('two readers who disagree on the order of two writes', () => {
    const writes = [put([0, 100], '1'), put([0, 100], '2')]
    const readers = [get([10, 20], '1'), get([30, 40], '2'), get([50, 60], '1')]
    expect(check(...writes, ...readers)).toBe(false)
  })

  it('an acknowledged write lost', () => {
    expect(check(put([0, 1], '1'), get([2, 3], null))).toBe(false)
  })

  it('a delete that found nothing where something was', () => {
    expect(check(put([0, 1], '1'), remove([2, 3], false))).toBe(false)
  })

  it('a key deleted twice that was written once', () => {
    expect(check(put([0, 1], '1'), remove([2, 10], true), remove([2, 10], true))).toBe(false)
  })
})

describe('revisions', () => {
  it('say in which order concurrent writes took effect', () => {
    const writes = [put([0, 10], '1', 5), put([0, 10], '2', 4)]
    expect(check(...writes, get([20, 30], '1'))).toBe(true)
    expect(check(...writes, get([20, 30], '2'))).toBe(false)
  })

  it('may not repeat, whatever the keys', () => {
    expect(check(put([0, 1], '1', 5, 'x'), put([2, 3], '1', 5, 'y'))).toBe(false)
  })

  it('may not go back in time, whatever the keys', () => {
    const verdict = checkLinearizable([put([0, 1], '1', 6, 'x'), put([2, 3], '1', 5, 'y')])
    expect(verdict).toMatchObject({
      valid: false,
      reason: '"put x = 1 @6" had returned before "put y = 1 @5" was called, yet has the higher revision',
    })
  })

  it('tie a write to the time of writes on other keys', () => {
    // x's write is older than y's, which had returned before the read of x began.
    expect(check(put([0, 100], '1', 5, 'x'), put([0, 10], '1', 6, 'y'), get([20, 30], null, 'x'))).toBe(false)
  })
})

describe('a verdict of no', () => {
  it('names the key, the longest order that holds, and what has no place after it', () => {
    const good = [put([0, 1], '1'), put([2, 3], '2')]
    const stale = get([4, 5], '1')
    const verdict: Verdict = checkLinearizable([...good, stale, put([6, 7], '3'), put([0, 1], '1', null, 'y')])
    expect(verdict).toMatchObject({ valid: false, key: 'x', order: good, unplaced: [stale] })
    expect(verdict).toHaveProperty(
      'reason',
      'no order explains "get x → 1" by client c with all that returned before it',
    )
  })

  it('includes in the order the writes of unknown outcome that it uses', () => {
    const seen = unknown(put([0, 1], '1'))
    const read = get([2, 3], '1')
    expect(checkLinearizable([seen, read, get([4, 5], null)])).toMatchObject({ valid: false, order: [seen, read] })
  })
})

describe('the search', () => {
  const judge = (options: CheckOptions, corrupt: boolean, revisions: boolean): Verdict => {
    const workload = { operations: 10_000, clients: 25, keys: 2, unknown: 5, failed: 2, revisions }
    const history = simulateRegister(seededRandom(7), workload)
    const late = history.findLastIndex(({ op, outcome }) => op === 'get' && outcome === 'ok')
    const wrong = (operation: Operation): Operation =>
      operation.op === 'get' ? { ...operation, output: 'c0.0' } : operation
    return checkLinearizable(corrupt ? history.map((o, index) => (index === late ? wrong(o) : o)) : history, options)
  }

  it(
    'judges 10,000 operations of 25 clients on two keys, hundreds of them of unknown outcome, in seconds',
    { timeout: 20_000 },
    () => {
      expect(judge({}, false, false)).toMatchObject({ valid: true })
      expect(judge({}, false, true)).toMatchObject({ valid: true })
    },
  )

  it('finds the one wrong read at the end of 10,000 operations', { timeout: 20_000 }, () => {
    expect(judge({}, true, true)).toMatchObject({ valid: false })
  })

  it('gives up undecided, rather than hang, when its steps run out', () => {
    expect(judge({ stepsMax: 100 }, false, false)).toMatchObject({ valid: undefined, steps: 100 })
  })

  it('refuses what is no operation', () => {
    const backwards = put([5, 1], '1')
    expect(() => checkLinearizable([backwards])).toThrow(/returned at 1, before its call at 5/)
  })
})

describe('an operation in words', () => {
  it('says what was asked, what came back and what is not known', () => {
    const words = [put([0, 1], '1', 7), get([0, 1], null), remove([0, 1], true), swap([0, 1], null, 'b', false)]
    const doubtful = [unknown(put([0, 1], '1')), failed(swap([0, 1], 'a', 'b', true))]
    expect([...words, ...doubtful].map(describeOperation)).toEqual([
      'put x = 1 @7',
      'get x → ∅',
      'delete x: true',
      'cas x ∅ → b: false',
      'put x = 1 (unknown)',
      'cas x a → b (failed)',
    ])
  })
})
