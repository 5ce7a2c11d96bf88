import { describe, expect, it } from 'vitest'
import { ActorumError } from '../../src/errors.js'
import type { WatchEvent, WatchOptions } from '../../src/client/watch-api.js'
import { WatchFeed } from '../../src/client/watch-feed.js'
import { validateWatchOptions } from '../../src/client/watch-options.js'
import { prefixRange } from '../../src/state-machines/kv/keys.js'
import { del, keyOf, put, textOf, utf8 } from './kv-batch.js'
import { WatchedLog } from './watched-log.js'

const RANGE = prefixRange(keyOf('k'))

/** A feed, and how often it has said that there is more. */
class Fed {
  readonly feed: WatchFeed
  calls = 0

  constructor(log: WatchedLog, options: WatchOptions = {}) {
    this.feed = new WatchFeed(log, RANGE, validateWatchOptions(options))
    this.feed.begin(() => this.calls++)
  }

  /** What can be taken now, in words. */
  take(most = Infinity): string[] {
    const events: string[] = []
    while (events.length < most) {
      const event = this.feed.take()
      if (event === undefined) break
      events.push(wordsOf(event))
    }
    return events
  }

  /** All there is, over as many turns as it takes. */
  takeAll(log: WatchedLog): string[] {
    const events: string[] = []
    for (let more = this.take(); more.length > 0; more = this.take()) {
      events.push(...more)
      log.clock.turn()
    }
    return events
  }

  get error(): { readonly code: string; readonly revision: number | undefined } | undefined {
    const { error } = this.feed
    return error instanceof ActorumError ? { code: error.code, revision: error.revision } : undefined
  }
}

function wordsOf(event: WatchEvent): string {
  if (event.type === 'progress') return `up to ${event.revision}`
  const words = event.changes.map((change) => {
    const before = change.previous === undefined ? '' : ` was ${textOf(change.previous.value)}`
    if (change.type === 'delete') return `${textOf(change.key)} deleted${before}`
    return `${textOf(change.entry.key)}=${textOf(change.entry.value)}${before}`
  })
  return `${event.revision}: ${words.join(' ')}`
}

function txn(...then: (ReturnType<typeof put> | ReturnType<typeof del>)[]) {
  return { type: 'txn', compares: [], then, else: [] } as const
}

describe('a watch', () => {
  it('from now on tells of what is applied from then on', () => {
    const log = new WatchedLog()
    log.apply(put('k', 'before'))
    const watch = new Fed(log)
    log.apply(put('k', '1'), put('other', 'x'), del('k'))
    expect(watch.take()).toEqual(['2: k=1', '4: k deleted'])
    expect(watch.feed.nextRevision).toBe(5)
  })

  it('from a past revision tells of the history and then of what comes, without gap or repeat', () => {
    const log = new WatchedLog()
    log.apply(put('k', '1'), put('k', '2'), put('k', '3'))
    const watch = new Fed(log, { fromRevision: 2 })
    log.apply(put('k', '4'))
    expect(watch.take(1)).toEqual(['2: k=2'])
    log.apply(put('k', '5'))
    expect(watch.takeAll(log)).toEqual(['3: k=3', '4: k=4', '5: k=5'])
  })

  it('from a revision to come waits for it', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { fromRevision: 3, progressIntervalMs: 10 })
    log.apply(put('k', '1'))
    log.clock.advance(25)
    expect([watch.take(), watch.feed.nextRevision]).toEqual([[], 3])
    log.apply(put('k', '2'), put('k', '3'))
    expect(watch.take()).toEqual(['3: k=3'])
  })

  it('from a revision to come is not told earlier ones by a snapshot either', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { fromRevision: 3 })
    const leader = new WatchedLog()
    leader.apply(put('k', '1'), put('k', '2'), put('k', '3'))
    log.install(leader)
    expect(watch.take()).toEqual(['3: k=3'])
  })

  it('tells of all changes of one revision together, also out of the history in pieces', () => {
    const log = new WatchedLog()
    for (let at = 0; at < 4; at++) log.apply(txn(put('ka', `${at}`), put('kb', `${at}`), put('kc', `${at}`)))
    const watch = new Fed(log, { fromRevision: 1, bufferedChangesMax: 2 })
    expect(watch.take()).toEqual(['1: ka=0 kb=0 kc=0'])
    expect(watch.takeAll(log)).toEqual([])
    log.clock.turn()
    expect(watch.takeAll(log)).toEqual(['2: ka=1 kb=1 kc=1', '3: ka=2 kb=2 kc=2', '4: ka=3 kb=3 kc=3'])
  })

  it('reads one piece of a long history in a turn', () => {
    const log = new WatchedLog()
    for (let at = 1; at <= 10; at++) log.apply(put('k', `${at}`))
    const watch = new Fed(log, { fromRevision: 1, bufferedChangesMax: 4 })
    expect(watch.take()).toHaveLength(4)
    const { calls } = watch
    log.clock.turn()
    expect(watch.calls).toBe(calls + 1)
    expect(watch.take()).toHaveLength(4)
  })

  it('looks through a history of other keys a piece at a time, and asks to be taken from until it is through', () => {
    const log = new WatchedLog()
    log.apply(...Array.from({ length: 25_000 }, () => put('other', '')), put('k', '1'))
    const watch = new Fed(log, { fromRevision: 1 })
    const taken: string[][] = []
    while (taken.length < 3) {
      taken.push(watch.take())
      log.clock.turn()
    }
    expect(taken).toEqual([[], [], ['25001: k=1']])
    expect([log.reads, watch.calls]).toEqual([3, 2])
  })

  it('gives values before a change where they are wanted', () => {
    const log = new WatchedLog()
    log.apply(put('k', '1'), put('k', '2'))
    const wanted = new Fed(log, { previous: true, fromRevision: 2 })
    const unwanted = new Fed(log, { fromRevision: 2 })
    log.apply(del('k'))
    expect(wanted.takeAll(log)).toEqual(['2: k=2 was 1', '3: k deleted was 2'])
    expect(unwanted.takeAll(log)).toEqual(['2: k=2', '3: k deleted'])
  })

  it('gives puts or deletes alone, of the history too', () => {
    const log = new WatchedLog()
    log.apply(put('k1', '1'), del('k1'))
    const puts = new Fed(log, { only: 'puts', fromRevision: 1 })
    const deletes = new Fed(log, { only: 'deletes', fromRevision: 1 })
    log.apply(put('k1', '1'), txn(put('k2', '2'), del('k1')))
    expect(puts.takeAll(log)).toEqual(['1: k1=1', '3: k1=1', '4: k2=2'])
    expect(deletes.takeAll(log)).toEqual(['2: k1 deleted', '4: k1 deleted'])
    expect([puts.feed.nextRevision, deletes.feed.nextRevision]).toEqual([5, 5])
  })

  it('gives bytes that nobody else has', () => {
    const log = new WatchedLog()
    const [one, other] = [new Fed(log, { previous: true }), new Fed(log, { previous: true })]
    log.apply(put('k', 'old'), put('k', 'new'), del('k'))
    for (let event = one.feed.take(); event !== undefined; event = one.feed.take()) {
      if (event.type !== 'changes') continue
      for (const change of event.changes) {
        const entries = [change.previous, change.type === 'put' ? change.entry : { key: change.key, value: utf8('') }]
        for (const entry of entries) [entry?.key, entry?.value].forEach((bytes) => bytes?.fill(0))
      }
    }
    expect(other.take()).toEqual(['1: k=old', '2: k=new was old', '3: k deleted was new'])
    expect(new Fed(log, { fromRevision: 1 }).take()).toEqual(['1: k=old', '2: k=new', '3: k deleted'])
  })
})

describe('a slow consumer', () => {
  it('goes on from the history', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { bufferedChangesMax: 2 })
    for (let at = 1; at <= 9; at++) log.apply(put('k', `${at}`))
    expect(log.reads).toBe(0)
    expect(watch.takeAll(log)).toEqual(Array.from({ length: 9 }, (_, at) => `${at + 1}: k=${at + 1}`))
    log.apply(put('k', 'live'))
    const { reads } = log
    expect([watch.take(), log.reads]).toEqual([['10: k=live'], reads])
  })

  it('is canceled where it does not want that, with where to resume', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { bufferedChangesMax: 2, resume: false })
    log.apply(put('k', '1'))
    expect(watch.take()).toEqual(['1: k=1'])
    log.apply(put('k', '2'), put('k', '3'))
    expect(watch.feed.isEnded).toBe(false)
    log.apply(put('k', '4'))
    expect([watch.take(), watch.error, log.watchers]).toEqual([[], { code: 'CANCELED', revision: 2 }, 0])
    expect(new Fed(log, { fromRevision: 2 }).take()).toEqual(['2: k=2', '3: k=3', '4: k=4'])
  })

  it('is one too whose few changes are large', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { resume: false })
    const large = new Uint8Array(6 * 1024 * 1024)
    log.apply(put('k1', large))
    log.apply(put('k2', large))
    expect(watch.feed.isEnded).toBe(false)
    log.apply(put('k3', large))
    expect(watch.error).toEqual({ code: 'CANCELED', revision: 1 })
  })

  it('is not one who gets a single revision that exceeds the bound', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { bufferedChangesMax: 1, resume: false })
    log.apply(txn(put('k1', '1'), put('k2', '2')))
    expect(watch.take()).toEqual(['1: k1=1 k2=2'])
  })

  it('is not one who takes all there is at the end of every turn', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { bufferedChangesMax: 1, resume: false })
    watch.feed.takenEveryTurn()
    log.apply(...Array.from({ length: 50 }, () => put('k', '')))
    expect(watch.take()).toHaveLength(50)
  })

  it('gets what waited for it, and then COMPACTED with the earliest revision, when the history is gone', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { bufferedChangesMax: 1 })
    for (let at = 1; at <= 5; at++) log.apply(put('k', `${at}`))
    log.apply({ type: 'compact', revision: 4 })
    expect(watch.takeAll(log)).toEqual(['1: k=1'])
    expect([watch.error, watch.feed.nextRevision]).toEqual([{ code: 'COMPACTED', revision: 5 }, 2])
    expect(new Fed(log, { fromRevision: 5 }).take()).toEqual(['5: k=5'])
    expect(new Fed(log, { fromRevision: 4 }).take()).toEqual([])
  })
})

describe('a compaction', () => {
  it('takes nothing from those who are told, although it comes in the same batch', () => {
    const log = new WatchedLog()
    const watch = new Fed(log)
    log.apply(put('k', '1'), put('k', '2'), { type: 'compact', revision: 3 }, put('k', '3'), del('k'))
    expect(watch.take()).toEqual(['1: k=1', '2: k=2', '4: k=3', '5: k deleted'])
    expect(log.store.compactedRevision).toBe(3)
  })
})

describe('an installed snapshot', () => {
  it('is told by the history that it carries', () => {
    const log = new WatchedLog()
    const leader = new WatchedLog()
    const watch = new Fed(log)
    for (const each of [log, leader]) each.apply(put('k', '1'))
    leader.apply(put('k', '2'), put('other', 'x'), del('k'))
    log.install(leader)
    log.apply(put('k', '5'))
    expect(watch.takeAll(log)).toEqual(['1: k=1', '2: k=2', '4: k deleted', '5: k=5'])
  })

  it('without that history ends the watch with COMPACTED', () => {
    const log = new WatchedLog()
    const leader = new WatchedLog()
    const watch = new Fed(log)
    leader.apply(put('k', '1'), put('k', '2'), { type: 'compact', revision: 2 })
    log.install(leader)
    expect([watch.take(), watch.error]).toEqual([[], { code: 'COMPACTED', revision: 3 }])
  })
})

describe('a progress event', () => {
  it('comes after every interval of silence and says how far all has been told', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { progressIntervalMs: 100 })
    log.apply(put('other', 'x'), put('other', 'y'))
    log.clock.advance(99)
    expect(watch.take()).toEqual([])
    log.clock.advance(1)
    expect([watch.take(), watch.feed.nextRevision]).toEqual([['up to 2'], 3])
    log.clock.advance(60)
    log.apply(put('k', '3'))
    expect(watch.take()).toEqual(['3: k=3'])
    log.clock.advance(99)
    expect(watch.take()).toEqual([])
    log.clock.advance(1)
    expect(watch.take()).toEqual(['up to 3'])
  })

  it('never comes ahead of changes that wait, in the buffer or in the history', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { progressIntervalMs: 10, bufferedChangesMax: 1 })
    log.apply(put('k', '1'))
    log.clock.advance(20)
    log.apply(put('k', '2'))
    log.clock.advance(20)
    expect(watch.take(1)).toEqual(['1: k=1'])
    log.clock.advance(20)
    expect(watch.takeAll(log)).toEqual(['2: k=2'])
    log.clock.advance(10)
    expect(watch.take()).toEqual(['up to 2'])
  })

  it('waits once, however long nobody takes it', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { progressIntervalMs: 10 })
    log.clock.advance(100)
    log.apply(put('other', 'x'))
    log.clock.advance(100)
    log.apply(put('k', '2'))
    expect(watch.take()).toEqual(['up to 1', '2: k=2'])
  })
})

describe('the end of a watch', () => {
  it('comes with the server, after what waits, and says where to resume', () => {
    const log = new WatchedLog()
    const watch = new Fed(log)
    log.apply(put('k', '1'))
    log.stop()
    expect([watch.feed.isEnded, watch.take()]).toEqual([true, ['1: k=1']])
    expect([watch.error, log.watchers]).toEqual([{ code: 'STOPPED', revision: 2 }, 0])
  })

  it('comes at once when it is canceled', () => {
    const log = new WatchedLog()
    const watch = new Fed(log, { progressIntervalMs: 10 })
    log.apply(put('k', '1'))
    watch.feed.cancel()
    log.clock.advance(50)
    expect([watch.feed.isEnded, watch.take(), watch.error, log.watchers]).toEqual([true, [], undefined, 0])
  })

  it('does not come of a read that may do better later, and does of any other', () => {
    const log = new WatchedLog()
    log.apply(put('k', '1'))
    const watch = new Fed(log, { fromRevision: 1 })
    log.faults.push(new ActorumError('BUSY', 'too much'))
    expect([watch.take(), watch.calls]).toEqual([[], 0])
    log.clock.advance(100)
    expect([watch.calls, watch.take()]).toEqual([1, ['1: k=1']])
    const other = new Fed(log, { fromRevision: 1 })
    log.faults.push(new ActorumError('CORRUPT', 'damaged'))
    expect([other.take(), other.error]).toEqual([[], { code: 'CORRUPT', revision: 1 }])
  })
})
