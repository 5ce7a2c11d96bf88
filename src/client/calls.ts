import type { ReadRequest } from '../actors/pending-reads.js'
import type { RaftServer } from '../actors/raft-server.js'
import { ActorumError } from '../errors.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { LogIndex } from '../machines/types.js'
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
import { onAbort } from './abort-signals.js'
import { asItIs, WaitingProposal } from './waiting-proposal.js'
import { WaitingRead } from './waiting-read.js'

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
    this.submit(new WaitingProposal({ resolve, reject }, asItIs), command, options)
  }

  /** As `propose`, with a request that knows its caller. */
  submit<Answer>(request: WaitingProposal<Result, Answer>, command: Command, options: CallOptions | undefined): void {
    const { signal, timeoutMs } = validateCallOptions(options, this.#defaults)
    request.deadline = this.#clock.now() + timeoutMs
    if (signal === undefined) {
      this.#server.propose(command, request)
      return
    }
    const release = watch(signal, (reason) => this.#server.abandonProposal(request, reason))
    request.release = release
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
  mayReadNow(options: ResolvedCallOptions): boolean {
    if (options.consistency === 'eventual') return this.#isFar(options) && this.#isFresh(options)
    return this.#mayLease(options) && this.#server.mayReadByLease()
  }

  #isFresh({ maxStalenessMs }: ResolvedCallOptions): boolean {
    return maxStalenessMs === Infinity || this.#server.isFresherThan(maxStalenessMs)
  }

  #isFar({ minRevision }: ResolvedCallOptions): boolean {
    return minRevision === 0 || this.#server.lastApplied >= minRevision
  }

  /** Where clocks run apart, a lease may be believed in for too long, but what was seen is still not gone back on. */
  #mayLease(options: ResolvedCallOptions): boolean {
    const { consistency } = options
    const isAllowed =
      consistency === 'lease' || (consistency === 'linearizable' && this.#options.linearizableReads === 'lease')
    return isAllowed && this.#isFar(options)
  }

  /** `read` looks at this server's own copy of the state, at the moment when it may. */
  read<Value>(
    read: () => Value,
    options: ReadOptions | undefined,
    resolve: (value: Value) => void,
    reject: (error: Error) => void,
  ): void {
    const resolved = this.readOptions(options, 'linearizable')
    if (this.mayReadNow(resolved)) resolve(read())
    else this.readLater(read, undefined, resolved, resolve, reject)
  }

  /**
   * `read` looks once this server has applied `index`, at what was so then: the same whoever leads, so that nobody is
   * asked.
   */
  readAt<Value>(
    read: () => Value,
    index: LogIndex,
    options: ReadOptions | undefined,
    resolve: (value: Value) => void,
    reject: (error: Error) => void,
  ): void {
    const resolved = this.readOptions(options, 'linearizable')
    const minRevision = Math.max(index, resolved.minRevision)
    if (this.#server.lastApplied >= minRevision) resolve(read())
    else {
      const patient = { ...resolved, consistency: 'eventual', maxStalenessMs: Infinity, minRevision } as const
      this.readLater(read, undefined, patient, resolve, reject)
    }
  }

  /** Resolves once a quorum has confirmed that there is a leader, whatever the options say of leases. */
  confirm(options: CallOptions | undefined, resolve: () => void, reject: (error: Error) => void): void {
    const { signal, timeoutMs } = validateCallOptions(options, this.#defaults)
    const nothing = (): void => undefined
    if (signal === undefined) {
      this.#server.read(new WaitingRead(nothing, undefined, timeoutMs, resolve, reject), false)
      return
    }
    const release = watch(signal, (reason) => this.#server.abandonRead(request, reason))
    const request = new WaitingRead(nothing, undefined, timeoutMs, after(release, resolve), after(release, reject))
    orRelease(release, () => this.#server.read(request, false))
  }

  /** Reads what `read` finds for `key` once a leader has given its word. The options are what `readOptions` came to. */
  readLater<Key, Value>(
    read: (key: Key) => Value,
    key: Key,
    options: ResolvedCallOptions,
    resolve: (value: Value) => void,
    reject: (error: Error) => void,
  ): void {
    const { signal, timeoutMs } = options
    if (signal === undefined) {
      this.#wait(new WaitingRead(read, key, timeoutMs, resolve, reject), options)
      return
    }
    const release = watch(signal, (reason) => this.#server.abandonRead(request, reason))
    const request = new WaitingRead(read, key, timeoutMs, after(release, resolve), after(release, reject))
    orRelease(release, () => this.#wait(request, options))
  }

  #wait(request: ReadRequest, options: ResolvedCallOptions): void {
    const { consistency, minRevision } = options
    if (consistency === 'eventual' && this.#isFresh(options)) this.#server.readAt(request, minRevision)
    else this.#server.read(request, this.#mayLease(options))
  }
}

/** Ends the wait when the caller's signal fires; the result lets go of the signal. Throws ABORTED if it has fired. */
export function watch(signal: AbortSignal, abandon: (reason: unknown) => void): () => void {
  if (signal.aborted) throw abortedError(signal)
  return onAbort(signal, () => abandon(signal.reason))
}

function after<Value>(release: () => void, answer: (value: Value) => void): (value: Value) => void {
  return (value) => {
    release()
    answer(value)
  }
}

/** Lets go of the signal also when the call is refused at once. */
export function orRelease(release: (() => void) | undefined, act: () => void): void {
  try {
    act()
  } catch (error) {
    release?.()
    throw error
  }
}

function abortedError(signal: AbortSignal): ActorumError {
  const text = 'the call was aborted before it began; nothing was proposed or read'
  return new ActorumError('ABORTED', text, { cause: signal.reason })
}
