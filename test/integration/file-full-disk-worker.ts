import type { LogStoreHandler } from '../../src/storage/ports.js'
import { hardStateOf, LogWriter, OpenStore } from '../../src/testing/log-store-subject.js'
import { storeIn } from './file-place.js'

// Appends in a process whose files may not grow beyond a limit that its parent has set, until it cannot, and says what
// it was told.

export interface FullDiskReport {
  readonly acknowledged: number
  readonly codes: readonly unknown[]
  readonly message: string
}

const NOBODY: LogStoreHandler = { failed: () => undefined }

const [directory] = process.argv.slice(2)
if (directory !== undefined) process.stdout.write(JSON.stringify(await writeUntilFull(directory)))

async function writeUntilFull(directory: string): Promise<FullDiskReport> {
  // A batch that is longer than its segment makes the file grow: it is the write itself that fails.
  const opened = await OpenStore.open(storeIn(directory), undefined, NOBODY)
  await opened.write({ hardState: hardStateOf(1) })
  const writer = new LogWriter()
  let acknowledged = 0
  const codes: unknown[] = []
  let message = ''
  for (let entries = 1; codes.length < 2; entries *= 4) {
    const run = writer.run(entries, 1)
    try {
      await opened.write({ runs: [run] })
      acknowledged = run.lastIndex
    } catch (error) {
      if (!(error instanceof Error)) throw error
      codes.push('code' in error ? error.code : undefined)
      message = error.message
    }
  }
  await opened.close().catch(() => undefined)
  return { acknowledged, codes, message }
}
