import { describe, expect, it } from 'vitest'
import {
  SnapshotActor,
  type SnapshotActorOptions,
  type SnapshotChunk,
  type SnapshotReply,
} from '../../src/actors/snapshot-actor.js'
import { crc32 } from '../../src/machines/checksum.js'
import { seededRandom } from '../../src/machines/time-and-chance.js'
import type { SnapshotReceived } from '../../src/machines/events.js'
import type { LogIndex, ServerId, SnapshotId } from '../../src/machines/types.js'
import type { SnapshotSink } from '../../src/state-machines/ports.js'
import { MemorySnapshotDisk, MemorySnapshotStore } from '../../src/storage/memory-snapshot-store.js'
import type { StoredSnapshot } from '../../src/storage/ports.js'
import { boundaryOf, chunksOf, hexOf } from '../../src/testing/snapshot-store-subject.js'
import { VirtualTime } from './virtual-time.js'

const CHUNKS = chunksOf(100, 900, 250, 3)
const OPTIONS = { chunkBytes: 200, windowChunks: 3, retryMs: 50, queueBytesMax: 10_000 }

/** A state that is its chunks. */
class Chunks {
  chunks: readonly Uint8Array[] = CHUNKS
  /** How often the next chunk was asked for, and whether the iterator was let go of. */
  pulls = 0
  isReturned = false
  failsAt = Infinity
  abandoned = 0
  writes = 0
  refusesWrites = false

  snapshot(): Iterable<Uint8Array> {
    const { chunks } = this
    return {
      [Symbol.iterator]: () => ({
        next: (): IteratorResult<Uint8Array> => {
          if (this.pulls === this.failsAt) throw new Error('no memory')
          const value = chunks[this.pulls++]
          return value === undefined ? { done: true, value: undefined } : { done: false, value }
        },
        return: (): IteratorResult<Uint8Array> => {
          this.isReturned = true
          return { done: true, value: undefined }
        },
      }),
    }
  }

  restore(): SnapshotSink {
    const written: Uint8Array[] = []
    return {
      write: (chunk) => {
        if (this.refusesWrites) throw new Error('no such chunk')
        this.writes++
        written.push(chunk.slice())
      },
      end: () => (this.chunks = written),
      abandon: () => this.abandoned++,
    }
  }
}

/** A server's snapshots: an actor on a store in memory, and what came of it. */
class Side {
  readonly id: ServerId
  readonly disk = new MemorySnapshotDisk()
  readonly state = new Chunks()
  readonly store: MemorySnapshotStore
  readonly actor: SnapshotActor
  readonly clock: VirtualTime
  readonly notices: string[] = []
  readonly failures: Error[] = []
  readonly sent: (SnapshotChunk & { readonly to: ServerId })[] = []
  readonly progress: (SnapshotReply & { readonly to: ServerId })[] = []
  readonly received: SnapshotReceived[] = []

  constructor(clock: VirtualTime, id: ServerId, options: Partial<SnapshotActorOptions> = {}) {
    this.id = id
    this.clock = clock
    this.store = new MemorySnapshotStore(this.disk, { checksum: crc32, clock })
    this.store.open(() => undefined)
    this.actor = new SnapshotActor(
      {
        store: this.store,
        stateMachine: this.state,
        clock,
        send: (to, chunk) => this.sent.push({ to, ...chunk }),
        post: (event) => (event.type === 'snapshotProgress' ? this.progress.push(event) : this.received.push(event)),
        notice: (text) => this.notices.push(text),
        fail: (error) => this.failures.push(error),
      },
      { ...OPTIONS, ...options },
    )
  }

  /** Takes a snapshot to its end. */
  taken(index: LogIndex, chunks: readonly Uint8Array[] = CHUNKS): StoredSnapshot {
    this.state.chunks = chunks
    this.state.pulls = 0
    const ends: StoredSnapshot[] = []
    this.actor.take(boundaryOf(index), 'cluster', (error, stored) => {
      if (error === undefined) ends.push(stored)
    })
    this.clock.turn()
    return ends[0]!
  }

  /** A restore to its end. */
  restored(id: SnapshotId): unknown {
    const ends: unknown[] = []
    this.actor.restore(id, (error) => ends.push(error))
    this.clock.turn()
    expect(ends).toHaveLength(1)
    return ends[0]
  }
}

/** What a link does with a chunk: undefined loses it. */
type Link = (chunk: SnapshotChunk) => SnapshotChunk | undefined

/** Carries what was said since, once; true if there was anything. */
function carry(leader: Side, follower: Side, link: Link = (chunk) => chunk): boolean {
  const said = leader.sent.filter(({ to }) => to === follower.id)
  for (const one of said) leader.sent.splice(leader.sent.indexOf(one), 1)
  for (const one of said) {
    const chunk = link(one)
    if (chunk !== undefined) follower.actor.receive(leader.id, chunk)
  }
  follower.clock.turn()
  const answers = follower.progress.splice(0)
  for (const answer of answers) leader.actor.replied(follower.id, answer)
  for (const { stored } of follower.received) {
    leader.actor.replied(follower.id, { snapshot: stored.id, outcome: 'installed', offset: 0 })
  }
  leader.clock.turn()
  return said.length > 0 || answers.length > 0
}

/** Carries until the follower has a snapshot; time goes on only when nothing else does. */
function transfer(leader: Side, follower: Side, link?: Link): SnapshotReceived {
  for (let step = 0; step < 1000 && follower.received.length === 0; step++) {
    if (!carry(leader, follower, link)) leader.clock.advance(OPTIONS.retryMs)
  }
  return follower.received[0]!
}

function pair(options: Partial<SnapshotActorOptions> = {}): { leader: Side; follower: Side; clock: VirtualTime } {
  const clock = new VirtualTime()
  return { clock, leader: new Side(clock, 1, options), follower: new Side(clock, 2, options) }
}

describe('taking a snapshot', () => {
  it('asks the state machine at once, and for one piece a turn', () => {
    const { leader, clock } = pair()
    const deferred: (() => void)[] = []
    clock.defer = (callback) => deferred.push(callback)
    leader.actor.take(boundaryOf(9), 'cluster', () => undefined)
    expect(leader.actor.isTaking).toBe(true)
    const pulls = [leader.state.pulls]
    while (deferred.length > 0) {
      deferred.shift()?.()
      pulls.push(leader.state.pulls)
    }
    // The second chunk has 900 bytes, the third 250, and a piece no more than 200.
    expect(pulls).toEqual([1, 2, 2, 2, 2, 2, 3, 3, 4, 5])
    expect(leader.actor.isTaking).toBe(false)
  })

  it('rests after each piece for twice as long as making it took', () => {
    const { leader, clock } = pair()
    const { now } = clock
    clock.now = () => now() + 5 * leader.state.pulls
    leader.state.chunks = chunksOf(100, 100, 100)
    leader.actor.take(boundaryOf(9), 'cluster', () => undefined)
    const pullsAfter = (ms: number): number => {
      clock.advance(ms)
      return leader.state.pulls
    }
    expect([pullsAfter(0), pullsAfter(9), pullsAfter(1), pullsAfter(9), pullsAfter(1)]).toEqual([1, 1, 2, 2, 3])
  })

  it('stores the state with its boundary and the cluster it is of', () => {
    const { leader } = pair()
    const { id, boundary, clusterId } = leader.taken(9)
    expect({ index: id.index, boundary, clusterId }).toEqual({
      index: 9,
      boundary: boundaryOf(9),
      clusterId: 'cluster',
    })
    leader.state.chunks = []
    expect(leader.restored(id)).toBeUndefined()
    expect(hexOf(leader.state.chunks).join('')).toBe(hexOf(CHUNKS).join(''))
  })

  it('lets a second caller wait for the one under way', () => {
    const { leader, clock } = pair()
    const ends: unknown[] = []
    leader.actor.take(boundaryOf(9), undefined, (_, stored) => ends.push(stored.id.index))
    leader.actor.take(boundaryOf(11), undefined, (_, stored) => ends.push(stored.id.index))
    clock.turn()
    expect(ends).toEqual([9, 9])
  })

  it('goes on without a snapshot when the state machine cannot make one', () => {
    const { leader, clock } = pair()
    leader.state.failsAt = 2
    const ends: unknown[] = []
    leader.actor.take(boundaryOf(9), undefined, (error) => ends.push(error))
    clock.turn()
    expect(ends).toMatchObject([{ code: 'INVALID_ARGUMENT' }])
    expect(leader.notices).toEqual([expect.stringContaining('no memory')])
    expect(leader.failures).toEqual([])
    expect(leader.disk.fileNames()).toEqual([])
    leader.state.failsAt = Infinity
    expect(leader.taken(10).id.index).toBe(10)
  })

  it('stops the server when the disk fails', () => {
    const { leader, clock } = pair()
    const ends: unknown[] = []
    leader.actor.take(boundaryOf(9), undefined, (error) => ends.push(error))
    leader.disk.full = true
    clock.turn()
    expect(ends).toMatchObject([{ code: 'STORAGE_FAILED' }])
    expect(leader.failures).toMatchObject([{ code: 'STORAGE_FAILED' }])
    expect(leader.state.isReturned).toBe(true)
  })

  it('ends with the server', () => {
    const { leader, clock } = pair()
    const ends: unknown[] = []
    leader.actor.take(boundaryOf(9), undefined, (error) => ends.push(error))
    leader.actor.stop()
    clock.turn()
    expect(ends).toMatchObject([{ code: 'STOPPED' }])
    expect(leader.state.isReturned).toBe(true)
    expect(leader.failures).toEqual([])
  })
})

describe('sending a snapshot', () => {
  it('brings it to the peer as it is, and ends when the peer has it', () => {
    const { leader, follower, clock } = pair()
    const { id } = leader.taken(9)
    leader.actor.stream(2)
    expect(transfer(leader, follower)).toMatchObject({ from: 1, stored: { id, boundary: boundaryOf(9) } })
    expect(follower.restored(id)).toBeUndefined()
    expect(hexOf(follower.state.chunks).join('')).toBe(hexOf(CHUNKS).join(''))
    clock.advance(1000)
    expect(leader.sent).toEqual([])
  })

  it('begins with an offer, and is asked for only once', () => {
    const { leader } = pair()
    const { id } = leader.taken(9)
    leader.actor.stream(2)
    leader.actor.stream(2)
    expect(leader.sent).toEqual([{ to: 2, snapshot: id, offset: 0, bytes: new Uint8Array() }])
  })

  it('has no more unanswered than its window', () => {
    const { leader, clock } = pair()
    const { id } = leader.taken(9)
    leader.actor.stream(2)
    leader.sent.splice(0)
    const offsets = (): number[] => {
      clock.turn()
      return leader.sent.splice(0).map(({ offset }) => offset)
    }
    leader.actor.replied(2, { snapshot: id, outcome: 'more', offset: 0 })
    expect(offsets()).toEqual([0, 200, 400])
    leader.actor.replied(2, { snapshot: id, outcome: 'more', offset: 200 })
    expect(offsets()).toEqual([600])
  })

  it('sends at once, and once, what the peer lacks before what it has just got', () => {
    const { leader, clock } = pair()
    const { id } = leader.taken(9)
    leader.actor.stream(2)
    for (const offset of [0, 200]) {
      leader.actor.replied(2, { snapshot: id, outcome: 'more', offset })
      clock.turn()
    }
    leader.sent.splice(0)
    for (let answer = 0; answer < 3; answer++) leader.actor.replied(2, { snapshot: id, outcome: 'more', offset: 200 })
    clock.turn()
    expect(leader.sent.map(({ offset }) => offset)).toEqual([200, 400, 600])
  })

  it('reads one chunk a turn', () => {
    const { leader, clock } = pair()
    const { id } = leader.taken(9)
    leader.actor.stream(2)
    leader.sent.splice(0)
    const deferred: (() => void)[] = []
    clock.defer = (callback) => deferred.push(callback)
    leader.actor.replied(2, { snapshot: id, outcome: 'more', offset: 0 })
    expect(leader.sent).toHaveLength(1)
    deferred.shift()?.()
    expect(leader.sent).toHaveLength(2)
  })

  it('goes on where it broke off, under another leader with the same snapshot too', () => {
    const { leader, follower, clock } = pair()
    const { id } = leader.taken(9)
    leader.actor.stream(2)
    for (let step = 0; step < 3; step++) carry(leader, follower)
    leader.actor.stopStreams()
    leader.sent.splice(0)
    const heir = new Side(clock, 3)
    expect(heir.taken(9).id).toEqual(id)
    heir.actor.stream(2)
    let bytesAgain = 0
    transfer(heir, follower, (chunk) => {
      bytesAgain += chunk.bytes.length
      return chunk
    })
    expect(follower.received[0]?.stored.id).toEqual(id)
    expect(bytesAgain).toBeLessThan(id.byteLength / 2)
  })

  it.each([5, 20, 50])('comes through a link that loses %i % of what it carries', (percent) => {
    const { leader, follower } = pair()
    leader.taken(9)
    leader.actor.stream(2)
    const random = seededRandom(percent)
    const { stored } = transfer(leader, follower, (chunk) => (random.uint32() % 100 < percent ? undefined : chunk))
    expect(follower.restored(stored.id)).toBeUndefined()
    expect(hexOf(follower.state.chunks).join('')).toBe(hexOf(CHUNKS).join(''))
  })

  it('is refused when it was damaged on the way, and comes through after all', () => {
    const { leader, follower } = pair()
    const { id } = leader.taken(9)
    leader.actor.stream(2)
    let count = 0
    const link: Link = (chunk) => {
      const bytes = chunk.bytes.slice()
      if (++count === 5) bytes[7]! ^= 4
      return { ...chunk, bytes }
    }
    expect(transfer(leader, follower, link).stored.id).toEqual(id)
    expect(follower.notices).toEqual([expect.stringContaining('was refused')])
    expect(leader.notices).toEqual([expect.stringContaining('it is sent again')])
    expect(leader.failures).toEqual([])
  })

  it('that is damaged on the leader itself is set aside there, and the one before is sent', () => {
    const { leader, follower } = pair()
    const before = leader.taken(5)
    const { id } = leader.taken(9)
    const name = leader.disk.fileNames().find((one) => one.startsWith('snapshot-9-'))!
    leader.disk.corruptFile(name, id.byteLength - 100)
    leader.actor.stream(2)
    expect(transfer(leader, follower).stored.id).toEqual(before.id)
    expect(leader.store.stored.map(({ id }) => id.index)).toEqual([5])
    expect(leader.notices).toContainEqual(expect.stringContaining('is damaged'))
    expect(leader.failures).toEqual([])
  })

  it('stays within the bandwidth over all peers, and neglects none', () => {
    const clock = new VirtualTime()
    const leader = new Side(clock, 1, { bytesPerSecond: 10_000, retryMs: 100_000 })
    const followers = [new Side(clock, 2), new Side(clock, 3)]
    leader.taken(9, chunksOf(20_000))
    for (const { id } of followers) leader.actor.stream(id)
    const bytes = [0, 0]
    for (let step = 0; step < 1000; step++) {
      for (const [at, follower] of followers.entries()) {
        carry(leader, follower, (chunk) => {
          bytes[at]! += chunk.bytes.length
          return chunk
        })
      }
      clock.advance(1)
    }
    expect(bytes[0]! + bytes[1]!).toBeGreaterThan(9000)
    expect(bytes[0]! + bytes[1]!).toBeLessThan(11_000)
    expect(Math.abs(bytes[0]! - bytes[1]!)).toBeLessThan(1000)
  })

  it('goes on with the one it has begun though newer ones come, which then replace it', () => {
    const { leader, follower, clock } = pair()
    const { id } = leader.taken(5)
    leader.actor.stream(2)
    carry(leader, follower)
    for (const index of [9, 13, 17]) leader.taken(index)
    expect(transfer(leader, follower).stored.id).toEqual(id)
    clock.turn()
    expect(leader.store.stored.map(({ id }) => id.index)).toEqual([17, 13])
  })

  it('waits for the first snapshot where there is none', () => {
    const { leader, follower } = pair()
    leader.actor.stream(2)
    expect(leader.sent).toEqual([])
    const { id } = leader.taken(9)
    expect(transfer(leader, follower).stored.id).toEqual(id)
  })

  it('does not listen to answers about another snapshot, or from a peer it sends nothing', () => {
    const { leader, clock } = pair()
    const { id } = leader.taken(9)
    leader.actor.stream(2)
    leader.sent.splice(0)
    leader.actor.replied(3, { snapshot: id, outcome: 'more', offset: 0 })
    leader.actor.replied(2, { snapshot: { ...id, index: 8 }, outcome: 'more', offset: 0 })
    clock.turn()
    expect(leader.sent).toEqual([])
  })

  it('is offered again to a peer that does not answer, until it is stopped', () => {
    const { leader, clock } = pair()
    leader.taken(9)
    leader.actor.stream(2)
    clock.advance(175)
    expect(leader.sent.map(({ bytes }) => bytes.length)).toEqual([0, 0, 0, 0])
    leader.actor.stopStream(2)
    clock.advance(175)
    expect(leader.sent).toHaveLength(4)
  })
})

describe('receiving a snapshot', () => {
  it('drops what the queue has no room for', () => {
    const { follower, clock } = pair({ queueBytesMax: 250 })
    const leader = new Side(clock, 1)
    const { id } = leader.taken(9)
    follower.disk.latencyMs = () => 1
    for (let offset = 0; offset < 800; offset += 200) {
      leader.store.read(id, offset, 200, (_, bytes) => follower.actor.receive(1, { snapshot: id, offset, bytes }))
    }
    clock.advance(100)
    // One is with the disk, and one waits.
    expect(follower.progress.map(({ offset }) => offset)).toEqual([200, 400])
  })

  it('is over at once when the very same snapshot is there', () => {
    const { leader, follower, clock } = pair()
    const stored = leader.taken(9)
    follower.taken(9)
    follower.actor.receive(1, { snapshot: stored.id, offset: 0, bytes: new Uint8Array() })
    clock.turn()
    expect(follower.received).toEqual([{ type: 'snapshotReceived', from: 1, stored }])
  })

  it('stops the server when the disk fails, and hears nothing more', () => {
    const { leader, follower } = pair()
    leader.taken(9)
    leader.actor.stream(2)
    follower.disk.failNextWrite()
    for (let step = 0; step < 5; step++) carry(leader, follower)
    expect(follower.failures).toMatchObject([{ code: 'STORAGE_FAILED' }])
  })

  it('ends with the server', () => {
    const { leader, follower, clock } = pair()
    const { id } = leader.taken(9)
    follower.disk.latencyMs = () => 1
    follower.actor.receive(1, { snapshot: id, offset: 0, bytes: new Uint8Array() })
    follower.actor.stop()
    clock.advance(100)
    expect([follower.progress, follower.failures]).toEqual([[], []])
  })
})

describe('restoring a snapshot', () => {
  it('gives the state machine one chunk a turn', () => {
    const { leader, clock } = pair({ chunkBytes: 1000 })
    const { id } = leader.taken(9)
    const deferred: (() => void)[] = []
    clock.defer = (callback) => deferred.push(callback)
    leader.actor.restore(id, () => undefined)
    const writes = [leader.state.writes]
    while (deferred.length > 0) {
      deferred.shift()?.()
      writes.push(leader.state.writes)
    }
    expect(writes).toEqual([1, 2, 3, 4, 4])
  })

  it('leaves the state as it is when the snapshot is damaged', () => {
    const { leader } = pair()
    const { id } = leader.taken(9)
    leader.disk.corruptFile(leader.disk.fileNames()[0]!, id.byteLength - 100)
    expect(leader.restored(id)).toMatchObject({ code: 'CORRUPT' })
    expect([leader.state.chunks, leader.state.abandoned]).toEqual([CHUNKS, 1])
    expect(leader.store.stored).toEqual([])
  })

  it('leaves the state as it is when the state machine refuses the bytes', () => {
    const { leader } = pair()
    const { id } = leader.taken(9)
    leader.state.refusesWrites = true
    expect(leader.restored(id)).toMatchObject({ message: 'no such chunk' })
    expect(leader.state.abandoned).toBe(1)
  })

  it('is refused for a snapshot that is not there, and while another is under way', () => {
    const { leader, clock } = pair()
    const { id } = leader.taken(9)
    expect(leader.restored({ ...id, index: 8 })).toMatchObject({ code: 'INVALID_ARGUMENT' })
    const ends: unknown[] = []
    leader.actor.restore(id, (error) => ends.push(error))
    leader.actor.restore(id, (error) => ends.push(error))
    clock.turn()
    expect(ends).toMatchObject([{ code: 'INVALID_ARGUMENT' }, undefined])
  })

  it('ends with the server, and the snapshot is let go of', () => {
    const { leader, clock } = pair()
    const { id } = leader.taken(5)
    const ends: unknown[] = []
    leader.actor.restore(id, (error) => ends.push(error))
    leader.actor.stop()
    clock.turn()
    expect(ends).toMatchObject([{ code: 'STOPPED' }])
    expect(leader.state.abandoned).toBe(1)
    for (const index of [9, 13]) leader.taken(index)
    expect(leader.store.stored.map(({ id }) => id.index)).toEqual([13, 9])
  })
})
