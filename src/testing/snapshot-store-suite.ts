import type { Boundary, SnapshotId } from '../machines/types.js'
import type { ReceiveOutcome } from '../storage/ports.js'
import { crc32 } from '../machines/checksum.js'
import { errorOf, expectCode, same } from './log-store-subject.js'
import {
  boundaryOf,
  chunksOf,
  hexOf,
  OpenSnapshots,
  promised,
  snapshotClaim as claim,
  write,
  type SnapshotStoreClaim,
  type SnapshotStorePlace,
} from './snapshot-store-subject.js'

export type { SnapshotStoreClaim, SnapshotStorePlace, SnapshotStoreSubject } from './snapshot-store-subject.js'

const CHUNKS = chunksOf(1, 300, 5000, 17)

/**
 * What every SnapshotStore must do, as claims to run in any test runner:
 *
 *     for (const { name, check } of snapshotStoreSuite) it(name, () => check(subject))
 */
export const snapshotStoreSuite: readonly SnapshotStoreClaim[] = [
  claim('an empty place holds no snapshot', async (place) => {
    const opened = await OpenSnapshots.open(place)
    same(opened.found, { stored: [], notices: [] }, 'what was found')
    await opened.close()
  }),

  claim('a snapshot is there again after a reopen, chunk by chunk as it was written', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const stored = await opened.keep(boundaryOf(9, 2), CHUNKS, 'cluster')
    same(opened.store.stored, [stored], 'what is stored')
    const again = await reopen(place, opened)
    same(sorted(again.found), sorted({ stored: [stored], notices: [] }), 'what was found')
    same(hexOf(await again.chunks(stored.id)), hexOf(CHUNKS), 'the chunks')
    await again.close()
  }),

  claim('a snapshot says where the log goes on, and of which cluster it is', async (place) => {
    const boundary: Boundary = {
      ...boundaryOf(9, 2),
      configuration: { voters: [1, 2], votersOutgoing: [1], learners: [] },
    }
    const opened = await OpenSnapshots.open(place)
    await opened.keep(boundary, [], 'cluster')
    const again = await reopen(place, opened)
    const [found] = again.store.stored
    same([found?.id.index, found?.id.term, found?.clusterId], [9, 2, 'cluster'], 'its names')
    same(sorted(found?.boundary), sorted(boundary), 'its boundary')
    await again.close()
  }),

  claim('what is complete outlives its process', async (place) => {
    const { id } = await (await OpenSnapshots.open(place)).keep(boundaryOf(9), CHUNKS)
    await place.kill()
    const again = await OpenSnapshots.open(place)
    same(hexOf(await again.chunks(id)), hexOf(CHUNKS), 'the chunks')
    await again.close()
  }),

  claim('a snapshot that was not completed is not there, nor is anything of it in the way', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const writer = opened.store.create(boundaryOf(9), undefined)
    for (const chunk of CHUNKS) await write(writer, chunk)
    same(opened.indexes, [], 'what is stored before the commit')
    await place.kill()
    const again = await OpenSnapshots.open(place)
    same(again.found, { stored: [], notices: [] }, 'what was found')
    const { id } = await again.keep(boundaryOf(9), CHUNKS)
    same(hexOf(await again.chunks(id)), hexOf(CHUNKS), 'the chunks of the next')
    await again.close()
  }),

  claim('an abandoned snapshot leaves nothing, and another can be written', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const writer = opened.store.create(boundaryOf(9), undefined)
    await write(writer, CHUNKS[1] ?? new Uint8Array())
    await promised<void>((done) => writer.abandon(done))
    await errorOf(promised((done) => writer.commit(done)))
    await opened.keep(boundaryOf(10), CHUNKS)
    same(opened.indexes, [10], 'what is stored')
    await opened.close()
  }),

  claim('one snapshot is written at a time', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const writer = opened.store.create(boundaryOf(9), undefined)
    const second = new Promise(() => opened.store.create(boundaryOf(10), undefined))
    await expectCode(second, 'INVALID_ARGUMENT')
    await promised((done) => writer.commit(done))
    await opened.close()
  }),

  claim('a chunk too large to be read back whole is refused', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const writer = opened.store.create(boundaryOf(9), undefined)
    await expectCode(write(writer, new Uint8Array(16 * 1024 * 1024 + 1)), 'TOO_LARGE')
    await promised<void>((done) => writer.abandon(done))
    await opened.close()
  }),

  claim('the newest two are kept', async (place) => {
    const opened = await OpenSnapshots.open(place)
    for (const index of [5, 9, 13, 17]) await opened.keep(boundaryOf(index), CHUNKS)
    same(opened.indexes, [17, 13], 'what is stored')
    const again = await reopen(place, opened)
    same(again.indexes, [17, 13], 'what is stored after a reopen')
    await again.close()
  }),

  claim('a snapshot that somebody reads is kept until he has done', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const { id } = await opened.keep(boundaryOf(5), CHUNKS)
    const reader = await opened.reader(id)
    const release = opened.store.retain(id)
    for (const index of [9, 13]) await opened.keep(boundaryOf(index), CHUNKS)
    same((await opened.read(id)).length, id.byteLength, 'its bytes')
    reader.close()
    same(hexOf(await opened.chunks(id)), hexOf(CHUNKS), 'its chunks')
    release()
    await opened.close()
    const again = await OpenSnapshots.open(place)
    same(again.indexes, [13, 9], 'what is stored then')
    await again.close()
  }),

  claim('servers of one state make the same snapshot', async (place, other) => {
    const [opened, elsewhere] = [await OpenSnapshots.open(place), await OpenSnapshots.open(other)]
    const { configuration, ...rest } = boundaryOf(9)
    const { learners, voters, members } = configuration
    const stored = await opened.keep({ ...rest, configuration }, CHUNKS, 'cluster')
    const same9 = { configuration: { learners, voters, ...(members === undefined ? {} : { members }) }, ...rest }
    same((await elsewhere.keep(same9, CHUNKS, 'cluster')).id, stored.id, 'the id of the second')
    await Promise.all([opened.close(), elsewhere.close()])
  }),

  claim('reading gives the file as it is, as much as is asked for, and nothing beyond its end', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const { id } = await opened.keep(boundaryOf(9), CHUNKS)
    const whole = await opened.read(id, 0, 1e9)
    same(whole.length, id.byteLength, 'its length')
    same(hexOf([await opened.read(id, 100, 50)]), hexOf([whole.subarray(100, 150)]), 'a piece')
    same((await opened.read(id, id.byteLength, 50)).length, 0, 'the length beyond its end')
    await opened.close()
  }),

  claim('a snapshot that is not there cannot be read', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const id = { index: 9, term: 1, byteLength: 99, checksum: 1 }
    await expectCode(opened.read(id), 'INVALID_ARGUMENT')
    await expectCode(opened.reader(id), 'INVALID_ARGUMENT')
    await opened.close()
  }),

  claim('received in pieces of any size it is the same snapshot, and durable', async (place, other) => {
    const { id, file } = await made(other, CHUNKS)
    for (const size of [1, 7, 1000, file.length]) {
      const opened = await OpenSnapshots.open(place)
      const foreign = await made(other, CHUNKS, size)
      const outcome = await send(opened, foreign.id, foreign.file, size)
      same(outcome.outcome, 'complete', 'the outcome')
      await place.kill()
      const again = await OpenSnapshots.open(place)
      same(hexOf(await again.chunks(foreign.id)), hexOf(CHUNKS), 'the chunks')
      await again.close()
    }
    same(id.byteLength, file.length, 'the length in its id')
  }),

  claim('a piece without bytes asks how much is there', async (place, other) => {
    const { id, file } = await made(other, CHUNKS)
    const opened = await OpenSnapshots.open(place)
    same(await opened.receive(id, 0, new Uint8Array()), { outcome: 'more', offset: 0 }, 'the first answer')
    same(await opened.receive(id, 0, file.subarray(0, 400)), { outcome: 'more', offset: 400 }, 'the second')
    same(await opened.receive(id, 0, new Uint8Array()), { outcome: 'more', offset: 400 }, 'the third')
    await opened.close()
  }),

  claim('what is there already is skipped, and nothing is taken beyond a gap', async (place, other) => {
    const { id, file } = await made(other, CHUNKS)
    const opened = await OpenSnapshots.open(place)
    await opened.receive(id, 0, file.subarray(0, 400))
    same(await opened.receive(id, 401, file.subarray(401)), { outcome: 'more', offset: 400 }, 'beyond a gap')
    same(await opened.receive(id, 100, file.subarray(100, 300)), { outcome: 'more', offset: 400 }, 'of what is there')
    const { outcome } = await opened.receive(id, 300, file.subarray(300))
    same(outcome, 'complete', 'the outcome of all the rest')
    same(hexOf(await opened.chunks(id)), hexOf(CHUNKS), 'the chunks')
    await opened.close()
  }),

  claim('a transfer goes on where it broke off, though the process was killed', async (place, other) => {
    const { id, file } = await made(other, chunksOf(40, 700_000, 900_000, 40))
    for (let sent = 0; sent < file.length; sent += 400_001) {
      const opened = await OpenSnapshots.open(place)
      same(await opened.receive(id, 0, new Uint8Array()), { outcome: 'more', offset: sent }, 'what is there')
      await opened.receive(id, sent, file.subarray(sent, sent + 400_001))
      await place.kill()
    }
    const again = await OpenSnapshots.open(place)
    same(again.indexes, [id.index], 'what is stored')
    same((await again.chunks(id)).length, 4, 'the number of chunks')
    await again.close()
  }),

  claim('a transfer of another snapshot takes the place of the one before', async (place, other) => {
    const [first, second] = [await made(other, CHUNKS), await made(other, chunksOf(2000), 1)]
    for (const between of [
      (opened: OpenSnapshots) => Promise.resolve(opened),
      (opened: OpenSnapshots) => reopen(place, opened),
    ]) {
      const opened = await OpenSnapshots.open(place)
      await opened.receive(first.id, 0, first.file.subarray(0, 900))
      const later = await between(opened)
      await later.receive(second.id, 0, second.file.subarray(0, 900))
      const asked = await later.receive(first.id, 0, new Uint8Array())
      same(asked, { outcome: 'more', offset: 0 }, 'what is left of the first')
      await later.close()
    }
  }),

  claim('a snapshot that is stored already is complete at once', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const stored = await opened.keep(boundaryOf(9), CHUNKS)
    const outcome = await opened.receive(stored.id, 0, new Uint8Array())
    same(outcome, { outcome: 'complete', stored }, 'the outcome')
    await opened.close()
  }),

  claim('a damaged piece is refused wherever the damage is, and the transfer begins again', async (place, other) => {
    const { id, file } = await made(other, CHUNKS)
    const opened = await OpenSnapshots.open(place)
    for (let at = 0; at < file.length; at += at < 400 || at > file.length - 60 ? 1 : 97) {
      const outcome = await send(opened, id, flipped(file, at), 512)
      if (outcome.outcome !== 'refused') throw new Error(`byte ${at} was changed, and the outcome is not a refusal`)
      same(await opened.receive(id, 0, new Uint8Array()), { outcome: 'more', offset: 0 }, 'what is left of it')
    }
    same((await send(opened, id, file, 512)).outcome, 'complete', 'the outcome of a sound transfer')
    await opened.close()
  }),

  claim('a snapshot whose chunks changed places is refused, though each is sound', async (place, other) => {
    const { id, file } = await made(other, chunksOf(500, 500))
    const record = 8 + 500
    const at = file.length - 24 - 2 * record
    const swapped = file.slice()
    swapped.copyWithin(at, at + record, at + 2 * record)
    swapped.set(file.subarray(at, at + record), at + record)
    const opened = await OpenSnapshots.open(place)
    same((await send(opened, id, swapped, 512)).outcome, 'refused', 'the outcome')
    await opened.close()
  }),

  claim('a snapshot other than the one announced is refused', async (place, other) => {
    const { id, file } = await made(other, CHUNKS)
    const opened = await OpenSnapshots.open(place)
    const strangers: readonly SnapshotId[] = [
      { ...id, index: id.index + 1 },
      { ...id, term: id.term + 1 },
      { ...id, checksum: id.checksum ^ 1 },
      { ...id, byteLength: id.byteLength - 1 },
    ]
    for (const stranger of strangers) same((await send(opened, stranger, file, 999)).outcome, 'refused', 'the outcome')
    const longer = { ...id, byteLength: id.byteLength + 1 }
    const beyond = new Uint8Array([...file, 0])
    same((await send(opened, longer, beyond, 999)).outcome, 'refused', 'the outcome of one that goes on')
    same(opened.indexes, [], 'what is stored')
    await opened.close()
  }),

  claim('a snapshot of a newer format is refused with the advice to upgrade', async (place, other) => {
    const { id, file } = await made(other, CHUNKS)
    const opened = await OpenSnapshots.open(place)
    const outcome = await send(opened, id, ofFormat(file, 2), 512)
    if (outcome.outcome !== 'refused') throw new Error('a newer format was not refused')
    if (!/newer version.*upgrade/i.test(outcome.reason)) throw new Error(`the reason is only: ${outcome.reason}`)
    await opened.close()
  }),

  claim('damage at either end is found on opening: the snapshot is set aside, the one before counts', async (place) => {
    for (const fromEnd of [false, true]) {
      const opened = await OpenSnapshots.open(place)
      await opened.keep(boundaryOf(5), CHUNKS)
      const { id } = await opened.keep(boundaryOf(9), CHUNKS)
      await opened.close()
      await place.corrupt(id, fromEnd ? id.byteLength - 15 : 25)
      const again = await OpenSnapshots.open(place)
      same(again.indexes, [5], 'what is stored')
      same(again.found.notices.length, 1, 'the number of notices')
      const third = await reopen(place, again)
      same(third.found.notices, [], 'the notices when it is opened once more')
      await third.close()
    }
  }),

  claim('damage in between is found on reading: the snapshot is set aside, the one before counts', async (place) => {
    const opened = await OpenSnapshots.open(place)
    await opened.keep(boundaryOf(5), CHUNKS)
    const { id } = await opened.keep(boundaryOf(9), CHUNKS)
    await place.corrupt(id, id.byteLength - 100)
    await expectCode(opened.chunks(id), 'CORRUPT')
    same(opened.indexes, [5], 'what is stored')
    const again = await reopen(place, opened)
    same(again.found.notices, [], 'the notices')
    same(again.indexes, [5], 'what is stored after a reopen')
    await again.close()
  }),

  claim('damage that several come to at once is set aside once, and the disk has not failed', async (place) => {
    const opened = await OpenSnapshots.open(place)
    await opened.keep(boundaryOf(5), CHUNKS)
    const { id } = await opened.keep(boundaryOf(9), CHUNKS)
    await place.corrupt(id, id.byteLength - 100)
    const errors = await Promise.all([1, 2, 3].map(() => errorOf(opened.chunks(id))))
    // Who had not opened the file yet finds it gone.
    const codes = errors.map((error) => ('code' in error ? error.code : error.message))
    same(codes.includes('CORRUPT'), true, 'whether the damage was found')
    same(codes.filter((code) => code !== 'CORRUPT' && code !== 'INVALID_ARGUMENT').length, 0, 'other outcomes')
    await opened.keep(boundaryOf(12), CHUNKS)
    same(opened.indexes, [12, 5], 'what is stored')
    await opened.close()
  }),

  claim('a closed store does nothing more, and may be closed again', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const { id } = await opened.keep(boundaryOf(9), CHUNKS)
    const writer = opened.store.create(boundaryOf(10), undefined)
    await write(writer, new Uint8Array(9))
    await opened.close()
    await opened.close()
    await expectCode(opened.read(id), 'STOPPED')
    await expectCode(
      promised((done) => writer.commit(done)),
      'STOPPED',
    )
    const again = await OpenSnapshots.open(place)
    same(again.indexes, [9], 'what is stored')
    await again.close()
  }),

  claim('closing waits for what is under way', async (place) => {
    const opened = await OpenSnapshots.open(place)
    const kept = opened.store.create(boundaryOf(9), undefined)
    await write(kept, new Uint8Array(100_000))
    const ended: string[] = []
    const committed = promised((done) => kept.commit(done)).then(() => ended.push('commit'))
    await Promise.all([committed, opened.close().then(() => ended.push('close'))])
    same(ended, ['commit', 'close'], 'the order of the ends')
    const again = await OpenSnapshots.open(place)
    same(again.indexes, [9], 'what is stored')
    await again.close()
  }),
]

/** A snapshot of another server, and its file. `variant` makes it another one. */
async function made(
  place: SnapshotStorePlace,
  chunks: readonly Uint8Array[],
  variant = 0,
): Promise<{ readonly id: SnapshotId; readonly file: Uint8Array }> {
  const opened = await OpenSnapshots.open(place)
  const { id } = await opened.keep(boundaryOf(20 + variant), chunks)
  const file = await opened.read(id)
  await opened.close()
  return { id, file }
}

/** Sends a file from where the receiver has it, in pieces, to its end or its first refusal. */
async function send(opened: OpenSnapshots, id: SnapshotId, file: Uint8Array, size: number): Promise<ReceiveOutcome> {
  let outcome = await opened.receive(id, 0, new Uint8Array())
  while (outcome.outcome === 'more' && outcome.offset < file.length) {
    const { offset } = outcome
    outcome = await opened.receive(id, offset, file.subarray(offset, offset + size))
  }
  return outcome
}

function flipped(file: Uint8Array, at: number): Uint8Array {
  const copy = file.slice()
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

/** The file as a version would write its header whose format has this number; the rest no longer matters. */
function ofFormat(file: Uint8Array, format: number): Uint8Array {
  const copy = file.slice()
  const view = new DataView(copy.buffer)
  view.setUint8(0, format)
  view.setUint32(4, crc32(copy.subarray(8, 16 + view.getUint32(12)), crc32(copy.subarray(0, 4))))
  return copy
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, one]): [string, unknown] => [key, sorted(one)])
  return Object.fromEntries(entries.sort(([left], [right]) => (left < right ? -1 : 1)))
}

async function reopen(place: SnapshotStorePlace, opened: OpenSnapshots): Promise<OpenSnapshots> {
  await opened.close()
  return OpenSnapshots.open(place)
}
