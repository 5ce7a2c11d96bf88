import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { cpus } from 'node:os'
import { Child } from './child-process.js'
import type { Measured } from './closed-loop.js'
import { machineBusySeconds } from './machine.js'
import type { Row } from './rows.js'
import type { ServerProtocol, Usage } from './server.js'
import type { LogStoreName, Members, SubjectName } from './subject.js'

export const SERVERS = [1, 2, 3]

/** One run of one row: what the leader's clients saw, and what the processes used. */
export interface Run {
  readonly throughput: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuSecondsPerMillion: number
  /** The most memory that the leader ever had resident. */
  readonly rssMaxMb: number
  /** The share of the machine (0 to 1) that other processes took meanwhile: above a few hundredths, measure again. */
  readonly othersShare: number
}

export interface Timing {
  readonly warmupSeconds: number
  readonly seconds: number
}

/** What is measured: a subject, its log store, and the number of its servers. */
export interface Setting {
  readonly subject: SubjectName
  readonly logStore: LogStoreName
  readonly servers: number
}

/** Runs one row against fresh processes with empty disks, and leaves nothing behind. */
export async function runRow(setting: Setting, row: Row, timing: Timing, parentDir: string): Promise<Run> {
  const dir = await mkdtemp(join(parentDir, 'actorum-bench-'))
  const { subject, logStore } = setting
  const members = await freeMembers(setting.servers)
  const servers = members.map(() => new Child<ServerProtocol>(new URL('./server.js', import.meta.url)))
  try {
    const { durability, linearizableReads } = row
    const common = { members, durability, logStore, linearizableReads }
    const plans = members.map(({ id }) => ({ ...common, id, dataDir: join(dir, String(id)) }))
    const started = await Promise.all(servers.map((server, at) => server.ask('start', { subject, plan: plans[at]! })))
    const leader = servers[started.findIndex(({ leads }) => leads)]
    if (leader === undefined) throw new Error(`${subject}: no server leads`)
    return await measure(servers, leader, row, timing)
  } finally {
    await Promise.all(servers.map((server) => server.kill()))
    await rm(dir, { recursive: true, force: true })
  }
}

async function measure(
  servers: readonly Child<ServerProtocol>[],
  leader: Child<ServerProtocol>,
  row: Row,
  { warmupSeconds, seconds }: Timing,
): Promise<Run> {
  await leader.ask('loadBegin', row.load)
  await warmUp(leader, warmupSeconds)
  await Promise.all(servers.map((server) => server.ask('measureBegin', undefined)))
  const busyAtBegin = machineBusySeconds()
  await elapse(seconds)
  const ends = await Promise.all(servers.map((server) => server.ask('measureEnd', undefined)))
  const busySeconds = machineBusySeconds() - busyAtBegin
  await leader.ask('loadEnd', undefined)
  const end = ends[servers.indexOf(leader)]
  if (end?.measured === undefined) throw new Error('the leader has measured nothing')
  return summarize(
    end.measured,
    end.usage,
    ends.map(({ usage }) => usage),
    busySeconds,
  )
}

/**
 * V8 compiles by calls, not by seconds: one client makes in ten seconds what a hundred make in a third of one. So the
 * seconds asked for are the least, for the limit as for the engine.
 */
const WARMUP_CALLS_MIN = 20_000
const WARMUP_SECONDS_MAX = 30

async function warmUp(leader: Child<ServerProtocol>, secondsMin: number): Promise<void> {
  const deadline = performance.now() + WARMUP_SECONDS_MAX * 1000
  await elapse(secondsMin)
  while ((await leader.ask('calls', undefined)) < WARMUP_CALLS_MIN && performance.now() < deadline) await elapse(0.1)
}

function summarize(measured: Measured, leader: Usage, all: readonly Usage[], busySeconds: number): Run {
  const cpuSeconds = all.reduce((sum, usage) => sum + usage.cpuSeconds, 0)
  return {
    throughput: measured.operations / measured.seconds,
    p50Ms: measured.p50Ms,
    p99Ms: measured.p99Ms,
    cpuSecondsPerMillion: (cpuSeconds / measured.operations) * 1e6,
    rssMaxMb: leader.rssMaxMb,
    othersShare: Math.max(0, busySeconds - cpuSeconds) / (measured.seconds * cpus().length),
  }
}

function elapse(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000))
}

/** Members, with ids from 1, on loopback ports that are free now. */
export async function freeMembers(count = SERVERS.length): Promise<Members> {
  const probes = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(probes.map((probe) => once(probe, 'listening')))
  const members = probes.map((probe, at) => {
    const address = probe.address()
    if (address === null || typeof address === 'string') throw new Error('a probe for a free port has no port')
    return { id: at + 1, address: `127.0.0.1:${address.port}` }
  })
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))))
  return members
}
