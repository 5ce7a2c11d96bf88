import type { Observable } from 'rxjs'
import { ActorumError } from '../errors.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { LogIndex, ServerId } from '../machines/types.js'
import type { CallOptions, Consistency, ReadOptions } from '../options.js'
import type { KvCommand } from '../state-machines/kv/commands.js'
import type { KeyChars, KeyRange } from '../state-machines/kv/keys.js'
import type { ClusterMember, Membership } from './cluster-view.js'
import { KeyPrefix } from './key-prefix.js'
import type {
  Caller,
  CommandResult,
  StoreAnswers,
  StoreLimits,
  StoreListener,
  StorePort,
  StoreQuery,
} from './store-port.js'

type Kind = StoreQuery['type']

/** The keys of another store that begin with a prefix, which is added on the way in and taken off on the way out. */
export class NamespacedStore implements StorePort {
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly #store: StorePort
  readonly #prefix: KeyPrefix

  /** @throws ActorumError TOO_LARGE: a prefix that leaves no room for keys */
  constructor(store: StorePort, prefix: KeyChars) {
    const keyBytesMax = store.limits.keyBytesMax - prefix.length
    if (keyBytesMax < 1) {
      const text = `the namespace's prefix has ${prefix.length} bytes and leaves none of ${store.limits.keyBytesMax} for keys`
      throw new ActorumError('TOO_LARGE', `${text}; take a shorter one, or raise keyBytesMax on all servers`)
    }
    this.limits = { ...store.limits, keyBytesMax }
    this.clock = store.clock
    this.#store = store
    this.#prefix = new KeyPrefix(prefix)
  }

  assertOpen(): void {
    this.#store.assertOpen()
  }

  propose(command: KvCommand, options: CallOptions | undefined, caller: Caller<CommandResult>): void {
    this.#store.propose(this.#prefix.addToCommand(command), options, {
      resolve: (result) => caller.resolve(this.#prefix.takeFromResult(result)),
      reject: (error) => caller.reject(error),
    })
  }

  read<Asked extends StoreQuery>(
    query: Asked,
    options: ReadOptions | undefined,
    caller: Caller<StoreAnswers[Asked['type']]>,
  ): void {
    const kind: Asked['type'] = query.type
    const takeFrom: (answer: StoreAnswers[Asked['type']]) => StoreAnswers[Asked['type']] = this.#takeFrom[kind]
    this.#store.read<StoreQuery>(this.#queryOf(query), options, {
      // An answer is of its query's kind.
      resolve: (answer) => caller.resolve(takeFrom(answer as StoreAnswers[Asked['type']])),
      reject: (error) => caller.reject(error),
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

  getValue(key: KeyChars, options: ReadOptions | undefined, consistency: Consistency): Promise<Uint8Array | undefined> {
    return this.#store.getValue(this.#prefix.add(key), options, consistency)
  }

  get appliedRevision(): LogIndex {
    return this.#store.appliedRevision
  }

  watch(range: KeyRange, listener: StoreListener): () => void {
    return this.#store.watch(this.#prefix.addToRange(range), {
      changed: (changes) => listener.changed(this.#prefix.takeFromChanges(changes)),
      lost: () => listener.lost(),
      ended: (error) => listener.ended(error),
    })
  }

  refresh(options: CallOptions | undefined, caller: Caller<void>): void {
    this.#store.refresh(options, caller)
  }

  members(): readonly ClusterMember[] {
    return this.#store.members()
  }

  leaderId(): ServerId | undefined {
    return this.#store.leaderId()
  }

  membership$(): Observable<Membership> {
    return this.#store.membership$()
  }
}
