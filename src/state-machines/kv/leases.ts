import type { LeaseId } from './commands.js'
import { type Deadline, Deadlines } from './deadlines.js'
import type { KeyChars } from './keys.js'
import { LEASES_MAX } from './limits.js'

/** A time to live in cluster time, of the keys attached to it. */
export interface Lease extends Deadline {
  /** 0: a key's own time to live, which nobody else can name. */
  readonly id: LeaseId
  /** Milliseconds. */
  readonly ttlMs: number
  /** The key whose own it is. */
  readonly key: KeyChars | undefined
  /** Of a lease that was granted. */
  readonly keys: Set<KeyChars> | undefined
}

/** All leases, and which of them ends first. What happens then to their keys is the store's business. */
export class Leases {
  readonly #granted = new Map<LeaseId, Lease>()
  readonly #deadlines = new Deadlines<Lease>()

  /** The lease that ends first. */
  get first(): Lease | undefined {
    return this.#deadlines.first
  }

  get isFull(): boolean {
    return this.#granted.size >= LEASES_MAX
  }

  find(id: LeaseId): Lease | undefined {
    return this.#granted.get(id)
  }

  /** Those granted, oldest first; not the times to live of single keys. */
  granted(): IterableIterator<Lease> {
    return this.#granted.values()
  }

  grant(id: LeaseId, ttlMs: number, deadline: number): Lease {
    const lease: Lease = { id, ttlMs, deadline, key: undefined, keys: new Set(), queuedAt: 0, place: 0 }
    this.#granted.set(id, lease)
    this.#deadlines.add(lease)
    return lease
  }

  /** A key's own time to live, to be attached to it. */
  static ofKey(key: KeyChars, ttlMs: number, deadline: number): Lease {
    return { id: 0, ttlMs, deadline, key, keys: undefined, queuedAt: 0, place: 0 }
  }

  attach(lease: Lease, key: KeyChars): void {
    if (lease.keys === undefined) this.#deadlines.add(lease)
    else lease.keys.add(key)
  }

  detach(lease: Lease, key: KeyChars): void {
    if (lease.keys === undefined) this.#deadlines.remove(lease)
    else lease.keys.delete(key)
  }

  /** Ends a lease that was granted. Its keys still name it. */
  end(lease: Lease): void {
    this.#granted.delete(lease.id)
    this.#deadlines.remove(lease)
  }
}
