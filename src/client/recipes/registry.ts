import type { ActorumError } from '../../errors.js'
import { checkNames, type CallOptions } from '../../options.js'
import type { KvEntry } from '../../state-machines/kv/results.js'
import { copyOfBytes, copyOfOptions } from '../call-checks.js'
import type { Bytes, ClientApi, Lease } from '../client-api.js'
import { compare, op } from '../txn.js'
import { giveUp, TTL_MS_DEFAULT } from './acquire.js'
import { isSameBytes, LiveView } from './live-view.js'
import { isLeaseGone, lostError } from './lost.js'
import { nameInKey, partOfKey, placeOf } from './names.js'
import { persevere } from './patience.js'

/** An instance of a service, as it was registered. */
export interface ServiceInstance {
  readonly instance: string
  readonly value: Uint8Array
}

export interface RegisterOptions extends CallOptions {
  /** How long after its last sign of life an instance is taken off the list. Default 10,000 ms. */
  readonly ttlMs?: number | undefined
}

/** An instance on the list, for as long as this is held. Disposing of it takes it off. */
export interface Registration extends AsyncDisposable {
  /**
   * Fires when it is on the list no longer and is not put back: because it was taken off, somebody else has registered the
   * same instance, or the client was closed. Its reason is an ActorumError LOST.
   */
  readonly signal: AbortSignal
  /** Sets its value. @throws ActorumError LOST */
  update(value: Bytes, options?: CallOptions): Promise<void>
  /** Takes it off the list. */
  release(options?: CallOptions): Promise<void>
}

/**
 * Puts an instance on the list of a service, such as its address, and keeps it there: it goes when its process has given
 * no sign of life for `ttlMs`, and is put back when the process does so again. Registering an instance that is on the
 * list already takes its place, since a process that starts again finds its own old entry.
 * @throws ActorumError INVALID_ARGUMENT, and what a put throws
 */
export async function register(
  client: ClientApi,
  service: string,
  instance: string,
  value: Bytes,
  options: RegisterOptions = {},
): Promise<Registration> {
  const given: unknown = options
  checkNames(given, "the registration's options", ['ttlMs', 'signal', 'timeoutMs'])
  const { ttlMs = TTL_MS_DEFAULT, signal, timeoutMs } = options
  const key = `${prefixOf(service)}${partOfKey('instance', instance)}`
  const copy = copyOfBytes(value)
  const lease = await client.grantLease(ttlMs, { signal, timeoutMs })
  try {
    await client.put(key, copy, { lease, signal, timeoutMs })
  } catch (error) {
    giveUp(lease)
    throw error
  }
  return new Registered(client, key, copy, lease)
}

/**
 * The instances of a service, in the order of their names: now, and after each change.
 *
 *     for await (const instances of discover(client, 'api')) …
 */
export function discover(
  client: ClientApi,
  service: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): LiveView<readonly ServiceInstance[]> {
  const prefix = prefixOf(service)
  const instances = (entries: readonly KvEntry[]): readonly ServiceInstance[] =>
    entries
      .map(({ key, value }) => ({ instance: nameInKey(key, prefix), value }))
      .sort((one, other) => (one.instance < other.instance ? -1 : 1))
  return new LiveView(client.observe(prefix, options), instances, isSameList)
}

function prefixOf(service: string): string {
  return `${placeOf('service', service)}/`
}

function isSameList(one: readonly ServiceInstance[], other: readonly ServiceInstance[]): boolean {
  if (one.length !== other.length) return false
  return one.every(({ instance, value }, at) => {
    const now = other[at]
    return now !== undefined && instance === now.instance && isSameBytes(value, now.value)
  })
}

class Registered implements Registration {
  readonly #client: ClientApi
  readonly #key: string
  readonly #gone = new AbortController()
  #value: Bytes
  #lease: Lease
  /** Writes are made one after the other: an update and putting back would not know of one another. */
  #lastWrite: Promise<unknown> = Promise.resolve()
  #released: Promise<void> | undefined

  constructor(client: ClientApi, key: string, value: Bytes, lease: Lease) {
    this.#client = client
    this.#key = key
    this.#value = value
    this.#lease = lease
    this.#follow(lease)
  }

  get signal(): AbortSignal {
    return this.#gone.signal
  }

  update(value: Bytes, options?: CallOptions): Promise<void> {
    const copy = copyOfBytes(value)
    const call = copyOfOptions(options)
    return this.#inTurn(async () => {
      this.#gone.signal.throwIfAborted()
      this.#value = copy
      try {
        await this.#write(this.#lease, call)
      } catch (error) {
        if (!isLeaseGone(error)) throw error
        await this.#putBack()
      }
    })
  }

  release(options?: CallOptions): Promise<void> {
    this.#released ??= this.#release(copyOfOptions(options))
    return this.#released
  }

  async #release(options: CallOptions | undefined): Promise<void> {
    this.#end('it was taken off the list')
    // Only then is it known which lease the last write was made with.
    await this.#inTurn(async () => {
      const lease = this.#lease
      try {
        await lease.revoke(options)
      } finally {
        lease.release()
      }
    })
  }

  /** Leaving a scope does not fail for this: what cannot be taken off goes when its time is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch(() => undefined)
  }

  #follow(lease: Lease): void {
    const lost = (): void => {
      this.#inTurn(async () => {
        if (lease === this.#lease && !this.#gone.signal.aborted) await this.#putBack()
      }).catch((error: unknown) => this.#end(error))
    }
    if (lease.signal.aborted) lost()
    else lease.signal.addEventListener('abort', lost, { once: true })
  }

  async #putBack(): Promise<void> {
    const { signal } = this.#gone
    const lease = await persevere(this.#client, signal, () => this.#client.grantLease(this.#lease.ttlMs, { signal }))
    try {
      await persevere(this.#client, signal, () => this.#write(lease, { signal }))
    } catch (error) {
      giveUp(lease)
      throw error
    }
    this.#lease = lease
    this.#follow(lease)
  }

  /** Writes the value unless somebody else has registered the same instance since. */
  async #write(lease: Lease, options: CallOptions | undefined): Promise<void> {
    const [key, put] = [this.#key, op.put(this.#key, this.#value, { lease })]
    const { results } = await this.#client
      .txn()
      .if(compare.lease(key, '=', this.#lease))
      .then(put)
      .else(op.txn({ if: [compare.missing(key)], then: [put], else: [op.get(key)] }))
      .commit(options)
    const [result] = results
    if (!('results' in result)) return
    const [found] = result.results
    if (!('entry' in found) || found.entry?.lease === lease.id) return
    throw this.#end('another process has registered it')
  }

  #end(cause: unknown): ActorumError {
    const error = lostError(this.#key, cause)
    this.#gone.abort(error)
    return error
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#lastWrite.then(work)
    this.#lastWrite = result.catch(() => undefined)
    return result
  }
}
