import type { LogIndex } from '../machines/types.js'
import { charsOf, keyAfter, type KeyChars, type KeyRange } from '../state-machines/kv/keys.js'
import type { KvEntry, RangeResult } from '../state-machines/kv/results.js'
import { type Feed, isCompacted, isPassing, RETRY_MS, toError } from './feed.js'
import type { ObserveEvent } from './watch-api.js'
import { HERE, WatchFeed, type WatchedStore } from './watch-feed.js'
import type { ResolvedWatchOptions } from './watch-options.js'

/** Entries read in one turn. Where the history goes faster than that, each new attempt reads four times as many. */
const PAGE_ENTRIES = 1000

/** The state as it is read: pages, all as of one revision. */
interface Reading {
  readonly pageEntries: number
  readonly entries: KvEntry[]
  /** Where the next page begins. */
  from: KeyChars
  /** Known once the first page is there. */
  revision: LogIndex | undefined
  isWhole: boolean
}

/**
 * The state of a range as of a revision, and every change after it. Where the history no longer reaches back to what was
 * told last, it begins anew with the state of then.
 */
export class ObservationFeed implements Feed<ObserveEvent> {
  readonly #store: WatchedStore
  readonly #range: KeyRange
  readonly #options: ResolvedWatchOptions
  #reading: Reading
  /** A page is on its way, or came in this turn: the next one is for another. */
  #isResting = false
  /** What comes after the state that was taken. */
  #changes: WatchFeed | undefined
  #isTakenEveryTurn = false
  #nextRevision: LogIndex = 0
  #isEnded = false
  #error: Error | undefined
  #ready: () => void = () => undefined

  constructor(store: WatchedStore, range: KeyRange, options: ResolvedWatchOptions) {
    this.#store = store
    this.#range = range
    this.#options = options
    this.#reading = this.#beginning(PAGE_ENTRIES)
  }

  begin(ready: () => void): void {
    this.#ready = ready
  }

  get isEnded(): boolean {
    const changes = this.#changes
    return this.#isEnded || (changes !== undefined && changes.isEnded && !isCompacted(changes.error))
  }

  get error(): Error | undefined {
    const error = this.#changes?.error
    return error === undefined || isCompacted(error) ? this.#error : error
  }

  get nextRevision(): LogIndex {
    return this.#changes?.nextRevision ?? this.#nextRevision
  }

  takenEveryTurn(): void {
    this.#isTakenEveryTurn = true
    this.#changes?.takenEveryTurn()
  }

  take(): ObserveEvent | undefined {
    const changes = this.#changes
    if (changes === undefined) return this.#takeState()
    const event = changes.take()
    if (event !== undefined || this.#isEnded || !isCompacted(changes.error)) return event
    this.#nextRevision = changes.nextRevision
    this.#changes = undefined
    this.#reading = this.#beginning(PAGE_ENTRIES)
    return this.#takeState()
  }

  fail(error: Error): void {
    if (this.isEnded) return
    this.#isEnded = true
    this.#error = error
    this.#changes?.fail(error)
    this.#ready()
  }

  cancel(): void {
    this.#isEnded = true
    this.#changes?.cancel()
    this.#ready()
  }

  #takeState(): ObserveEvent | undefined {
    if (this.#isEnded) return undefined
    if (!this.#reading.isWhole && !this.#isResting) this.#readPage(this.#reading)
    const { isWhole, entries, revision } = this.#reading
    if (!isWhole || revision === undefined) return undefined
    const changes = new WatchFeed(this.#store, this.#range, { ...this.#options, fromRevision: revision + 1 })
    this.#changes = changes
    if (this.#isTakenEveryTurn) changes.takenEveryTurn()
    this.#reading = this.#beginning(PAGE_ENTRIES)
    try {
      changes.begin(this.#ready)
    } catch (error) {
      changes.fail(toError(error))
    }
    return { type: 'state', entries, revision }
  }

  #beginning(pageEntries: number): Reading {
    return { pageEntries, entries: [], from: this.#range.from, revision: undefined, isWhole: false }
  }

  #readPage(reading: Reading): void {
    this.#isResting = true
    const { from, revision, pageEntries } = reading
    const query = { type: 'range', query: { from, to: this.#range.to, limit: pageEntries }, revision } as const
    let isAtOnce = true
    const settled = (): void => {
      if (!isAtOnce) this.#ready()
    }
    const resolve = (page: RangeResult): void => {
      this.#found(reading, page)
      settled()
    }
    const reject = (error: Error): void => {
      this.#refused(error)
      settled()
    }
    try {
      this.#store.read(query, HERE, { resolve, reject })
    } catch (error) {
      reject(toError(error))
    }
    isAtOnce = false
  }

  #found(reading: Reading, { entries, more, revision }: RangeResult): void {
    this.#store.clock.defer(this.#rested)
    for (const entry of entries) reading.entries.push(entry)
    reading.revision ??= revision
    const last = entries.at(-1)
    if (more && last !== undefined) reading.from = keyAfter(charsOf(last.key, 0, last.key.length))
    else reading.isWhole = true
  }

  #refused(error: Error): void {
    if (isCompacted(error)) {
      this.#reading = this.#beginning(this.#reading.pageEntries * 4)
      this.#store.clock.defer(this.#rested)
    } else if (isPassing(error)) {
      this.#store.clock.setTimeout(this.#rested, RETRY_MS)
    } else {
      this.#isEnded = true
      this.#error = error
    }
  }

  readonly #rested = (): void => {
    this.#isResting = false
    if (this.#changes === undefined) this.#ready()
  }
}
