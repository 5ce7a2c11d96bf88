/**
 * What it takes to bring a new server to a large state: `npm run bench:snapshots -- --bytes 1000000000`. A leader holds
 * so many bytes of values, and a server with an empty directory joins it.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readOptions } from './command-line.js'
import { freeMembers } from './cluster.js'
import { caughtUp } from './engine/catching-up.js'
import { compactBeyond } from './engine/compaction.js'
import type { MemorySeen } from './engine/memory-watch.js'
import { EngineProcesses } from './engine/processes.js'
import type { EngineProcess } from './engine/processes.js'
import { count, megabytes, printOutcome, seconds, verdict } from './engine/report.js'
import { keyOf } from './engine/values.js'
import { positive, whole } from './options.js'

const EXTRA_MB_WANTED = 100
const WRITERS = 100
/** The process that holds the state and nothing else. */
const REFERENCE_ID = 3

const values = readOptions({
  bytes: { type: 'string', default: '1000000000' },
  'value-bytes': { type: 'string', default: '4096' },
  dir: { type: 'string', default: tmpdir() },
  json: { type: 'boolean', default: false },
})
const valueBytes = whole('--value-bytes', values['value-bytes'])
const entries = Math.ceil(positive('--bytes', values.bytes) / valueBytes)
const writes = { entries, keys: entries, writers: WRITERS, valueBytes }

interface Figures {
  /** What a process grows by that holds the state and nothing else. */
  readonly stateMb: number
  readonly snapshotBytes: number
  readonly takingSeconds: number
  /** From the start of the new server's process until it holds all that the leader does. */
  readonly joiningSeconds: number
  /** Resident beyond what was before: while it took the snapshot. */
  readonly takingExtraMb: number
  /** And while it sent it. */
  readonly sendingExtraMb: number
  /** Resident beyond an empty server and the state. */
  readonly receivingExtraMb: number
}

/** What a process grows by when it makes the same state in memory, without a log or a snapshot. */
async function stateMb(processes: EngineProcesses): Promise<number> {
  const reference = await processes.spawn(REFERENCE_ID)
  const emptyMb = await reference.ask('watchMemory', undefined)
  await reference.ask('fillStore', writes)
  const { rssMb } = await reference.ask('memorySeen', undefined)
  await processes.kill(REFERENCE_ID)
  return rssMb - emptyMb
}

/** How far its memory rose above what it is before, while `work` was done. */
async function extraMb(server: EngineProcess, work: () => Promise<unknown>): Promise<number> {
  const before = await server.ask('watchMemory', undefined)
  await work()
  const { rssMaxMb }: MemorySeen = await server.ask('memorySeen', undefined)
  return rssMaxMb - before
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganAt = performance.now()
  await work()
  return (performance.now() - beganAt) / 1000
}

async function measure(processes: EngineProcesses, parentDir: string): Promise<Figures> {
  const [first, second] = await freeMembers(2)
  if (first === undefined || second === undefined) throw new Error('there are no two free ports')
  const own = await stateMb(processes)
  const planOf = ({
    id,
    address,
  }: typeof first): { id: number; listen: string; dataDir: string; logEntriesKept: number } => {
    return { id, listen: address, dataDir: join(parentDir, String(id)), logEntriesKept: 0 }
  }
  const leader = await processes.start({ ...planOf(first), members: [first] })
  await leader.ask('ready', undefined)
  process.stderr.write(`writing ${count(entries)} values of ${valueBytes} bytes\n`)
  await leader.ask('write', writes)
  process.stderr.write('taking snapshots\n')
  await compactBeyond(leader, 0, writes)
  await leader.ask('write', { ...writes, entries: 1 })
  let snapshotBytes = 0
  let takingSeconds = 0
  const takingExtraMb = await extraMb(leader, async () => {
    takingSeconds = await timed(async () => (snapshotBytes = (await leader.ask('snapshot', undefined)).byteLength))
  })

  process.stderr.write('a new server joins\n')
  const follower = await processes.spawn(second.id)
  const emptyMb = await follower.ask('watchMemory', undefined)
  let joiningSeconds = 0
  const sendingExtraMb = await extraMb(leader, async () => {
    joiningSeconds = await timed(async () => {
      await follower.ask('start', { ...planOf(second), join: [first.address] })
      await caughtUp(leader, follower)
    })
  })
  if (!(await follower.ask('has', { key: keyOf(entries - 1) }))) throw new Error('the new server lacks a key')
  const { rssMaxMb } = await follower.ask('memorySeen', undefined)
  const receivingExtraMb = rssMaxMb - emptyMb - own
  return { stateMb: own, snapshotBytes, takingSeconds, joiningSeconds, takingExtraMb, sendingExtraMb, receivingExtraMb }
}

function linesOf(figures: Figures): string[] {
  const { stateMb: own, snapshotBytes, takingSeconds, joiningSeconds } = figures
  const extra = (what: string, mb: number): string =>
    `${what}: ${megabytes(mb)} more at most; under ${EXTRA_MB_WANTED} MB wanted, ${verdict(mb < EXTRA_MB_WANTED)}.`
  return [
    `${count(entries)} values of ${valueBytes} bytes: a process that holds them alone takes ${megabytes(own)}.`,
    `The snapshot has ${count(snapshotBytes)} bytes and was taken in ${seconds(takingSeconds)}; a new server had it all ${seconds(joiningSeconds)} after its start.`,
    extra('The leader while it took the snapshot', figures.takingExtraMb),
    extra('The leader while it sent it', figures.sendingExtraMb),
    extra('The new server, beyond an idle process and the state', figures.receivingExtraMb),
  ]
}

const dir = await mkdtemp(join(values.dir, 'actorum-snapshots-'))
const processes = new EngineProcesses()
try {
  const figures = await measure(processes, dir)
  const { takingExtraMb, sendingExtraMb, receivingExtraMb } = figures
  printOutcome({
    script: 'bench:snapshots',
    dir: values.dir,
    isJson: values.json,
    othersShare: await processes.othersShare(),
    figures,
    lines: linesOf(figures),
    isReached: [takingExtraMb, sendingExtraMb, receivingExtraMb].every((mb) => mb < EXTRA_MB_WANTED),
  })
} finally {
  await processes.close()
  await rm(dir, { recursive: true, force: true })
}
