import type { Durability } from '../../src/storage/ports.js'
import { hardStateOf, LogWriter, OpenStore } from '../../src/testing/log-store-subject.js'
import { storeIn } from './file-place.js'

// Appends to the log in the directory it is given until it is killed, and tells its parent the last index of each
// write that was acknowledged.

const [directory, durability] = process.argv.slice(2)
if (directory !== undefined) await append(directory, durability as Durability)

async function append(directory: string, durability: Durability): Promise<never> {
  const opened = await OpenStore.open(storeIn(directory, { durability }))
  const { lastIndex: index, lastChecksum: checksum } = opened.recovered
  if (opened.recovered.hardState.term === 0) await opened.write({ hardState: hardStateOf(1) })
  const writer = new LogWriter({ index, checksum, term: 1 })
  for (let write = 1; ; write++) {
    const runs = [writer.run(1 + (write % 5), write % 256), writer.run(2)]
    await opened.write({ runs })
    const { lastIndex } = runs[1]!
    // Waits until it is told: the parent is to kill it soon after, and not behind a queue of messages.
    await new Promise((resolve) => process.send?.(lastIndex, resolve))
  }
}
