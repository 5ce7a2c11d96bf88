/**
 * Ten minutes of load while servers are killed: `npm run soak -- --minutes 10 --kill-every 10`. With `--kill-every 0` none
 * is, and their memory is that of servers which run for long.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { seededRandom } from '../src/machines/time-and-chance.js'
import { freeMembers, SERVERS } from './cluster.js'
import { describeMachine, machineLine } from './machine.js'
import { positive } from './options.js'
import { SoakCluster } from './soak/cluster.js'
import { trendOf } from './soak/memory.js'
import type { MemorySample } from './soak/memory.js'

const DOWN_MS = 1000
const SAMPLE_MS = 5000
/** One line a minute. */
const SAMPLES_PER_LINE = 60_000 / SAMPLE_MS

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    'kill-every': { type: 'string', default: '10' },
    writers: { type: 'string', default: '100' },
    readers: { type: 'string', default: '30' },
    /** Between a client's calls (ms); 0 is as fast as it goes, and makes gigabytes of log. */
    pause: { type: 'string', default: '20' },
    /** The engine's option, in MB; a fraction of its default, so that a minute of this load fills it. */
    'snapshot-log-mb': { type: 'string', default: '16' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    dir: { type: 'string', default: tmpdir() },
  },
})
const load = {
  writers: positive('--writers', values.writers),
  readers: positive('--readers', values.readers),
  pauseMs: Number(values.pause),
  snapshotLogBytes: Math.ceil(positive('--snapshot-log-mb', values['snapshot-log-mb']) * 2 ** 20),
}
const killEveryMs =
  Number(values['kill-every']) === 0 ? Infinity : positive('--kill-every', values['kill-every']) * 1000
const endAfterMs = positive('--minutes', values.minutes) * 60_000
const random = seededRandom(Number(values.seed))
const dir = await mkdtemp(join(values.dir, 'actorum-soak-'))
const count = (value: number): string => value.toLocaleString('en-US')

async function killOne(cluster: SoakCluster): Promise<void> {
  const id = SERVERS[random.uint32() % SERVERS.length]!
  const role = (await cluster.leads(id)) ? 'leader' : 'follower'
  await cluster.kill(id)
  await delay(DOWN_MS)
  const restartedAt = performance.now()
  await cluster.startServer(id)
  const readyMs = performance.now() - restartedAt
  await cluster.startLoad(id)
  for (const server of SERVERS) await cluster.verify(server, false)
  console.log(
    `server ${id} (${role}) killed, ready again ${readyMs.toFixed(0)} ms after its start; ${count(cluster.acknowledged)} ` +
      `writes acknowledged, ${count(cluster.unknown)} of unknown outcome, ${cluster.broken.length} promises broken`,
  )
}

/** By server: all, and the live objects alone. */
type Samples = readonly { readonly id: number; readonly rss: MemorySample[]; readonly heap: MemorySample[] }[]

async function sampleMemory(cluster: SoakCluster, samples: Samples, elapsedMs: number): Promise<void> {
  const seconds = elapsedMs / 1000
  const lines = await Promise.all(
    samples.map(async ({ id, rss, heap }) => {
      const { rssMb, heapMb, compactedIndex } = await cluster.memory(id)
      rss.push({ seconds, megabytes: rssMb })
      heap.push({ seconds, megabytes: heapMb })
      return `server ${id} ${rssMb.toFixed(0)} MB (heap ${heapMb.toFixed(0)} MB), log from ${count(compactedIndex + 1)}`
    }),
  )
  const taken = samples[0]?.rss.length ?? 0
  if (taken % SAMPLES_PER_LINE === 0) console.log(`minute ${taken / SAMPLES_PER_LINE}: ${lines.join(', ')}`)
}

/** Kills and samples, each in its turn: a server that is down cannot be asked. */
async function soak(cluster: SoakCluster): Promise<Samples> {
  const samples: Samples = SERVERS.map((id) => ({ id, rss: [], heap: [] }))
  const beganAt = performance.now()
  let [killAt, sampleAt] = [killEveryMs, SAMPLE_MS]
  while (Math.min(killAt, sampleAt) <= endAfterMs) {
    await delay(Math.max(0, beganAt + Math.min(killAt, sampleAt) - performance.now()))
    const elapsedMs = performance.now() - beganAt
    // What took longer than its interval is not made up for.
    if (killAt < sampleAt) {
      await killOne(cluster)
      killAt = Math.max(killAt + killEveryMs, elapsedMs)
    } else {
      await sampleMemory(cluster, samples, elapsedMs)
      sampleAt = Math.max(sampleAt + SAMPLE_MS, elapsedMs)
    }
  }
  await cluster.stopLoad()
  for (const id of SERVERS) await cluster.verify(id, true)
  return samples
}

/** Prints the outcome; true when every promise was kept. */
function report(cluster: SoakCluster, samples: Samples): boolean {
  const { acknowledged, unknown, reads, broken, errors } = cluster
  console.log(
    `\n${count(acknowledged)} writes acknowledged, ${count(unknown)} of unknown outcome, ${count(reads)} reads judged.`,
  )
  for (const [what, times] of errors) console.log(`${what}: ${count(times)} times`)
  for (const { verdict, writer, key, found, term } of broken.slice(0, 20)) {
    console.log(`${verdict}: writer ${writer}, key ${key} holds write ${found} (term ${term || 'unknown'})`)
  }
  let isFlat = true
  for (const { id, rss, heap } of samples) {
    for (const [what, trend] of [['resident', trendOf(rss)] as const, ['heap', trendOf(heap)] as const]) {
      if (trend === undefined) console.log(`memory of server ${id}, ${what}: too few samples to tell`)
      else {
        const { fromMb, toMb, minutes } = trend
        const line = `the line through the last ${minutes.toFixed(1)} minutes goes from ${fromMb.toFixed(0)} to ${toMb.toFixed(0)} MB`
        console.log(`memory of server ${id}, ${what}: ${line}: ${trend.isFlat ? 'flat' : 'GROWS'}`)
        isFlat &&= trend.isFlat
      }
    }
  }
  console.log(broken.length === 0 ? 'No acknowledged write was lost.' : `${broken.length} promises were broken.`)
  return isFlat && broken.length === 0
}

const cluster = new SoakCluster(dir, await freeMembers(), load)
try {
  console.log(`${machineLine(describeMachine(values.dir))}; seed ${values.seed}`)
  await cluster.start()
  if (!report(cluster, await soak(cluster))) process.exitCode = 1
} finally {
  await cluster.stop()
  await rm(dir, { recursive: true, force: true })
}
