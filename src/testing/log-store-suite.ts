import type { EntryRun } from '../machines/entry-run.js'
import {
  boundaryAt,
  bytesOf,
  claim,
  errorOf,
  expectCode,
  hardStateOf,
  INITIAL,
  LogWriter,
  OpenStore,
  same,
  writerAfter,
} from './log-store-subject.js'
import type { LogStoreClaim, LogStorePlace } from './log-store-subject.js'

export type { LogStoreClaim, LogStorePlace, LogStoreSubject } from './log-store-subject.js'

/**
 * What every LogStore must do, as claims to run in any test runner:
 *
 *     for (const { name, check } of logStoreSuite) it(name, () => check(subject))
 */
export const logStoreSuite: readonly LogStoreClaim[] = [
  claim('an empty store is made from what it is given', async (place) => {
    const opened = await OpenStore.open(place.store(), { ...INITIAL, clusterId: 'cluster' })
    same(
      opened.recovered,
      {
        fresh: true,
        storeId: INITIAL.storeId,
        clusterId: 'cluster',
        hardState: hardStateOf(0),
        boundary: { index: 0, term: 0, checksum: 0, clusterTime: 0, configuration: INITIAL.configuration },
        lastIndex: 0,
        lastChecksum: 0,
        lastClusterTime: 0,
        termStarts: [],
        configurations: [],
        notices: [],
      },
      'what was recovered',
    )
    await opened.close()
  }),

  claim('what it is given counts only when it is empty', async (place) => {
    await (await OpenStore.open(place.store(), { ...INITIAL, clusterId: 'first' })).close()
    const other = { serverId: 1, storeId: 'other', clusterId: 'second', configuration: { voters: [9], learners: [] } }
    const again = await OpenStore.open(place.store(), other)
    const { fresh, storeId, clusterId, boundary } = again.recovered
    same([fresh, storeId, clusterId], [false, INITIAL.storeId, 'first'], 'its identity')
    same(boundary.configuration, INITIAL.configuration, 'its configuration')
    await again.close()
  }),

  claim('what was written is there after a reopen, byte for byte', async (place) => {
    const writer = new LogWriter()
    const written = [writer.noop('c'), writer.run(3)]
    writer.term = 4
    written.push(writer.run(1), writer.run(2))
    const opened = await openWith(place, written.slice(0, 2), 4)
    await opened.write({ runs: written.slice(2) })
    const again = await reopen(place, opened)
    const last = written.at(-1)
    same(bytesOf(await again.read(1)), bytesOf(written), 'the log')
    same(
      [again.recovered.lastIndex, again.recovered.lastChecksum, again.recovered.lastClusterTime],
      [7, last?.checksum, last?.clusterTime],
      'the end of the log',
    )
    same(
      again.recovered.termStarts,
      [
        { index: 1, term: 1 },
        { index: 5, term: 4 },
      ],
      'the terms',
    )
    same(again.recovered.notices, [], 'the notices')
    await again.close()
  }),

  claim('what was acknowledged outlives its process', async (place) => {
    const writer = new LogWriter()
    const written = [writer.run(2), writer.run(2)]
    await openWith(place, written)
    await place.kill()
    const again = await OpenStore.open(place.store())
    same(bytesOf(await again.read(1)), bytesOf(written), 'the log')
    await again.close()
  }),

  claim('a read gives whole runs, from the one that contains the index, until it has enough bytes', async (place) => {
    const writer = new LogWriter()
    const written = Array.from({ length: 6 }, () => writer.run(3))
    const opened = await openWith(place, written)
    const size = written[0]?.bytes.length ?? 0
    same(bytesOf(await opened.read(5, 1)), bytesOf(written.slice(1, 2)), 'one run for one byte')
    same(bytesOf(await opened.read(6, size + 1)), bytesOf(written.slice(1, 3)), 'two runs for a byte more than one')
    same(bytesOf(await opened.read(18)), bytesOf(written.slice(5)), 'the last run')
    await opened.close()
  }),

  claim('a truncation and what is appended after it are one step', async (place) => {
    const writer = new LogWriter()
    const old = [writer.run(2), writer.run(2), writer.run(2)]
    const opened = await openWith(place, old, 2)
    const anew = [writerAfter(first(old), 2).run(1)]
    await opened.write({ truncateFrom: 3, runs: anew })
    const expected = [first(old), ...anew]
    same(bytesOf(await opened.read(1)), bytesOf(expected), 'the log before the reopen')
    await place.kill()
    const again = await OpenStore.open(place.store())
    same(again.recovered.lastIndex, 3, 'the end of the log')
    same(bytesOf(await again.read(1)), bytesOf(expected), 'the log after it')
    await again.close()
  }),

  claim('an entry rewritten at the same place is the new one', async (place) => {
    const writer = new LogWriter()
    const before = writer.run(2)
    const opened = await openWith(place, [before, writer.run(2, 1)])
    const anew = writerAfter(before).run(2, 2)
    await opened.write({ truncateFrom: 3, runs: [anew] })
    const again = await reopen(place, opened)
    same(bytesOf(await again.read(3)), bytesOf([anew]), 'the entries')
    await again.close()
  }),

  claim('a truncation may leave nothing, and the log begins anew', async (place) => {
    const opened = await openWith(place, [new LogWriter().run(4)], 2)
    await opened.write({ truncateFrom: 1 })
    const again = await reopen(place, opened)
    same([again.recovered.lastIndex, again.recovered.lastChecksum], [0, 0], 'the end of the log')
    const anew = new LogWriter({ index: 0, checksum: 0, term: 2 }).run(1)
    await again.write({ runs: [anew] })
    same(bytesOf(await again.read(1)), bytesOf([anew]), 'the log')
    await again.close()
  }),

  claim('a boundary drops the prefix and keeps the rest', async (place) => {
    const writer = new LogWriter()
    const written = [writer.run(2), writer.run(2), writer.run(2)]
    const opened = await openWith(place, written)
    const boundary = boundaryAt(second(written), { voters: [4], learners: [5] })
    await opened.write({ boundary })
    const again = await reopen(place, opened)
    same(again.recovered.boundary, boundary, 'the boundary')
    same(again.recovered.termStarts, [{ index: 5, term: 1 }], 'the terms above it')
    same(bytesOf(await again.read(5)), bytesOf(written.slice(2)), 'the log')
    const next = writer.run(1)
    await again.write({ runs: [next] })
    same(bytesOf(await again.read(7)), bytesOf([next]), 'an entry appended later')
    await again.close()
  }),

  claim('a boundary beyond the log leaves an empty log that goes on after it', async (place) => {
    const elsewhere = new LogWriter({ index: 0, checksum: 0, term: 2 })
    const boundary = boundaryAt(elsewhere.run(50))
    const opened = await openWith(place, [new LogWriter().run(4)], 2)
    const next = elsewhere.run(2)
    await opened.write({ truncateFrom: 1, boundary, runs: [next] })
    const again = await reopen(place, opened)
    same([again.recovered.boundary.index, again.recovered.lastIndex], [50, 52], 'the log')
    same(bytesOf(await again.read(51)), bytesOf([next]), 'what follows the boundary')
    await again.close()
  }),

  claim('a boundary at the end of the log leaves its checksum for the next run', async (place) => {
    const writer = new LogWriter()
    const run = writer.run(4)
    const opened = await openWith(place, [run])
    await opened.write({ boundary: boundaryAt(run) })
    const again = await reopen(place, opened)
    same([again.recovered.lastIndex, again.recovered.lastChecksum], [4, run.checksum], 'the end of the log')
    same(again.recovered.lastClusterTime, run.clusterTime, 'the cluster time')
    await again.write({ runs: [writer.run(1)] })
    await (await reopen(place, again)).close()
  }),

  claim('configurations above the boundary are found with their indexes', async (place) => {
    const writer = new LogWriter()
    const [one, two] = [
      { voters: [1], learners: [2] },
      { voters: [1, 2], votersOutgoing: [1], learners: [] },
    ]
    const opened = await openWith(place, [writer.run(2), writer.configuration(one), writer.configuration(two)])
    const again = await reopen(place, opened)
    const expected = [
      { index: 3, configuration: one },
      { index: 4, configuration: two },
    ]
    same(
      again.recovered.configurations.map(({ index }) => index),
      [3, 4],
      'their indexes',
    )
    same(again.recovered.configurations[0], expected[0], 'the first')
    same(again.recovered.configurations[1]?.configuration.votersOutgoing, [1], 'the outgoing voters of the second')
    await again.close()
  }),

  claim('the cluster id is kept once it is known', async (place) => {
    const opened = await openWith(place, [])
    await opened.write({ clusterId: 'cluster' })
    const again = await reopen(place, opened)
    same(again.recovered.clusterId, 'cluster', 'the cluster id')
    await again.close()
  }),

  claim('a run that does not follow the log is refused, and nothing is written', async (place) => {
    const writer = new LogWriter()
    const [one, , three] = [writer.run(2), writer.run(2), writer.run(2)]
    const opened = await openWith(place, [one])
    await errorOf(opened.write({ runs: [three] }))
    const stranger = new LogWriter({ index: 2, checksum: one.checksum + 1, term: 1 }).run(1)
    await errorOf(opened.write({ runs: [stranger] }))
    await errorOf(opened.write({ truncateFrom: 2 }))
    const again = await reopen(place, opened)
    same(again.recovered.lastIndex, 2, 'the end of the log')
    await again.close()
  }),

  claim('every callback comes exactly once', async (place) => {
    const writer = new LogWriter()
    const opened = await openWith(place, [])
    const calls: string[] = []
    const once = (name: string) =>
      new Promise<void>((resolve) => {
        const callback = (): void => {
          calls.push(name)
          resolve()
        }
        if (name === 'write') opened.store.write({ runs: [writer.run(1)] }, callback)
        else if (name === 'read') opened.store.read(1, 1, callback)
        else opened.store.close(callback)
      })
    for (const name of ['write', 'read', 'write', 'close']) await once(name)
    await (await OpenStore.open(place.store())).close()
    same(calls, ['write', 'read', 'write', 'close'], 'the callbacks')
  }),

  claim('a second store on the same place is refused', async (place) => {
    const opened = await openWith(place, [])
    await expectCode(OpenStore.open(place.store()), 'LOCKED')
    const again = await reopen(place, opened)
    await again.close()
  }),

  claim("another server's store is refused, and let go of", async (place) => {
    await (await openWith(place, [])).close()
    await expectCode(OpenStore.open(place.store(), { ...INITIAL, serverId: 2 }), 'INVALID_ARGUMENT')
    await (await OpenStore.open(place.store())).close()
  }),

  claim('a closed store writes nothing more, and may be closed again', async (place) => {
    const opened = await openWith(place, [])
    await opened.close()
    await opened.close()
    await errorOf(opened.write({ hardState: hardStateOf(9) }))
    const again = await OpenStore.open(place.store())
    same(again.recovered.hardState.term, 1, 'the term')
    await again.close()
  }),

  claim('closing waits for the write in flight', async (place) => {
    const opened = await openWith(place, [])
    const written = opened.write({ runs: [new LogWriter().run(3)] })
    await Promise.all([written, opened.close()])
    const again = await OpenStore.open(place.store())
    same(again.recovered.lastIndex, 3, 'the end of the log')
    await again.close()
  }),

  claim('a thousand small writes make one chain', async (place) => {
    const writer = new LogWriter()
    const opened = await openWith(place, [])
    for (let batch = 0; batch < 20; batch++) {
      await opened.write({ runs: Array.from({ length: 50 }, (_, at) => writer.run(1 + (at % 3))) })
    }
    const again = await reopen(place, opened)
    let next = 1
    for (const run of await again.read(1)) {
      same(run.firstIndex, next, 'the first index of a run')
      next = run.lastIndex + 1
    }
    same(next - 1, again.recovered.lastIndex, 'the end of the log')
    await again.close()
  }),
]

/** Opens the place, in `term` and with `runs` in its log. */
async function openWith(place: LogStorePlace, runs: readonly EntryRun[], term = 1): Promise<OpenStore> {
  const opened = await OpenStore.open(place.store())
  await opened.write({ hardState: hardStateOf(term), runs })
  return opened
}

async function reopen(place: LogStorePlace, opened: OpenStore): Promise<OpenStore> {
  await opened.close()
  return OpenStore.open(place.store())
}

function first(runs: readonly EntryRun[]): EntryRun {
  return at(runs, 0)
}

function second(runs: readonly EntryRun[]): EntryRun {
  return at(runs, 1)
}

function at(runs: readonly EntryRun[], position: number): EntryRun {
  const run = runs[position]
  if (run === undefined) throw new Error(`no run at ${position}`)
  return run
}
