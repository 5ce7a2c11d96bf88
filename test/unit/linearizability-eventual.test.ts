import { describe, expect, it } from 'vitest'
import { checkEventual } from '../../src/testing/linearizability/eventual.js'
import type { Get, Operation } from '../../src/testing/linearizability/history.js'

type Span = readonly [call: number, end: number]

const applied = [
  { revision: 2, key: 'x', value: '1' },
  { revision: 3, key: 'y', value: 'a' },
  { revision: 5, key: 'x', value: '2' },
  { revision: 6, key: 'x', value: null },
  { revision: 8, key: 'x', value: '1' },
]

const read = ([call, end]: Span, output: string | null, more: Partial<Get> = {}): Get => {
  const common = { client: 'c', key: 'x', call, return: end, outcome: 'ok' as const, server: '1' }
  return { ...common, op: 'get', input: null, output, consistency: 'eventual', ...more }
}
const write = ([call, end]: Span, revision: number): Operation => {
  return { client: 'w', key: 'x', call, return: end, outcome: 'ok', op: 'put', input: '2', output: revision }
}
const check = (...history: Operation[]): boolean => checkEventual(history, applied).valid

describe('eventual reads', () => {
  it('may be stale', () => {
    expect(check(read([100, 101], '1'))).toBe(true)
    expect(check(read([100, 101], null))).toBe(true)
  })

  it('return what was applied, never another value', () => {
    const verdict = checkEventual([read([0, 1], '9')], applied)
    expect(verdict).toMatchObject({ valid: false, reason: '"get x → 9" returned a value that was never applied' })
  })

  it('never go back in one session', () => {
    expect(check(read([0, 1], '2'), read([2, 3], '1'))).toBe(true) // by revision 8
    expect(check(read([0, 1], '2'), read([2, 3], '1'), read([4, 5], '2'))).toBe(false)
    expect(check(read([0, 1], 'a', { key: 'y', seen: 7 }), read([2, 3], '2'))).toBe(false)
  })

  it('may go back at another server, or for another client', () => {
    const newer = read([0, 1], '1', { seen: 8 })
    expect(check(newer, read([2, 3], null, { server: '2' }), read([2, 3], '2', { client: 'd' }))).toBe(true)
  })

  it('may cross when they are concurrent', () => {
    expect(check(read([0, 10], '1', { seen: 8 }), read([5, 6], '2'))).toBe(true)
  })

  it('show the very state whose revision they name', () => {
    expect(check(read([0, 1], '1', { seen: 3 }))).toBe(true)
    const verdict = checkEventual([read([0, 1], '1', { seen: 5 })], applied)
    expect(verdict).toMatchObject({ valid: false, reason: '"get x → 1" saw revision 5, where x was 2' })
  })

  it('never show a write that had not been called', () => {
    expect(check(read([0, 1], '2'), write([10, 11], 5))).toBe(false)
    expect(check(read([0, 1], '2', { seen: 5 }), write([10, 11], 5))).toBe(false)
    expect(check(read([0, 12], '2'), write([10, 11], 5))).toBe(true)
  })

  it('are the only reads judged, with lease reads where those are held to no more', () => {
    const lease = read([0, 1], '9', { consistency: 'lease' })
    expect(check(lease, read([0, 1], '9', { consistency: 'linearizable' }))).toBe(true)
    expect(checkEventual([lease], applied, { leaseReads: 'eventual' }).valid).toBe(false)
  })
})
