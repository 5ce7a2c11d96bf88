import type { Operation } from './history.js'

/**
 * The model that histories are judged by: a register that may be absent. Every operation on it comes down to one step:
 * a condition on the value, and the value it leaves. Values are small numbers, so that a state costs nothing to compare.
 */
export interface Step {
  readonly when: 'any' | 'is' | 'isnt'
  /** The value that `when` speaks of. */
  readonly value: number
  /** The value it leaves; undefined: the one it found. */
  readonly writes: number | undefined
}

/** The value of a key that does not exist; also the state that every history begins in. */
export const ABSENT = 0
/**
 * Every value that no operation asks about. Nothing can tell two of them apart (each differs from every value asked
 * about, and from absence), so the model does not either.
 */
export const UNASKED = 1

/** The steps of one key's operations, in their order: those that returned ok, and writes of unknown outcome. */
export function stepsOf(operations: readonly Operation[]): Step[] {
  const values = new Map<string, number>()
  for (const value of operations.flatMap(askedAbout)) {
    if (!values.has(value)) values.set(value, UNASKED + 1 + values.size)
  }
  const numbered = (value: string | null): number => (value === null ? ABSENT : (values.get(value) ?? UNASKED))
  return operations.map((operation) => stepOf(operation, numbered))
}

export function holds(step: Step, state: number): boolean {
  return step.when === 'any' || (step.when === 'is') === (step.value === state)
}

/** True for a step that leaves whatever state it is possible in as it was. */
export function isPure(step: Step): boolean {
  return step.writes === undefined || (step.when === 'is' && step.writes === step.value)
}

function askedAbout(operation: Operation): string[] {
  if (operation.op === 'get') return operation.output === null ? [] : [operation.output]
  return operation.op === 'cas' && operation.input.expected !== null ? [operation.input.expected] : []
}

function stepOf(operation: Operation, numbered: (value: string | null) => number): Step {
  const known = operation.outcome === 'ok'
  switch (operation.op) {
    case 'put':
      return { when: 'any', value: ABSENT, writes: numbered(operation.input) }
    case 'get':
      return { when: 'is', value: numbered(operation.output), writes: undefined }
    case 'delete':
      if (!known) return { when: 'any', value: ABSENT, writes: ABSENT }
      if (operation.output?.deleted === true) return { when: 'isnt', value: ABSENT, writes: ABSENT }
      return { when: 'is', value: ABSENT, writes: undefined }
    case 'cas': {
      // With an unknown outcome: as if it succeeded, where it is possible; where not, it changes nothing.
      const value = numbered(operation.input.expected)
      if (known && operation.output === false) return { when: 'isnt', value, writes: undefined }
      return { when: 'is', value, writes: numbered(operation.input.value) }
    }
  }
}
