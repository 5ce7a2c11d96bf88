import { join } from 'node:path'
import type { EngineProcess, EngineProcesses } from '../engine/processes.js'
import type { LogStoreName } from '../subject.js'
import { VALUE_BYTES } from './keys.js'

const WRITERS = 1000
const HOUR_MS = 3_600_000

export interface MemoryRow {
  readonly name: string
  /** The replicated state by itself, or a server alone in its cluster. */
  readonly of: 'state' | 'server'
  readonly ttlMs?: number
}

export const MEMORY_ROWS: readonly MemoryRow[] = [
  { name: 'memory, the state', of: 'state' },
  { name: 'memory, the state, keys with a TTL', of: 'state', ttlMs: HOUR_MS },
  { name: 'memory, a server', of: 'server' },
  { name: 'memory, a server, keys with a TTL', of: 'server', ttlMs: HOUR_MS },
]

export interface Memory {
  readonly row: MemoryRow
  /** What came to be resident, for each million keys (2^20 bytes). */
  readonly mbPerMillion: number
  /** The highest that it was meanwhile. */
  readonly maxMbPerMillion: number
}

/** Measures in a fresh process by how much its resident memory grows, after garbage collections. */
export async function measureMemory(
  row: MemoryRow,
  keys: number,
  logStore: LogStoreName,
  processes: EngineProcesses,
  dir: string,
): Promise<Memory> {
  process.stderr.write(`${row.name}\n`)
  const writes = { entries: keys, writers: WRITERS, keys, valueBytes: VALUE_BYTES, ttlMs: row.ttlMs }
  const server = row.of === 'state' ? await processes.spawn(1) : await startAlone(processes, logStore, dir)
  const before = await server.ask('watchMemory', undefined)
  if (row.of === 'state') await server.ask('fillStore', writes)
  else await server.ask('write', writes)
  const { rssMb, rssMaxMb } = await server.ask('memorySeen', undefined)
  await processes.killAll()
  const millions = keys / 1e6
  return { row, mbPerMillion: (rssMb - before) / millions, maxMbPerMillion: (rssMaxMb - before) / millions }
}

async function startAlone(processes: EngineProcesses, logStore: LogStoreName, dir: string): Promise<EngineProcess> {
  const plan = { id: 1, dataDir: join(dir, '1'), logStore, snapshotEntries: 0, snapshotLogBytes: 0 }
  const server = await processes.start(plan)
  await server.ask('ready', undefined)
  return server
}
