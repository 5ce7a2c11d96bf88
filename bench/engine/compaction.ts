import { setTimeout as delay } from 'node:timers/promises'
import type { Writes } from './bulk-write.js'
import type { EngineProcess } from './processes.js'

const LOOK_MS = 50
const LOOKS_MAX = 200

/** Has a server compact its log beyond `index`: up to the older of its two snapshots, so it takes two. */
export async function compactBeyond(server: EngineProcess, index: number, writes: Writes): Promise<void> {
  await server.ask('snapshot', undefined)
  await server.ask('write', { ...writes, entries: 1 })
  await server.ask('snapshot', undefined)
  for (let look = 0; look < LOOKS_MAX; look++) {
    if ((await server.ask('position', undefined)).compactedIndex > index) return
    await delay(LOOK_MS)
  }
  throw new Error(`two snapshots were taken, and yet entries before ${index} are still in the log`)
}
