/** One server in a process of its own: the limit's or the engine's, and the load if it leads. */
import { answerParent } from './ipc.js'
import { LoadGenerator } from './load.js'
import type { Measured } from './closed-loop.js'
import type { Load } from './rows.js'
import type { ServerPlan, Subject, SubjectName } from './subject.js'
import { startLimitFollower } from './limit/follower.js'
import { LimitLeader } from './limit/leader.js'

export interface Usage {
  readonly cpuSeconds: number
  /** The most memory this process ever had resident. */
  readonly rssMaxMb: number
}

export interface ServerProtocol {
  start: { ask: { subject: SubjectName; plan: ServerPlan }; reply: { leads: boolean } }
  loadBegin: { ask: Load; reply: void }
  calls: { ask: void; reply: number }
  measureBegin: { ask: void; reply: void }
  measureEnd: { ask: void; reply: { usage: Usage; measured: Measured | undefined } }
  loadEnd: { ask: void; reply: void }
}

let subject: Subject | undefined
let generator: LoadGenerator | undefined
let cpuAtBegin = process.cpuUsage()

async function start(name: SubjectName, plan: ServerPlan): Promise<Subject> {
  // Loaded only where it is measured, so that the limit's processes hold nothing of it.
  if (name === 'engine') return (await import('./engine.js')).startEngine(plan)
  return plan.id === 1 ? LimitLeader.start(plan) : startLimitFollower(plan)
}

function usage(): Usage {
  const { user, system } = process.cpuUsage(cpuAtBegin)
  return { cpuSeconds: (user + system) / 1e6, rssMaxMb: process.resourceUsage().maxRSS / 1024 }
}

answerParent<ServerProtocol>({
  start: async (ask) => {
    subject = await start(ask.subject, ask.plan)
    return { leads: subject.leads }
  },
  loadBegin: async (load) => {
    if (subject === undefined) throw new Error('the load was asked for before the server was started')
    generator = new LoadGenerator(subject, load)
    await generator.begin()
  },
  calls: () => generator?.calls ?? 0,
  measureBegin: () => {
    cpuAtBegin = process.cpuUsage()
    generator?.measureBegin()
  },
  measureEnd: () => ({ measured: generator?.measureEnd(), usage: usage() }),
  loadEnd: () => generator?.end(),
})
