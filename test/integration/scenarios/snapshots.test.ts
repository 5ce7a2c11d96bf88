import { describe, expect, it } from 'vitest'
import { ActorumError } from '../../../src/errors.js'
import type { ServerId } from '../../../src/machines/types.js'
import { KeyValueStore } from '../../../src/state-machines/kv/key-value-store.js'
import type { SnapshotSink } from '../../../src/state-machines/ports.js'
import type { SimulationOptions } from '../../../src/testing/simulation/simulated-cluster.js'
import { type Heard, SERVERS_MAY_STOP, Story, T } from './story.js'

type Options = Partial<SimulationOptions<never, never>>

/** Snapshots only when a story takes them, sent in small pieces, one at a time. */
const BY_CALL: NonNullable<Options['snapshotting']> = {
  snapshotEntries: 0,
  snapshotLogBytes: 0,
  snapshotIntervalMs: 0,
  logEntriesKept: 0,
  chunkBytes: 64,
  windowChunks: 1,
  retryMs: 100,
}

/** Server 1 leads, server 3 hears nothing, and the others have compacted what server 3 lacks. */
function leftBehind(count = 20): Story {
  const story = Story.ledBy(1, { snapshotting: BY_CALL, spares: 1 })
  story.until('the data directories are written down', () => story.end(3) === 2)
  story.isolate(3)
  for (let entry = 0; entry < count; entry++) story.done(story.put(1, `key ${entry}`, `value ${entry}`))
  return story
}

function piecesFor(story: Story, id: ServerId, since = 0): readonly Heard[] {
  return story.heardBy(id, 'installSnapshot').filter(({ at, message }) => at >= since && message.bytes.length > 0)
}

/** How much of the snapshot a server has been sent, from 0 to 1. */
function shareSent(story: Story, id: ServerId): number {
  const last = story.heardBy(id, 'installSnapshot').at(-1)?.message
  return last === undefined ? 0 : (last.offset + last.bytes.length) / last.snapshot.byteLength
}

describe('SCENARIO 21: installing a snapshot replaces the effective configuration', () => {
  it('by the one at its end, although the log never showed it', () => {
    const story = leftBehind()
    story.done(story.change(1, { add: [4] }))
    story.compact(1)
    story.mendAll()
    story.until('server 3 has installed it', () => story.context(3).log.boundary.index > 2)
    expect(story.configuration(3)?.learners).toEqual([4])
    story.heals()
  })

  it('unless the log that follows holds a later one', () => {
    const story = leftBehind()
    const covered = story.compact(1)
    story.done(story.change(1, { add: [4] }))
    story.mendAll()
    story.until('server 3 has come to the end', () => story.end(3) === story.end(1))
    expect(story.context(3).log.boundary.index).toBeGreaterThanOrEqual(covered)
    expect(story.configuration(3)?.learners).toEqual([4])
    story.heals()
  })
})

describe("SCENARIO 22: a log that conflicts at the snapshot's boundary is discarded", () => {
  it('and the follower downloads it once, not for ever', () => {
    const story = Story.ledBy(1, { snapshotting: BY_CALL, spares: 1 })
    story.until('the data directories are written down', () => story.end(3) === 2)
    story.isolate(1)
    for (let entry = 0; entry < 30; entry++) story.put(1, 'x', `never acknowledged ${entry}`)
    story.until('server 1 has written them', () => story.context(1).durable.index === 32)
    story.elect(2)
    for (let entry = 0; entry < 20; entry++) story.done(story.put(2, `key ${entry}`, `value ${entry}`))
    story.compact(2)
    story.mendAll()
    story.until('server 1 has the log of server 2', () => story.end(1) === story.end(2))
    const pieces = piecesFor(story, 1).length
    expect(pieces).toBeGreaterThan(0)
    story.advance(20 * T)
    expect(piecesFor(story, 1)).toHaveLength(pieces)
    expect([story.stored(1, 'x'), story.stored(1, 'key 19')]).toEqual([undefined, 'value 19'])
    story.heals()
  })
})

describe('SCENARIO 23: an old snapshot does not truncate a newer log', () => {
  it('pieces that come late are answered, and change nothing', () => {
    const story = leftBehind()
    story.compact(1)
    story.mendAll()
    story.until('server 3 has come to the end', () => story.end(3) === story.end(1))
    const old = piecesFor(story, 3)
    for (let entry = 0; entry < 10; entry++) story.done(story.put(1, 'later', `value ${entry}`))
    story.until('server 3 has applied it', () => story.stored(3, 'later') === 'value 9')
    const { log } = story.context(3)
    for (const { message } of old) story.deliver(3, 1, message)
    story.advance(5)
    expect(story.context(3).log).toEqual(log)
    expect(story.stored(3, 'later')).toBe('value 9')
    story.heals()
  })

  it('entries that are committed while it is being installed are applied after it, in order', () => {
    const story = leftBehind()
    story.compact(1)
    story.server(3).snapshotDisk.latencyMs = () => 3
    story.mendAll()
    for (let entry = 0; entry < 10; entry++) story.done(story.put(1, 'later', `value ${entry}`))
    story.heals()
    expect([story.stored(3, 'key 19'), story.stored(3, 'later')]).toEqual(['value 19', 'value 9'])
  })
})

describe('SCENARIO 24: a leader whose log is compacted still brings a new follower up', () => {
  it('by a snapshot, and the log that follows it', () => {
    const story = leftBehind()
    story.compact(1)
    story.mendAll()
    story.until('server 3 has come to the end', () => story.end(3) === story.end(1))
    // The log of server 3 began anew: it never had what is before.
    story.elect(3)
    story.done(story.change(3, { add: [4] }))
    story.until('server 4 has come to the end', () => story.stored(4, 'key 19') === 'value 19')
    expect(story.context(4).log.boundary.index).toBeGreaterThan(2)
    story.heals()
  })
})

describe('SCENARIO 25: a transfer that is interrupted', () => {
  it('at nine tenths goes on from there', () => {
    const story = leftBehind(60)
    story.compact(1)
    story.mendAll()
    story.until('nine tenths are there', () => shareSent(story, 3) >= 0.9)
    const reached = story.heardBy(3, 'installSnapshot').at(-1)?.message.offset ?? 0
    story.isolate(3)
    story.advance(3 * T)
    const since = story.now
    story.mendAll()
    story.heals()
    expect(piecesFor(story, 3, since).length).toBeGreaterThan(0)
    for (const { message } of piecesFor(story, 3, since)) expect(message).toMatchObject({ snapshot: {} })
    const offsets = story
      .heardBy(3, 'installSnapshot')
      .filter(({ at, message }) => at >= since && message.bytes.length > 0)
    expect(Math.min(...offsets.map(({ message }) => message.offset))).toBeGreaterThanOrEqual(reached)
    expect(story.stored(3, 'key 59')).toBe('value 59')
  })

  it('by a change of the leader leaves no half state: the next one goes on with the same snapshot', () => {
    const story = leftBehind(60)
    story.compact(1)
    story.until('server 2 has applied as much', () => story.context(2).commitIndex === story.end(1))
    story.done(story.snapshot(2))
    story.mendAll()
    story.until('half of it is there', () => shareSent(story, 3) >= 0.5)
    expect(story.stored(3, 'key 0')).toBeUndefined()
    const before = story.heardBy(3, 'installSnapshot').at(-1)
    story.isolate(1)
    const since = story.now
    story.elect(2)
    story.heals()
    const after = story.heardBy(3, 'installSnapshot').filter(({ at, from }) => at >= since && from === 2)
    const pieces = after.filter(({ message }) => message.bytes.length > 0)
    for (const { message } of pieces) {
      expect(message.snapshot).toEqual(before?.message.snapshot)
      expect(message.offset).toBeGreaterThanOrEqual(before?.message.offset ?? 0)
    }
    expect(story.stored(3, 'key 59')).toBe('value 59')
  })

  it('by damage is refused, and what is sound is sent instead', () => {
    const story = leftBehind(60)
    story.compact(1)
    const { snapshotDisk } = story.server(1)
    const newest = snapshotDisk.fileNames().at(-1) ?? ''
    snapshotDisk.corruptFile(newest, Math.floor(snapshotDisk.fileLength(newest) / 2))
    story.mendAll()
    story.heals()
    expect(story.heardBy(1, 'installSnapshotReply').some(({ message }) => message.outcome === 'refused')).toBe(true)
    expect(story.stored(3, 'key 59')).toBe('value 59')
  })
})

/** A state machine that finds fault with the next so many snapshots, however sound their files are. */
class Choosy extends KeyValueStore {
  static refusals = 0
  static refused = 0

  override restore(): SnapshotSink {
    const sink = super.restore()
    const end = (): void => {
      if (Choosy.refusals-- <= 0) return sink.end()
      Choosy.refused++
      throw new ActorumError('CORRUPT', 'What this snapshot says cannot be.')
    }
    return { write: (chunk) => sink.write(chunk), end, abandon: () => sink.abandon() }
  }
}

/** Server 3 starts again with two snapshots and so many entries before the newest, of which it refuses some. */
function refusing(refusals: number, logEntriesKept: number, options: typeof SERVERS_MAY_STOP = {}): Story {
  const snapshotting = { ...BY_CALL, logEntriesKept }
  const story = Story.ledBy(1, { snapshotting, stateMachine: () => new Choosy(), ...options })
  for (const part of [0, 1]) {
    for (let entry = 0; entry < 10; entry++) story.done(story.put(1, `key ${part}.${entry}`, 'value'))
    story.until('server 3 has applied it all', () => story.stored(3, `key ${part}.9`) === 'value')
    story.done(story.snapshot(3))
  }
  Object.assign(Choosy, { refusals, refused: 0 })
  story.server(3).kill()
  story.server(3).start()
  return story
}

describe('a snapshot that the state machine itself refuses', () => {
  it('gives way to the one before it, and the log after that', () => {
    const story = refusing(1, 100)
    story.until('the state is there', () => story.stored(3, 'key 1.9') === 'value')
    expect(story.stored(3, 'key 0.0')).toBe('value')
    expect(Choosy.refused).toBe(1)
  })

  it('stops the server when both are refused, each once, and the log does not begin at the beginning', () => {
    const story = refusing(10, 0, SERVERS_MAY_STOP)
    story.until('server 3 has stopped', () => story.server(3).running === undefined)
    expect(story.server(3).failure?.code).toBe('CORRUPT')
    expect(Choosy.refused).toBe(2)
  })
})
