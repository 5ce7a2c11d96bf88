/**
 * What clients did and saw, as a checker judges it. One operation is one call of one client on one key, with the time
 * of its call and of its return.
 */
export type Operation = Put | Get | Delete | CompareAndSwap

/**
 * `ok`: it took effect, once, between its call and its return. `failed`: it certainly did not and never will.
 * `unknown`: it may take effect at any time after its call, or never; its return is Infinity.
 */
export type Outcome = 'ok' | 'failed' | 'unknown'

/** A revision is a write's position in the log: of two writes, the one with the lower revision took effect first. */
export type Revision = number

interface Recorded {
  readonly client: string
  readonly key: string
  /** Nanoseconds since the history's start. An operation that returned before another's call came before it. */
  readonly call: number
  readonly return: number
  readonly outcome: Outcome
}

export interface Put extends Recorded {
  readonly op: 'put'
  /** The value. */
  readonly input: string
  /** null where the revision was not recorded, or the outcome is not ok. */
  readonly output: Revision | null
}

export interface Get extends Recorded {
  readonly op: 'get'
  readonly input: null
  /** null: the key was absent (or, when the outcome is not ok, nothing was returned). */
  readonly output: string | null
  /** What the read promised. Default: linearizable. */
  readonly consistency?: Consistency
  /** Who served it. Name a restarted server anew (`2#3`): an eventual read may go back when its server starts again. */
  readonly server?: string
  /** The revision of the newest write in the state that was read, where known. */
  readonly seen?: Revision
}

export type Consistency = 'linearizable' | 'lease' | 'eventual'

export interface Delete extends Recorded {
  readonly op: 'delete'
  readonly input: null
  readonly output: { readonly deleted: boolean; readonly revision?: Revision } | null
}

export interface CompareAndSwap extends Recorded {
  readonly op: 'cas'
  /** `expected` null: the key must not exist. */
  readonly input: { readonly expected: string | null; readonly value: string }
  readonly output: boolean | null
}

/** The revision that a write returned, if it did. */
export function revisionOf(operation: Operation): Revision | undefined {
  if (operation.outcome !== 'ok' || operation.output === null) return undefined
  if (operation.op === 'put') return operation.output
  return operation.op === 'delete' ? operation.output.revision : undefined
}

/** Whether any of these operations may have changed something: a read that failed or never returned says nothing. */
export function mayTakeEffect(operation: Operation): boolean {
  return operation.outcome === 'ok' || (operation.outcome === 'unknown' && operation.op !== 'get')
}

/** An operation in a few words, as a person would note it: `put a = 1`, `get a → 2`, `cas a 1 → 2: false`. */
export function describeOperation(operation: Operation): string {
  return `${operation.op} ${operation.key}${describeRest(operation)}`
}

/** What follows the key in `describeOperation`. */
export function describeRest(operation: Operation): string {
  const ok = operation.outcome === 'ok'
  const suffix = ok ? '' : ` (${operation.outcome})`
  const revision = revisionOf(operation)
  const at = revision === undefined ? '' : ` @${revision}`
  switch (operation.op) {
    case 'put':
      return ` = ${shown(operation.input)}${at}${suffix}`
    case 'get':
      return ok ? ` → ${shown(operation.output)}` : suffix
    case 'delete':
      return operation.output === null ? suffix : `: ${operation.output.deleted}${at}`
    case 'cas': {
      const { expected, value } = operation.input
      return ` ${shown(expected)} → ${shown(value)}${operation.output === null ? suffix : `: ${operation.output}`}`
    }
  }
}

const SHOWN_MAX = 32

/** A value for people: ∅ where there is none, the beginning of a long one. */
export function shown(value: string | null): string {
  if (value === null) return '∅'
  return value.length <= SHOWN_MAX ? value : `${value.slice(0, SHOWN_MAX)}… (${value.length} long)`
}
