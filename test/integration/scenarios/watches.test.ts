import { NEVER } from 'rxjs'
import { describe, expect, it } from 'vitest'
import { EmbeddedStore } from '../../../src/client/embedded-store.js'
import type { WatchEvent, WatchOptions } from '../../../src/client/watch-api.js'
import { WatchFeed } from '../../../src/client/watch-feed.js'
import { validateWatchOptions } from '../../../src/client/watch-options.js'
import { ActorumError } from '../../../src/errors.js'
import type { ServerId } from '../../../src/machines/types.js'
import { keyChars, prefixRange } from '../../../src/state-machines/kv/keys.js'
import { Story, T } from './story.js'

const OPTIONS = {
  requestTimeoutMs: 20 * T,
  linearizableReads: 'quorum',
  keyBytesMax: 1024,
  valueBytesMax: 1024,
  clockDriftBoundPercent: 10,
} as const

/** A watch of the keys that begin with `k`, in the process of server `id`, and what its consumer has taken. */
class Watcher {
  readonly feed: WatchFeed
  readonly seen: string[] = []

  constructor(story: Story, id: ServerId, options: WatchOptions = {}) {
    const { running } = story.server(id)
    if (running === undefined) throw new Error(`server ${id} is not running`)
    const cluster = { members: () => [], leaderId: () => undefined, membership$: () => NEVER }
    const { server, clock } = running
    const ports = { server, keyValues: story.keyValues(id), clock, cluster, assertOpen: () => undefined }
    const range = prefixRange(keyChars('k', 8))
    this.feed = new WatchFeed(new EmbeddedStore(ports, OPTIONS), range, validateWatchOptions(options))
    this.feed.begin(() => undefined)
  }

  get next(): number {
    return this.feed.nextRevision
  }

  /** Takes what there is, as `key=value`. */
  take(most = Infinity): readonly string[] {
    while (this.seen.length < most) {
      const event = this.feed.take()
      if (event === undefined) break
      this.seen.push(...wordsOf(event))
    }
    return this.seen
  }
}

function wordsOf(event: WatchEvent): string[] {
  if (event.type === 'progress') return []
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
  return event.changes.map((change) =>
    change.type === 'put' ? `${text(change.entry.key)}=${text(change.entry.value)}` : `${text(change.key)} deleted`,
  )
}

function writes(story: Story, id: ServerId, from: number, to: number): void {
  for (let value = from; value <= to; value++) story.done(story.put(id, 'k', `${value}`))
}

const values = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => `k=${from + at}`)

const TITLE = 'SCENARIO 36: a watch loses, repeats and reorders nothing'

describe(`${TITLE} across leader changes`, () => {
  it('every server tells the same, and nothing of what a deposed leader had not committed', () => {
    const story = Story.ledBy(1)
    const watchers = [1, 2, 3].map((id) => new Watcher(story, id))
    writes(story, 1, 1, 3)
    story.isolate(1)
    story.put(1, 'k', 'never committed')
    story.elect(2)
    writes(story, 2, 4, 6)
    story.mendAll()
    writes(story, 2, 7, 7)
    story.until('every watcher has seen the last', () => watchers.every((each) => each.take().length >= 7))
    expect(watchers.map(({ seen }) => seen)).toEqual([values(1, 7), values(1, 7), values(1, 7)])
    story.heals()
  })
})

describe(`${TITLE} across reconnects`, () => {
  it('it goes on at another server, also at one that is behind it, where the first has gone', () => {
    const story = Story.ledBy(1)
    story.isolate(3)
    const first = new Watcher(story, 1)
    writes(story, 1, 1, 4)
    first.take(3)
    const resumed = new Watcher(story, 3, { fromRevision: first.next })
    expect(resumed.take()).toEqual([])
    story.server(1).crash()
    story.mendAll()
    story.elect(2)
    writes(story, 2, 5, 6)
    story.until('it has seen the last', () => resumed.take().at(-1) === 'k=6')
    expect([...first.seen, ...resumed.seen]).toEqual(values(1, 6))
    story.server(1).start()
    story.heals()
  })

  it('it goes on at its own server after a restart, from before that server has applied its log again', () => {
    const story = Story.ledBy(1)
    const first = new Watcher(story, 2)
    writes(story, 1, 1, 4)
    story.until('server 2 has told all', () => first.take().length === 4)
    writes(story, 1, 5, 5)
    story.server(2).crash()
    writes(story, 1, 6, 6)
    story.server(2).start()
    story.until('server 2 runs', () => story.server(2).running !== undefined)
    const resumed = new Watcher(story, 2, { fromRevision: first.next })
    story.until('it has seen the last', () => resumed.take().at(-1) === 'k=6')
    expect([...first.seen, ...resumed.seen]).toEqual(values(1, 6))
    story.heals()
  })
})

describe(`${TITLE} across compaction`, () => {
  it('of the log: what an installed snapshot brings is told out of the history that it carries', () => {
    const story = Story.ledBy(1)
    const watcher = new Watcher(story, 3)
    writes(story, 1, 1, 2)
    story.until('server 3 has told both', () => watcher.take().length === 2)
    story.isolate(3)
    writes(story, 1, 3, 5)
    story.compact(1)
    writes(story, 1, 6, 6)
    story.mendAll()
    story.until('it has seen the last', () => watcher.take().at(-1) === 'k=6')
    expect(watcher.seen).toEqual(values(1, 6))
    expect(story.heardBy(3, 'installSnapshot').length).toBeGreaterThan(0)
    story.heals()
  })

  it('of the history: it ends with COMPACTED and the earliest revision that is left', () => {
    const story = Story.ledBy(1)
    const watcher = new Watcher(story, 1, { bufferedChangesMax: 1 })
    writes(story, 1, 1, 3)
    const { next } = watcher
    const compacted = story.done(story.propose(1, { type: 'compact', revision: next + 1 }))
    expect(compacted).toMatchObject({ compactedRevision: next + 1 })
    expect(watcher.take()).toEqual(['k=1'])
    const { error } = watcher.feed
    expect(error instanceof ActorumError && [error.code, error.revision]).toEqual(['COMPACTED', next + 2])
    expect(new Watcher(story, 1, { fromRevision: next + 2 }).take()).toEqual(['k=3'])
    story.heals()
  })
})

describe(`${TITLE} where the consumer is slow`, () => {
  it('it goes on from the history, or says where to resume', () => {
    const story = Story.ledBy(1)
    const patient = new Watcher(story, 2, { bufferedChangesMax: 2 })
    const canceled = new Watcher(story, 2, { bufferedChangesMax: 2, resume: false })
    writes(story, 1, 1, 20)
    story.until('all of it is seen', () => patient.take().length === 20)
    expect(patient.seen).toEqual(values(1, 20))
    const { error } = canceled.feed
    if (!(error instanceof ActorumError)) throw new Error('it was not canceled')
    expect([canceled.take(), error.code]).toEqual([[], 'CANCELED'])
    const resumed = new Watcher(story, 2, { fromRevision: error.revision })
    story.until('all of it is seen', () => resumed.take().length === 20)
    expect(resumed.seen).toEqual(values(1, 20))
    story.heals()
  })
})
