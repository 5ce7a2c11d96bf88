import { ActorumError } from '../errors.js'
import type { CallOptions, Consistency, ReadOptions } from '../options.js'
import type { KvCommand } from '../state-machines/kv/commands.js'
import type { KeyChars, KeyRange } from '../state-machines/kv/keys.js'
import { KeyPrefix } from './key-prefix.js'
import { StoreLayer } from './store-layer.js'
import type {
  Caller,
  CommandResult,
  Reader,
  StoreAnswers,
  StoreLimits,
  StoreListener,
  StorePort,
  StoreQuery,
} from './store-port.js'

type Kind = StoreQuery['type']

/** The keys of another store that begin with a prefix, which is added on the way in and taken off on the way out. */
export class NamespacedStore extends StoreLayer {
  readonly #limits: StoreLimits
  readonly #prefix: KeyPrefix

  /** @throws ActorumError TOO_LARGE: a prefix that leaves no room for keys */
  constructor(store: StorePort, prefix: KeyChars) {
    const keyBytesMax = store.limits.keyBytesMax - prefix.length
    if (keyBytesMax < 1) {
      const text = `the namespace's prefix has ${prefix.length} bytes and leaves none of ${store.limits.keyBytesMax} for keys`
      throw new ActorumError('TOO_LARGE', `${text}; take a shorter one, or raise keyBytesMax on all servers`)
    }
    super(store)
    this.#limits = { ...store.limits, keyBytesMax }
    this.#prefix = new KeyPrefix(prefix)
  }

  override get limits(): StoreLimits {
    return this.#limits
  }

  override propose(command: KvCommand, options: CallOptions | undefined, caller: Caller<CommandResult>): void {
    this.below.propose(this.#prefix.addToCommand(command), options, {
      resolve: (result) => caller.resolve(this.#prefix.takeFromResult(result)),
      reject: (error) => caller.reject(error),
    })
  }

  override read<Asked extends StoreQuery>(
    query: Asked,
    options: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Asked['type']]>,
  ): void {
    const kind: Asked['type'] = query.type
    const takeFrom: (answer: StoreAnswers[Asked['type']]) => StoreAnswers[Asked['type']] = this.#takeFrom[kind]
    this.below.read<StoreQuery>(this.#queryOf(query), options, {
      // An answer is of its query's kind.
      resolve: (answer, revision) => reader.resolve(takeFrom(answer as StoreAnswers[Asked['type']]), revision),
      reject: (error) => reader.reject(error),
    })
  }

  #queryOf(query: StoreQuery): StoreQuery {
    switch (query.type) {
      case 'values':
        return { ...query, keys: query.keys.map((key) => this.#prefix.add(key)) }
      case 'entry':
        return { ...query, key: this.#prefix.add(query.key) }
      case 'range':
        return { ...query, query: { ...query.query, ...this.#prefix.addToRange(query.query) } }
      case 'changes':
        return { ...query, range: this.#prefix.addToRange(query.range) }
      case 'lease':
      case 'leases':
      case 'revision':
        return query
    }
  }

  /** How each kind of answer becomes one of the namespace. */
  readonly #takeFrom: { readonly [Each in Kind]: (answer: StoreAnswers[Each]) => StoreAnswers[Each] } = {
    values: (values) => values,
    entry: (entry) => entry && this.#prefix.takeFromEntry(entry),
    range: (result) => ({ ...result, entries: result.entries.map((entry) => this.#prefix.takeFromEntry(entry)) }),
    lease: (lease) => lease && { ...lease, keys: this.#prefix.takeFromKeys(lease.keys) },
    leases: (leases) => leases,
    changes: (since) => ({
      ...since,
      revisions: since.revisions.map((changes) => this.#prefix.takeFromChanges(changes)),
    }),
    revision: (revision) => revision,
  }

  override getValue(
    key: KeyChars,
    options: ReadOptions | undefined,
    consistency: Consistency,
  ): Promise<Uint8Array | undefined> {
    return this.below.getValue(this.#prefix.add(key), options, consistency)
  }

  override watch(range: KeyRange, listener: StoreListener): () => void {
    return this.below.watch(this.#prefix.addToRange(range), {
      changed: (changes) => listener.changed(this.#prefix.takeFromChanges(changes)),
      lost: () => listener.lost(),
      ended: (error) => listener.ended(error),
    })
  }
}
