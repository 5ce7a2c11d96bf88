import { setTimeout as sleep } from 'node:timers/promises'
import { ActorumError, EmbeddedEngine } from '../../src/index.js'

// An engine on Level in a process whose files may not grow beyond a limit that its parent has set. It writes until it
// cannot, tries once more, and says what it was told.

export interface FullDiskReport {
  readonly acknowledged: number
  readonly codes: readonly string[]
  readonly failure: { readonly code: string; readonly message: string } | undefined
}

export const keyOf = (at: number): string => `key ${at}`
export const VALUE = 'x'.repeat(32 * 1024)

/** Far more than there is room for. */
const PUTS_MAX = 1000

const [dataDir] = process.argv.slice(2)
if (dataDir !== undefined) process.stdout.write(JSON.stringify(await writeUntilFull(dataDir)))

async function writeUntilFull(directory: string): Promise<FullDiskReport> {
  const engine = await EmbeddedEngine.start({ dataDir: directory, logStore: 'level', log: () => undefined })
  await engine.ready()
  const codes: string[] = []
  let acknowledged = 0
  while (codes.length < 2 && acknowledged < PUTS_MAX) {
    try {
      await engine.client.put(keyOf(acknowledged), VALUE)
      acknowledged++
    } catch (error) {
      codes.push(error instanceof ActorumError ? error.code : String(error))
      await sleep(0)
    }
  }
  const { failure } = engine.status()
  await engine.stop()
  return { acknowledged, codes, failure: failure && { code: failure.code, message: failure.message } }
}
