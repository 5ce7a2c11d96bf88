/** Ten minutes of load while servers are killed: `npm run soak -- --minutes 10 --kill-every 10`. */
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
import { growthOf } from './soak/memory.js'

const DOWN_MS = 1000

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    'kill-every': { type: 'string', default: '10' },
    writers: { type: 'string', default: '100' },
    readers: { type: 'string', default: '30' },
    /** Between a client's calls (ms); 0 is as fast as it goes, and makes gigabytes of log. */
    pause: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    dir: { type: 'string', default: tmpdir() },
  },
})
const load = {
  writers: positive('--writers', values.writers),
  readers: positive('--readers', values.readers),
  pauseMs: Number(values.pause),
}
const killEveryMs = positive('--kill-every', values['kill-every']) * 1000
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

async function sampleMemory(cluster: SoakCluster, samples: readonly number[][]): Promise<void> {
  const memories = await Promise.all(SERVERS.map((id) => cluster.memory(id)))
  memories.forEach(({ rssMb }, at) => samples[at]!.push(rssMb))
  const each = memories.map(
    ({ rssMb, heapMb, upSeconds }, at) =>
      `server ${SERVERS[at]} ${rssMb.toFixed(0)} MB (heap ${heapMb.toFixed(0)} MB, up ${upSeconds.toFixed(0)} s)`,
  )
  console.log(`minute ${samples[0]!.length}: ${each.join(', ')}`)
}

async function soak(cluster: SoakCluster): Promise<number[][]> {
  const samples: number[][] = SERVERS.map(() => [])
  const beganAt = performance.now()
  for (let kill = 1; kill * killEveryMs <= endAfterMs; kill++) {
    await delay(Math.max(0, beganAt + kill * killEveryMs - performance.now()))
    await killOne(cluster)
    if (performance.now() - beganAt >= (samples[0]!.length + 1) * 60_000) await sampleMemory(cluster, samples)
  }
  await cluster.stopLoad()
  for (const id of SERVERS) await cluster.verify(id, true)
  return samples
}

/** Prints the outcome; true when every promise was kept. */
function report(cluster: SoakCluster, samples: readonly number[][]): boolean {
  const { acknowledged, unknown, reads, broken, errors } = cluster
  console.log(
    `\n${count(acknowledged)} writes acknowledged, ${count(unknown)} of unknown outcome, ${count(reads)} reads judged.`,
  )
  for (const [what, times] of errors) console.log(`${what}: ${count(times)} times`)
  for (const { verdict, writer, key, found, term } of broken.slice(0, 20)) {
    console.log(`${verdict}: writer ${writer}, key ${key} holds write ${found} (term ${term || 'unknown'})`)
  }
  const growths = samples.map((figures, at) => growthOf(SERVERS[at]!, figures)).filter((growth) => growth !== undefined)
  for (const { id, earlyMb, lateMb, isFlat } of growths) {
    console.log(
      `memory of server ${id}: ${earlyMb.toFixed(0)} MB early, ${lateMb.toFixed(0)} MB late: ${isFlat ? 'flat' : 'GROWS'}`,
    )
  }
  if (growths.length === 0) console.log('Too short to tell whether memory stays flat: that takes seven minutes.')
  const isKept = broken.length === 0 && growths.every(({ isFlat }) => isFlat)
  console.log(broken.length === 0 ? 'No acknowledged write was lost.' : `${broken.length} promises were broken.`)
  return isKept
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
