import { ActorumError } from '../errors.js'
import type { CallOptions, ReadOptions } from '../options.js'
import type { LeaseId } from '../state-machines/kv/commands.js'
import { TTL_MS_MAX } from '../state-machines/kv/limits.js'
import { checkedInteger } from './call-checks.js'
import type { LeaseStatus } from './client-api.js'
import type { Handles } from './handles.js'
import { KeepAlive } from './keep-alive.js'
import type { Caller, StorePort } from './store-port.js'

/** The shortest that a client takes: below that a pause of a process, or an election, would be its end. */
const LEASE_TTL_MS_MIN = 1000
/** Keep-alives in a lease's time. */
const KEEP_ALIVES_PER_TTL = 3

/** A lease that was granted: what the answer said, and when the call was sent on the local clock. */
interface Granted {
  readonly id: LeaseId
  readonly ttlMs: number
  readonly sentAt: number
}

/** Grants a lease and takes hold of it. Throws what is wrong with the call. */
export function holdLease(
  store: StorePort,
  handles: Handles,
  ttlMs: number,
  options: { readonly keepAlive: boolean; readonly call: CallOptions | undefined },
  caller: Caller<LeaseHold>,
): void {
  checkedInteger('ttlMs', ttlMs, LEASE_TTL_MS_MIN, TTL_MS_MAX)
  const sentAt = store.clock.now()
  store.propose({ type: 'grantLease', ttlMs }, options.call, {
    resolve: ({ revision }) => {
      // A lease's id is the revision of its grant.
      const hold = new LeaseHold(store, { id: revision, ttlMs, sentAt }, options.keepAlive)
      try {
        hold.endWith(handles)
      } catch (error) {
        caller.reject(error instanceof Error ? error : new Error(String(error)))
        return
      }
      caller.resolve(hold)
    },
    reject: (error) => caller.reject(error),
  })
}

/**
 * The hold on a lease, with callbacks: what a `Lease` is made of. It ends once, and with it `signal` fires: when its time
 * is over by the local clock, when the cluster says that the lease is gone, or when its holder lets go.
 */
export class LeaseHold {
  readonly id: LeaseId
  readonly ttlMs: number
  readonly #store: StorePort
  readonly #controller = new AbortController()
  readonly #alive: KeepAlive
  #forget: () => void = () => undefined
  #isGone = false
  #isReleased = false

  constructor(store: StorePort, { id, ttlMs, sentAt }: Granted, keepAlive: boolean) {
    this.id = id
    this.ttlMs = ttlMs
    this.#store = store
    this.#alive = new KeepAlive({
      clock: store.clock,
      sentAt,
      intervalMs: keepAlive ? ttlMs / KEEP_ALIVES_PER_TTL : Infinity,
      lifetimeMs: ttlMs * (1 - store.limits.clockDriftBoundPercent / 100),
      send: () => this.#keepAlive(),
      over: () => this.#end('its time may be over, and no keep-alive was answered'),
    })
  }

  /** The client that it was got from lets go of it when it closes. Throws why when that has happened. */
  endWith(handles: Handles): void {
    try {
      this.#forget = handles.add(() => this.#letGo('its client was closed'))
    } catch (error) {
      this.#letGo('its client was closed')
      throw error
    }
    if (this.#controller.signal.aborted) this.#forget()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get isHeld(): boolean {
    return this.heldForMs > 0
  }

  /** After a pause the timer may be later than whoever asks: the clock decides, and then for good. */
  get heldForMs(): number {
    if (this.signal.aborted) return 0
    const left = this.#alive.until - this.#store.clock.now()
    if (left > 0) return left
    this.#end('its time may be over, and no keep-alive was answered')
    return 0
  }

  keepAlive(options: CallOptions | undefined, caller: Caller<void>): void {
    if (!this.isHeld) throw this.#notHeld()
    const sentAt = this.#store.clock.now()
    this.#store.propose({ type: 'keepLeaseAlive', lease: this.id }, options, {
      resolve: () => {
        this.#alive.confirmed(sentAt)
        if (this.isHeld) caller.resolve()
        else caller.reject(this.#notHeld())
      },
      reject: (error) => {
        this.#note(error)
        caller.reject(error)
      },
    })
  }

  /** By itself. Whatever fails is tried again as long as the lease is held; an answer after that is no use. */
  #keepAlive(): void {
    try {
      const timeoutMs = Math.min(Math.max(1, this.heldForMs), CALL_MS_MAX)
      this.keepAlive({ timeoutMs }, { resolve: () => undefined, reject: () => this.#alive.failed() })
    } catch {
      // BUSY and the like: what there is to know of it is known when the lease ends.
      this.#alive.failed()
    }
  }

  timeToLive(options: ReadOptions | undefined, caller: Caller<LeaseStatus>): void {
    this.#store.read({ type: 'lease', lease: this.id }, options, {
      resolve: (status) => {
        if (status !== undefined) {
          caller.resolve(status)
          return
        }
        const error = leaseNotFound(this.id, 'the cluster does not know it any more')
        // A server that is behind may not know it yet.
        if (options?.consistency !== 'eventual') this.#note(error)
        caller.reject(error)
      },
      reject: (error) => caller.reject(error),
    })
  }

  /** Ends the lease. The hold ends now, whatever becomes of the call. */
  revoke(options: CallOptions | undefined, caller: Caller<void>): void {
    this.#end('it was revoked by its holder')
    if (this.#isGone) {
      caller.resolve()
      return
    }
    this.#store.propose({ type: 'revokeLease', lease: this.id }, options, {
      resolve: () => {
        this.#isGone = true
        caller.resolve()
      },
      reject: (error) => {
        this.#note(error)
        if (this.#isGone) caller.resolve()
        else caller.reject(error)
      },
    })
  }

  release(): void {
    this.#letGo('its holder let go of it')
  }

  /** True once there is nothing left to revoke here: it is gone, or was let go to end by itself. */
  get isLetGo(): boolean {
    return this.#isGone || this.#isReleased
  }

  #letGo(why: string): void {
    this.#isReleased = true
    this.#end(why)
  }

  #note(error: Error): void {
    if (!(error instanceof ActorumError) || error.code !== 'LEASE_NOT_FOUND') return
    this.#isGone = true
    this.#end('the cluster does not know it any more', error)
  }

  #end(why: string, cause?: Error): void {
    if (this.signal.aborted) return
    this.#alive.stop()
    this.#forget()
    this.#controller.abort(leaseNotFound(this.id, why, cause))
  }

  #notHeld(): ActorumError {
    return leaseNotFound(this.id, 'it is not held any more')
  }
}

const CALL_MS_MAX = 0x7fff_ffff

function leaseNotFound(id: LeaseId, why: string, cause?: Error): ActorumError {
  return new ActorumError('LEASE_NOT_FOUND', `lease ${id}: ${why}; grant another one`, { cause })
}
