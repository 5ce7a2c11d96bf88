import { ActorumError } from '../../errors.js'
import type { Get, Operation } from './history.js'
import { describeOperation, mayTakeEffect, revisionOf } from './history.js'
import { longestPrefix } from './longest-prefix.js'
import { stepsOf } from './register.js'
import type { Span } from './revisions.js'
import { narrowByRevision } from './revisions.js'
import { Search } from './search.js'
import { faultOfOperation } from './validity.js'

export interface CheckOptions {
  /**
   * What lease reads are held to: clocks that drift beyond the lease's bound allow no more than `eventual`.
   * Default: `linearizable`.
   */
  readonly leaseReads?: 'linearizable' | 'eventual'
  /**
   * Moves that the search may make in all, and again to find where an invalid history goes wrong; each costs some
   * microseconds and up to 200 bytes. Default: 2,000,000.
   */
  readonly stepsMax?: number
}

/**
 * `valid` is true, false, or undefined when the steps ran out first (undecided): a careless `if (!verdict.valid)` takes
 * that for a violation rather than for a proof.
 */
export type Verdict = Valid | Violation | Undecided

export interface Valid {
  readonly valid: true
  readonly steps: number
}

export interface Violation {
  readonly valid: false
  /** The key that no order explains. */
  readonly key: string
  readonly reason: string
  /** An order that explains everything that had returned before the violation showed; empty where revisions show it. */
  readonly order: readonly Operation[]
  /** The operation whose return shows the violation; where revisions show it, the two that contradict each other. */
  readonly unplaced: readonly Operation[]
}

export interface Undecided {
  readonly valid: undefined
  readonly key: string
  readonly steps: number
}

const STEPS_MAX = 2_000_000

/**
 * Decides whether a history is linearizable: whether each key's operations can be put in an order that a register could
 * have gone through one at a time and that keeps their order in time. Keys are judged one by one, which is exact, since
 * every operation is on one key (linearizability is local); see `narrowByRevision` for what revisions add across keys.
 *
 * Judged: all operations but those that failed, reads that returned nothing, `eventual` reads, and lease reads when they
 * are held to `eventual` only (`checkEventual` judges those). Every key is absent at the start. Throws INVALID_ARGUMENT
 * for what is no operation.
 */
export function checkLinearizable(history: readonly Operation[], options: CheckOptions = {}): Verdict {
  history.forEach(refuseMalformed)
  const judged = history.filter((operation) => mayTakeEffect(operation) && !isEventual(operation, options))
  const spans = narrowByRevision(judged)
  if ('reason' in spans) {
    const { operations, reason } = spans
    return { valid: false, key: operations[1].key, reason, order: [], unplaced: operations }
  }
  let steps = 0
  for (const [key, operations] of groupByKey(judged)) {
    const verdict = checkKey(key, operations, spans, (options.stepsMax ?? STEPS_MAX) - steps)
    if (verdict.valid !== true) return verdict
    steps += verdict.steps
  }
  return { valid: true, steps }
}

/** Whether a get is held to no more than what `checkEventual` checks. */
export function isEventual(operation: Operation, { leaseReads }: Pick<CheckOptions, 'leaseReads'>): operation is Get {
  if (operation.op !== 'get') return false
  return operation.consistency === 'eventual' || (operation.consistency === 'lease' && leaseReads === 'eventual')
}

function refuseMalformed(operation: Operation, index: number): void {
  const fault = faultOfOperation(operation)
  if (fault !== undefined)
    throw new ActorumError('INVALID_ARGUMENT', `operation ${index} of the history is none: ${fault}`)
}

function groupByKey(operations: readonly Operation[]): Map<string, Operation[]> {
  const groups = new Map<string, Operation[]>()
  for (const operation of operations) {
    const group = groups.get(operation.key)
    if (group === undefined) groups.set(operation.key, [operation])
    else group.push(operation)
  }
  return groups
}

function checkKey(
  key: string,
  all: readonly Operation[],
  spans: ReadonlyMap<Operation, Span>,
  stepsMax: number,
): Verdict {
  const returned = all.filter(({ outcome }) => outcome === 'ok')
  const operations = [...returned, ...all.filter(({ outcome }) => outcome === 'unknown')]
  const steps = stepsOf(operations)
  const placeable = operations.map((operation, number) => ({
    span: spans.get(operation) ?? operation,
    step: steps[number]!,
    revision: revisionOf(operation),
  }))
  const { outcome, steps: taken } = new Search(placeable, stepsMax).run()
  if (outcome === 'placed') return { valid: true, steps: taken }
  if (outcome === 'undecided') return { valid: undefined, key, steps: taken }
  const { order, culprit, exact } = longestPrefix(placeable, stepsMax)
  const stray = operations[culprit]!
  const found = `no order explains "${describeOperation(stray)}" by client ${stray.client} with all that returned before it`
  const reason = exact
    ? found
    : `key "${key}" has no order; the steps ran out before it showed where; no earlier than at "${describeOperation(stray)}"`
  return { valid: false, key, reason, order: order.map((number) => operations[number]!), unplaced: [stray] }
}
