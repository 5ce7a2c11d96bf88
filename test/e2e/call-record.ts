import type { Operation } from '../../src/testing/index.js'
import { faultOfOperation, isOperation } from '../../src/testing/linearizability/validity.js'
import type { Answer, ClientCall } from './worker-messages.js'

/**
 * The history of calls that are made in other processes. Its times are the callers' own, of the one monotonic clock that
 * all processes of a machine share; a call whose process died before it could answer counts from when it was ordered.
 */
export class CallRecord {
  readonly startNs = process.hrtime.bigint()
  #operations: Operation[] = []

  /** Notes that a call was ordered; the result notes its answer, or that none came. */
  ordered(client: string, call: ClientCall): (answer: Answer | undefined, server: string) => void {
    const operations = this.#operations
    const slot = operations.length
    const ordered = { ...invocationOf(client, call), call: this.nowNs() }
    operations.push(operationOf({ ...ordered, output: null, return: Infinity, outcome: 'unknown' }))
    return (answer, server) => {
      if (answer === undefined) return
      const { callNs, outcome } = answer
      const end = outcome === 'unknown' ? Infinity : answer.returnNs
      const output = outcome === 'ok' ? answer.output : null
      const served = call.op === 'get' && outcome === 'ok' ? { server, seen: answer.seen } : {}
      operations[slot] = operationOf({ ...ordered, ...served, output, call: callNs, return: end, outcome })
    }
  }

  /** So far, in the order in which they were ordered. */
  get history(): readonly Operation[] {
    return [...this.#operations]
  }

  /** Begins a new history on the same clock. */
  clear(): void {
    this.#operations = []
  }

  /** Now, on the clock of the history. */
  nowNs(): number {
    return Number(process.hrtime.bigint() - this.startNs)
  }
}

function invocationOf(client: string, call: ClientCall): object {
  const { op, key } = call
  switch (call.op) {
    case 'put':
      return { client, op, key, input: call.value }
    case 'cas':
      return { client, op, key, input: { expected: call.expected, value: call.value } }
    case 'get':
      return { client, op, key, input: null, consistency: call.consistency }
    case 'delete':
      return { client, op, key, input: null }
  }
}

/** What came from another process is looked at before it is believed. */
function operationOf(candidate: object): Operation {
  const fault = faultOfOperation(candidate)
  if (fault === undefined && isOperation(candidate)) return candidate
  throw new TypeError(`${JSON.stringify(candidate)} is no operation: ${fault}`)
}
