/**
 * How long a server takes to come back with a long log: `npm run bench:recovery -- --entries 1000000`. Its state is
 * that of its last snapshot and so many entries after it; both from a clean stop and after `kill -9` under load.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { readOptions } from './command-line.js'
import { EngineProcesses } from './engine/processes.js'
import { count, printOutcome, seconds, verdict } from './engine/report.js'
import { keyOf } from './engine/values.js'
import { logStoresOf, whole } from './options.js'
import type { LogStoreName } from './subject.js'

const WANTED_SECONDS = 10
const UNDER_LOAD_MS = 500

const values = readOptions({
  entries: { type: 'string', default: '1000000' },
  writers: { type: 'string', default: '1000' },
  keys: { type: 'string', default: '100000' },
  'value-bytes': { type: 'string', default: '256' },
  'log-store': { type: 'string', default: 'both' },
  dir: { type: 'string', default: tmpdir() },
  json: { type: 'boolean', default: false },
})
const writes = {
  entries: whole('--entries', values.entries),
  writers: whole('--writers', values.writers),
  keys: whole('--keys', values.keys),
  valueBytes: whole('--value-bytes', values['value-bytes']),
}

/** Seconds from the fork of the process until each was done, in this order. */
interface Recovery {
  /** Node is up and the modules are loaded. */
  readonly loaded: number
  /** The store is open: every record has been read and checked. */
  readonly opened: number
  /** It leads, and its no-op is committed. */
  readonly ready: number
  /** Everything is applied, and a value is read. */
  readonly readable: number
}

interface Figures {
  readonly logStore: LogStoreName
  readonly writesPerSecond: number
  readonly afterStop: Recovery
  readonly afterKill: Recovery
}

async function recover(processes: EngineProcesses, plan: { id: number; dataDir: string }): Promise<Recovery> {
  const beganAt = performance.now()
  const since = (): number => (performance.now() - beganAt) / 1000
  const server = await processes.spawn(plan.id)
  const loaded = since()
  await server.ask('start', plan)
  const opened = since()
  await server.ask('ready', undefined)
  const ready = since()
  // Served once all that was committed before is applied, which is the whole log.
  if (!(await server.ask('has', { key: keyOf(0) }))) throw new Error('a key that was written is gone')
  return { loaded, opened, ready, readable: since() }
}

async function measure(processes: EngineProcesses, logStore: LogStoreName, parentDir: string): Promise<Figures> {
  const dataDir = join(parentDir, logStore)
  const plan = { id: 1, dataDir, logStore, snapshotEntries: 0, snapshotLogBytes: 0 }
  const server = await processes.start(plan)
  await server.ask('ready', undefined)
  await server.ask('write', { ...writes, entries: writes.keys })
  await server.ask('snapshot', undefined)
  process.stderr.write(`${logStore}: writing ${count(writes.entries)} entries\n`)
  const written = await server.ask('write', writes)
  await processes.stop(1)
  process.stderr.write(`${logStore}: starting it again\n`)
  const afterStop = await recover(processes, plan)
  await killUnderLoad(processes)
  process.stderr.write(`${logStore}: starting it again after kill -9\n`)
  const afterKill = await recover(processes, plan)
  await processes.kill(1)
  return { logStore, writesPerSecond: writes.entries / written.seconds, afterStop, afterKill }
}

async function killUnderLoad(processes: EngineProcesses): Promise<void> {
  const load = processes.server(1).ask('write', { ...writes, entries: Number.MAX_SAFE_INTEGER })
  const [outcome] = await Promise.allSettled([load, delay(UNDER_LOAD_MS).then(() => processes.kill(1))])
  if (outcome.status === 'fulfilled') throw new Error('the load ended before its server was killed')
}

function linesOf({ logStore, writesPerSecond, afterStop, afterKill }: Figures): string[] {
  const line = (what: string, { loaded, opened, ready, readable }: Recovery): string => {
    const parts = `Node ${seconds(loaded)}, store open ${seconds(opened)}, leading ${seconds(ready)}`
    const wanted = `${WANTED_SECONDS} s wanted, ${verdict(readable < WANTED_SECONDS)}`
    return `  ${what}: readable ${seconds(readable)} after its start (${parts}); ${wanted}.`
  }
  return [
    `Log on ${logStore}, written at ${count(writesPerSecond)} writes/s:`,
    line('after a stop', afterStop),
    line('after kill -9', afterKill),
  ]
}

const dir = await mkdtemp(join(values.dir, 'actorum-recovery-'))
const processes = new EngineProcesses()
try {
  const figures: Figures[] = []
  for (const logStore of logStoresOf(values['log-store'])) figures.push(await measure(processes, logStore, dir))
  const what = `${count(writes.entries)} entries of ${writes.valueBytes} bytes over ${count(writes.keys)} keys, by ${count(writes.writers)} writers after the last snapshot`
  printOutcome({
    script: 'bench:recovery',
    dir: values.dir,
    isJson: values.json,
    othersShare: await processes.othersShare(),
    figures,
    lines: [`One server; ${what}. What it reads is in the operating system's cache.`, ...figures.flatMap(linesOf)],
    isReached: figures.every((one) => [one.afterStop, one.afterKill].every((each) => each.readable < WANTED_SECONDS)),
  })
} finally {
  await processes.close()
  await rm(dir, { recursive: true, force: true })
}
