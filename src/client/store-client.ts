import { Observable } from 'rxjs'
import { ActorumError } from '../errors.js'
import type { LogIndex, ServerId } from '../machines/types.js'
import { shown, type CallOptions, type Consistency, type ReadOptions } from '../options.js'
import type { KvCommand, LeaseId } from '../state-machines/kv/commands.js'
import {
  boundChars,
  bytesOfChars,
  keyChars,
  prefixRange,
  validateKey,
  validateValue,
} from '../state-machines/kv/keys.js'
import type {
  CompactResult,
  CompareAndSwapResult,
  DeleteRangeResult,
  DeleteResult,
  KvEntry,
  LeaseResult,
  PutResult,
  RangeResult,
  TxnResult,
} from '../state-machines/kv/results.js'
import {
  callOptionsOf,
  checkCallNames,
  checkedInteger,
  isObject,
  keyReadOf,
  leaseIdOf,
  putTerms,
  sinceOf,
  ttlMsOf,
  wantsPrevious,
} from './call-checks.js'
import { CausalStore } from './causal-store.js'
import type {
  Bytes,
  CausalOptions,
  CausalView,
  ClientApi,
  DeleteAnswer,
  DeleteOptions,
  DeleteRangeAnswer,
  KeyReadOptions,
  KeySelector,
  Lease,
  LeaseOptions,
  LeaseStatus,
  PutAnswer,
  PutOptions,
  RangeOptions,
  RangePage,
  ScanResult,
  Session,
  SessionOptions,
} from './client-api.js'
import type { ClusterMember, Membership } from './cluster-view.js'
import { Handles } from './handles.js'
import { grantLease } from './leases.js'
import { NamespacedStore } from './namespace.js'
import { cursorOf, ENTRIES_NAMES, nextPage, type PageAsked, pageAsked } from './paging.js'
import { startObservation, startWatch } from './watching.js'
import { keysToObserve, keysToWatch, rangeOf } from './selectors.js'
import type { CommandResult, StoreAnswers, StorePort, StoreQuery } from './store-port.js'
import { openSession } from './sessions.js'
import { checkTxnBytes } from './txn-checks.js'
import { buildTxn, type Txn } from './txn.js'
import type { Observation, Watch, WatchOptions } from './watch-api.js'

/** A client over whatever store: checks calls, makes commands and queries of them, and promises of callbacks. */
export class StoreClient implements ClientApi {
  readonly #store: StorePort
  readonly #handles: Handles

  /** @param handles - what it gives out; closing those closes it */
  constructor(store: StorePort, handles: Handles) {
    this.#store = store
    this.#handles = handles
  }

  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<PutAnswer> {
    return this.#propose<PutResult>(callOptionsOf(options), () => {
      this.#checkKeyAndValue(key, value)
      return options === undefined ? { type: 'put', key, value } : { type: 'put', key, value, ...putTerms(options) }
    })
  }

  putWithTtl(key: Bytes, value: Bytes, ttlSecs: number, options?: CallOptions): Promise<PutAnswer> {
    return this.#propose<PutResult>(options, () => {
      this.#checkKeyAndValue(key, value)
      return { type: 'put', key, value, ttlMs: ttlMsOf(ttlSecs) }
    })
  }

  #checkKeyAndValue(key: Bytes, value: Bytes): void {
    validateKey(key, this.#store.limits.keyBytesMax)
    validateValue(value, this.#store.limits.valueBytesMax)
  }

  delete(key: Bytes, options?: DeleteOptions): Promise<DeleteAnswer> {
    return this.#propose<DeleteResult>(callOptionsOf(options), () => {
      validateKey(key, this.#store.limits.keyBytesMax)
      return { type: 'delete', key, wantPrevious: wantsPrevious(options) }
    })
  }

  deleteRange(keys: KeySelector, options?: DeleteOptions): Promise<DeleteRangeAnswer> {
    return this.#propose<DeleteRangeResult>(callOptionsOf(options), () => {
      const { from, to } = rangeOf(keys, this.#store.limits.keyBytesMax)
      const wantPrevious = wantsPrevious(options)
      return { type: 'deleteRange', from: bytesOfChars(from), to: to && bytesOfChars(to), wantPrevious }
    })
  }

  async compareAndSwap(key: Bytes, expected: Bytes | undefined, value: Bytes, options?: CallOptions): Promise<boolean> {
    const { swapped } = await this.#propose<CompareAndSwapResult>(options, () => {
      this.#checkKeyAndValue(key, value)
      if (expected !== undefined) validateValue(expected, this.#store.limits.valueBytesMax)
      return { type: 'compareAndSwap', key, expected, value }
    })
    return swapped
  }

  txn(): Txn {
    return buildTxn((command, options) => {
      return this.#propose<TxnResult>(options, () => {
        checkTxnBytes(command, this.#store.limits)
        return command
      })
    })
  }

  get(key: Bytes, options?: KeyReadOptions): Promise<Uint8Array | undefined> {
    if (isObject(options) && 'revision' in options) return this.#getAt(key, options)
    return this.#get(key, options, 'linearizable')
  }

  getLinearizable(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined> {
    return this.#getAs(key, options, 'linearizable')
  }

  getLease(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined> {
    return this.#getAs(key, options, 'lease')
  }

  getEventual(key: Bytes, options?: CallOptions): Promise<Uint8Array | undefined> {
    return this.#getAs(key, options, 'eventual')
  }

  /** The name of the call is its promise: its options have no say in that. */
  #getAs(key: Bytes, options: CallOptions | undefined, consistency: Consistency): Promise<Uint8Array | undefined> {
    try {
      if (options !== undefined) checkCallNames(options)
      return this.#get(key, options, consistency)
    } catch (error) {
      return rejected(error)
    }
  }

  /** Makes nothing but the promise: most reads come here. */
  #get(key: Bytes, options: ReadOptions | undefined, consistency: Consistency): Promise<Uint8Array | undefined> {
    try {
      this.#assertOpen()
      return this.#store.getValue(keyChars(key, this.#store.limits.keyBytesMax), options, consistency)
    } catch (error) {
      return rejected(error)
    }
  }

  async #getAt(key: Bytes, options: KeyReadOptions): Promise<Uint8Array | undefined> {
    const [value] = await this.getMulti([key], options)
    return value
  }

  async getEntry(key: Bytes, options?: KeyReadOptions): Promise<KvEntry | undefined> {
    const chars = keyChars(key, this.#store.limits.keyBytesMax)
    const { revision, read } = keyReadOf(options)
    return this.#read({ type: 'entry', key: chars, revision }, read)
  }

  async getMulti(keys: readonly Bytes[], options?: KeyReadOptions): Promise<(Uint8Array | undefined)[]> {
    if (!Array.isArray(keys)) throw new ActorumError('INVALID_ARGUMENT', 'keys is not an array; give a list of keys')
    // A hole is no key either, and `map` passes over holes.
    const chars = Array.from(keys, (key: Bytes) => keyChars(key, this.#store.limits.keyBytesMax))
    const { revision, read } = keyReadOf(options)
    return this.#read({ type: 'values', keys: chars, revision }, read)
  }

  async scanPrefix(prefix: Bytes, options?: KeyReadOptions): Promise<ScanResult> {
    const query = prefixRange(boundChars(prefix, 'prefix', this.#store.limits.keyBytesMax))
    const asked = keyReadOf(options)
    const { entries, revision } = await this.#read({ type: 'range', query, revision: asked.revision }, asked.read)
    return { entries, revision }
  }

  async range(query: RangeOptions = {}): Promise<RangePage> {
    const asked = pageAsked(query, this.#store.limits.keyBytesMax)
    const page = await this.#page(asked)
    const next = nextPage(asked, page)
    const { entries, count, more, revision } = page
    return { entries, count, more, cursor: next && cursorOf(next), revision }
  }

  entries(query: Omit<RangeOptions, 'countOnly' | 'cursor'> = {}): AsyncIterable<KvEntry> {
    this.#assertOpen()
    // What is wrong with the query is thrown here, and its buffers are the caller's again.
    return this.#walk(pageAsked(query, this.#store.limits.keyBytesMax, ENTRIES_NAMES))
  }

  async *#walk(first: PageAsked): AsyncGenerator<KvEntry, void, undefined> {
    for (let asked: PageAsked | undefined = first; asked !== undefined;) {
      const page: RangeResult = await this.#page(asked)
      yield* page.entries
      asked = nextPage(asked, page)
    }
  }

  #page({ query, revision, options }: PageAsked): Promise<RangeResult> {
    return this.#read({ type: 'range', query, revision }, options)
  }

  async compact(revision: LogIndex, options?: CallOptions): Promise<{ readonly compactedRevision: LogIndex }> {
    const { compactedRevision } = await this.#propose<CompactResult>(options, () => {
      return { type: 'compact', revision: checkedInteger('revision', revision, 0) }
    })
    return { compactedRevision }
  }

  async grantLease(ttlMs: number, options?: LeaseOptions): Promise<Lease> {
    this.#assertOpen()
    return grantLease(this.#store, this.#handles, ttlMs, options)
  }

  async keepAlive(lease: LeaseId, options?: CallOptions): Promise<{ readonly ttlMs: number }> {
    const { ttlMs } = await this.#propose<LeaseResult>(options, () => {
      return { type: 'keepLeaseAlive', lease: leaseIdOf(lease) }
    })
    return { ttlMs }
  }

  async revoke(
    lease: LeaseId,
    options?: CallOptions,
  ): Promise<{ readonly deletedCount: number; readonly revision: LogIndex }> {
    const { deletedCount, revision } = await this.#propose<DeleteRangeResult>(options, () => {
      return { type: 'revokeLease', lease: leaseIdOf(lease) }
    })
    return { deletedCount, revision }
  }

  async timeToLive(lease: LeaseId, options?: ReadOptions): Promise<LeaseStatus> {
    const status = await this.#read({ type: 'lease', lease: leaseIdOf(lease) }, options)
    if (status !== undefined) return status
    throw new ActorumError('LEASE_NOT_FOUND', `there is no lease ${shown(lease)}, or no longer; grant another one`)
  }

  leases(options?: ReadOptions): Promise<readonly LeaseId[]> {
    return this.#read({ type: 'leases' }, options)
  }

  watch(keys: Bytes | KeySelector, options?: WatchOptions): Watch {
    this.#assertOpen()
    return startWatch(this.#store, this.#handles, keysToWatch(keys, this.#store.limits.keyBytesMax), options)
  }

  observe(keys: Bytes | KeySelector, options?: WatchOptions): Observation {
    this.#assertOpen()
    return startObservation(this.#store, this.#handles, keysToObserve(keys, this.#store.limits.keyBytesMax), options)
  }

  async openSession(options?: SessionOptions): Promise<Session> {
    this.#assertOpen()
    return openSession(this.#store, this.#handles, options, (store, handles) => new StoreClient(store, handles))
  }

  namespace(prefix: Bytes): ClientApi {
    this.#assertOpen()
    const chars = boundChars(prefix, "namespace's prefix", this.#store.limits.keyBytesMax)
    return new StoreClient(new NamespacedStore(this.#store, chars), new Handles(this.#handles))
  }

  causal(options?: CausalOptions): CausalView {
    this.#assertOpen()
    return new CausalClient(new CausalStore(this.#store, sinceOf(options)), new Handles(this.#handles))
  }

  refresh(options?: CallOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      this.#store.refresh(options, { resolve, reject })
    })
  }

  listMembers(): Promise<readonly ClusterMember[]> {
    return new Promise((resolve) => {
      this.#assertOpen()
      resolve(this.#store.members())
    })
  }

  leaderId(): ServerId | undefined {
    return this.#store.leaderId()
  }

  watchMembership(): Observable<Membership> {
    this.#assertOpen()
    return new Observable((subscriber) => {
      const release = this.#handles.add(() => subscriber.complete())
      subscriber.add(release)
      subscriber.add(this.#store.membership$().subscribe(subscriber))
    })
  }

  close(): Promise<void> {
    this.#handles.closeAll(new ActorumError('STOPPED', 'this client was closed; take another one'))
    return Promise.resolve()
  }

  #assertOpen(): void {
    this.#handles.assertOpen()
    this.#store.assertOpen()
  }

  /** What is thrown while the promise is made rejects it. */
  #read<Query extends StoreQuery>(
    query: Query,
    options: ReadOptions | undefined,
  ): Promise<StoreAnswers[Query['type']]> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      this.#store.read(query, options, { resolve, reject })
    })
  }

  #propose<Result extends CommandResult>(options: CallOptions | undefined, make: () => KvCommand): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#assertOpen()
      // A command's result has the shape of its kind.
      const caller = { resolve: resolve as (result: CommandResult) => void, reject }
      this.#store.propose(make(), options, caller)
    })
  }
}

class CausalClient extends StoreClient implements CausalView {
  readonly #seen: Pick<StorePort, 'seenRevision'>

  constructor(store: CausalStore, handles: Handles) {
    super(store, handles)
    this.#seen = store
  }

  get revision(): LogIndex {
    return this.#seen.seenRevision
  }
}

function rejected(error: unknown): Promise<never> {
  return Promise.reject(error instanceof Error ? error : new Error(String(error)))
}
