import { Observable, type Subscriber } from 'rxjs'
import { ActorumError } from '../errors.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { LogIndex } from '../machines/types.js'
import type { KeyRange } from '../state-machines/kv/keys.js'
import { onAbort } from './abort-signals.js'
import type { Feed } from './feed.js'
import type { Handles } from './handles.js'
import { ObservationFeed } from './observation-feed.js'
import type { StorePort } from './store-port.js'
import type { Observation, ObserveEvent, Watch, WatchEvent, WatchOptions } from './watch-api.js'
import { WatchFeed, type WatchedStore } from './watch-feed.js'
import { validateWatchOptions } from './watch-options.js'

type OpenStore = WatchedStore & Pick<StorePort, 'assertOpen'>

/**
 * Watches a range from now on.
 * @throws ActorumError INVALID_ARGUMENT, STOPPED
 */
export function startWatch(
  store: OpenStore,
  handles: Handles,
  range: KeyRange,
  options: WatchOptions | undefined,
): Watch {
  store.assertOpen()
  const feed = new WatchFeed(store, range, validateWatchOptions(options))
  return new FeedHandle<WatchEvent>(feed, store.clock, handles, options?.signal)
}

/**
 * Gives what a range holds, and then watches it.
 * @throws ActorumError INVALID_ARGUMENT, STOPPED
 */
export function startObservation(
  store: OpenStore,
  handles: Handles,
  range: KeyRange,
  options: WatchOptions | undefined,
): Observation {
  store.assertOpen()
  const resolved = validateWatchOptions(options)
  if (resolved.fromRevision !== undefined) {
    const advice = 'watch from that revision to go on from there'
    throw new ActorumError('INVALID_ARGUMENT', `fromRevision is given, but observe begins with the state: ${advice}`)
  }
  const feed = new ObservationFeed(store, range, resolved)
  return new FeedHandle<ObserveEvent>(feed, store.clock, handles, options?.signal)
}

/** Who waits for the next event. */
interface Waiting<Event> {
  resolve(result: IteratorResult<Event, undefined>): void
  reject(error: Error): void
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined }

/** A feed as its one consumer sees it: as an async iterator or as an Observable. */
class FeedHandle<Event> implements AsyncIterable<Event, undefined>, AsyncDisposable {
  readonly #feed: Feed<Event>
  readonly #clock: Clock
  readonly #waiting: Waiting<Event>[] = []
  #subscriber: Subscriber<Event> | undefined
  #isClaimed = false
  #isPushDue = false
  #hasToldError = false
  #letGo: () => void = () => undefined

  constructor(feed: Feed<Event>, clock: Clock, handles: Handles, signal: AbortSignal | undefined) {
    this.#feed = feed
    this.#clock = clock
    const remove = handles.add((error) => feed.fail(error))
    const forget = signal?.aborted === false ? onAbort(signal, () => this.cancel()) : undefined
    this.#letGo = () => {
      remove()
      forget?.()
    }
    try {
      feed.begin(this.#moreToTake)
    } catch (error) {
      this.#letGo()
      throw error
    }
    if (signal?.aborted === true) this.cancel()
  }

  get nextRevision(): LogIndex {
    return this.#feed.nextRevision
  }

  cancel(): void {
    this.#hasToldError = true
    this.#feed.cancel()
    this.#letGo()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.cancel()
    return Promise.resolve()
  }

  [Symbol.asyncIterator](): AsyncIterator<Event, undefined> {
    const fault = this.#claim()
    if (fault !== undefined) throw fault
    return {
      next: () =>
        new Promise((resolve, reject) => {
          this.#waiting.push({ resolve, reject })
          this.#serve()
        }),
      return: () => {
        this.cancel()
        return Promise.resolve(DONE)
      },
    }
  }

  asObservable(): Observable<Event> {
    return new Observable((subscriber) => {
      const fault = this.#claim()
      if (fault !== undefined) {
        subscriber.error(fault)
        return
      }
      this.#subscriber = subscriber
      this.#feed.takenEveryTurn()
      subscriber.add(() => this.cancel())
      this.#push()
    })
  }

  /** What is wrong with one more consumer: each would get a part of the events. */
  #claim(): ActorumError | undefined {
    if (this.#isClaimed) {
      return new ActorumError('INVALID_ARGUMENT', 'this watch has a consumer already; begin another watch for another')
    }
    this.#isClaimed = true
    return undefined
  }

  readonly #moreToTake = (): void => {
    if (this.#feed.isEnded) this.#letGo()
    if (this.#subscriber === undefined) this.#serve()
    else if (!this.#isPushDue) {
      // A subscriber's code shall not run in the midst of applying, but before anything else is done.
      this.#isPushDue = true
      this.#clock.defer(this.#push)
    }
  }

  /** As many events as are waited for. */
  #serve(): void {
    for (let waiting = this.#waiting[0]; waiting !== undefined; waiting = this.#waiting[0]) {
      const event = this.#feed.take()
      if (event === undefined && !this.#feed.isEnded) return
      this.#waiting.shift()
      const error = event === undefined ? this.#errorToTell() : undefined
      if (event !== undefined) waiting.resolve({ done: false, value: event })
      else if (error !== undefined) waiting.reject(error)
      else waiting.resolve(DONE)
    }
  }

  readonly #push = (): void => {
    this.#isPushDue = false
    const subscriber = this.#subscriber
    while (subscriber !== undefined && !subscriber.closed) {
      const event = this.#feed.take()
      if (event !== undefined) {
        subscriber.next(event)
        continue
      }
      if (!this.#feed.isEnded) return
      const error = this.#errorToTell()
      if (error === undefined) subscriber.complete()
      else subscriber.error(error)
    }
  }

  /** The error that ended it, once. */
  #errorToTell(): Error | undefined {
    this.#letGo()
    if (this.#hasToldError) return undefined
    this.#hasToldError = true
    return this.#feed.error
  }
}
