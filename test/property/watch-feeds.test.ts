import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ActorumError } from '../../src/errors.js'
import type { Feed } from '../../src/client/feed.js'
import { ObservationFeed } from '../../src/client/observation-feed.js'
import type { ObserveEvent, WatchEvent } from '../../src/client/watch-api.js'
import { WatchFeed } from '../../src/client/watch-feed.js'
import type { ResolvedWatchOptions } from '../../src/client/watch-options.js'
import type { KvCommand, KvOperation } from '../../src/state-machines/kv/commands.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { DistantLog } from '../unit/distant-log.js'
import { AppliedLog, keyRange, textOf } from '../unit/kv-batch.js'
import { WatchedLog } from '../unit/watched-log.js'
import { changesBetween, KvModel } from './kv-model.js'

const FROM = 'b'
const RANGE = keyRange(FROM)

const key = fc.constantFrom('a', 'b', 'c', 'd')
const value = fc.constantFrom('', 'u', 'v')
const operation: fc.Arbitrary<KvOperation> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key, value }),
  fc.record({ type: fc.constant('delete' as const), key }),
  fc.record({ type: fc.constant('deleteRange' as const), from: key, to: fc.constant(undefined) }),
)
const command: fc.Arbitrary<KvCommand> = fc.oneof(
  { arbitrary: operation, weight: 5 },
  {
    arbitrary: fc
      .array(operation, { maxLength: 5 })
      .map((then) => ({ type: 'txn', compares: [], then, else: [] }) as const),
    weight: 3,
  },
  fc.record({ type: fc.constant('compact' as const), revision: fc.integer({ min: 1, max: 60 }) }),
)

/** What happens to the log, the server that is watched, its connection and its consumer. */
const happening = fc.oneof(
  { arbitrary: fc.record({ type: fc.constant('write' as const), command }), weight: 8 },
  { arbitrary: fc.record({ type: fc.constant('apply' as const), count: fc.integer({ min: 1, max: 6 }) }), weight: 6 },
  { arbitrary: fc.record({ type: fc.constant('take' as const), count: fc.integer({ min: 1, max: 4 }) }), weight: 6 },
  { arbitrary: fc.record({ type: fc.constantFrom('hear' as const, 'ask' as const, 'answer' as const) }), weight: 8 },
  { arbitrary: fc.record({ type: fc.constantFrom('turn' as const, 'wait' as const) }), weight: 3 },
  {
    arbitrary: fc.record({ type: fc.constantFrom('install' as const, 'resume' as const, 'restart' as const) }),
    weight: 2,
  },
  {
    arbitrary: fc.record({
      type: fc.constant('overtake' as const),
      commands: fc.array(command, { maxLength: 6 }),
      isInstalled: fc.boolean(),
    }),
    weight: 3,
  },
)
type Happening = typeof happening extends fc.Arbitrary<infer Value> ? Value : never

const settings = fc.record({
  isDistant: fc.boolean(),
  /** Without it every change is kept, and so a gap is a fault. */
  isForgetful: fc.boolean(),
  bufferedChangesMax: fc.integer({ min: 1, max: 5 }),
  resume: fc.boolean(),
})
type Settings = typeof settings extends fc.Arbitrary<infer Value> ? Value : never

/** A log, a server that follows it more or less closely, and one who watches or observes that server. */
class World<Event extends WatchEvent | ObserveEvent> {
  readonly model = new KvModel()
  readonly leader: AppliedLog
  readonly commands: KvCommand[] = []
  readonly events: Event[] = []
  /** Revisions that a COMPACTED left out: from, and to where it went on. */
  readonly gaps: (readonly [number, number])[] = []
  readonly #settings: Settings
  readonly #make: (store: DistantLog | WatchedLog, from: number | undefined) => Feed<Event>
  #server: WatchedLog
  #distance: DistantLog | undefined
  feed: Feed<Event>

  constructor(given: Settings, make: (store: DistantLog | WatchedLog, from: number | undefined) => Feed<Event>) {
    this.#settings = given
    this.#make = make
    this.leader = new AppliedLog(new KeyValueStore(this.#limits))
    this.#server = this.#started()
    this.feed = this.#begun(1)
  }

  get #limits() {
    return this.#settings.isForgetful ? { historyEntriesMax: 8 } : {}
  }

  #started(): WatchedLog {
    const server = new WatchedLog(this.#limits)
    this.#distance = this.#settings.isDistant ? new DistantLog(server) : undefined
    return server
  }

  #begun(from: number): Feed<Event> {
    const feed = this.#make(this.#distance ?? this.#server, from)
    feed.begin(() => undefined)
    return feed
  }

  happen(what: Happening): void {
    switch (what.type) {
      case 'write':
        return this.#write(what.command)
      case 'apply':
        return this.#apply(what.count)
      case 'take':
        return void this.take(what.count)
      case 'turn':
        return this.#server.clock.turn()
      case 'wait':
        return this.#server.clock.advance(7)
      case 'install':
        return this.#install()
      case 'resume':
        this.feed.cancel()
        this.feed = this.#begun(this.feed.nextRevision)
        return
      case 'restart':
        return this.#restart()
      case 'overtake':
        return this.#overtake(what.commands, what.isInstalled)
      default:
        this.#distance?.[what.type]()
    }
  }

  #write(command: KvCommand): void {
    if (command.type === 'compact' && !this.#settings.isForgetful) return
    this.commands.push(command)
    this.model.apply(command)
    this.leader.apply(command)
  }

  #apply(count: number): void {
    const { appliedRevision } = this.#server
    const commands = this.commands.slice(appliedRevision, appliedRevision + count)
    if (commands.length > 0) this.#server.apply(...commands)
    this.#distance?.applied()
  }

  #install(): void {
    if (this.#server.appliedRevision < this.commands.length) this.#server.install(this.leader)
    this.#distance?.applied()
  }

  /** What is applied after a piece of the history was read is told before that piece is there. */
  #overtake(commands: readonly KvCommand[], isInstalled: boolean): void {
    while (this.take(1));
    this.#server.clock.turn()
    this.take(1)
    this.#distance?.ask()
    for (const each of commands) this.#write(each)
    if (isInstalled) this.#install()
    else this.#apply(10)
    for (let told = 10; told > 0; told--) this.#distance?.hear()
    this.#distance?.answer()
  }

  /** The server goes, after all that it told has been heard, and comes back without memory of what it had applied. */
  #restart(): void {
    this.#server.stop()
    this.#distance?.settle()
    while (this.feed.isEnded && this.take(1));
    const { nextRevision } = this.feed
    this.#server = this.#started()
    this.feed = this.#begun(nextRevision)
  }

  /** Takes events, and goes on after an end as its error says. */
  take(count: number): boolean {
    for (let left = count; left > 0; left--) {
      const before = this.feed.nextRevision
      const event = this.feed.take()
      const { nextRevision } = this.feed
      expect(nextRevision).toBeGreaterThanOrEqual(before)
      if (event !== undefined) {
        this.events.push(event)
        expect(nextRevision).toBeGreaterThan(event.revision)
      } else if (this.feed.isEnded) {
        if (!(this.feed.error instanceof ActorumError))
          throw new Error('it ended by itself', { cause: this.feed.error })
        const { code, revision = 0 } = this.feed.error
        if (code === 'STOPPED') return false
        if (code === 'COMPACTED') this.gaps.push([nextRevision, revision])
        else expect([code, revision]).toEqual(['CANCELED', nextRevision])
        this.feed = this.#begun(revision)
      } else return false
    }
    return true
  }

  /** The server catches up, and so does the consumer: more turns than there can be pieces and pages. */
  finish(): void {
    this.#apply(Infinity)
    for (let turns = 2 * this.commands.length + 10; turns > 0; turns--) {
      this.#distance?.settle()
      while (this.take(1));
      this.#server.clock.advance(1)
    }
  }
}

const watched = (each: { readonly key: string }) => each.key >= FROM

/** The changes of the range, revision by revision, as the plain model knows them. */
function committed({ past }: KvModel): [number, unknown][] {
  return past.slice(1).flatMap((after, before): [number, unknown][] => {
    const changes = changesBetween(past[before] ?? new Map(), after).filter(watched)
    return changes.length === 0 ? [] : [[before + 1, changes]]
  })
}

function told(events: readonly WatchEvent[]): [number, unknown][] {
  return events.flatMap((event): [number, unknown][] => {
    if (event.type === 'progress') return []
    const changes = event.changes.map((change) => ({
      key: textOf(change.type === 'put' ? change.entry.key : change.key),
      value: change.type === 'put' ? textOf(change.entry.value) : undefined,
      previous: change.previous && textOf(change.previous.value),
    }))
    return [[event.revision, changes.sort((one, other) => (one.key < other.key ? -1 : 1))]]
  })
}

/** What an observer holds after each event. */
function* statesAfter(events: readonly ObserveEvent[]): Generator<readonly [number, Record<string, string>]> {
  let state = new Map<string, string>()
  for (const event of events) {
    if (event.type === 'state') {
      state = new Map(event.entries.map(({ key, value }) => [textOf(key), textOf(value)]))
    } else if (event.type === 'changes') {
      for (const change of event.changes) {
        if (change.type === 'put') state.set(textOf(change.entry.key), textOf(change.entry.value))
        else state.delete(textOf(change.key))
      }
    }
    yield [event.revision, Object.fromEntries([...state].sort())]
  }
}

function resolved({ bufferedChangesMax, resume }: Settings): ResolvedWatchOptions {
  return { fromRevision: undefined, previous: true, only: undefined, progressIntervalMs: 5, bufferedChangesMax, resume }
}

describe('a watch', () => {
  it('tells exactly what was committed, in order, whole revisions, whatever happens to server, connection and consumer', () => {
    fc.assert(
      fc.property(settings, fc.array(happening, { maxLength: 120 }), (given, happenings) => {
        const options = resolved(given)
        const world = new World<WatchEvent>(
          given,
          (store, fromRevision) => new WatchFeed(store, RANGE, { ...options, fromRevision }),
        )
        for (const each of happenings) world.happen(each)
        world.finish()
        const { gaps, events, model } = world
        if (!given.isForgetful) expect(gaps).toEqual([])
        for (const [from, to] of gaps) expect(from).toBeLessThan(to)
        const isTold = ([revision]: [number, unknown]) => !gaps.some(([from, to]) => revision >= from && revision < to)
        expect(told(events)).toEqual(committed(model).filter(isTold))
        const revisions = events.map(({ revision }) => revision)
        expect(revisions).toEqual([...revisions].sort((one, other) => one - other))
      }),
      { numRuns: 400 },
    )
  })
})

describe('an observation', () => {
  it('holds after each event what the state was as of its revision, and at last what it is', () => {
    fc.assert(
      fc.property(settings, fc.array(happening, { maxLength: 120 }), (given, happenings) => {
        const options = { ...resolved(given), resume: true }
        const world = new World<ObserveEvent>(given, (store) => new ObservationFeed(store, RANGE, options))
        for (const each of happenings) if (each.type !== 'resume' && each.type !== 'restart') world.happen(each)
        world.finish()
        const { past } = world.model
        const stateAt = (revision: number) =>
          Object.fromEntries(
            [...(past[revision] ?? [])].filter(([key]) => key >= FROM).map(([key, { value }]) => [key, value]),
          )
        let last: Record<string, string> = {}
        for (const [revision, state] of statesAfter(world.events)) {
          expect(state).toEqual(stateAt(revision))
          last = state
        }
        expect(last).toEqual(stateAt(world.commands.length))
        const states = world.events.filter(({ type }) => type === 'state')
        if (!given.isForgetful) expect(states).toHaveLength(1)
      }),
      { numRuns: 400 },
    )
  })
})
