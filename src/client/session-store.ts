import { ActorumError } from '../errors.js'
import type { CallOptions, Consistency, ReadOptions } from '../options.js'
import type { KvCommand, SessionId } from '../state-machines/kv/commands.js'
import type { KeyChars, KeyRange } from '../state-machines/kv/keys.js'
import { copyOfCommand } from './command-copies.js'
import { KeepAlive } from './keep-alive.js'
import { SessionCall, type SessionCallPorts } from './session-call.js'
import { SessionNumbers } from './session-numbers.js'
import { StoreLayer } from './store-layer.js'
import type { Caller, CommandResult, Reader, StoreAnswers, StoreListener, StorePort, StoreQuery } from './store-port.js'

/** A session that was opened: what the answer said, and when the call was sent on the local clock. */
export interface OpenedSession {
  readonly id: SessionId
  readonly timeoutMs: number
  readonly sentAt: number
}

/** Keep-alives in a session's time when nothing else is sent in it. */
const KEEP_ALIVES_PER_TIMEOUT = 3

/** A store whose writes belong to a session: each is applied once, however often it is sent. Reads go straight through. */
export class SessionStore extends StoreLayer {
  readonly id: SessionId
  readonly #timeoutMs: number
  readonly #alive: KeepAlive
  readonly #calls: SessionCallPorts
  readonly #ended: (error: ActorumError) => void
  #end: ActorumError | undefined

  /** @param ended - called once, when the cluster says that the session has expired */
  constructor(store: StorePort, { id, timeoutMs, sentAt }: OpenedSession, ended: (error: ActorumError) => void) {
    super(store)
    this.id = id
    this.#timeoutMs = timeoutMs
    this.#ended = ended
    this.#alive = new KeepAlive({
      clock: store.clock,
      sentAt,
      intervalMs: timeoutMs / KEEP_ALIVES_PER_TIMEOUT,
      // Cluster time stands still without a leader: only the cluster can tell whether it is over.
      lifetimeMs: Infinity,
      send: () => this.#keepAlive(),
      over: () => undefined,
    })
    this.#calls = {
      store,
      session: id,
      numbers: new SessionNumbers(),
      assertOpen: () => this.assertOpen(),
      answered: (at) => this.#alive.confirmed(at),
      expired: (error) => this.#expired(error),
    }
  }

  /** Throws SESSION_EXPIRED, too, and STOPPED once the session was closed. */
  override assertOpen(): void {
    if (this.#end !== undefined) throw this.#end
    this.below.assertOpen()
  }

  override propose(command: KvCommand, options: CallOptions | undefined, caller: Caller<CommandResult>): void {
    this.assertOpen()
    switch (command.type) {
      // Those of another session, and what opens one, cannot be part of this one.
      case 'inSession':
      case 'openSession':
      case 'keepSessionAlive':
      case 'closeSession':
      case 'expire':
        this.below.propose(command, options, caller)
        return
      default:
        new SessionCall(this.#calls, copyOfCommand(command), options, caller).send()
    }
  }

  override read<Query extends StoreQuery>(
    query: Query,
    options: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Query['type']]>,
  ): void {
    this.assertOpen()
    this.below.read(query, options, reader)
  }

  override getValue(
    key: KeyChars,
    options: ReadOptions | undefined,
    consistency: Consistency,
  ): Promise<Uint8Array | undefined> {
    if (this.#end !== undefined) return Promise.reject(this.#end)
    return this.below.getValue(key, options, consistency)
  }

  override watch(range: KeyRange, listener: StoreListener): () => void {
    this.assertOpen()
    return this.below.watch(range, listener)
  }

  override refresh(options: CallOptions | undefined, caller: Caller<void>): void {
    this.assertOpen()
    this.below.refresh(options, caller)
  }

  /** Nothing is sent in the session any more, keep-alives neither. `error`: what later calls fail with. */
  stop(error: ActorumError): void {
    this.#end ??= error
    this.#alive.stop()
  }

  /** Ends the session in the cluster. One that has expired is no error. */
  close(options: CallOptions | undefined, caller: Caller<void>): void {
    this.stop(new ActorumError('STOPPED', 'the session was closed; open another one'))
    this.below.propose({ type: 'closeSession', session: this.id }, options, {
      resolve: () => caller.resolve(),
      reject: (error) => {
        if (hasExpired(error)) caller.resolve()
        else caller.reject(error)
      },
    })
  }

  #keepAlive(): void {
    const sentAt = this.clock.now()
    const failed = (error: Error): void => {
      if (hasExpired(error)) this.#expired(error)
      else this.#alive.failed()
    }
    try {
      this.below.propose(
        { type: 'keepSessionAlive', session: this.id },
        { timeoutMs: this.#timeoutMs },
        { resolve: () => this.#alive.confirmed(sentAt), reject: failed },
      )
    } catch {
      // BUSY and the like: it is tried again, and were it too late, the cluster would say so.
      this.#alive.failed()
    }
  }

  #expired(error: ActorumError): void {
    if (this.#end !== undefined) return
    this.stop(error)
    this.#ended(error)
  }
}

function hasExpired(error: Error): error is ActorumError {
  return error instanceof ActorumError && error.code === 'SESSION_EXPIRED'
}
