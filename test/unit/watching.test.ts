import { take, toArray } from 'rxjs'
import { describe, expect, it } from 'vitest'
import { Handles } from '../../src/client/handles.js'
import type { ObserveEvent, WatchEvent, WatchOptions } from '../../src/client/watch-api.js'
import { startObservation, startWatch } from '../../src/client/watching.js'
import { ActorumError } from '../../src/errors.js'
import { prefixRange } from '../../src/state-machines/kv/keys.js'
import { del, keyOf, put, textOf } from './kv-batch.js'
import { WatchedLog } from './watched-log.js'

const RANGE = prefixRange(keyOf('k'))

class Place {
  readonly log = new WatchedLog()
  readonly handles = new Handles()

  watch(options?: WatchOptions) {
    return startWatch(this.log, this.handles, RANGE, options)
  }

  observe(options?: WatchOptions) {
    return startObservation(this.log, this.handles, RANGE, options)
  }
}

function codeOf(thrown: unknown): string {
  return thrown instanceof ActorumError ? thrown.code : String(thrown)
}

function revisionOf(event: WatchEvent | ObserveEvent): number {
  return event.revision
}

/** What an observer has come to know. */
function stateOf(events: readonly ObserveEvent[]): Record<string, string> {
  const state = new Map<string, string>()
  for (const event of events) {
    if (event.type === 'state') {
      state.clear()
      for (const { key, value } of event.entries) state.set(textOf(key), textOf(value))
    } else if (event.type === 'changes') {
      for (const change of event.changes) {
        if (change.type === 'put') state.set(textOf(change.entry.key), textOf(change.entry.value))
        else state.delete(textOf(change.key))
      }
    }
  }
  return Object.fromEntries(state)
}

describe('a watch, iterated', () => {
  it('gives each event to one who waits, and waits for him', async () => {
    const { log, ...place } = new Place()
    const watch = startWatch(log, place.handles, RANGE, undefined)
    const events = watch[Symbol.asyncIterator]()
    const waiting = [events.next(), events.next()]
    log.apply(put('k', '1'), put('k', '2'), put('k', '3'))
    expect((await Promise.all(waiting)).map(({ value }) => value?.revision)).toEqual([1, 2])
    expect(watch.nextRevision).toBe(3)
    expect((await events.next()).value?.revision).toBe(3)
  })

  it('ends when the loop is left, and lets go of the server and of the client', async () => {
    const place = new Place()
    place.log.apply(put('k', '1'), put('k', '2'))
    const watch = place.watch({ fromRevision: 1 })
    for await (const { revision } of watch) {
      expect(revision).toBe(1)
      break
    }
    expect([watch.nextRevision, place.log.watchers]).toEqual([2, 0])
    place.handles.closeAll(new ActorumError('STOPPED', 'closed'))
  })

  it('ends quietly when it is canceled, disposed of or aborted, also for one who waits', async () => {
    const place = new Place()
    const controller = new AbortController()
    const ends = [
      { watch: place.watch(), end: (watch: { cancel(): void }) => watch.cancel() },
      { watch: place.watch(), end: (watch: AsyncDisposable) => void watch[Symbol.asyncDispose]() },
      { watch: place.watch({ signal: controller.signal }), end: () => controller.abort() },
    ]
    for (const { watch, end } of ends) {
      const events = watch[Symbol.asyncIterator]()
      const waiting = events.next()
      end(watch)
      expect([await waiting, await events.next()]).toEqual([
        { done: true, value: undefined },
        { done: true, value: undefined },
      ])
    }
    expect(place.log.watchers).toBe(0)
    const aborted = place.watch({ signal: AbortSignal.abort() })
    for await (const event of aborted) expect.unreachable(`${event.type} after the end`)
  })

  it('fails once with what ended it, after what had come before', async () => {
    const place = new Place()
    const watch = place.watch()
    place.log.apply(put('k', '1'))
    place.handles.closeAll(new ActorumError('STOPPED', 'closed'))
    const events = watch[Symbol.asyncIterator]()
    expect((await events.next()).value?.revision).toBe(1)
    await expect(events.next()).rejects.toMatchObject({ code: 'STOPPED', revision: 2 })
    expect(await events.next()).toEqual({ done: true, value: undefined })
    expect(() => place.watch()).toThrow('closed')
  })

  it('is for one consumer', () => {
    const place = new Place()
    const watch = place.watch()
    watch[Symbol.asyncIterator]()
    expect(() => watch[Symbol.asyncIterator]()).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    const errors: unknown[] = []
    watch.asObservable().subscribe({ error: (error) => errors.push(error) })
    expect(errors.map(codeOf)).toEqual(['INVALID_ARGUMENT'])
    place.log.apply(put('k', '1'))
    expect(watch.nextRevision).toBe(1)
  })
})

describe('a watch, subscribed to', () => {
  it('pushes events at the end of the turn, however many, and never calls that slow', () => {
    const place = new Place()
    const revisions: number[] = []
    const watch = place.watch({ bufferedChangesMax: 1, resume: false })
    watch.asObservable().subscribe((event) => revisions.push(revisionOf(event)))
    place.log.apply(...Array.from({ length: 5 }, () => put('k', '')))
    expect(revisions).toEqual([])
    place.log.clock.turn()
    expect([revisions, watch.nextRevision]).toEqual([[1, 2, 3, 4, 5], 6])
  })

  it('gives the history over turns, then what comes', () => {
    const place = new Place()
    place.log.apply(...Array.from({ length: 2500 }, () => put('k', '')))
    const revisions: number[] = []
    const watch = place.watch({ fromRevision: 1, bufferedChangesMax: 1000 })
    watch.asObservable().subscribe((event) => revisions.push(revisionOf(event)))
    expect(revisions).toHaveLength(1000)
    place.log.apply(put('k', ''))
    place.log.clock.turn()
    expect(revisions).toEqual(Array.from({ length: 2501 }, (_, at) => at + 1))
  })

  it('ends when the subscriber has enough, and completes when it is canceled', () => {
    const place = new Place()
    place.log.apply(put('k', '1'), put('k', '2'))
    const taken: number[][] = []
    const watch = place.watch({ fromRevision: 1 })
    watch
      .asObservable()
      .pipe(take(1), toArray())
      .subscribe((events) => taken.push(events.map(revisionOf)))
    expect([taken, place.log.watchers]).toEqual([[[1]], 0])
    const canceled = place.watch()
    let isComplete = false
    canceled.asObservable().subscribe({ complete: () => (isComplete = true) })
    canceled.cancel()
    place.log.clock.turn()
    expect([isComplete, place.log.watchers]).toEqual([true, 0])
  })

  it('fails with what ended it', () => {
    const place = new Place()
    const seen: unknown[] = []
    place
      .watch()
      .asObservable()
      .subscribe({ next: ({ revision }) => seen.push(revision), error: (error) => seen.push(codeOf(error)) })
    place.log.apply(put('k', '1'))
    place.log.stop()
    place.log.clock.turn()
    expect(seen).toEqual([1, 'STOPPED'])
  })

  it('may begin another from within, which is told of nothing that was applied before', () => {
    const place = new Place()
    const revisions: number[] = []
    const watch = place.watch()
    watch
      .asObservable()
      .pipe(take(1))
      .subscribe(() => {
        place
          .watch()
          .asObservable()
          .subscribe((event) => revisions.push(revisionOf(event)))
      })
    place.log.apply(put('k', '1'), put('k', '2'))
    place.log.clock.turn()
    place.log.apply(put('k', '3'))
    place.log.clock.turn()
    expect(revisions).toEqual([3])
  })
})

describe('an observation', () => {
  it('gives the state and then every change, with no race between', () => {
    const place = new Place()
    place.log.apply(put('k1', '1'), put('other', 'x'), put('k2', '2'))
    const events: ObserveEvent[] = []
    place
      .observe()
      .asObservable()
      .subscribe((event) => events.push(event))
    place.log.apply(put('k3', '3'), del('k1'))
    place.log.clock.turn()
    expect(events.map(({ type, revision }) => [type, revision])).toEqual([
      ['state', 3],
      ['changes', 4],
      ['changes', 5],
    ])
    expect(stateOf(events)).toEqual({ k2: '2', k3: '3' })
  })

  it('gives an empty state where there is nothing', async () => {
    const events = new Place().observe()[Symbol.asyncIterator]()
    expect((await events.next()).value).toEqual({ type: 'state', entries: [], revision: 0 })
  })

  it('reads a large state in pages, a turn each, as of one revision', () => {
    const place = new Place()
    const keys = Array.from({ length: 2500 }, (_, at) => `k${at}`)
    place.log.apply(...keys.map((key) => put(key, 'old')))
    const events: ObserveEvent[] = []
    const observation = place.observe()
    observation.asObservable().subscribe((event) => events.push(event))
    expect(events).toEqual([])
    place.log.apply(...keys.map((key) => put(key, 'new')))
    place.log.clock.turn()
    expect(events[0]).toMatchObject({ type: 'state', revision: 2500 })
    expect(stateOf(events.slice(0, 1))).toEqual(Object.fromEntries(keys.map((key) => [key, 'old'])))
    expect(stateOf(events)).toEqual(Object.fromEntries(keys.map((key) => [key, 'new'])))
    expect([events.length, observation.nextRevision]).toEqual([2501, 5001])
  })

  it('begins the state anew when it is compacted away while it is read', () => {
    const place = new Place()
    const keys = Array.from({ length: 2500 }, (_, at) => `k${at}`)
    place.log.apply(...keys.map((key) => put(key, 'old')))
    const events: ObserveEvent[] = []
    place
      .observe()
      .asObservable()
      .subscribe((event) => events.push(event))
    place.log.apply(del('k0'), { type: 'compact', revision: 2502 })
    place.log.clock.turn()
    expect(events.map(({ type, revision }) => [type, revision])).toEqual([['state', 2502]])
    expect(Object.keys(stateOf(events))).toHaveLength(2499)
  })

  it('gives a new state when the history of what it missed is gone', async () => {
    const place = new Place()
    place.log.apply(put('k1', '1'))
    const observation = place.observe({ bufferedChangesMax: 1 })
    const events = observation[Symbol.asyncIterator]()
    const seen: ObserveEvent[] = []
    const next = async () => {
      const { value } = await events.next()
      if (value !== undefined) seen.push(value)
    }
    await next()
    place.log.clock.turn()
    for (const each of ['2', '3', '4']) place.log.apply(put(`k${each}`, each))
    place.log.apply(del('k1'), { type: 'compact', revision: 5 })
    await next()
    await next()
    expect(seen.map(({ type, revision }) => [type, revision])).toEqual([
      ['state', 1],
      ['changes', 2],
      ['state', 6],
    ])
    expect(stateOf(seen)).toEqual({ k2: '2', k3: '3', k4: '4' })
    expect(observation.nextRevision).toBe(7)
  })

  it('ends with the client, and says where a watch can go on', async () => {
    const place = new Place()
    place.log.apply(put('k', '1'))
    const events = place.observe()[Symbol.asyncIterator]()
    await events.next()
    place.handles.closeAll(new ActorumError('STOPPED', 'closed'))
    await expect(events.next()).rejects.toMatchObject({ code: 'STOPPED', revision: 2 })
    expect(place.log.watchers).toBe(0)
  })
})

describe('the options of a watch', () => {
  const WRONG: readonly [string, WatchOptions | Record<string, unknown>][] = [
    ['fromRevision is 0', { fromRevision: 0 }],
    ['fromRevision is 1.5', { fromRevision: 1.5 }],
    ['progressIntervalMs is 9', { progressIntervalMs: 9 }],
    ['bufferedChangesMax is 0', { bufferedChangesMax: 0 }],
    ['only is "all"', { only: 'all' }],
    ['previous is 1', { previous: 1 }],
    ['resume is "no"', { resume: 'no' }],
    ['signal is {}', { signal: {} }],
    ['did you mean previous?', { previuos: true }],
  ]

  it.each(WRONG)('are refused: %s', (message, options) => {
    const place = new Place()
    expect(() => place.watch(options)).toThrow(message)
    expect(() => place.observe(options)).toThrow(message)
    expect(place.log.watchers).toBe(0)
  })

  it('of an observation name no revision, since it begins with the state', () => {
    expect(() => new Place().observe({ fromRevision: 1 })).toThrow('watch from that revision')
  })
})
