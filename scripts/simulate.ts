// Random simulations of a whole cluster, until one breaks a law or the time is up. See docs/testing.md.
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import {
  cutPlan,
  drawPlan,
  fingerprint,
  formatHistory,
  formatStory,
  formatTimeline,
  NotLinearizable,
  runPlan,
  shrink,
  type PlanCut,
  type RunPlan,
  type RunResult,
} from '../src/testing/index.js'
import { parseOptions, USAGE, WrongOption, type SimulateOptions } from './simulate-options.js'
import { Soak, Tally, WorkerDied } from './simulate-soak.js'

/** The command that makes the same run again. */
function commandFor(
  { samePlan }: SimulateOptions,
  seed: number,
  { keep, untilMs, clients, coordinating = {} }: PlanCut = {},
): string {
  const cut = [
    ...(keep === undefined ? [] : [`--keep ${keep.length === 0 ? "''" : keep.join(',')}`]),
    ...(untilMs === undefined ? [] : [`--until ${untilMs}`]),
    ...(clients === undefined ? [] : [`--clients ${clients}`]),
    ...Object.entries(coordinating).map(([kind, count]) => `--${kind} ${count}`),
  ]
  return ['npm run simulate --', `--seed ${seed}`, ...samePlan, ...cut].join(' ')
}

// ---- one run

function runOne(options: SimulateOptions, seed: number): void {
  const whole = drawPlan({ ...options.plan, seed })
  checkKept(whole, options.cut)
  const result = runPlan(cutPlan(whole, options.cut))
  console.log(formatStory(result))
  if (result.violation !== undefined) {
    console.log(`\n✗ ${result.violation.message}`)
    writeEvidence(options, result)
    process.exitCode = 1
    return
  }
  const { plan, events, elections, history, traceHash } = result
  console.log(
    `\n✓ seed ${seed}: ${plan.servers} servers, ${plan.durability}, ${events} events, ${elections} elections, ${history.length} operations, trace ${traceHash}`,
  )
}

/** A fault that is not there would be left out without a word. */
function checkKept({ faults }: RunPlan, { keep = [] }: PlanCut): void {
  const beyond = keep.find((at) => at >= faults.length)
  if (beyond === undefined) return
  throw new WrongOption(`--keep names fault ${beyond}; this run has ${faults.length}, counted from 0`)
}

// ---- many runs

async function soak(options: SimulateOptions): Promise<void> {
  const { minutes, runs = minutes === undefined ? 100 : Infinity, plan } = options
  const { fromSeed = Date.now() % 1_000_000_000, workers = Math.min(2, availableParallelism()) } = options
  const until = minutes === undefined ? Infinity : performance.now() + minutes * 60_000
  console.log(`seeds from ${fromSeed}, ${workers} ${workers === 1 ? 'process' : 'processes'}; Ctrl-C ends it`)
  const tally = new Tally()
  const worker = new URL('./simulate-worker.ts', import.meta.url)
  const shared = new Soak({ worker, workers, fromSeed, runs, until, plan, report: (report) => tally.add(report) })
  const progress = setInterval(() => console.log(tally.line()), process.stdout.isTTY ? 2000 : 15_000)
  let failed: number | undefined
  try {
    failed = await shared.run()
  } catch (error) {
    if (error instanceof WorkerDied && error.seed !== undefined) console.log(commandFor(options, error.seed))
    throw error
  } finally {
    clearInterval(progress)
    console.log(tally.summary())
  }
  if (failed !== undefined) reportFailure(options, failed)
}

function reportFailure(options: SimulateOptions, seed: number): void {
  const result = runPlan(drawPlan({ ...options.plan, seed }))
  console.log(`\n✗ seed ${seed}: ${result.violation?.message}`)
  console.log(`  ${commandFor(options, seed)}\n\nlooking for a shorter story …`)
  const { cut, result: shortest } = shrink(result)
  console.log(`\n${formatStory(shortest)}\n\n  ${commandFor(options, seed, cut)}`)
  writeEvidence(options, shortest)
  process.exitCode = 1
}

/** The history as JSON lines, its timeline as a page, the story and fingerprint as text. */
function writeEvidence({ out = join('data', 'simulations') }: SimulateOptions, result: RunResult): void {
  mkdirSync(out, { recursive: true })
  const { plan, history, violation } = result
  const base = join(out, `seed-${plan.seed}`)
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

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2))
  if (options.help) console.log(USAGE)
  else if (options.seed !== undefined) runOne(options, options.seed)
  else await soak(options)
}

try {
  await main()
} catch (error) {
  // Of anything else it matters where it happened.
  if (error instanceof WrongOption) console.error(`${error.message} (see npm run simulate -- --help)`)
  else console.error(error instanceof WorkerDied ? `✗ ${error.message}` : error)
  process.exitCode = 1
}
