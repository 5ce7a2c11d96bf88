import { ActorumError } from '../../src/errors.js'
import type { LogIndex } from '../../src/machines/types.js'
import type { ReadOptions } from '../../src/options.js'
import type { StoreAnswers, StoreListener, StorePort, StoreQuery, Reader } from '../../src/client/store-port.js'
import type { WatchedStore } from '../../src/client/watch-feed.js'
import type { KvCommand } from '../../src/state-machines/kv/commands.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import type { HistoryLimits } from '../../src/state-machines/kv/history.js'
import type { KeyRange } from '../../src/state-machines/kv/keys.js'
import { batchOf, restore } from './kv-batch.js'
import { VirtualTime } from './virtual-time.js'

type OpenStore = WatchedStore & Pick<StorePort, 'assertOpen'>

/** A server as a watch sees it: a log, of which so much has been applied to a store. */
export class WatchedLog implements OpenStore {
  readonly clock = new VirtualTime()
  readonly store: KeyValueStore
  readonly seenRevision = 0
  readonly #listeners = new Set<StoreListener>()
  /** Thrown by the next reads, one each. */
  readonly faults: Error[] = []
  reads = 0

  constructor(limits: Partial<HistoryLimits> = {}) {
    this.store = new KeyValueStore(limits)
  }

  get appliedRevision(): LogIndex {
    return this.store.revision
  }

  assertOpen(): void {
    const fault = this.faults.shift()
    if (fault !== undefined) throw fault
  }

  /** Applies commands as one batch, after those before. */
  apply(...commands: KvCommand[]): void {
    this.store.apply(batchOf(commands, this.appliedRevision + 1))
  }

  /** Becomes what another server is, at once. */
  install({ store }: { readonly store: KeyValueStore }): void {
    restore(this.store, store.snapshot())
  }

  /** As a server does that is stopped. */
  stop(): void {
    for (const listener of [...this.#listeners]) listener.ended(new ActorumError('STOPPED', 'it was stopped'))
  }

  get watchers(): number {
    return this.#listeners.size
  }

  watch(range: KeyRange, listener: StoreListener): () => void {
    const release = this.store.watch(range, {
      changed: (revision, changes) => listener.changed({ revision, changes }),
      replaced: () => listener.lost(),
    })
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
      release()
    }
  }

  read<Query extends StoreQuery>(
    query: Query,
    _: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Query['type']]>,
  ): void {
    this.reads++
    this.assertOpen()
    reader.resolve(this.find(query), this.appliedRevision)
  }

  /** What is found has the shape of its kind of query. */
  find<Query extends StoreQuery>(query: Query): StoreAnswers[Query['type']] {
    if (query.type === 'changes') {
      return this.store.changesSince(query.from, query.range, query.limit) as StoreAnswers[Query['type']]
    }
    if (query.type === 'range') return this.store.range(query.query, query.revision) as StoreAnswers[Query['type']]
    throw new Error(`nobody who watches asks for ${query.type}`)
  }
}
