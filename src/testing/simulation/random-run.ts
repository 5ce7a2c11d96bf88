import type { Operation } from '../linearizability/history.js'
import { formatHistory } from '../linearizability/json-lines.js'
import { Dice } from './dice.js'
import type { RunPlan } from './fault-plan.js'
import type { FaultKind } from './faults.js'
import { KvScenario, type StoryLine } from './kv-scenario.js'
import { KvWorkload } from './kv-workload.js'
import { Violation } from './violation.js'

/** What came of a random run. */
export interface RunResult {
  readonly plan: RunPlan
  /** Undefined: every law held. */
  readonly violation: Violation | undefined
  /** When it ended, in virtual milliseconds. */
  readonly endedAtMs: number
  readonly story: readonly StoryLine[]
  readonly history: readonly Operation[]
  /** Of all that the servers did and the clients saw: the same for the same plan. */
  readonly traceHash: string
  /** Events that servers handled. */
  readonly events: number
  readonly elections: number
  readonly faults: ReadonlyMap<FaultKind, number>
  /** Servers lost for good. */
  readonly lost: number
  /** False where the search for an order of the history ran out of steps. */
  readonly decided: boolean
}

export interface RunOptions {
  /** How far time is advanced at once, in virtual milliseconds: it makes no difference. Default 1,000. */
  readonly strideMs?: number
}

/** Runs a plan to its end or to the first violation, which is returned, not thrown. */
export function runPlan(plan: RunPlan, { strideMs = 1000 }: RunOptions = {}): RunResult {
  const scenario = openScenario(plan)
  const { cluster } = scenario
  let violation: Violation | undefined
  try {
    const workloads = startWorkloads(scenario, plan)
    cluster.world.setTimeout(() => {
      for (const workload of workloads) workload.stop()
      scenario.coordinating?.stop()
    }, plan.durationMs)
    while (cluster.world.now() < plan.durationMs)
      cluster.advance(Math.min(strideMs, plan.durationMs - cluster.world.now()))
    scenario.finish()
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    violation = error
    scenario.tell(`violated: ${error.message}`)
  }
  const { history, story, nemesis } = scenario
  return {
    plan,
    violation,
    endedAtMs: cluster.world.now(),
    story,
    history,
    traceHash: cluster.traceHash,
    events: cluster.events,
    elections: cluster.safety.elections,
    faults: nemesis.counts,
    lost: nemesis.lost.length,
    decided: scenario.verdict !== 'undecided',
  }
}

function openScenario(plan: RunPlan): KvScenario {
  const { seed, servers, durability, linearizableReads, requestTimeoutMs, drift, turnMs, settings, clients } = plan
  const { changes, coordination } = plan
  const leaseReads = drift === 'beyond' ? 'eventual' : 'linearizable'
  const scenario = new KvScenario({
    seed,
    servers,
    durability,
    linearizableReads,
    requestTimeoutMs,
    turnMs,
    settings,
    leaseReads,
    clients,
    coordination,
    ...changes,
  })
  const { cluster, nemesis } = scenario
  nemesis.weather(plan.weather)
  const dice = Dice.of(seed, 'disks')
  if (plan.diskMs !== undefined) {
    const [min, max] = plan.diskMs
    for (const { disk, snapshotDisk } of cluster.servers) {
      disk.latencyMs = () => min + dice.fraction() * (max - min)
      if (changes !== undefined) snapshotDisk.latencyMs = disk.latencyMs
    }
  }
  for (const { atMs, untilMs, fault } of plan.faults) {
    if (atMs >= plan.durationMs) continue
    cluster.world.setTimeout(() => {
      const heal = nemesis.inject(fault)
      if (heal !== undefined) cluster.world.setTimeout(heal, untilMs - atMs)
    }, atMs)
  }
  return scenario
}

function startWorkloads(scenario: KvScenario, plan: RunPlan): KvWorkload[] {
  const keys = Array.from({ length: plan.keys }, (_, at) => `k${at + 1}`)
  scenario.useKeys(keys)
  return scenario.clients.map((client) => {
    const dice = Dice.of(plan.seed, client.name)
    // Those who only read are not held up by a leader that cannot commit, and see what it still says.
    const reads = dice.pick([0.3, 0.5, 0.95])
    const workload = new KvWorkload(client, { cluster: scenario.cluster, keys, thinkMs: plan.thinkMs, reads, dice })
    workload.start()
    return workload
  })
}

/** The story and the violation as text. */
export function formatStory({ story }: Pick<RunResult, 'story'>): string {
  return story.map(({ atMs, text }) => `${atMs.toFixed(1).padStart(9)} ms  ${text}`).join('\n')
}

/** All of a run that must be the same when it is replayed. */
export function fingerprint({ traceHash, history, endedAtMs }: RunResult): string {
  return `${traceHash} ${endedAtMs}\n${formatHistory(history)}`
}
