import { ActorumError, EmbeddedEngine, lock, type EngineOptions } from 'actorum'
import { untilAborted } from '../story/three-servers.js'

/** What the worker says to who started it. */
export type WorkerNote =
  | { readonly type: 'holds'; readonly token: number; readonly pid: number }
  | { readonly type: 'refused'; readonly code: string | undefined; readonly isHeld: boolean }

// The worker: a server in a process of its own, and somebody there who holds a lock for long.

const { SERVER = '{}', TTL_MS } = process.env

function tell(note: WorkerNote): void {
  process.send?.(note)
}

process.on('disconnect', () => process.exit(0))
const engine = await EmbeddedEngine.start({ ...(JSON.parse(SERVER) as EngineOptions), log: () => undefined })
const held = await lock(engine.client, 'account', { ttlMs: Number(TTL_MS) })
const account = held.guarded()
await account.put('account/balance', '100')
tell({ type: 'holds', token: held.token, pid: process.pid })

// It is kept alive as long as this process runs: only a pause can be the end of it.
await untilAborted(held.signal)
try {
  await account.put('account/balance', '99')
  tell({ type: 'refused', code: undefined, isHeld: held.isHeld })
} catch (error) {
  tell({ type: 'refused', code: error instanceof ActorumError ? error.code : String(error), isHeld: held.isHeld })
}
