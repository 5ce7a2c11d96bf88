import type { LogIndex } from '../machines/types.js'
import { shown, type CallOptions, type Consistency, type ReadOptions } from '../options.js'
import type { KvCommand } from '../state-machines/kv/commands.js'
import type { KeyChars, KeyRange } from '../state-machines/kv/keys.js'
import { checkedInteger, invalid, isObject } from './call-checks.js'
import { StoreLayer } from './store-layer.js'
import type { Caller, CommandResult, Reader, StoreAnswers, StoreListener, StorePort, StoreQuery } from './store-port.js'

/**
 * A store whose reads never see less than what was written, read or watched through it before, on whichever server: it
 * keeps the newest revision seen, and has every read wait for that. Calls that fail have shown nothing.
 */
export class CausalStore extends StoreLayer {
  /** Monotonic. */
  #seen: LogIndex

  /** @param since - what was seen elsewhere */
  constructor(below: StorePort, since: LogIndex) {
    super(below)
    this.#seen = since
  }

  override get seenRevision(): LogIndex {
    return Math.max(this.#seen, this.below.seenRevision)
  }

  override propose(command: KvCommand, options: CallOptions | undefined, caller: Caller<CommandResult>): void {
    this.below.propose(command, options, {
      resolve: (result) => {
        this.#see(result.revision)
        caller.resolve(result)
      },
      reject: (error) => caller.reject(error),
    })
  }

  override read<Query extends StoreQuery>(
    query: Query,
    options: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Query['type']]>,
  ): void {
    this.below.read(query, isOfThePast(query) ? options : this.#atLeastSeen(options), {
      resolve: (answer, revision) => {
        this.#see(revision)
        reader.resolve(answer, revision)
      },
      reject: (error) => reader.reject(error),
    })
  }

  /** As a read, whose answer says of which revision it is: a key that is not there has none. */
  override getValue(
    key: KeyChars,
    options: ReadOptions | undefined,
    consistency: Consistency,
  ): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      const asked = { consistency, ...objectOf(options) }
      asked.consistency ??= consistency
      this.read({ type: 'values', keys: [key] }, asked, { resolve: ([value]) => resolve(value), reject })
    })
  }

  /** The bound is there before the options are: a name that is added to a spread object costs more than the whole read. */
  #atLeastSeen(options: ReadOptions | undefined): ReadOptions {
    const asked = { minRevision: 0, ...objectOf(options) }
    const given = checkedInteger('minRevision', asked.minRevision ?? 0, 0)
    asked.minRevision = Math.max(given, this.seenRevision)
    return asked
  }

  override watch(range: KeyRange, listener: StoreListener): () => void {
    return this.below.watch(range, {
      changed: (changes) => {
        this.#see(changes.revision)
        listener.changed(changes)
      },
      lost: () => listener.lost(),
      ended: (error) => listener.ended(error),
    })
  }

  #see(revision: LogIndex): void {
    if (revision > this.#seen) this.#seen = revision
  }
}

/** Whatever is spread becomes an object, and would pass for one. Throws INVALID_ARGUMENT. */
function objectOf(options: ReadOptions | undefined): ReadOptions | undefined {
  if (options === undefined || isObject(options)) return options
  throw invalid(`the call's options are ${shown(options)}; they must be an object`)
}

/** What was so at a revision is the same whatever was seen since. */
function isOfThePast(query: StoreQuery): boolean {
  return query.type === 'changes' || ('revision' in query && query.revision !== undefined)
}
