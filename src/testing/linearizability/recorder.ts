import type { Get, Operation } from './history.js'

type Of<Op extends Operation['op']> = Extract<Operation, { op: Op }>

/** What a client is about to do. */
export type Invocation =
  | Pick<Of<'put'>, 'op' | 'client' | 'key' | 'input'>
  | Pick<Get, 'op' | 'client' | 'key' | 'input' | 'consistency'>
  | Pick<Of<'delete'>, 'op' | 'client' | 'key' | 'input'>
  | Pick<Of<'cas'>, 'op' | 'client' | 'key' | 'input'>

/** Ends one recorded call: call one of these, once; a call that is never ended counts as unknown. */
export interface Pending<Op extends Operation['op']> {
  ok(output: Of<Op>['output'], served?: Pick<Get, 'server' | 'seen'>): void
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
    const started = { ...invocation, output: null, call: this.#tick(), return: Infinity, outcome: 'unknown' } as Of<Op>
    this.#operations.push(started)
    const end = (change: object): void => {
      this.#operations[slot] = { ...started, ...change, return: this.#tick() }
    }
    return {
      ok: (output, served) => end({ ...served, output, outcome: 'ok' }),
      failed: () => end({ outcome: 'failed' }),
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
