// Random simulations of a whole cluster, until one breaks a law or the time is up. See docs/testing.md.
import { fork, type ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  COORDINATING_KINDS,
  cutPlan,
  drawPlan,
  FAULT_KINDS,
  fingerprint,
  formatHistory,
  formatStory,
  formatTimeline,
  NotLinearizable,
  runPlan,
  shrink,
  type CoordinatingKind,
  type PlanCut,
  type PlanOptions,
  type RunResult,
} from '../src/testing/index.js'
import type { RunReport } from './simulate-worker.js'

const USAGE = `npm run simulate -- [options]
  --seed N          one run, from this seed, with its story
  --runs R          so many runs (default 100, unless --minutes is given)
  --minutes M       as many runs as fit into so many minutes
  --from-seed N     the first run's seed (default: by the time of day)
  --steps S         faults in each run (default 16)
  --servers N       3, 5, … servers (default: by the seed)
  --mode MODE       disk-first or mem-first (default: by the seed)
  --coordination X  on or off: clients that coordinate, too (default: by the seed)
  --faults A,B      only these kinds (default: by the seed); they are:
                    ${FAULT_KINDS.join(', ')}
  --workers N       processes that share the runs (default: 2, or 1 on one core)
  --out DIR         where a failed run is written (default ./data/simulations)
with --seed, what a shrunk run has left:
  --keep 0,3,4      only these of its faults      --until MS   clients stop then      --clients N   so many clients
  --bankers N --holders N --sessions N --watchers N --travellers N   so many of those who coordinate`

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    runs: { type: 'string' },
    minutes: { type: 'string' },
    'from-seed': { type: 'string' },
    steps: { type: 'string' },
    servers: { type: 'string' },
    mode: { type: 'string' },
    coordination: { type: 'string' },
    faults: { type: 'string' },
    workers: { type: 'string' },
    out: { type: 'string' },
    keep: { type: 'string' },
    until: { type: 'string' },
    clients: { type: 'string' },
    bankers: { type: 'string' },
    holders: { type: 'string' },
    sessions: { type: 'string' },
    watchers: { type: 'string' },
    travellers: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
})

type NumberOption =
  'seed' | 'runs' | 'minutes' | 'from-seed' | 'steps' | 'servers' | 'workers' | 'until' | 'clients' | CoordinatingKind

function numberOf(name: NumberOption, min: number, max: number, isWhole = true): number | undefined {
  const text = values[name]
  if (text === undefined) return undefined
  const number = Number(text)
  const isFit = number >= min && number <= max && (!isWhole || Number.isInteger(number))
  if (!isFit || text.trim() === '')
    throw new Error(`--${name} is ${text}; it must be ${isWhole ? 'an integer' : 'a number'} from ${min} to ${max}`)
  return number
}

function planOptions(seed: number): PlanOptions {
  const kinds = values.faults?.split(',').map((name) => {
    const kind = FAULT_KINDS.find((known) => known === name.trim())
    if (kind === undefined) throw new Error(`--faults names ${name.trim()}; known are: ${FAULT_KINDS.join(', ')}`)
    return kind
  })
  const { mode: durability } = values
  if (durability !== undefined && durability !== 'disk-first' && durability !== 'mem-first') {
    throw new Error(`--mode is ${durability}; it must be disk-first or mem-first`)
  }
  const [servers, steps] = [numberOf('servers', 1, 9), numberOf('steps', 0, 100_000)]
  return { seed, servers, steps, durability, kinds, coordination: coordinationOf() }
}

function coordinationOf(): boolean | undefined {
  const { coordination } = values
  if (coordination !== undefined && coordination !== 'on' && coordination !== 'off') {
    throw new Error(`--coordination is ${coordination}; it must be on or off`)
  }
  return coordination === undefined ? undefined : coordination === 'on'
}

function cutOf(): PlanCut {
  const keep = values.keep
    ?.split(',')
    .filter((at) => at !== '')
    .map(Number)
  const coordinating: Partial<Record<CoordinatingKind, number>> = {}
  for (const kind of COORDINATING_KINDS) {
    const count = numberOf(kind, 0, 1000)
    if (count !== undefined) coordinating[kind] = count
  }
  return { keep, untilMs: numberOf('until', 1, 1e9, false), clients: numberOf('clients', 1, 1000), coordinating }
}

/** The options that make the same run again. */
function commandFor(seed: number, { keep, untilMs, clients, coordinating = {} }: PlanCut = {}): string {
  const same = (['steps', 'servers', 'mode', 'coordination', 'faults'] as const).flatMap((name) => {
    const value = values[name]
    return value === undefined ? [] : [`--${name} ${value.includes(' ') ? `'${value}'` : value}`]
  })
  const cut = [
    ...(keep === undefined ? [] : [`--keep ${keep.length === 0 ? "''" : keep.join(',')}`]),
    ...(untilMs === undefined ? [] : [`--until ${untilMs}`]),
    ...(clients === undefined ? [] : [`--clients ${clients}`]),
    ...Object.entries(coordinating).map(([kind, count]) => `--${kind} ${count}`),
  ]
  return ['npm run simulate --', `--seed ${seed}`, ...same, ...cut].join(' ')
}

// ---- one run

function runOne(seed: number): void {
  const result = runPlan(cutPlan(drawPlan(planOptions(seed)), cutOf()))
  console.log(formatStory(result))
  if (result.violation !== undefined) {
    console.log(`\n✗ ${result.violation.message}`)
    writeEvidence(result)
    process.exitCode = 1
    return
  }
  const { plan, events, elections, history, traceHash } = result
  console.log(
    `\n✓ seed ${seed}: ${plan.servers} servers, ${plan.durability}, ${events} events, ${elections} elections, ${history.length} operations, trace ${traceHash}`,
  )
}

// ---- many runs

class Soak {
  readonly #startedAt = performance.now()
  readonly #faults = new Map<string, number>()
  #runs = 0
  #steps = 0
  #events = 0
  #elections = 0
  #operations = 0
  #undecided = 0
  #cpuMs = 0

  add(report: RunReport): void {
    this.#runs++
    this.#events += report.events
    this.#elections += report.elections
    this.#operations += report.operations
    this.#cpuMs += report.cpuMs
    if (!report.decided) this.#undecided++
    for (const [kind, count] of report.faults) {
      this.#steps += count
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count)
    }
  }

  line(): string {
    const seconds = (performance.now() - this.#startedAt) / 1000
    const rate = Math.round(this.#events / (this.#cpuMs / 1000 || 1))
    const undecided = this.#undecided === 0 ? '' : `, ${this.#undecided} histories undecided`
    return `${seconds.toFixed(0)} s: ${this.#runs} runs, ${this.#steps} faults, ${this.#events} events (${rate} a CPU second), ${this.#elections} elections, ${this.#operations} operations checked${undecided}`
  }

  summary(): string {
    const kinds = [...this.#faults].sort((a, b) => b[1] - a[1]).map(([kind, count]) => `${kind} ${count}`)
    return `${this.line()}; ${(this.#cpuMs / 60_000).toFixed(1)} CPU minutes\nfaults: ${kinds.join(', ')}`
  }
}

async function soak(): Promise<void> {
  const minutes = numberOf('minutes', 0.01, 100_000, false)
  const runs = numberOf('runs', 1, 1e9) ?? (minutes === undefined ? 100 : Infinity)
  const fromSeed = numberOf('from-seed', 0, 0xffff_ffff) ?? Date.now() % 1_000_000_000
  const workers = numberOf('workers', 1, 64) ?? Math.min(2, availableParallelism())
  const until = minutes === undefined ? Infinity : performance.now() + minutes * 60_000
  console.log(`seeds from ${fromSeed}, ${workers} ${workers === 1 ? 'process' : 'processes'}; Ctrl-C ends it`)
  const tally = new Soak()
  const progress = setInterval(() => console.log(tally.line()), process.stdout.isTTY ? 2000 : 15_000)
  const failed = await shareRuns(workers, { fromSeed, runs, until }, tally)
  clearInterval(progress)
  console.log(tally.summary())
  if (failed !== undefined) reportFailure(failed)
}

interface Extent {
  readonly fromSeed: number
  readonly runs: number
  /** On performance.now's clock. */
  readonly until: number
}

/** Resolves with the seed of the first run that failed, or with undefined at the end, which Ctrl-C may bring early. */
function shareRuns(count: number, { fromSeed, runs, until }: Extent, tally: Soak): Promise<number | undefined> {
  const path = fileURLToPath(new URL('./simulate-worker.ts', import.meta.url))
  // A simulation makes much short-lived garbage: a larger nursery collects it cheaply.
  const execArgv = [...process.execArgv, '--max-semi-space-size=64']
  const children = new Set<ChildProcess>()
  let next = 0
  let failed: number | undefined
  return new Promise((resolve, reject) => {
    const end = (child: ChildProcess): void => {
      children.delete(child)
      if (child.connected) child.disconnect()
      if (children.size === 0) resolve(failed)
    }
    const ask = (child: ChildProcess): void => {
      if (next >= runs || performance.now() >= until || failed !== undefined) return end(child)
      child.send(planOptions((fromSeed + next++) >>> 0))
    }
    process.once('SIGINT', () => {
      next = Infinity
      for (const child of [...children]) end(child)
    })
    for (let at = 0; at < Math.min(count, runs); at++) {
      const child = fork(path, [], { execArgv })
      children.add(child)
      child.on('message', (report: RunReport) => {
        tally.add(report)
        if (report.failed) failed ??= report.seed
        ask(child)
      })
      child.on('exit', (code) => {
        if (children.has(child)) reject(new Error(`a simulation process ended with status ${code}`))
      })
      ask(child)
    }
  })
}

function reportFailure(seed: number): void {
  const result = runPlan(drawPlan(planOptions(seed)))
  console.log(`\n✗ seed ${seed}: ${result.violation?.message}`)
  console.log(`  ${commandFor(seed)}\n\nlooking for a shorter story …`)
  const { cut, result: shortest } = shrink(result)
  console.log(`\n${formatStory(shortest)}\n\n  ${commandFor(seed, cut)}`)
  writeEvidence(shortest)
  process.exitCode = 1
}

/** The history as JSON lines, its timeline as a page, the story and fingerprint as text. */
function writeEvidence(result: RunResult): void {
  const directory = values.out ?? join('data', 'simulations')
  mkdirSync(directory, { recursive: true })
  const { plan, history, violation } = result
  const base = join(directory, `seed-${plan.seed}`)
  const disorder = violation instanceof NotLinearizable ? violation.disorder : undefined
  const title = `Seed ${plan.seed}: ${violation?.law ?? 'no violation'}`
  writeFileSync(
    `${base}.html`,
    formatTimeline(history, disorder === undefined ? { title } : { title, violation: disorder }),
  )
  writeFileSync(`${base}.history.jsonl`, formatHistory(history))
  writeFileSync(`${base}.story.txt`, `${formatStory(result)}\n\n${fingerprint(result).split('\n', 1)[0]}\n`)
  console.log(`written: ${base}.html, ${base}.history.jsonl, ${base}.story.txt`)
}

try {
  if (values.help === true) console.log(USAGE)
  else {
    const seed = numberOf('seed', 0, 0xffff_ffff)
    if (seed === undefined) await soak()
    else runOne(seed)
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
