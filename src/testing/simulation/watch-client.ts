import { toError, type Feed } from '../../client/feed.js'
import { ObservationFeed } from '../../client/observation-feed.js'
import type { ObserveEvent } from '../../client/watch-api.js'
import { WatchFeed, type WatchedStore } from '../../client/watch-feed.js'
import type { ResolvedWatchOptions } from '../../client/watch-options.js'
import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import type { KeyRange } from '../../state-machines/kv/keys.js'
import { ChangeJudge } from './change-judge.js'
import type { Dice } from './dice.js'
import type { KvCluster } from './kv-client.js'
import type { KvLedger } from './kv-ledger.js'
import { isSame, legible } from './legible.js'
import type { ProcessClock } from './process-clock.js'
import type { RoamingStore } from './roaming-store.js'
import { Violation } from './violation.js'

export interface WatchClientSpec {
  readonly name: string
  readonly cluster: KvCluster
  readonly ledger: KvLedger
  readonly store: RoamingStore
  readonly dice: Dice
  readonly range: KeyRange
  readonly options: Omit<ResolvedWatchOptions, 'fromRevision'>
  /** Whether the state comes before the changes. */
  readonly observes: boolean
  /** How long it takes over each event, in virtual milliseconds; undefined: it takes all there is at once. */
  readonly slowMs: number | undefined
  /** Whether answers come later than what is told meanwhile, as they would over a connection. */
  readonly answersLate: boolean
}

/** A watch on a server, as long as that runs. */
interface Watching {
  readonly running: NonNullable<RoamingStore['connection']>
  readonly feed: Feed<ObserveEvent>
  /** Where it began; of one that begins with the state: nowhere yet. */
  readonly judge: ChangeJudge
  hasState: boolean
}

/** How often it looks whether its server still runs. */
const LOOK_MS = [20, 200] as const

/**
 * Watches a range on one server after another, from where it was: when its server is down or has started anew, and now
 * and then without a reason. All that it is told is held against the ledger.
 */
export class WatchClient {
  readonly #spec: WatchClientSpec
  #watching: Watching | undefined
  /** Where it goes on; undefined: with what is new. */
  #next: LogIndex | undefined
  #isStopped = false
  #events = 0

  constructor(spec: WatchClientSpec) {
    this.#spec = spec
  }

  get name(): string {
    return this.#spec.name
  }

  /** What it was told of so far, revisions and the like. */
  get events(): number {
    return this.#events
  }

  start(): void {
    this.#look()
  }

  /** From now on it moves only when it must: a server that is no member is told of nothing more. */
  stop(): void {
    this.#isStopped = true
  }

  /** Up to which revision it has been told of every change. */
  get told(): LogIndex {
    return (this.#watching?.judge.next ?? 0) - 1
  }

  /** Whether it has been told of every change up to `revision`. */
  isThrough(revision: LogIndex): boolean {
    return this.#watching?.hasState === true && this.#watching.judge.isThrough(revision)
  }

  #look(): void {
    const { cluster, dice, store } = this.#spec
    const servers = this.#isStopped ? cluster.members : cluster.servers
    const isGone = this.#watching === undefined || store.connection !== this.#watching.running
    const mustMove = isGone || !servers.some(({ running }) => running === store.connection)
    if (servers.length > 0 && (mustMove || (!this.#isStopped && dice.chance(0.1)))) {
      this.#leave()
      store.move(dice.pick(servers).id)
      this.#begin()
    }
    cluster.world.setTimeout(() => this.#look(), dice.between(...LOOK_MS))
  }

  #leave(): void {
    const watching = this.#watching
    this.#watching = undefined
    if (watching === undefined) return
    if (watching.hasState) this.#next = this.#resumeAt(watching, watching.feed.nextRevision)
    watching.feed.cancel()
  }

  /** Where a watch says that it can be resumed, nothing is left out. */
  #resumeAt({ judge }: Watching, revision: LogIndex): LogIndex {
    this.#attempt(() => judge.nothingUpTo(revision - 1))
    return Math.max(judge.next, revision)
  }

  #begin(): void {
    const { store, ledger, name, range, options, observes, slowMs, answersLate, dice } = this.#spec
    const running = store.connection
    if (running === undefined) return
    const from = this.#next
    // Who resumes has the state already.
    const hasState = !observes || from !== undefined
    const { embedded } = store
    const watched = answersLate ? lateStore(embedded, running.clock, dice) : embedded
    const judge = new ChangeJudge(ledger, { who: name, range, ...options }, from ?? embedded.appliedRevision + 1)
    const feed: Feed<ObserveEvent> = hasState
      ? new WatchFeed(watched, range, { ...options, fromRevision: from ?? embedded.appliedRevision + 1 })
      : new ObservationFeed(watched, range, { ...options, fromRevision: undefined })
    const watching = { running, feed, judge, hasState }
    this.#watching = watching
    if (slowMs === undefined) feed.takenEveryTurn()
    const drain = this.#drainer(watching, running.clock)
    feed.begin(drain)
    drain()
  }

  /** Takes what there is, at the consumer's pace, in turns of the server's process. */
  #drainer(watching: Watching, clock: ProcessClock): () => void {
    const { slowMs } = this.#spec
    let isDue = false
    const again = (): void => {
      if (isDue) return
      isDue = true
      if (slowMs === undefined) clock.defer(drain)
      else clock.setTimeout(drain, slowMs)
    }
    const drain = (): void => {
      isDue = false
      if (this.#watching !== watching) return
      for (let event = watching.feed.take(); event !== undefined; event = watching.feed.take()) {
        const told = event
        this.#attempt(() => this.#judge(watching, told))
        if (slowMs !== undefined) return again()
      }
      if (watching.feed.isEnded) this.#ended(watching)
    }
    return again
  }

  #judge(watching: Watching, event: ObserveEvent): void {
    this.#events++
    const { judge } = watching
    switch (event.type) {
      case 'changes':
        return judge.changes(event.revision, event.changes)
      case 'progress':
        return judge.nothingUpTo(event.revision)
      case 'state': {
        const { ledger, name, range } = this.#spec
        if (watching.hasState) ledger.checkForgotten(name, judge.next)
        watching.hasState = true
        const was = ledger.keyspace.rangeAt(range, event.revision)
        const told = legible(event.entries)
        judge.goOnFrom(event.revision + 1)
        if (isSame(told, was)) return
        const details = `${name} was told at revision ${event.revision}: ${JSON.stringify(told)}, which was: ${JSON.stringify(was)}`
        throw new Violation('a range is read as of one revision', details)
      }
    }
  }

  /** It said why, and where to go on. */
  #ended(watching: Watching): void {
    const { error } = watching.feed
    const { ledger, name, options } = this.#spec
    this.#watching = undefined
    const code = error instanceof ActorumError ? error.code : undefined
    const revision = error instanceof ActorumError ? error.revision : undefined
    if (code === 'COMPACTED' && revision !== undefined) {
      this.#attempt(() => ledger.checkForgotten(name, this.#resumeAt(watching, watching.feed.nextRevision)))
      this.#next = revision
    } else if (code === 'CANCELED' && !options.resume && revision !== undefined) {
      this.#next = this.#resumeAt(watching, revision)
    } else {
      this.#spec.cluster.report(new Violation('a watch ends only for a reason', `${name}: ${String(error)}`))
    }
  }

  #attempt(judge: () => void): void {
    try {
      judge()
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      this.#spec.cluster.report(error)
    }
  }
}

/** A store that is asked a little later, and whose answers take a little time. */
function lateStore(store: WatchedStore, clock: ProcessClock, dice: Dice): WatchedStore {
  const later = (act: () => void): void => void clock.setTimeout(act, dice.between(0, 20))
  return {
    clock,
    get appliedRevision() {
      return store.appliedRevision
    },
    seenRevision: store.seenRevision,
    watch: (range, listener) => store.watch(range, listener),
    read: (query, options, reader) => {
      const answer: typeof reader = {
        resolve: (found, revision) => later(() => reader.resolve(found, revision)),
        reject: (error) => later(() => reader.reject(error)),
      }
      later(() => {
        try {
          store.read(query, options, answer)
        } catch (error) {
          answer.reject(toError(error))
        }
      })
    },
  }
}
