import { join } from 'node:path'
import { EmbeddedEngine, restoreBackup } from '../../src/index.js'

// Starts an engine, with either log, and restores a backup where no directory can be made, and says what becomes of it.
// A process of its own: a thread that asks the operating system for ever would keep a test's process from ending.

const [root, dataDir] = process.argv.slice(2)
if (root !== undefined && dataDir !== undefined) {
  for (const logStore of ['file', 'level'] as const) await tell(EmbeddedEngine.start({ dataDir, logStore }))
  const from = join(root, 'backup')
  await using engine = await EmbeddedEngine.start({ dataDir: join(root, 'sound') })
  await engine.ready()
  await engine.backup(from)
  await tell(restoreBackup({ from, dataDir }))
}

async function tell(outcome: Promise<unknown>): Promise<void> {
  const text = await outcome.then(
    () => 'made',
    (error: unknown) => (error instanceof Error && 'code' in error ? `${String(error.code)} ${error.message}` : 'raw'),
  )
  process.stdout.write(`${text}\n`)
}
