// A job that must run on one server at a time: when that server goes, another takes over.
// Ends by itself, and leaves no file behind.
import { ActorumError, election, leaderOf, type EmbeddedEngine, type LeadershipHold } from 'actorum'
import { chapter, cyan, dim, green, line, milliseconds, strong, title } from '../story/terminal.js'
import { textOf, ThreeServers, untilAborted } from '../story/three-servers.js'

const TTL_MS = 1500
let running: number | undefined

/** Runs until it is told to end. What it writes counts only while it leads. */
async function report(id: number, signal: AbortSignal, leadership: LeadershipHold): Promise<void> {
  running = id
  line(green(`server ${id} does the job, under token ${leadership.token}`))
  try {
    await leadership.guarded().put('reports/by', `server ${id}`)
    await untilAborted(signal)
  } finally {
    if (running === id) running = undefined
    line(dim(`server ${id} has ended its job`))
  }
}

/** Stands for election on one server as long as it runs. */
async function work({ client, id }: EmbeddedEngine, signal: AbortSignal): Promise<void> {
  const job = (ends: AbortSignal, leadership: LeadershipHold): Promise<void> => report(id, ends, leadership)
  try {
    await leaderOf(client, 'reports', job, { value: `server ${id}`, ttlMs: TTL_MS, signal })
  } catch (error) {
    if (!(error instanceof ActorumError) || !['STOPPED', 'ABORTED'].includes(error.code)) throw error
  }
}

async function runs(id?: number): Promise<number> {
  while (running === undefined || running === id) await new Promise((resolve) => setTimeout(resolve, 5))
  return running
}

title('A job that runs on one server at a time', 'three servers stand for election, and the one that leads does it')
await using servers = await ThreeServers.prepare()
const engines = await servers.start(1, 2, 3)
const stops = new Map(engines.map(({ id }) => [id, new AbortController()]))

chapter('All three stand for election')
const working = engines.map((engine) => work(engine, stops.get(engine.id)?.signal ?? AbortSignal.abort()))
const first = await runs()

chapter('Anybody can ask who leads')
const leader = await election(engines[0]!.client, 'reports').leader()
line(`it is ${cyan(leader === undefined ? 'nobody' : textOf(leader.value))}`)

chapter(`Server ${first} resigns, and the next one is there at once`)
const resigned = performance.now()
stops.get(first)?.abort()
const second = await runs(first)
line(`handed over in ${milliseconds(performance.now() - resigned)}`)

chapter(`Server ${second} stops without resigning; the time to live is ${TTL_MS} ms`)
const stopped = performance.now()
await engines.find(({ id }) => id === second)?.stop()
await runs(second)
line(strong(`taken over after ${milliseconds(performance.now() - stopped)}`))

chapter('The last one resigns')
for (const stop of stops.values()) stop.abort()
await Promise.all(working)
