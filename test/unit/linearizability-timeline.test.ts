import { describe, expect, it } from 'vitest'
import { checkLinearizable } from '../../src/testing/linearizability/checker.js'
import type { Operation } from '../../src/testing/linearizability/history.js'
import { formatTimeline } from '../../src/testing/linearizability/timeline.js'

const common = { client: 'a', key: 'x', outcome: 'ok' as const }
const history: Operation[] = [
  { ...common, op: 'put', input: '1', output: 4, call: 0, return: 1000 },
  { ...common, op: 'put', input: '2', output: 5, call: 2000, return: 3000 },
  { ...common, client: 'b', op: 'get', input: null, output: '1', call: 4000, return: 5500 },
  { ...common, client: 'b', op: 'delete', input: null, output: null, call: 6000, return: Infinity, outcome: 'unknown' },
]

function failing(): string {
  const verdict = checkLinearizable(history)
  if (verdict.valid !== false) throw new Error('the history is meant to fail')
  return formatTimeline(history, { title: 'Stale read', violation: verdict })
}

describe('a timeline', () => {
  it('is one page that asks for nothing from outside', () => {
    expect(failing()).toMatch(/^<!doctype html>/)
    expect(failing()).not.toMatch(/https?:|\bsrc=|@import|<link/)
  })

  it('has a row for each client and a bar for each operation', () => {
    expect(failing().match(/class="row"/g)).toHaveLength(2)
    expect(failing().match(/data-tip=/g)).toHaveLength(4)
  })

  it('numbers the order that was found and marks what has no place in it', () => {
    expect(failing()).toContain('<b>1</b>put<s> x</s> = 1 @4')
    expect(failing()).toContain('<b>2</b>put<s> x</s> = 2 @5')
    expect(failing()).toContain('<b>✗</b>get<s> x</s> → 1')
  })

  it('says of an operation of unknown outcome that it never returned', () => {
    expect(failing()).toContain('called at 6.0 µs, never returned')
  })

  it('shows a history without a violation too, even an empty one', () => {
    expect(formatTimeline(history)).not.toContain('Not linearizable')
    expect(formatTimeline([])).toContain('<h1>History</h1>')
  })

  it('puts operations of one client that overlap below one another', () => {
    const twice = [0, 1].map((call): Operation => ({
      ...common,
      op: 'get',
      input: null,
      output: null,
      call,
      return: 9,
    }))
    const tops = [...formatTimeline(twice).matchAll(/;top:(\d+)px/g)].map(([, top]) => top)
    expect(new Set(tops).size).toBe(2)
  })

  it('shows keys and values as text, whatever they hold', () => {
    const hostile = '</script><b onclick="x">'
    const page = formatTimeline(
      [{ ...common, op: 'put', key: hostile, input: hostile, output: 1, call: 0, return: 1 }],
      { title: hostile },
    )
    expect(page).not.toContain('onclick="x"')
  })
})
