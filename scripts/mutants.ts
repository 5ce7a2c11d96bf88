// Proof that the simulator would notice: plants deliberate bugs, one at a time, and looks for each. See docs/testing.md.
import { fork, type ChildProcess } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { HuntName } from '../test/mutants/hunts.js'
import { MUTANTS } from '../test/mutants/index.js'
import { plant, type Mutant } from '../test/mutants/mutant.js'
import type { HuntJob, HuntReport } from './mutant-hunter.js'

const USAGE = `npm run mutants -- [options]
  --only TEXT     only mutants whose names contain this
  --workers N     processes at a time (default 2)
  --minutes M     how long one mutant may be looked for (default 5)
  --details       say of each mutant what was found`

/** Far more than any control needs. */
const CONTROL_MINUTES = 24 * 60

const root = fileURLToPath(new URL('..', import.meta.url))
/** All that a hunt needs; dependencies are shared with the checkout. */
const COPIED = [
  'src',
  'test/mutants',
  'test/integration/scenarios/story.ts',
  'scripts/mutant-hunter.ts',
  'package.json',
  'tsconfig.json',
]

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    workers: { type: 'string' },
    minutes: { type: 'string' },
    details: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
})

function positive(name: 'workers' | 'minutes', fallback: number): number {
  const number = Number(values[name] ?? fallback)
  if (!(number > 0)) throw new Error(`--${name} is ${values[name]}; it must be a number above 0`)
  return number
}

/** A copy of the sources with the bug in it, or without any. The checkout itself is never changed. */
function copySources(scratch: string, name: string, mutant: Mutant | undefined): string {
  const copy = join(scratch, name)
  for (const path of COPIED) cpSync(join(root, path), join(copy, path), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  if (mutant !== undefined) {
    const file = join(copy, 'src', mutant.file)
    writeFileSync(file, plant(readFileSync(file, 'utf8'), mutant))
  }
  return copy
}

const children = new Set<ChildProcess>()

/** Resolves with 'late' when the time is up. */
function hunt(copy: string, job: HuntJob, minutes: number): Promise<HuntReport | 'late'> {
  return new Promise((resolve, reject) => {
    const child = fork(join(copy, 'scripts/mutant-hunter.ts'), [], {
      cwd: copy,
      execArgv: [...process.execArgv, '--max-semi-space-size=64'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    children.add(child)
    let errors = ''
    child.stderr?.on('data', (bytes: Buffer) => (errors = (errors + bytes.toString()).slice(-2000)))
    const timer = setTimeout(() => {
      resolve('late')
      child.kill('SIGKILL')
    }, minutes * 60_000)
    child.on('message', (report: HuntReport) => resolve(report))
    child.on('error', reject)
    child.on('exit', (code) => {
      children.delete(child)
      clearTimeout(timer)
      reject(new Error(`a hunt ended with status ${code} and no report: ${errors}`))
    })
    child.send(job)
  })
}

/** Acts on each item, `workers` at a time. */
async function share<Item>(
  items: readonly Item[],
  workers: number,
  act: (item: Item, at: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) await act(items[at]!, at)
  }
  await Promise.all(Array.from({ length: workers }, work))
}

function row(name: string, outcome: string, runs: number | string, seconds: number | string): string {
  return `${name.padEnd(80)}  ${outcome.padEnd(64)}  ${String(runs).padStart(7)}  ${String(seconds).padStart(7)}`
}

interface Outcome {
  readonly mutant: Mutant
  readonly report: HuntReport | 'late'
}

/** By a judge who had to: another who stumbles over what a bug has led to may not be there the next time. */
function isFound({ mutant, report }: Outcome): boolean {
  return report !== 'late' && mutant.laws.some((law) => report.kill?.law.startsWith(law))
}

async function huntMutant(scratch: string, mutant: Mutant, at: number, minutes: number): Promise<Outcome> {
  const copy = copySources(scratch, `mutant-${at}`, mutant)
  const report = await hunt(copy, { hunt: mutant.hunt, runs: mutant.runsMax }, minutes)
  rmSync(copy, { recursive: true, force: true })
  return { mutant, report }
}

function tell(outcome: Outcome): void {
  const { mutant, report } = outcome
  if (report === 'late') {
    console.log(row(mutant.name, '✗ SURVIVED: the time was up', '-', '-'))
    return
  }
  const seconds = (report.cpuMs / 1000).toFixed(1)
  const runs = `${report.runs}/${mutant.runsMax}`
  const { kill } = report
  if (kill === undefined) {
    console.log(row(mutant.name, '✗ SURVIVED', runs, seconds))
    return
  }
  const law = kill.law.slice(0, 60)
  console.log(row(mutant.name, isFound(outcome) ? law : `✗ only by ${law}`, runs, seconds))
  if (values.details === true) console.log(`    ${kill.message.slice(0, 600)}`)
}

/** The very runs in which the mutants were found pass without them, so that it was the bugs that were found. */
async function control(scratch: string, outcomes: readonly Outcome[], workers: number): Promise<boolean> {
  const needed = new Map<HuntName, number>()
  for (const { mutant, report } of outcomes) {
    if (report !== 'late') needed.set(mutant.hunt, Math.max(needed.get(mutant.hunt) ?? 0, report.runs))
  }
  const copy = copySources(scratch, 'control', undefined)
  let passed = true
  await share([...needed], workers, async ([name, runs]) => {
    const report = await hunt(copy, { hunt: name, runs }, CONTROL_MINUTES)
    if (report === 'late') return
    const { kill, cpuMs } = report
    if (kill !== undefined) passed = false
    const outcome = kill === undefined ? '✓ every law held' : `✗ ${kill.message}`
    console.log(row(`no bug: ${name}`, outcome, report.runs, (cpuMs / 1000).toFixed(1)))
  })
  return passed
}

async function main(): Promise<void> {
  const workers = Math.ceil(positive('workers', 2))
  const minutes = positive('minutes', 5)
  const chosen = MUTANTS.filter(({ name }) => name.includes(values.only ?? ''))
  if (chosen.length === 0) throw new Error(`no mutant has "${values.only}" in its name`)
  const began = performance.now()
  const scratch = mkdtempSync(join(tmpdir(), 'actorum-mutants-'))
  process.once('SIGINT', () => {
    for (const child of children) child.kill('SIGKILL')
    rmSync(scratch, { recursive: true, force: true })
    process.exit(130)
  })
  try {
    console.log(row('a server that …', 'is found because it breaks the law that …', 'runs', 'CPU s'))
    const outcomes: Outcome[] = []
    await share(chosen, workers, async (mutant, at) => {
      const outcome = await huntMutant(scratch, mutant, at, minutes)
      outcomes.push(outcome)
      tell(outcome)
    })
    const found = outcomes.filter(isFound)
    const isSound = await control(scratch, outcomes, workers)
    const verdict = isSound ? 'pass' : 'DO NOT PASS'
    const seconds = ((performance.now() - began) / 1000).toFixed(0)
    console.log(`\n${found.length} of ${outcomes.length} found in ${seconds} s; without a bug the same runs ${verdict}`)
    if (found.length < outcomes.length || !isSound) process.exitCode = 1
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

try {
  if (values.help === true) console.log(USAGE)
  else await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
