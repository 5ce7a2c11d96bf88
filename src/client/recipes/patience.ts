import { ActorumError, type ErrorCode } from '../../errors.js'
import { checkNames, isSignal, shown } from '../../options.js'
import { onAbort } from '../abort-signals.js'
import type { ClientApi } from '../client-api.js'

/** What every wait of a recipe takes. */
export interface WaitOptions {
  /** Ends the wait with ABORTED; what was waited for is not held then. */
  readonly signal?: AbortSignal | undefined
  /** Ends the wait with TIMEOUT. Above 0 and at most 2^31 − 1. Default: waits as long as it takes. */
  readonly timeoutMs?: number | undefined
}

/** Of all recipes. */
const OPTION_NAMES = ['ttlMs', 'signal', 'timeoutMs']
const TIMEOUT_MS_MAX = 2 ** 31 - 1
const RETRY_PAUSE_MS = 100
/** Nobody writes it. */
const QUIET_KEY = 'actorum/quiet'
const QUIET_MS_MIN = 10

/** How long a caller waits: until its signal fires or its time is up. */
export class Patience {
  readonly #over = new AbortController()
  readonly #ended = new AbortController()
  readonly #given: AbortSignal | undefined
  readonly #what: string
  readonly #letGo: () => void

  /** `what` is waited for, as an error says it. Throws INVALID_ARGUMENT, and ABORTED for a signal that has fired. */
  constructor(client: ClientApi, options: WaitOptions, what: string) {
    const given: unknown = options
    checkNames(given, "the recipe's options", OPTION_NAMES)
    const { signal, timeoutMs } = options
    checkWait(signal, timeoutMs)
    this.#given = signal
    this.#what = what
    if (signal?.aborted === true) throw this.#abortedError()
    this.#letGo = signal === undefined ? () => undefined : onAbort(signal, () => this.#over.abort(this.#abortedError()))
    if (timeoutMs === undefined) return
    const text = `${what} did not come within ${timeoutMs} ms`
    const isUp = (reason: unknown): void => {
      if (!this.#ended.signal.aborted) this.#over.abort(reason)
    }
    silence(client, timeoutMs, this.#ended.signal).then(() => isUp(new ActorumError('TIMEOUT', text)), isUp)
  }

  /** Fires when it is over, with the error that says why as its reason. */
  get signal(): AbortSignal {
    return this.#over.signal
  }

  /** Throws ABORTED or TIMEOUT. */
  throwIfOver(): void {
    this.#over.signal.throwIfAborted()
  }

  /** Nobody waits any more. */
  end(): void {
    this.#letGo()
    this.#ended.abort()
  }

  #abortedError(): ActorumError {
    const text = `waiting for ${this.#what} was aborted`
    return new ActorumError('ABORTED', text, { cause: this.#given?.reason })
  }
}

/** Throws INVALID_ARGUMENT. */
function checkWait(signal: unknown, timeoutMs: unknown): void {
  if (signal !== undefined && !isSignal(signal)) {
    throw new ActorumError('INVALID_ARGUMENT', `signal is ${shown(signal)}; it must be an AbortSignal`)
  }
  if (timeoutMs === undefined) return
  if (typeof timeoutMs === 'number' && timeoutMs > 0 && timeoutMs <= TIMEOUT_MS_MAX) return
  const text = `timeoutMs is ${shown(timeoutMs)}; it must be a number above 0 and at most ${TIMEOUT_MS_MAX}`
  throw new ActorumError('INVALID_ARGUMENT', text)
}

/** Waits with that patience for what `wait` gives. */
export async function patiently<Result>(
  client: ClientApi,
  options: WaitOptions,
  what: string,
  wait: (patience: Patience) => Promise<Result>,
): Promise<Result> {
  const patience = new Patience(client, options, what)
  try {
    return await wait(patience)
  } finally {
    patience.end()
  }
}

/** Attempts what may be attempted again until it succeeds, fails for good, or `signal` fires: then its reason is thrown. */
export async function persevere<Result>(
  client: ClientApi,
  signal: AbortSignal,
  attempt: () => Promise<Result>,
): Promise<Result> {
  for (;;) {
    signal.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      if (!isPassing(error)) throw error
    }
    await silence(client, RETRY_PAUSE_MS, signal)
  }
}

const PASSING: readonly ErrorCode[] = ['NO_LEADER', 'TIMEOUT', 'OUTCOME_UNKNOWN', 'BUSY', 'COMPACTED']

/** Whether it may be otherwise in a moment. */
export function isPassing(error: unknown): boolean {
  return error instanceof ActorumError && PASSING.includes(error.code)
}

/**
 * Waits so long, or until the signal fires. A recipe has no clock but its client's, which it reaches by a watch that has
 * nothing to tell.
 */
async function silence(client: ClientApi, ms: number, signal: AbortSignal): Promise<void> {
  const progressIntervalMs = Math.max(QUIET_MS_MIN, Math.ceil(ms))
  for await (const { type } of client.watch(QUIET_KEY, { progressIntervalMs, signal })) {
    if (type === 'progress') return
  }
}
