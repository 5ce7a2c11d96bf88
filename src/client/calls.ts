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
  type Consistency,
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
  readonly #readDefaults: Readonly<Record<Consistency, ResolvedCallOptions>>

  constructor(server: RaftServer<Command, Result>, clock: Clock, options: CallDefaults) {
    this.#server = server
    this.#clock = clock
    this.#options = options
    this.#defaults = callDefaults(options)
    this.#readDefaults = {
      linearizable: this.#defaults,
      lease: { ...this.#defaults, consistency: 'lease' },
      eventual: { ...this.#defaults, consistency: 'eventual' },
    }
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

  /** What a read's options come to. `consistency` is the caller's, unless the options name one. Throws INVALID_ARGUMENT or ABORTED. */
  readOptions(options: ReadOptions | undefined, consistency: Consistency): ResolvedCallOptions {
    const resolved =
      options === undefined
        ? this.#readDefaults[consistency]
        : validateReadOptions(options, this.#readDefaults[consistency])
    if (resolved.signal?.aborted === true) throw abortedError(resolved.signal)
    return resolved
  }

  /** True when this server's own copy of the state may be read this very moment. */
  mayReadNow({ consistency }: ResolvedCallOptions): boolean {
    return consistency === 'eventual' || (this.#mayLease(consistency) && this.#server.mayReadByLease())
  }

  #mayLease(consistency: Consistency): boolean {
    return consistency === 'lease' || (consistency === 'linearizable' && this.#options.linearizableReads === 'lease')
  }

  /** `read` looks at this server's own copy of the state, at the moment when it may. */
  read<Value>(
    read: () => Value,
    options: ReadOptions | undefined,
    resolve: (value: Value) => void,
    reject: (error: Error) => void,
  ): void {
    this.readWhenAllowed(read, this.readOptions(options, 'linearizable'), resolve, reject)
  }

  /** As `read`, with options that `readOptions` has come to. */
  readWhenAllowed<Value>(
    read: () => Value,
    options: ResolvedCallOptions,
    resolve: (value: Value) => void,
    reject: (error: Error) => void,
  ): void {
    if (this.mayReadNow(options)) {
      resolve(read())
      return
    }
    const { signal, timeoutMs, consistency } = options
    const mayLease = this.#mayLease(consistency)
    const deadline = this.#clock.now() + timeoutMs
    const request: ReadRequest = { serve: () => settle(read, resolve, reject), reject, deadline, isSettled: false }
    if (signal === undefined) {
      this.#server.read(request, mayLease)
      return
    }
    const release = watch(signal, (reason) => this.#server.abandonRead(request, reason))
    request.serve = () => {
      release()
      settle(read, resolve, reject)
    }
    request.reject = (error) => {
      release()
      reject(error)
    }
    orRelease(release, () => this.#server.read(request, mayLease))
  }
}

/** A read that throws fails alone: it runs in a turn of the server's loop, which an error would stop. */
function settle<Value>(read: () => Value, resolve: (value: Value) => void, reject: (error: Error) => void): void {
  let value: Value
  try {
    value = read()
  } catch (error) {
    reject(error instanceof Error ? error : new Error(String(error)))
    return
  }
  resolve(value)
}

/** Ends the wait when the caller's signal fires; the result lets go of the signal. Throws ABORTED if it has fired. */
export function watch(signal: AbortSignal, abandon: (reason: unknown) => void): () => void {
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
