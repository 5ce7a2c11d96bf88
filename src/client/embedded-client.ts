import type { RaftServer } from '../actors/raft-server.js'
import { ActorumError } from '../errors.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { CallOptions, Consistency, ReadOptions, ResolvedCallOptions, ResolvedOptions } from '../options.js'
import type {
  CompareAndSwapResult,
  DeleteResult,
  KvCommand,
  KvResult,
  PutResult,
} from '../state-machines/kv/commands.js'
import type { KeyValueStore } from '../state-machines/kv/key-value-store.js'
import { keyChars, type KeyChars, validateKey, validateValue } from '../state-machines/kv/keys.js'
import { Calls, type CallDefaults } from './calls.js'
import type { Bytes, ClientApi } from './client-api.js'

type Limits = Pick<ResolvedOptions, 'keyBytesMax' | 'valueBytesMax'>

/** The client inside a server's own process: calls go to its loop, and answers come from its own copy of the state. */
export class EmbeddedClient implements ClientApi {
  readonly #calls: Calls<KvCommand, KvResult>
  readonly #store: KeyValueStore
  readonly #limits: Limits
  /** Throws STOPPED, or why the server failed, once it no longer runs. */
  readonly #assertOpen: () => void
  readonly #readValue = (key: KeyChars): Uint8Array | undefined => this.#store.getValue(key)
  readonly #readValues = (keys: readonly KeyChars[]): (Uint8Array | undefined)[] => this.#store.getMulti(keys)

  constructor(
    server: RaftServer<KvCommand, KvResult>,
    store: KeyValueStore,
    clock: Clock,
    options: CallDefaults & Limits,
    assertOpen: () => void,
  ) {
    this.#calls = new Calls(server, clock, options)
    this.#store = store
    this.#limits = options
    this.#assertOpen = assertOpen
  }

  put(key: Bytes, value: Bytes, options?: CallOptions): Promise<PutResult> {
    return this.#propose<PutResult>(options, () => {
      validateKey(key, this.#limits.keyBytesMax)
      validateValue(value, this.#limits.valueBytesMax)
      return { type: 'put', key, value }
    })
  }

  delete(key: Bytes, options?: CallOptions): Promise<DeleteResult> {
    return this.#propose<DeleteResult>(options, () => {
      validateKey(key, this.#limits.keyBytesMax)
      return { type: 'delete', key }
    })
  }

  async compareAndSwap(key: Bytes, expected: Bytes | undefined, value: Bytes, options?: CallOptions): Promise<boolean> {
    const { swapped } = await this.#propose<CompareAndSwapResult>(options, () => {
      validateKey(key, this.#limits.keyBytesMax)
      if (expected !== undefined) validateValue(expected, this.#limits.valueBytesMax)
      validateValue(value, this.#limits.valueBytesMax)
      return { type: 'compareAndSwap', key, expected, value }
    })
    return swapped
  }

  get(key: Bytes, options?: ReadOptions): Promise<Uint8Array | undefined> {
    return this.#get(key, options, 'linearizable')
  }

  getLinearizable(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined> {
    return this.#get(key, options, 'linearizable')
  }

  getLease(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined> {
    return this.#get(key, options, 'lease')
  }

  getEventual(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined> {
    return this.#get(key, options, 'eventual')
  }

  /** Reads that need nobody else are answered at once: they are a million a second. */
  #get(key: Bytes, options: ReadOptions | undefined, consistency: Consistency): Promise<Uint8Array | undefined> {
    try {
      this.#assertOpen()
      const chars = keyChars(key, this.#limits.keyBytesMax)
      const resolved = this.#calls.readOptions(options, consistency)
      if (this.#calls.mayReadNow(resolved)) return Promise.resolve(this.#store.getValue(chars))
      return this.#readLater(this.#readValue, chars, resolved)
    } catch (error) {
      return rejected(error)
    }
  }

  getMulti(keys: readonly Bytes[], options?: ReadOptions): Promise<(Uint8Array | undefined)[]> {
    try {
      this.#assertOpen()
      if (!Array.isArray(keys)) throw new ActorumError('INVALID_ARGUMENT', 'keys is not an array; give a list of keys')
      const chars = keys.map((key: Bytes) => keyChars(key, this.#limits.keyBytesMax))
      const resolved = this.#calls.readOptions(options, 'linearizable')
      if (this.#calls.mayReadNow(resolved)) return Promise.resolve(this.#store.getMulti(chars))
      return this.#readLater(this.#readValues, chars, resolved)
    } catch (error) {
      return rejected(error)
    }
  }

  #readLater<Key, Value>(read: (key: Key) => Value, key: Key, options: ResolvedCallOptions): Promise<Value> {
    return new Promise((resolve, reject) => this.#calls.readLater(read, key, options, resolve, reject))
  }

  /** What is thrown while the promise is made rejects it. */
  #propose<Result extends KvResult>(options: CallOptions | undefined, make: () => KvCommand): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      // A command's result has the shape of its kind.
      this.#calls.propose(make(), options, resolve as (result: KvResult) => void, reject)
    })
  }
}

function rejected(error: unknown): Promise<never> {
  return Promise.reject(error instanceof Error ? error : new Error(String(error)))
}
