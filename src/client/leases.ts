import { checkNames, shown, type CallOptions, type ReadOptions } from '../options.js'
import type { LeaseId } from '../state-machines/kv/commands.js'
import { CALL_NAMES, callOptionsOf, invalid } from './call-checks.js'
import type { Lease, LeaseOptions, LeaseStatus } from './client-api.js'
import type { Handles } from './handles.js'
import { holdLease, type LeaseHold } from './lease-hold.js'
import type { Caller, StorePort } from './store-port.js'

/**
 * Grants a lease and holds it: as `ClientApi.grantLease`. When the answer takes longer than the lease is held, the handle
 * comes with its signal fired.
 */
export function grantLease(
  store: StorePort,
  handles: Handles,
  ttlMs: number,
  options: LeaseOptions | undefined,
): Promise<Lease> {
  return promised<LeaseHold>((caller) => {
    store.assertOpen()
    holdLease(store, handles, ttlMs, { keepAlive: keepsAlive(options), call: callOptionsOf(options) }, caller)
  }).then((hold) => new HeldLease(hold))
}

function keepsAlive(options: LeaseOptions | undefined): boolean {
  if (options === undefined) return true
  const given: unknown = options
  checkNames(given, "the lease's options", [...CALL_NAMES, 'keepAlive'])
  const { keepAlive = true } = options
  if (typeof keepAlive !== 'boolean') throw invalid(`keepAlive is ${shown(keepAlive)}; it must be true or false`)
  return keepAlive
}

/** A hold on a lease as users have it. */
class HeldLease implements Lease {
  readonly #hold: LeaseHold

  constructor(hold: LeaseHold) {
    this.#hold = hold
  }

  get id(): LeaseId {
    return this.#hold.id
  }

  get ttlMs(): number {
    return this.#hold.ttlMs
  }

  get signal(): AbortSignal {
    return this.#hold.signal
  }

  get isHeld(): boolean {
    return this.#hold.isHeld
  }

  get heldForMs(): number {
    return this.#hold.heldForMs
  }

  keepAlive(options?: CallOptions): Promise<void> {
    return promised((caller) => this.#hold.keepAlive(options, caller))
  }

  timeToLive(options?: ReadOptions): Promise<LeaseStatus> {
    return promised((caller) => this.#hold.timeToLive(options, caller))
  }

  revoke(options?: CallOptions): Promise<void> {
    return promised((caller) => this.#hold.revoke(options, caller))
  }

  release(): void {
    this.#hold.release()
  }

  /** Leaving a scope does not fail for this: a lease that cannot be revoked ends when its time is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#hold.isLetGo) return
    await this.revoke().catch(() => this.release())
  }
}

/** What is thrown while the call is made rejects it, too. */
function promised<Value>(make: (caller: Caller<Value>) => void): Promise<Value> {
  return new Promise((resolve, reject) => make({ resolve, reject }))
}
