import { setTimeout as delay } from 'node:timers/promises'
import type { EngineProcess } from '../engine/processes.js'
import { quantile } from '../quantile.js'
import type { Holding } from './contenders.js'
import type { Announcement, Moment } from './fan-out.js'
import type { Calls, Measurement } from './rows.js'

/** What one measurement came to. */
export interface Phase {
  readonly perSecond: number
  /** Of a call, from a lock's release to its next holder. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of a fan-out: from a write's answer until its last watcher had it; negative where all had it first. */
  readonly lag?: Quantiles | undefined
  /** The three servers' processes together, for each million of what is counted. */
  readonly cpuSecondsPerMillion: number
}

interface Quantiles {
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface Timing {
  readonly warmupSeconds: number
  readonly seconds: number
}

/** The servers of a cluster, each in a process. */
export interface Servers {
  readonly leader: EngineProcess
  readonly follower: EngineProcess
  readonly all: readonly EngineProcess[]
}

interface Counted extends Pick<Phase, 'p50Ms' | 'p99Ms' | 'lag'> {
  readonly count: number
  readonly seconds: number
}

/** Lets what runs warm up, then measures for so long. */
async function measured(
  { all }: Servers,
  { warmupSeconds, seconds }: Timing,
  mark: () => Promise<unknown>,
  counted: () => Promise<Counted>,
): Promise<Phase> {
  await delay(warmupSeconds * 1000)
  await mark()
  const cpuAtBegin = await cpuSeconds(all)
  await delay(seconds * 1000)
  const { count, seconds: elapsed, ...rest } = await counted()
  const cpu = (await cpuSeconds(all)) - cpuAtBegin
  return { ...rest, perSecond: count / elapsed, cpuSecondsPerMillion: (cpu / count) * 1e6 }
}

async function cpuSeconds(servers: readonly EngineProcess[]): Promise<number> {
  const seconds = await Promise.all(servers.map((server) => server.ask('cpuSeconds', undefined)))
  return seconds.reduce((sum, one) => sum + one, 0)
}

export async function measureCalls(servers: Servers, timing: Timing, calls: Calls, keys: number): Promise<Phase> {
  const { leader } = servers
  await leader.ask('callsBegin', { calls, keys })
  const phase = await measured(
    servers,
    timing,
    () => leader.ask('callsMark', undefined),
    async () => {
      const { operations, ...rest } = await leader.ask('callsMeasured', undefined)
      return { count: operations, ...rest }
    },
  )
  await leader.ask('callsEnd', undefined)
  return phase
}

type FanOut = Extract<Measurement, { kind: 'fanOut' }>

export async function measureFanOut(servers: Servers, timing: Timing, { watchers, at }: FanOut): Promise<Phase> {
  const { leader } = servers
  const audience = servers[at]
  await audience.ask('watchBegin', { watchers, of: 'writtenKey' })
  await leader.ask('announceBegin', undefined)
  let isOver = false
  // On the leader the announcer hears from the watchers without us.
  const relay = async (): Promise<void> => {
    for (let sequence = 0; !isOver;) {
      sequence = await audience.ask('seenByAll', sequence)
      await leader.ask('seen', sequence)
    }
  }
  const relaying = audience === leader ? Promise.resolve() : relay()
  const measuring = measured(
    servers,
    timing,
    () => Promise.all([audience.ask('watchMark', undefined), leader.ask('announceMark', undefined)]),
    async () => {
      const { answered, seconds } = await leader.ask('announced', undefined)
      const lag = quantilesOf(lagsOf(answered, await audience.ask('sightings', undefined)))
      const calls = quantilesOf(answered.map(({ calledAtMs, answeredAtMs }) => answeredAtMs - calledAtMs))
      return { count: answered.length, seconds, ...calls, lag }
    },
  )
  const phase = await Promise.race([measuring, relaying.then(() => measuring)])
  isOver = true
  await leader.ask('announceEnd', undefined)
  await audience.ask('watchEnd', undefined)
  await relaying
  return phase
}

function lagsOf(answered: readonly Announcement[], sightings: readonly Moment[]): number[] {
  const seenAt = new Map(sightings)
  return answered.flatMap(({ sequence, answeredAtMs }) => {
    const at = seenAt.get(sequence)
    return at === undefined ? [] : [at - answeredAtMs]
  })
}

type Handover = Extract<Measurement, { kind: 'handover' }>

export async function measureHandover(servers: Servers, timing: Timing, handover: Handover): Promise<Phase> {
  const { leader, follower } = servers
  const contending: [EngineProcess, number][] = [[leader, handover.onLeader]]
  if (handover.onFollower > 0) contending.push([follower, handover.onFollower])
  await Promise.all(contending.map(([server, count]) => server.ask('contendBegin', count)))
  const phase = await measured(
    servers,
    timing,
    () => Promise.all(contending.map(([server]) => server.ask('contendMark', undefined))),
    async () => {
      const holdings = await Promise.all(contending.map(([server]) => server.ask('holdings', undefined)))
      const delays = handoversOf(holdings.flat())
      return { count: delays.length, seconds: timing.seconds, ...quantilesOf(delays) }
    },
  )
  await Promise.all(contending.map(([server]) => server.ask('contendEnd', undefined)))
  return phase
}

/** From each release until the next in the order of tokens had it. Throws where two held it at once. */
function handoversOf(holdings: readonly Holding[]): number[] {
  const inOrder = holdings.toSorted((one, other) => one.token - other.token)
  return inOrder.slice(1).map(({ token, acquiredAt }, at) => {
    const before = inOrder[at]!
    if (acquiredAt < before.releasedAt) throw new Error(`holdings ${before.token} and ${token} overlap`)
    return acquiredAt - before.releasedAt
  })
}

function quantilesOf(delays: readonly number[]): Quantiles {
  const sorted = delays.toSorted((one, other) => one - other)
  return { p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99) }
}
