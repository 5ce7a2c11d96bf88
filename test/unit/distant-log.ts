import type { Reader, StoreAnswers, StoreListener, StoreQuery } from '../../src/client/store-port.js'
import { toError } from '../../src/client/feed.js'
import type { WatchedStore } from '../../src/client/watch-feed.js'
import type { LogIndex } from '../../src/machines/types.js'
import type { ReadOptions } from '../../src/options.js'
import type { KeyRange } from '../../src/state-machines/kv/keys.js'
import type { WatchedLog } from './watched-log.js'

/**
 * A server at the other end of a connection: what it tells comes in order but later, answers come later still or
 * earlier, and a question reaches it some time after it was asked.
 */
export class DistantLog implements WatchedStore {
  readonly clock
  appliedRevision: LogIndex
  readonly seenRevision = 0
  readonly #log: WatchedLog
  readonly #told: (() => void)[] = []
  readonly #asked: (() => void)[] = []
  readonly #answers: (() => void)[] = []

  constructor(log: WatchedLog) {
    this.#log = log
    this.clock = log.clock
    this.appliedRevision = log.appliedRevision
  }

  /** The server has applied something, and says so after what it told of it. */
  applied(): void {
    const { appliedRevision } = this.#log
    this.#told.push(() => (this.appliedRevision = appliedRevision))
  }

  watch(range: KeyRange, listener: StoreListener): () => void {
    let isWatching = true
    const later = (tell: () => void): void => {
      this.#told.push(() => {
        if (isWatching) tell()
      })
    }
    const before = this.appliedRevision
    const release = this.#log.watch(range, {
      changed: (changes) => later(() => listener.changed(changes)),
      lost: () => later(() => listener.lost()),
      ended: (error) => later(() => listener.ended(error)),
    })
    // What is on its way from before is told too: whoever watches hears of all that comes after what he knows of.
    if (before < this.#log.store.compactedRevision) later(() => listener.lost())
    else {
      const { revisions } = this.#log.store.changesSince(before + 1, range)
      for (const changes of revisions) later(() => listener.changed(changes))
    }
    return () => {
      isWatching = false
      release()
    }
  }

  read<Query extends StoreQuery>(
    query: Query,
    _: ReadOptions | undefined,
    reader: Reader<StoreAnswers[Query['type']]>,
  ): void {
    this.#asked.push(() => {
      try {
        const found = this.#log.find(query)
        const { appliedRevision } = this.#log
        this.#answers.push(() => reader.resolve(found, appliedRevision))
      } catch (error) {
        this.#answers.push(() => reader.reject(toError(error)))
      }
    })
  }

  hear(): void {
    this.#told.shift()?.()
  }

  ask(): void {
    this.#asked.shift()?.()
  }

  answer(): void {
    this.#answers.shift()?.()
  }

  /** All that is under way arrives, answers before what is told. */
  settle(): void {
    while (this.#told.length + this.#asked.length + this.#answers.length > 0) {
      this.ask()
      this.answer()
      this.hear()
    }
  }
}
