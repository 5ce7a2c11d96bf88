import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RunIndex } from '../../src/storage/run-index.js'

interface Run {
  readonly first: number
  readonly last: number
  readonly checksum: number
}

const commands = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('push' as const), size: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constant('truncate' as const), size: fc.nat(8) }),
    fc.record({ kind: fc.constant('compact' as const), size: fc.nat(8) }),
  ),
  { maxLength: 300 },
)

describe('the index of runs', () => {
  it('finds the run of every entry and the end of every run, whatever was pushed, truncated and compacted', () => {
    fc.assert(
      fc.property(commands, (commands) => {
        const index = new RunIndex({ index: 0, checksum: 0 })
        let boundary = { index: 0, checksum: 0 }
        let runs: Run[] = []
        let checksum = 0
        for (const { kind, size } of commands) {
          const end = endsOf(boundary, runs).at(-1)!
          if (kind === 'push') {
            const run = { first: end.index + 1, last: end.index + size, checksum: ++checksum }
            runs.push(run)
            index.push(run.first, run.last, run.checksum)
          } else if (kind === 'truncate') {
            runs = runs.slice(0, Math.max(0, runs.length - size))
            index.truncateAfter(endsOf(boundary, runs).at(-1)!)
          } else {
            const ends = endsOf(boundary, runs)
            const at = Math.min(size, ends.length - 1)
            boundary = ends[at]!
            runs = runs.slice(at)
            index.compact(boundary)
          }
        }
        expectSame(index, boundary, runs)
      }),
    )
  })

  it('begins anew after a boundary beyond its end', () => {
    const index = new RunIndex({ index: 0, checksum: 0 })
    index.push(1, 5, 1)
    index.compact({ index: 9, checksum: 2 })
    index.push(10, 12, 3)
    expectSame(index, { index: 9, checksum: 2 }, [{ first: 10, last: 12, checksum: 3 }])
  })
})

function endsOf(boundary: { index: number; checksum: number }, runs: readonly Run[]) {
  return [boundary, ...runs.map(({ last, checksum }) => ({ index: last, checksum }))]
}

function expectSame(index: RunIndex, boundary: { index: number; checksum: number }, runs: readonly Run[]): void {
  const ends = endsOf(boundary, runs)
  const last = ends.at(-1)!
  expect(index.last).toEqual(last)
  expect(index.firstsFrom(boundary.index + 1)).toEqual(runs.map(({ first }) => first))
  for (let entry = boundary.index; entry <= last.index + 1; entry++) {
    const run = runs.find(({ first, last }) => first <= entry && entry <= last)
    expect(index.runAt(entry)).toEqual(run && { firstIndex: run.first, checksum: run.checksum })
    expect(index.endAt(entry)).toEqual(ends.find(({ index }) => index === entry))
  }
}
