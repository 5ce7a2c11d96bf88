import { claim, errorOf, hardStateOf, LogWriter, OpenStore, same } from './log-store-subject.js'
import type { LogStoreClaim } from './log-store-subject.js'

/** What every LogStore must do with term and vote, whatever its durability; to be run as `logStoreSuite` is. */
export const hardStateSuite: readonly LogStoreClaim[] = [
  claim('term, vote and promise come back together', async (place) => {
    const opened = await OpenStore.open(place.store())
    await opened.write({ hardState: hardStateOf(3, 2, 1500) })
    await opened.close()
    const again = await OpenStore.open(place.store())
    same(again.recovered.hardState, hardStateOf(3, 2, 1500), 'the HardState')
    await again.close()
  }),

  claim('once the callback has come, the vote outlives the process', async (place) => {
    const opened = await OpenStore.open(place.store())
    await opened.write({ hardState: hardStateOf(3) })
    await opened.write({ hardState: hardStateOf(3, 1) })
    await place.kill()
    const again = await OpenStore.open(place.store())
    same(again.recovered.hardState, hardStateOf(3, 1), 'the HardState')
    await again.close()
  }),

  claim('HardState and entries change in one step', async (place) => {
    const opened = await OpenStore.open(place.store())
    const writer = new LogWriter({ index: 0, checksum: 0, term: 5 })
    await opened.write({ hardState: hardStateOf(5, 1), runs: [writer.run(2)] })
    await place.kill()
    const again = await OpenStore.open(place.store())
    same([again.recovered.hardState.term, again.recovered.lastIndex], [5, 2], 'the term and the end of the log')
    await again.close()
  }),

  claim('a write of entries alone leaves HardState as it is', async (place) => {
    const opened = await OpenStore.open(place.store())
    await opened.write({ hardState: hardStateOf(2, 3) })
    await opened.write({ runs: [new LogWriter().run(1)] })
    await opened.close()
    const again = await OpenStore.open(place.store())
    same(again.recovered.hardState, hardStateOf(2, 3), 'the HardState')
    await again.close()
  }),

  claim('a new term forgets the vote; the same term keeps it', async (place) => {
    const opened = await OpenStore.open(place.store())
    await opened.write({ hardState: hardStateOf(2, 3) })
    await errorOf(opened.write({ hardState: hardStateOf(2) }))
    await errorOf(opened.write({ hardState: hardStateOf(2, 1) }))
    await opened.write({ hardState: hardStateOf(3) })
    await opened.close()
    const again = await OpenStore.open(place.store())
    same(again.recovered.hardState, hardStateOf(3), 'the HardState')
    await again.close()
  }),

  claim('the term never goes back', async (place) => {
    const opened = await OpenStore.open(place.store())
    await opened.write({ hardState: hardStateOf(4) })
    await errorOf(opened.write({ hardState: hardStateOf(3, 1) }))
    await opened.close()
    const again = await OpenStore.open(place.store())
    same(again.recovered.hardState, hardStateOf(4), 'the HardState')
    await again.close()
  }),
]
