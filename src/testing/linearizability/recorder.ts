import type { Get, Operation, Outcome } from './history.js'

type Of<Op extends Operation['op']> = Extract<Operation, { op: Op }>

/** Who served a get, and what state. */
type Served = Pick<Get, 'server' | 'seen'>

/** What a client is about to do. */
export type Invocation =
  | Pick<Of<'put'>, 'op' | 'client' | 'key' | 'input'>
  | Pick<Get, 'op' | 'client' | 'key' | 'input' | 'consistency'>
  | Pick<Of<'delete'>, 'op' | 'client' | 'key' | 'input'>
  | Pick<Of<'cas'>, 'op' | 'client' | 'key' | 'input'>

/** Ends one recorded call: call one of these, once; a call that is never ended counts as unknown. */
export interface Pending<Op extends Operation['op']> {
  ok(output: Of<Op>['output'], served?: Served): void
  failed(): void
  unknown(): void
}

/**
 * Records a history while it happens. `nowNs` gives nanoseconds from any start; the recorder makes every time later
 * than the one before, so that what happened in order within one tick stays in order.
 */
export class HistoryRecorder {
  readonly #nowNs: () => number
  readonly #start: number
  readonly #operations: Operation[] = []
  #last = -1

  constructor(nowNs: () => number) {
    this.#nowNs = nowNs
    this.#start = nowNs()
  }

  /** Notes the call, now. */
  call<Op extends Operation['op']>(invocation: Invocation & { readonly op: Op }): Pending<Op> {
    const slot = this.#operations.length
    const call = this.#tick()
    const end = (outcome: Outcome, output: Operation['output'] = null, served?: Served): void => {
      const ended = { output, call, return: this.#tick(), outcome }
      this.#operations[slot] = operationOf(invocation, ended, served)
    }
    this.#operations.push(operationOf(invocation, { output: null, call, return: Infinity, outcome: 'unknown' }))
    return {
      ok: (output, served) => end('ok', output, served),
      failed: () => end('failed'),
      unknown: () => undefined,
    }
  }

  /** The history so far, in the order of calls. */
  history(): readonly Operation[] {
    return [...this.#operations]
  }

  #tick(): number {
    this.#last = Math.max(this.#last + 1, this.#nowNs() - this.#start)
    return this.#last
  }
}

/** Written out, since a spread of so many fields takes V8's slow path. */
function operationOf(
  invocation: Invocation,
  { output, call, return: returned, outcome }: Pick<Operation, 'output' | 'call' | 'return' | 'outcome'>,
  served?: Served,
): Operation {
  const { op, client, key, input } = invocation
  const operation = { op, client, key, input, output, call, return: returned, outcome }
  if (invocation.op === 'get') Object.assign(operation, { consistency: invocation.consistency }, served)
  return operation as Operation
}
