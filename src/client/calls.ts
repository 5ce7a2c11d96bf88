import type { ReadRequest } from '../actors/pending-reads.js'
import type { ProposalRequest } from '../actors/proposal-batch.js'
import type { RaftServer } from '../actors/raft-server.js'
import { ActorumError } from '../errors.js'
import type { Clock } from '../machines/time-and-chance.js'
import {
  callDefaults,
  validateCallOptions,
  validateReadOptions,
  type CallOptions,
  type ReadOptions,
  type ResolvedCallOptions,
  type ResolvedOptions,
} from '../options.js'

export type CallDefaults = Pick<ResolvedOptions, 'requestTimeoutMs' | 'linearizableReads'>

/**
 * A client's calls with callbacks: the core of the embedded client and of simulated ones. What is wrong with a call
 * is thrown; what becomes of it later comes by exactly one of `resolve` and `reject`.
 */
export class Calls<Command, Result> {
  readonly #server: RaftServer<Command, Result>
  readonly #clock: Clock
  readonly #options: CallDefaults
  readonly #defaults: ResolvedCallOptions

  constructor(server: RaftServer<Command, Result>, clock: Clock, options: CallDefaults) {
    this.#server = server
    this.#clock = clock
    this.#options = options
    this.#defaults = callDefaults(options)
  }

  propose(
    command: Command,
    options: CallOptions | undefined,
    resolve: (result: Result) => void,
    reject: (error: Error) => void,
  ): void {
    const { signal, timeoutMs } = validateCallOptions(options, this.#defaults)
    const request: ProposalRequest<Result> = {
      resolve,
      reject,
      deadline: this.#clock.now() + timeoutMs,
      isSettled: false,
    }
    if (signal === undefined) {
      this.#server.propose(command, request)
      return
    }
    const release = watch(signal, (reason) => this.#server.abandonProposal(request, reason))
    request.resolve = (result) => {
      release()
      resolve(result)
    }
    request.reject = (error) => {
      release()
      reject(error)
    }
    orRelease(release, () => this.#server.propose(command, request))
  }

  /** `read` looks at this server's own copy of the state, at the moment when it may. */
  read<Value>(
    read: () => Value,
    options: ReadOptions | undefined,
    resolve: (value: Value) => void,
    reject: (error: Error) => void,
  ): void {
    const { signal, timeoutMs, consistency } = validateReadOptions(options, this.#defaults)
    if (signal?.aborted === true) throw abortedError(signal)
    const mayLease =
      consistency === 'lease' || (consistency === 'linearizable' && this.#options.linearizableReads === 'lease')
    if (consistency === 'eventual' || (mayLease && this.#server.mayReadByLease())) {
      resolve(read())
      return
    }
    const deadline = this.#clock.now() + timeoutMs
    const request: ReadRequest = { serve: () => resolve(read()), reject, deadline, isSettled: false }
    if (signal === undefined) {
      this.#server.read(request, mayLease)
      return
    }
    const release = watch(signal, (reason) => this.#server.abandonRead(request, reason))
    request.serve = () => {
      release()
      resolve(read())
    }
    request.reject = (error) => {
      release()
      reject(error)
    }
    orRelease(release, () => this.#server.read(request, mayLease))
  }
}

/** Ends the wait when the caller's signal fires; the result lets go of the signal. */
function watch(signal: AbortSignal, abandon: (reason: unknown) => void): () => void {
  if (signal.aborted) throw abortedError(signal)
  const listener = (): void => abandon(signal.reason)
  signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}

function orRelease(release: () => void, act: () => void): void {
  try {
    act()
  } catch (error) {
    release()
    throw error
  }
}

function abortedError(signal: AbortSignal): ActorumError {
  const text = 'the call was aborted before it began; nothing was proposed or read'
  return new ActorumError('ABORTED', text, { cause: signal.reason })
}
