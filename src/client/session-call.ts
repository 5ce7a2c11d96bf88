import { ActorumError, type ErrorCode } from '../errors.js'
import { callDefaults, type CallOptions, validateCallOptions } from '../options.js'
import type { InSessionCommand, SessionId } from '../state-machines/kv/commands.js'
import { watch } from './calls.js'
import type { SessionNumbers } from './session-numbers.js'
import type { Caller, CommandResult, StorePort } from './store-port.js'

export interface SessionCallPorts {
  readonly store: StorePort
  readonly session: SessionId
  readonly numbers: SessionNumbers
  /** Throws why no command can be sent in the session any more. */
  readonly assertOpen: () => void
  /** The cluster has answered a command sent then: the session lives. */
  readonly answered: (sentAt: number) => void
  readonly expired: (error: ActorumError) => void
}

/** After these the same command goes out again. */
const AGAIN: ReadonlySet<ErrorCode> = new Set(['OUTCOME_UNKNOWN', 'NO_LEADER', 'TIMEOUT', 'BUSY'])
/** What the cluster says of a command itself, whichever copy of it that was. */
const ANSWERS: ReadonlySet<ErrorCode> = new Set(['LEASE_NOT_FOUND', 'SESSION_EXPIRED'])

const PAUSE_MS_MIN = 10
const PAUSE_MS_MAX = 500

/**
 * One command of a session, sent again under the same number until it is answered or its time runs out. Then it is
 * OUTCOME_UNKNOWN, unless no copy was ever proposed.
 */
export class SessionCall {
  readonly #ports: SessionCallPorts
  readonly #command: InSessionCommand['command']
  readonly #options: CallOptions
  readonly #deadline: number
  readonly #caller: Caller<CommandResult>
  #number: number
  /** Whether a copy of it may be in a log. */
  #isUnsure = false
  #pauseMs = PAUSE_MS_MIN

  /** Throws BUSY and INVALID_ARGUMENT. */
  constructor(
    ports: SessionCallPorts,
    command: InSessionCommand['command'],
    options: CallOptions | undefined,
    caller: Caller<CommandResult>,
  ) {
    const { clock, limits } = ports.store
    this.#ports = ports
    this.#command = command
    const { signal, timeoutMs } = validateCallOptions(options, callDefaults(limits))
    this.#options = { signal, timeoutMs }
    this.#deadline = clock.now() + timeoutMs
    this.#caller = caller
    this.#number = ports.numbers.take()
  }

  /** Sends it for the first time. */
  send(): void {
    this.#attempt(this.#options)
  }

  #attempt(options: CallOptions): void {
    const { store, session, numbers, assertOpen, answered } = this.#ports
    const sentAt = store.clock.now()
    try {
      assertOpen()
      const { lowest: lowestOutstanding } = numbers
      const place = { session, sequence: this.#number, lowestOutstanding }
      store.propose({ type: 'inSession', ...place, command: this.#command }, options, {
        resolve: (result) => {
          answered(sentAt)
          numbers.release(this.#number)
          this.#caller.resolve(result)
        },
        reject: (error) => this.#failed(error),
      })
    } catch (error) {
      this.#failed(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #failed(error: Error): void {
    const code = error instanceof ActorumError ? error.code : undefined
    if (code === 'OUTCOME_UNKNOWN') this.#isUnsure = true
    if (error instanceof ActorumError && code === 'SESSION_EXPIRED') this.#ports.expired(error)
    const leftMs = this.#deadline - this.#ports.store.clock.now()
    const isAborted = this.#options.signal?.aborted === true
    if (code === undefined || !AGAIN.has(code) || isAborted || !(leftMs > PAUSE_MS_MIN)) {
      this.#giveUp(error, code)
      return
    }
    if (code === 'BUSY') this.#renumber()
    this.#pause(Math.min(this.#pauseMs, leftMs - PAUSE_MS_MIN))
    this.#pauseMs = Math.min(2 * this.#pauseMs, PAUSE_MS_MAX)
  }

  /**
   * The cluster remembers its own BUSY as the answer under this number. No copy is in a log that could still be applied,
   * unless the outcome of one is unknown: then the number must stay.
   */
  #renumber(): void {
    const { numbers } = this.#ports
    if (this.#isUnsure || numbers.isFull) return
    numbers.release(this.#number)
    this.#number = numbers.take()
  }

  #pause(pauseMs: number): void {
    const { clock } = this.#ports.store
    const { signal } = this.#options
    const timer = clock.setTimeout(() => {
      release()
      this.#attempt({ signal, timeoutMs: Math.max(1, this.#deadline - clock.now()) })
    }, pauseMs)
    const abort = (reason: unknown): void => {
      clock.clearTimeout(timer)
      this.#giveUp(new ActorumError('ABORTED', 'the call was aborted; nothing was proposed', { cause: reason }))
    }
    const release = signal === undefined ? () => undefined : watch(signal, abort)
  }

  /**
   * From now on the number counts as answered. Once a command is applied that was sent with this and all before it
   * answered or given up, no copy of this one will be: its number lies below what the cluster takes.
   */
  #giveUp(error: Error, code?: ErrorCode): void {
    this.#ports.numbers.release(this.#number)
    const isCertain = !this.#isUnsure || (code !== undefined && ANSWERS.has(code))
    this.#caller.reject(isCertain ? error : this.#outcomeUnknown(error))
  }

  #outcomeUnknown(cause: Error): ActorumError {
    const text = 'no copy of the command was answered; it may be applied already, later, or never'
    const advice =
      "await the session's other calls and write in it again: after that it can no longer be applied, so read"
    return new ActorumError('OUTCOME_UNKNOWN', `${text}: ${advice}`, { cause })
  }
}
