/**
 * Ten minutes of load while servers are killed: `npm run soak -- --minutes 10 --kill-every 10`. With `--kill-every 0` none
 * is, with `--spare 3` all but server 3: then its memory is that of a server which runs for long.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../src/machines/time-and-chance.js'
import { readOptions, wrongOption } from './command-line.js'
import { freeMembers, SERVERS } from './cluster.js'
import { describeMachine, machineLine } from './machine.js'
import { logStoresOf, positive, whole } from './options.js'
import { SoakCluster } from './soak/cluster.js'
import type { Breakdown } from './soak/breakdown.js'
import { trendOf } from './soak/memory.js'
import type { MemorySample } from './soak/memory.js'
import type { LogStoreName } from './subject.js'

const DOWN_MS = 1000
const SAMPLE_MS = 5000

const values = readOptions({
  minutes: { type: 'string', default: '10' },
  'kill-every': { type: 'string', default: '10' },
  /** A server that is never killed; 0: none. */
  spare: { type: 'string', default: '0' },
  /** `level` or `file`. */
  'log-store': { type: 'string', default: 'file' },
  writers: { type: 'string', default: '100' },
  readers: { type: 'string', default: '30' },
  /** Between a client's calls (ms); 0 is as fast as it goes, and makes gigabytes of log. */
  pause: { type: 'string', default: '20' },
  /** The engine's options, in MB; fractions of their defaults, so that a minute or two of this load fill them. */
  'snapshot-log-mb': { type: 'string', default: '4' },
  'history-mb': { type: 'string', default: '1' },
  seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  dir: { type: 'string', default: tmpdir() },
})
const load = {
  writers: whole('--writers', values.writers),
  readers: whole('--readers', values.readers),
  pauseMs: whole('--pause', values.pause, 0),
  logStore: logStoreOf(values['log-store']),
  snapshotLogBytes: Math.ceil(positive('--snapshot-log-mb', values['snapshot-log-mb']) * 2 ** 20),
  historyBytesMax: Math.ceil(positive('--history-mb', values['history-mb']) * 2 ** 20),
}
const killEveryMs =
  Number(values['kill-every']) === 0 ? Infinity : positive('--kill-every', values['kill-every']) * 1000
const endAfterMs = positive('--minutes', values.minutes) * 60_000
const spare = whole('--spare', values.spare, 0)
const mortal = SERVERS.filter((id) => id !== spare)
const random = seededRandom(whole('--seed', values.seed, 0))
const dir = await mkdtemp(join(values.dir, 'actorum-soak-'))
const count = (value: number): string => value.toLocaleString('en-US')

let minutesTold = 0

function logStoreOf(text: string): LogStoreName {
  const [logStore, other] = logStoresOf(text)
  if (logStore === undefined || other !== undefined) wrongOption(`--log-store must be level or file, not ${text}`)
  return logStore
}

async function killOne(cluster: SoakCluster): Promise<void> {
  const id = mortal[random.uint32() % mortal.length]!
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

/** By server: what is resident without mapped files, which the system takes back as it likes, and the live objects. */
type Samples = readonly { readonly id: number; readonly own: MemorySample[]; readonly heap: MemorySample[] }[]

async function sampleMemory(cluster: SoakCluster, samples: Samples, elapsedMs: number): Promise<void> {
  const seconds = elapsedMs / 1000
  const lines = await Promise.all(
    samples.map(async ({ id, own, heap }) => {
      const ageSeconds = cluster.ageSeconds(id)
      const memory = await cluster.memory(id)
      const ownMb = Number.isNaN(memory.anonymousMb) ? memory.rssMb : memory.anonymousMb
      own.push({ seconds, ageSeconds, megabytes: ownMb })
      heap.push({ seconds, ageSeconds, megabytes: memory.heapMb })
      return `server ${id} (${ageSeconds.toFixed(0)} s): ${breakdown(memory)}, log from ${count(memory.compactedIndex + 1)}`
    }),
  )
  const minute = Math.floor(seconds / 60)
  if (minute > minutesTold) console.log(`minute ${minute}:\n  ${lines.join('\n  ')}`)
  minutesTold = minute
}

function breakdown(memory: Breakdown): string {
  const { rssMb, anonymousMb, fileMb, heapMb, heapTotalMb, externalMb, arrayBuffersMb } = memory
  const [rss, anonymous, file] = [rssMb, anonymousMb, fileMb].map((mb) => mb.toFixed(0))
  const heap = `heap ${heapMb.toFixed(0)} of ${heapTotalMb.toFixed(0)}`
  const external = `external ${externalMb.toFixed(0)} (buffers ${arrayBuffersMb.toFixed(0)})`
  return `${rss} MB resident (anonymous ${anonymous}, files ${file}), ${heap}, ${external}`
}

/** Kills and samples, each in its turn: a server that is down cannot be asked. */
async function soak(cluster: SoakCluster): Promise<Samples> {
  const samples: Samples = SERVERS.map((id) => ({ id, own: [], heap: [] }))
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
  for (const { id, own, heap } of samples) {
    const isKilled = killEveryMs < Infinity && mortal.includes(id)
    for (const [what, samples] of [['resident without mapped files', own] as const, ['heap', heap] as const]) {
      const trend = trendOf(samples, isKilled)
      if (trend === undefined) console.log(`memory of server ${id}, ${what}: too few samples to tell`)
      else {
        const means = `${trend.fromMb.toFixed(0)} MB in the middle, ${trend.toMb.toFixed(0)} MB at the end`
        console.log(`memory of server ${id}, ${what}: ${means}: ${trend.isFlat ? 'flat' : 'GROWS'}`)
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
