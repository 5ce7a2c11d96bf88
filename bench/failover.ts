/** How long a cluster is without a leader after its leader is killed: `npm run bench:failover -- --trials 100`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { validateOptions } from '../src/options.js'
import { readOptions } from './command-line.js'
import { Child } from './child-process.js'
import { freeMembers, SERVERS } from './cluster.js'
import type { FailoverProtocol, Leader } from './failover-server.js'
import { describeMachine, machineLine } from './machine.js'
import { whole } from './options.js'
import { quantile } from './quantile.js'

/** Of the trials, how many must stay under two election timeouts. */
const SHARE_MIN = 0.95

const values = readOptions({
  trials: { type: 'string', default: '100' },
  dir: { type: 'string', default: tmpdir() },
  json: { type: 'boolean', default: false },
})
const trials = whole('--trials', values.trials)
const dir = await mkdtemp(join(values.dir, 'actorum-failover-'))
const { electionTimeoutMs } = validateOptions({ dataDir: dir })
const members = await freeMembers()
const servers = new Map<number, Child<FailoverProtocol>>()

async function start(id: number): Promise<Leader> {
  const server = new Child<FailoverProtocol>(new URL('./failover-server.js', import.meta.url))
  servers.set(id, server)
  return server.ask('start', { id, members, dataDir: join(dir, String(id)) })
}

/** Kills the leader; milliseconds until a survivor sees the next one serve. */
async function failover(leader: Leader): Promise<{ next: Leader; elapsedMs: number }> {
  const survivors = SERVERS.filter((id) => id !== leader.id)
  const nextLeader = Promise.any(survivors.map((id) => serverOf(id).ask('leaderAfter', { term: leader.term })))
  const killedAt = performance.now()
  await serverOf(leader.id).kill()
  const next = await nextLeader
  return { next, elapsedMs: performance.now() - killedAt }
}

function serverOf(id: number): Child<FailoverProtocol> {
  const server = servers.get(id)
  if (server === undefined) throw new Error(`no server ${id}`)
  return server
}

async function measure(): Promise<number[]> {
  const elapsed: number[] = []
  let [leader] = await Promise.all(SERVERS.map(start))
  for (let trial = 1; trial <= trials && leader !== undefined; trial++) {
    const killed = leader.id
    const { next, elapsedMs } = await failover(leader)
    elapsed.push(elapsedMs)
    process.stderr.write(
      `trial ${trial}: server ${killed} killed, ${next.id} leads term ${next.term} after ${elapsedMs.toFixed(0)} ms\n`,
    )
    await start(killed)
    // A restarted voter grants no vote for an election timeout; and a kill should come at any moment between heartbeats.
    await delay(electionTimeoutMs * (1 + Math.random()))
    leader = await serverOf(killed).ask('leaderAfter', { term: 0 })
  }
  return elapsed
}

try {
  const elapsed = (await measure()).sort((a, b) => a - b)
  const under = elapsed.filter((ms) => ms < 2 * electionTimeoutMs).length
  const figures = {
    trials,
    electionTimeoutMs,
    under,
    medianMs: quantile(elapsed, 0.5),
    p95Ms: quantile(elapsed, 0.95),
    maxMs: quantile(elapsed, 1),
  }
  if (values.json) console.log(JSON.stringify({ machine: describeMachine(values.dir), ...figures }))
  else {
    const ms = (value: number): string => `${value.toFixed(0)} ms`
    console.log(machineLine(describeMachine(values.dir)))
    console.log(
      `New leader after a kill, default options: ${under} of ${trials} in under two election timeouts (${ms(2 * electionTimeoutMs)});`,
    )
    console.log(`median ${ms(figures.medianMs)}, 95th percentile ${ms(figures.p95Ms)}, longest ${ms(figures.maxMs)}.`)
  }
  if (under < SHARE_MIN * trials) process.exitCode = 1
} finally {
  await Promise.all([...servers.values()].map((server) => server.kill()))
  await rm(dir, { recursive: true, force: true })
}
