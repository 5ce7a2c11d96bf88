import type { Random } from '../../src/machines/time-and-chance.js'
import type { Operation } from '../../src/testing/linearizability/history.js'

export interface Workload {
  readonly operations: number
  readonly clients: number
  readonly keys: number
  /** How many different values are written; undefined: each write its own. */
  readonly values?: number
  /** How many in a hundred. */
  readonly unknown?: number
  readonly failed?: number
  readonly revisions?: boolean
  readonly puts?: number
  readonly deletes?: number
  readonly swaps?: number
}

interface Call {
  readonly client: string
  readonly key: string
  readonly kind: Operation['op']
  readonly expected: string | null
  readonly value: string
  readonly call: number
  readonly effect: number
  readonly return: number
  readonly outcome: Operation['outcome']
}

/**
 * The history of clients that use a register which does each operation at one moment between call and return: so a
 * linearizable one. An operation of unknown outcome happens a good while later, or never.
 */
export function simulateRegister(random: Random, workload: Workload): Operation[] {
  const below = (bound: number): number => random.uint32() % bound
  const calls = Array.from({ length: workload.clients }, (_, client) => callsOf(`c${client}`, workload, below)).flat()
  const state = new Map<string, string>()
  const operations = new Map<Call, Operation>()
  let revision = 0
  for (const call of calls.toSorted((a, b) => a.effect - b.effect)) {
    const happens = call.outcome === 'ok' || (call.outcome === 'unknown' && below(2) === 0)
    const place = workload.revisions === true ? ++revision : null
    operations.set(call, operationOf(call, happens ? state : new Map(state), place))
  }
  return calls.flatMap((call) => operations.get(call) ?? []).sort((a, b) => a.call - b.call)
}

function callsOf(client: string, workload: Workload, below: (bound: number) => number): Call[] {
  const { operations, clients, keys, values, unknown = 0, failed = 0 } = workload
  const { puts = 30, deletes = 10, swaps = 20 } = workload
  const kind = (percent: number): Operation['op'] => {
    if (percent < puts) return 'put'
    if (percent < puts + deletes) return 'delete'
    return percent < puts + deletes + swaps ? 'cas' : 'get'
  }
  let time = 0
  return Array.from({ length: Math.ceil(operations / clients) }, (_, number) => {
    const call = time + below(1000)
    const luck = below(100)
    const outcome = luck < unknown ? 'unknown' : luck < unknown + failed ? 'failed' : 'ok'
    const effect = call + below(outcome === 'unknown' ? 20_000 : 2000)
    const end = outcome === 'unknown' ? call + 5000 : effect + below(2000)
    time = end + 1
    const any = (): string => `v${below(values ?? 3)}`
    const value = values === undefined ? `${client}.${number}` : any()
    const expected = below(4) === 0 ? null : any()
    const key = `k${below(keys)}`
    return { client, key, kind: kind(below(100)), expected, value, call, effect, return: end, outcome }
  })
}

function operationOf(call: Call, state: Map<string, string>, revision: number | null): Operation {
  const { client, key, outcome, expected, value } = call
  const ok = outcome === 'ok'
  const common = { client, key, call: call.call, return: outcome === 'unknown' ? Infinity : call.return, outcome }
  const found = state.get(key) ?? null
  switch (call.kind) {
    case 'put':
      state.set(key, value)
      return { ...common, op: 'put', input: value, output: ok ? revision : null }
    case 'get':
      return { ...common, op: 'get', input: null, output: ok ? found : null }
    case 'delete': {
      const deleted = state.delete(key)
      const output = revision === null ? { deleted } : { deleted, revision }
      return { ...common, op: 'delete', input: null, output: ok ? output : null }
    }
    case 'cas':
      if (found === expected) state.set(key, value)
      return { ...common, op: 'cas', input: { expected, value }, output: ok ? found === expected : null }
  }
}
