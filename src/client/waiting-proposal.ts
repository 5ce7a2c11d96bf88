import type { ProposalBatch, ProposalRequest } from '../actors/proposal-batch.js'

/** Who waits for a proposal's outcome. */
export interface ProposalCaller<Result> {
  resolve(result: Result): void
  reject(error: Error): void
}

/** A proposal from its call until its outcome. An object of a class, for the same reason as `WaitingRead`. */
export class WaitingProposal<Result, Answer = Result> implements ProposalRequest<Result> {
  isSettled = false
  batch: ProposalBatch<Result> | undefined = undefined
  /** Set when the call's options are known. */
  deadline = Infinity
  /** Lets go of the caller's signal, where there is one. */
  release: (() => void) | undefined = undefined
  readonly #caller: ProposalCaller<Answer>
  readonly #answer: (result: Result, caller: ProposalCaller<Answer>) => void

  /** @param answer - tells the caller the result, as an answer or as an error */
  constructor(caller: ProposalCaller<Answer>, answer: (result: Result, caller: ProposalCaller<Answer>) => void) {
    this.#caller = caller
    this.#answer = answer
  }

  resolve(result: Result): void {
    this.release?.()
    this.#answer(result, this.#caller)
  }

  reject(error: Error): void {
    this.release?.()
    this.#caller.reject(error)
  }
}

/** Every result is an answer. */
export function asItIs<Result>(result: Result, caller: ProposalCaller<Result>): void {
  caller.resolve(result)
}
