import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/machines/time-and-chance.js'
import { checkLinearizable } from '../../src/testing/linearizability/checker.js'
import type { Operation } from '../../src/testing/linearizability/history.js'
import { revisionOf } from '../../src/testing/linearizability/history.js'
import { formatHistory, parseHistory } from '../../src/testing/linearizability/json-lines.js'
import type { Workload } from './linearizability-register.js'
import { simulateRegister } from './linearizability-register.js'

const workloads: fc.Arbitrary<Workload> = fc.record({
  operations: fc.integer({ min: 1, max: 120 }),
  clients: fc.integer({ min: 1, max: 8 }),
  keys: fc.integer({ min: 1, max: 3 }),
  values: fc.constantFrom(undefined, 1, 2, 5),
  unknown: fc.constantFrom(0, 20, 60),
  failed: fc.constantFrom(0, 10),
  revisions: fc.boolean(),
  puts: fc.constantFrom(20, 40),
  deletes: fc.constantFrom(0, 15),
  swaps: fc.constantFrom(0, 30),
})

/** Tries every order of one key's operations; asks of each nothing but what linearizability asks. */
function bruteForce(history: readonly Operation[]): boolean {
  const rest = history.filter(({ outcome }) => outcome !== 'failed')
  return extend(rest, null, 0)
}

function extend(rest: readonly Operation[], state: string | null, revision: number): boolean {
  if (rest.every(({ outcome }) => outcome === 'unknown')) return true
  return rest.some((next) => {
    if (rest.some((other) => other.return < next.call)) return false
    const claimed = revisionOf(next) ?? revision + 0.5
    if (claimed <= revision) return false
    const after = apply(next, state)
    const others = rest.filter((operation) => operation !== next)
    return after !== undefined && extend(others, after, Math.max(revision, revisionOf(next) ?? 0))
  })
}

/** The value afterwards, or undefined where the operation's output does not fit. */
function apply(operation: Operation, state: string | null): string | null | undefined {
  const known = operation.outcome === 'ok'
  switch (operation.op) {
    case 'put':
      return operation.input
    case 'get':
      return !known || operation.output === state ? state : undefined
    case 'delete':
      return !known || operation.output?.deleted === (state !== null) ? null : undefined
    case 'cas': {
      const swaps = operation.input.expected === state
      if (known && operation.output !== swaps) return undefined
      return swaps ? operation.input.value : state
    }
  }
}

/** Gives one operation the output of another of its kind, or the other answer there is. */
function mutate(history: readonly Operation[], pick: (bound: number) => number): Operation[] {
  const known = history.filter(({ outcome }) => outcome === 'ok')
  const victim = known[pick(Math.max(1, known.length))]
  return history.map((operation) => (operation === victim ? mutated(operation, known, pick) : operation))
}

function mutated(victim: Operation, known: readonly Operation[], pick: (bound: number) => number): Operation {
  switch (victim.op) {
    case 'get': {
      const outputs = known.flatMap((operation) => (operation.op === 'get' ? [operation.output] : []))
      return { ...victim, output: [...outputs, null, 'v0', 'v1'][pick(outputs.length + 3)] ?? null }
    }
    case 'put':
      return victim.output === null ? victim : { ...victim, output: victim.output + pick(5) }
    case 'delete':
      return victim.output === null
        ? victim
        : { ...victim, output: { ...victim.output, deleted: !victim.output.deleted } }
    case 'cas':
      return { ...victim, output: victim.output === false }
  }
}

describe('the linearizability checker', () => {
  it('accepts every history of a register that does each operation at one moment', () => {
    fc.assert(
      fc.property(workloads, fc.integer(), (workload, seed) => {
        const verdict = checkLinearizable(simulateRegister(seededRandom(seed), workload))
        expect(verdict).toMatchObject({ valid: true })
      }),
      { numRuns: 400 },
    )
  })

  it('says the same as trying every order, on small histories true and false', () => {
    const verdicts = { valid: 0, invalid: 0 }
    const small = workloads.map((workload) => ({ ...workload, keys: 1, operations: 1 + (workload.operations % 7) }))
    fc.assert(
      fc.property(small, fc.integer(), fc.integer({ min: 0, max: 2 }), (workload, seed, mutations) => {
        const random = seededRandom(seed)
        let history = simulateRegister(random, workload).slice(0, 7)
        for (let round = 0; round < mutations; round++) history = mutate(history, (bound) => random.uint32() % bound)
        const expected = bruteForce(history)
        verdicts[expected ? 'valid' : 'invalid'] += 1
        expect(checkLinearizable(history)).toMatchObject({ valid: expected })
      }),
      { numRuns: 2000 },
    )
    expect(verdicts.invalid).toBeGreaterThan(200)
    expect(verdicts.valid).toBeGreaterThan(200)
  })

  it('keeps its verdict when the history goes through JSON lines', () => {
    fc.assert(
      fc.property(workloads, fc.integer(), (workload, seed) => {
        const history = simulateRegister(seededRandom(seed), workload)
        expect(parseHistory(formatHistory(history))).toEqual(history)
      }),
      { numRuns: 50 },
    )
  })
})
