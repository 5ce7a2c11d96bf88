/**
 * What a follower costs the others while it catches up: `npm run bench:catch-up -- --entries 1000000`. It was away for so
 * many entries, and comes back while half of what the cluster can write is offered; once it catches up by log, once by
 * snapshot.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { readOptions, wrongOption } from './command-line.js'
import { freeMembers, SERVERS } from './cluster.js'
import type { EnginePlan } from './engine-server.js'
import { caughtUp } from './engine/catching-up.js'
import { compactBeyond } from './engine/compaction.js'
import type { Offered } from './engine/paced-load.js'
import { EngineProcesses } from './engine/processes.js'
import type { EngineProcess } from './engine/processes.js'
import { count, printOutcome, seconds, verdict } from './engine/report.js'
import { logStoresOf, positive, whole } from './options.js'
import { listenOf } from './subject.js'
import type { LogStoreName, Members } from './subject.js'

const P99_RATIO_WANTED = 2
const SHARE_OFFERED = 0.5
/** Of a phase, before it counts. */
const SETTLE_SECONDS = 2
const SNAPSHOT_LOG_BYTES_MAX = 64 * 2 ** 20

const values = readOptions({
  entries: { type: 'string', default: '1000000' },
  writers: { type: 'string', default: '1000' },
  keys: { type: 'string', default: '100000' },
  'value-bytes': { type: 'string', default: '256' },
  /** Of each phase before and after the catch-up, and of the measurement of the maximum. */
  seconds: { type: 'string', default: '10' },
  'log-store': { type: 'string', default: 'file' },
  /** `log` or `snapshot`; default: one after the other. */
  by: { type: 'string' },
  dir: { type: 'string', default: tmpdir() },
  json: { type: 'boolean', default: false },
})
const phaseSeconds = positive('--seconds', values.seconds)
const writes = {
  entries: whole('--entries', values.entries),
  writers: whole('--writers', values.writers),
  keys: whole('--keys', values.keys),
  valueBytes: whole('--value-bytes', values['value-bytes']),
}

const WAYS = ['log', 'snapshot'] as const
type Way = (typeof WAYS)[number]

interface Figures {
  readonly way: Way
  readonly maximumPerSecond: number
  readonly offeredPerSecond: number
  /** With all three servers, before the follower went. */
  readonly whole: Offered
  /** Just before the follower came back. */
  readonly before: Offered
  /** From its start until it had caught up. */
  readonly during: Offered
  readonly after: Offered
  readonly catchUpSeconds: number
  readonly p99Ratio: number
  /** Terms that passed: with one or more, others took the leader for dead. */
  readonly elections: number
}

/** By log: all of it is kept. By snapshot: it is compacted as often as it can be. */
function keeping(way: Way): { logEntriesKept: number; snapshotLogBytes: number } {
  if (way === 'log') return { logEntriesKept: Number.MAX_SAFE_INTEGER, snapshotLogBytes: SNAPSHOT_LOG_BYTES_MAX }
  const snapshotLogBytes = Math.ceil(Math.min(SNAPSHOT_LOG_BYTES_MAX, (writes.entries * writes.valueBytes) / 8))
  return { logEntriesKept: 0, snapshotLogBytes }
}

class Trial {
  readonly #way: Way
  readonly #processes: EngineProcesses
  readonly #planOf: (id: number) => EnginePlan & { readonly id: number }

  constructor(way: Way, processes: EngineProcesses, members: Members, dir: string, logStore: LogStoreName) {
    this.#way = way
    this.#processes = processes
    const common = { members, logStore, ...keeping(way) }
    this.#planOf = (id) => ({ ...common, id, listen: listenOf(members, id), dataDir: join(dir, way, String(id)) })
  }

  async run(): Promise<Figures> {
    const servers = await Promise.all(SERVERS.map((id) => this.#processes.start(this.#planOf(id))))
    await Promise.all(servers.map((server) => server.ask('ready', undefined)))
    const leaderId = await this.#processes.leaderId()
    const leader = this.#processes.server(leaderId)
    const { term } = await leader.ask('position', undefined)
    const followerId = SERVERS.find((id) => id !== leaderId) ?? 0

    const maximumPerSecond = await this.#maximum(leader)
    const offer = { ...writes, perSecond: maximumPerSecond * SHARE_OFFERED }
    this.#say(`offering ${count(offer.perSecond)} writes/s to all three`)
    await leader.ask('offerBegin', offer)
    await phase(leader)
    const whole = await leader.ask('offerEnd', undefined)

    await this.#sendAway(followerId, leader)
    this.#say('offering the same to two, then to three again')
    await leader.ask('offerBegin', offer)
    await phase(leader)
    const before = await leader.ask('offered', undefined)
    const beganAt = performance.now()
    await caughtUp(leader, await this.#processes.start(this.#planOf(followerId)))
    const catchUpSeconds = (performance.now() - beganAt) / 1000
    const during = await leader.ask('offered', undefined)
    await delay(phaseSeconds * 1000)
    const after = await leader.ask('offerEnd', undefined)

    const elections = (await leader.ask('position', undefined)).term - term
    const p99Ratio = during.p99Ms / before.p99Ms
    const offeredPerSecond = offer.perSecond
    return {
      way: this.#way,
      maximumPerSecond,
      offeredPerSecond,
      whole,
      before,
      during,
      after,
      catchUpSeconds,
      p99Ratio,
      elections,
    }
  }

  /** In writes a second, by as many writers as `--writers` says. */
  async #maximum(leader: EngineProcess): Promise<number> {
    this.#say('measuring what the cluster can write')
    const entries = Math.ceil(writes.entries / 4)
    await leader.ask('write', { ...writes, entries })
    const written = await leader.ask('write', { ...writes, entries })
    return entries / written.seconds
  }

  async #sendAway(followerId: number, leader: EngineProcess): Promise<void> {
    const { commitIndex } = await this.#processes.server(followerId).ask('position', undefined)
    await this.#processes.stop(followerId)
    this.#say(`writing ${count(writes.entries)} entries while a follower is away`)
    await leader.ask('write', writes)
    if (this.#way === 'snapshot') return compactBeyond(leader, commitIndex, writes)
    const { compactedIndex } = await leader.ask('position', undefined)
    if (compactedIndex > commitIndex) {
      throw new Error(`the log begins after ${compactedIndex}, so a follower that has ${commitIndex} needs a snapshot`)
    }
  }

  #say(text: string): void {
    process.stderr.write(`catching up by ${this.#way}: ${text}\n`)
  }
}

/** Lets the load settle, then what is counted begins. */
async function phase(leader: EngineProcess): Promise<void> {
  await delay(SETTLE_SECONDS * 1000)
  await leader.ask('offered', undefined)
  await delay(phaseSeconds * 1000)
}

function isReached({ before, during, p99Ratio, elections }: Figures): boolean {
  const isUnbroken = [before, during].every(({ failures }) => Object.keys(failures).length === 0)
  return p99Ratio <= P99_RATIO_WANTED && isUnbroken && elections === 0
}

function linesOf(figures: Figures): string[] {
  const { way, maximumPerSecond, offeredPerSecond, catchUpSeconds, p99Ratio, elections } = figures
  const wanted = `at most ${P99_RATIO_WANTED} times, no failed write and no election wanted: ${verdict(isReached(figures))}`
  return [
    `By ${way}, ${count(offeredPerSecond)} writes/s offered of ${count(maximumPerSecond)} at most:`,
    lineOf('all three servers', figures.whole),
    lineOf('a follower away', figures.before),
    lineOf(`it catches up, in ${seconds(catchUpSeconds)}`, figures.during),
    lineOf('afterwards', figures.after),
    `  p99 while it caught up: ${p99Ratio.toFixed(2)} times that before, ${elections} elections; ${wanted}.`,
  ]
}

function lineOf(what: string, { p50Ms, p99Ms, maxMs, answeredPerSecond, failures }: Offered): string {
  const failed = Object.entries(failures).map(([code, times]) => `, ${code} ${count(times)} times`)
  const latency = `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, longest ${maxMs.toFixed(0)} ms`
  return `  ${what}: ${latency}; ${count(answeredPerSecond)} writes/s answered${failed.join('')}`
}

const dir = await mkdtemp(join(values.dir, 'actorum-catch-up-'))
const processes = new EngineProcesses()
try {
  const [logStore, other] = logStoresOf(values['log-store'])
  if (logStore === undefined || other !== undefined) wrongOption('--log-store must be level or file here, one a run')
  const ways = WAYS.filter((way) => values.by === undefined || values.by === way)
  if (ways.length === 0) wrongOption(`--by is ${values.by}; it must be log or snapshot`)
  const figures: Figures[] = []
  for (const way of ways) {
    figures.push(await new Trial(way, processes, await freeMembers(), dir, logStore).run())
    await Promise.all(SERVERS.map((id) => processes.kill(id)))
  }
  const what = `${count(writes.entries)} entries of ${writes.valueBytes} bytes over ${count(writes.keys)} keys`
  printOutcome({
    script: 'bench:catch-up',
    dir: values.dir,
    isJson: values.json,
    othersShare: await processes.othersShare(),
    figures,
    lines: [
      `Three processes on loopback, log on ${logStore}; a follower ${what} behind. Latency counts from when a write was due.`,
      ...figures.flatMap(linesOf),
    ],
    isReached: figures.every(isReached),
  })
} finally {
  await processes.close()
  await rm(dir, { recursive: true, force: true })
}
