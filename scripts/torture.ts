// Real processes, sockets and disks under real faults, until a law is broken or the time is up. See docs/testing.md.
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatHistory, formatTimeline, NotLinearizable, Violation } from '../src/testing/index.js'
import { Torture, type RoundResult } from '../test/e2e/torture.js'

const USAGE = `npm run torture -- [options]
  --minutes M       how long (default 2)
  --seed N          draws the calls and the faults (default: by the time of day)
  --servers N       3 or 5 (default 3)
  --mode MODE       disk-first or mem-first (default disk-first)
  --round S         seconds of faults before everything is healed, killed and judged (default 20)
  --history FILE    the whole history, one operation a line
  --out DIR         where a violation is written (default ./torture-failures)`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    servers: { type: 'string', default: '3' },
    mode: { type: 'string', default: 'disk-first' },
    round: { type: 'string', default: '20' },
    history: { type: 'string' },
    out: { type: 'string', default: 'torture-failures' },
    help: { type: 'boolean', short: 'h' },
  },
})

function numberOf(
  name: 'minutes' | 'seed' | 'servers' | 'round',
  isFit: (number: number) => boolean,
  must: string,
): number {
  const number = Number(values[name])
  if (values[name].trim() !== '' && isFit(number)) return number
  throw new Error(`--${name} is ${values[name]}; it must be ${must}`)
}

function modeOf(text: string): 'disk-first' | 'mem-first' {
  if (text === 'disk-first' || text === 'mem-first') return text
  throw new Error(`--mode is ${text}; it must be disk-first or mem-first`)
}

const interrupted = new AbortController()

/** The first Ctrl-C ends the round and judges it; the second ends everything at once. */
function listenForCtrlC(): void {
  process.on('SIGINT', () => {
    if (interrupted.signal.aborted) process.exit(130)
    console.log('the round ends here, and is judged; Ctrl-C again ends everything at once')
    interrupted.abort()
  })
}

class Tally {
  operations = 0
  unknown = 0
  undecided = 0
  rounds = 0

  add({ operations, unknown, verdict }: RoundResult): void {
    this.rounds++
    this.operations += operations
    this.unknown += unknown
    if (verdict === 'undecided') this.undecided++
  }
}

async function run(): Promise<void> {
  const minutes = numberOf('minutes', (number) => number > 0 && number < 1e6, 'a number above 0')
  const roundMs = 1000 * numberOf('round', (number) => number >= 1 && number <= 600, 'from 1 to 600 seconds')
  const seed = numberOf(
    'seed',
    (number) => Number.isInteger(number) && number >= 0 && number < 2 ** 32,
    'an integer from 0 to 2^32 − 1',
  )
  const servers = numberOf('servers', (number) => number === 3 || number === 5, '3 or 5')
  const durability = modeOf(values.mode)
  if (values.history !== undefined) writeFileSync(values.history, '')
  console.log(`seed ${seed}, ${servers} servers, ${durability}; Ctrl-C ends it`)
  const until = performance.now() + minutes * 60_000
  const torture = await Torture.start({ seed, servers, durability })
  const tally = new Tally()
  try {
    while (performance.now() < until && !interrupted.signal.aborted) {
      if (tally.rounds > 0) await torture.cluster.startAll()
      await runRound(torture, Math.min(roundMs, until - performance.now()), tally)
    }
    report(torture, tally)
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    console.log(`\n✗ ${error.message}`)
    writeEvidence(torture, seed, error)
    process.exitCode = 1
  } finally {
    await torture.dispose()
  }
}

async function runRound(torture: Torture, lastsMs: number, tally: Tally): Promise<void> {
  torture.beginRound()
  await torture.progress(1)
  await torture.rage(AbortSignal.any([interrupted.signal, AbortSignal.timeout(Math.max(1, Math.ceil(lastsMs)))]))
  await torture.progress(1)
  const result = await torture.finishRound()
  tally.add(result)
  if (values.history !== undefined) appendFileSync(values.history, formatHistory(torture.history))
  const { operations, unknown, failed, verdict, judgedMs } = result
  console.log(
    `round ${tally.rounds}: ${operations} operations (${unknown} of unknown outcome, ${failed} failed), ` +
      `${torture.cluster.elections} elections so far, ${verdict} in ${judgedMs.toFixed(0)} ms`,
  )
}

function report(torture: Torture, { rounds, operations, unknown, undecided }: Tally): void {
  const faults = [...torture.nemesis.counts].map(([kind, count]) => `${kind} ${count}`).join(', ')
  const doubt = undecided === 0 ? '' : `; ${undecided} histories undecided`
  console.log(`\n✓ ${rounds} rounds, ${operations} operations judged (${unknown} of unknown outcome)${doubt}`)
  console.log(`${torture.cluster.elections} elections; faults: ${faults}`)
}

/** The round's history as JSON lines and as a page, the applied writes, and the story. */
function writeEvidence(torture: Torture, seed: number, violation: Violation): void {
  mkdirSync(values.out, { recursive: true })
  const base = join(values.out, `seed-${seed}`)
  const { history, log, story } = torture
  const title = `Seed ${seed}: ${violation.law}`
  const disorder = violation instanceof NotLinearizable ? violation.disorder : undefined
  writeFileSync(
    `${base}.html`,
    formatTimeline(history, disorder === undefined ? { title } : { title, violation: disorder }),
  )
  writeFileSync(`${base}.history.jsonl`, formatHistory(history))
  writeFileSync(`${base}.applied.jsonl`, log.ledger.applied.map((write) => `${JSON.stringify(write)}\n`).join(''))
  const lines = story.map(({ atMs, text }) => `${(atMs / 1000).toFixed(3)} s  ${text}\n`)
  writeFileSync(`${base}.story.txt`, `${violation.message}\n\n${lines.join('')}`)
  console.log(`written: ${base}.html, ${base}.history.jsonl, ${base}.applied.jsonl, ${base}.story.txt`)
}

try {
  if (values.help === true) console.log(USAGE)
  else {
    listenForCtrlC()
    await run()
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
