import { ActorumError } from '../errors.js'
import type { LogIndex } from '../machines/types.js'
import type { ReadOptions } from '../options.js'
import type { ChangesSince, RevisionChanges } from '../state-machines/kv/change-feed.js'
import { copyOut } from '../state-machines/kv/copies.js'
import type { KeyRange } from '../state-machines/kv/keys.js'
import type { KvEntry } from '../state-machines/kv/results.js'
import type { KvChange } from '../state-machines/kv/watchers.js'
import { ChangeBuffer } from './change-buffer.js'
import { type Feed, isPassing, resumableAt, RETRY_MS, toError } from './feed.js'
import type { StorePort } from './store-port.js'
import type { Change, WatchEvent } from './watch-api.js'
import type { ResolvedWatchOptions } from './watch-options.js'

/** The part of a store that is watched. */
export type WatchedStore = Pick<StorePort, 'watch' | 'read' | 'appliedRevision' | 'seenRevision' | 'clock'>

/** Bytes of keys and values that wait for a consumer. One revision may exceed it. */
const BUFFERED_BYTES_MAX = 16 * 1024 * 1024
/** Changes of one piece of the history. */
const PIECE_CHANGES_MAX = 1000

/** Where the state is looked at that is watched, and nowhere else. */
export const HERE: ReadOptions = { consistency: 'eventual' }

/**
 * `behind`: what comes next is in the history. `reading`: a piece of it is on its way. `live`: all that was applied is
 * told, and what will be comes by itself.
 */
type Phase = 'behind' | 'reading' | 'live' | 'ended'

/**
 * The changes of a range, in order, each once, all of one revision together. The store tells of what it applies; what it
 * applied before the beginning, what found no room, and what a snapshot brought is read from its history, a piece
 * whenever the consumer has taken the last one. No promise and no time of day decide anything here.
 */
export class WatchFeed implements Feed<WatchEvent> {
  readonly #store: WatchedStore
  readonly #range: KeyRange
  readonly #options: ResolvedWatchOptions
  readonly #buffer: ChangeBuffer
  /** What is told while a piece of the history is on its way: perhaps in it, perhaps after it. */
  readonly #aside: ChangeBuffer
  /** Whether something was told meanwhile that is not in `#aside`. */
  #isAsideTorn = false
  /** All changes before this revision have been buffered, or are none of those wanted. */
  #position: LogIndex
  #phase: Phase = 'behind'
  #isTakenEveryTurn = false
  /** A piece was read in this turn: the next one is for another, so that a long history does not hold up the loop. */
  #isResting = false
  #progress: LogIndex | undefined
  #eventAt = 0
  #timer: unknown
  #stop: (() => void) | undefined
  #error: Error | undefined
  #ready: () => void = () => undefined

  constructor(store: WatchedStore, range: KeyRange, options: ResolvedWatchOptions) {
    const { bufferedChangesMax } = options
    this.#store = store
    this.#range = range
    this.#options = options
    this.#position = options.fromRevision ?? 0
    this.#buffer = new ChangeBuffer(bufferedChangesMax, BUFFERED_BYTES_MAX)
    this.#aside = new ChangeBuffer(bufferedChangesMax, BUFFERED_BYTES_MAX)
  }

  begin(ready: () => void): void {
    const { fromRevision, progressIntervalMs } = this.#options
    this.#stop = this.#store.watch(this.#range, {
      changed: (changes) => this.#told(changes),
      lost: () => this.#lost(),
      ended: (error) => this.fail(error),
    })
    if (this.isEnded) {
      this.#stop()
      return
    }
    const applied = this.#store.appliedRevision
    if (fromRevision === undefined) this.#position = Math.max(applied, this.#store.seenRevision) + 1
    this.#phase = this.#position > applied ? 'live' : 'behind'
    this.#eventAt = this.#store.clock.now()
    if (progressIntervalMs !== undefined) this.#awaitSilence(progressIntervalMs, progressIntervalMs)
    this.#ready = ready
  }

  get isEnded(): boolean {
    return this.#phase === 'ended'
  }

  get error(): Error | undefined {
    return this.#error
  }

  get nextRevision(): LogIndex {
    return this.#buffer.firstRevision ?? this.#position
  }

  takenEveryTurn(): void {
    this.#isTakenEveryTurn = true
  }

  take(): WatchEvent | undefined {
    if (this.#progress === undefined && this.#buffer.isEmpty && this.#phase === 'behind') this.#readOn()
    const event = this.#taken()
    if (event !== undefined) this.#eventAt = this.#store.clock.now()
    return event
  }

  #taken(): WatchEvent | undefined {
    if (this.#progress !== undefined) {
      const revision = this.#progress
      this.#progress = undefined
      return { type: 'progress', revision }
    }
    const item = this.#buffer.take()
    if (item === undefined) return undefined
    const { previous } = this.#options
    const changes = item.changes.map((change) => handedOn(change, previous, item.isShared))
    return { type: 'changes', revision: item.revision, changes }
  }

  fail(error: Error): void {
    if (this.isEnded) return
    this.#end(resumableAt(error, this.#position))
    this.#ready()
  }

  cancel(): void {
    this.#drop()
    this.#progress = undefined
    if (this.isEnded) return
    this.#end(undefined)
    this.#ready()
  }

  #end(error: Error | undefined): void {
    this.#phase = 'ended'
    this.#error = error
    this.#aside.clear()
    this.#store.clock.clearTimeout(this.#timer)
    this.#stop?.()
  }

  #told({ revision, changes }: RevisionChanges): void {
    if (this.#phase === 'live') this.#follow(revision, changes)
    else if (this.#phase === 'reading' && !this.#isAsideTorn) {
      this.#isAsideTorn = !this.#aside.hasRoomFor(changes)
      if (!this.#isAsideTorn) this.#aside.add({ revision, changes, isShared: true })
    }
  }

  #follow(revision: LogIndex, changes: readonly KvChange[]): void {
    if (revision < this.#position) return
    const wanted = this.#wanted(changes)
    if (wanted.length > 0 && !this.#isTakenEveryTurn && !this.#buffer.hasRoomFor(wanted)) {
      this.#fallBehind()
      return
    }
    this.#position = revision + 1
    if (wanted.length === 0) return
    this.#buffer.add({ revision, changes: wanted, isShared: true })
    this.#ready()
  }

  #fallBehind(): void {
    if (this.#options.resume) {
      this.#phase = 'behind'
      return
    }
    this.#drop()
    const bounds = `bufferedChangesMax (${this.#options.bufferedChangesMax}) or ${BUFFERED_BYTES_MAX} bytes`
    const advice = `watch again from revision ${this.#position}`
    this.fail(new ActorumError('CANCELED', `more than ${bounds} of changes waited for a watch's consumer; ${advice}`))
  }

  /** What is not taken is to be told by another watch. */
  #drop(): void {
    this.#position = this.nextRevision
    this.#buffer.clear()
  }

  /** A snapshot has taken the place of what was to be told. */
  #lost(): void {
    if (this.#phase === 'reading') this.#isAsideTorn = true
    if (this.#phase !== 'live') return
    this.#phase = 'behind'
    this.#ready()
  }

  #readOn(): void {
    if (this.#isResting) return
    this.#phase = 'reading'
    this.#aside.clear()
    this.#isAsideTorn = false
    // What is told from here on is of later revisions; all others are in the answer, or in the one after it.
    const applied = this.#store.appliedRevision
    const limit = Math.min(this.#options.bufferedChangesMax, PIECE_CHANGES_MAX)
    const query = { type: 'changes', from: this.#position, range: this.#range, limit } as const
    let isAtOnce = true
    const settled = (): void => {
      if (!isAtOnce) this.#ready()
    }
    const reject = (error: Error): void => {
      if (this.#phase !== 'reading') return
      this.#refused(error)
      settled()
    }
    const resolve = (piece: ChangesSince): void => {
      if (this.#phase !== 'reading') return
      this.#found(piece, applied)
      settled()
    }
    try {
      this.#store.read(query, HERE, { resolve, reject })
    } catch (error) {
      reject(toError(error))
    }
    isAtOnce = false
  }

  #found({ revisions, next }: ChangesSince, applied: LogIndex): void {
    this.#rest()
    for (const { revision, changes } of revisions) {
      const wanted = this.#wanted(changes)
      if (wanted.length > 0) this.#buffer.add({ revision, changes: wanted, isShared: false })
    }
    this.#position = Math.max(this.#position, next)
    this.#phase = this.#position > applied && !this.#isAsideTorn ? 'live' : 'behind'
    for (let item = this.#aside.take(); item !== undefined; item = this.#aside.take()) this.#told(item)
  }

  #refused(error: Error): void {
    if (!isPassing(error)) {
      this.#end(resumableAt(error, this.#position))
      return
    }
    this.#phase = 'behind'
    this.#isResting = true
    this.#store.clock.setTimeout(this.#rested, RETRY_MS)
  }

  #rest(): void {
    this.#isResting = true
    this.#store.clock.defer(this.#rested)
  }

  readonly #rested = (): void => {
    this.#isResting = false
    if (this.#phase === 'behind') this.#ready()
  }

  #wanted(changes: readonly KvChange[]): readonly KvChange[] {
    const { only } = this.#options
    if (only === undefined) return changes
    const type = only === 'puts' ? 'put' : 'delete'
    return changes.filter((change) => change.type === type)
  }

  #awaitSilence(intervalMs: number, delayMs: number): void {
    const { clock } = this.#store
    this.#timer = clock.setTimeout(() => {
      const left = this.#eventAt + intervalMs - clock.now()
      if (left <= 0) this.#tellProgress()
      if (!this.isEnded) this.#awaitSilence(intervalMs, left > 0 ? left : intervalMs)
    }, delayMs)
  }

  /** All that is applied has been told, since no timer fires while changes are told. */
  #tellProgress(): void {
    const applied = this.#store.appliedRevision
    if (this.#phase !== 'live' || !this.#buffer.isEmpty || applied + 1 < this.#position) return
    this.#position = applied + 1
    this.#progress = applied
    this.#ready()
  }
}

/** A change for a consumer, who may do as he likes with its bytes. */
function handedOn(change: KvChange, isPreviousWanted: boolean, isShared: boolean): Change {
  const made = isShared ? copyOf : (entry: KvEntry): KvEntry => entry
  const previous = isPreviousWanted ? { previous: change.previous && made(change.previous) } : {}
  if (change.type === 'put') return { type: 'put', entry: made(change.entry), ...previous }
  const { key, revision } = change
  return { type: 'delete', key: isShared ? key.slice() : key, revision, ...previous }
}

function copyOf(entry: KvEntry): KvEntry {
  return { ...entry, key: entry.key.slice(), value: copyOut(entry.value) }
}
