import { setTimeout as delay } from 'node:timers/promises'
import type { EngineProcess } from './processes.js'

const LOOK_MS = 100

/** Resolves once `follower` has applied all that `leader` had committed when last looked, a tenth of a second before. */
export async function caughtUp(leader: EngineProcess, follower: EngineProcess): Promise<void> {
  for (;;) {
    const { commitIndex } = await leader.ask('position', undefined)
    await delay(LOOK_MS)
    const { lastApplied } = await follower.ask('position', undefined)
    if (lastApplied >= commitIndex) return
  }
}
