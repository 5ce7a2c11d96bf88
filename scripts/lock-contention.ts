// Contenders for one lock in processes of their own, stopped past its time to live, killed and cut off. See docs/recipes.md.
import { readOptions, wrongOption } from '../bench/command-line.js'
import { Violation } from '../src/testing/index.js'
import { LockContention } from '../test/e2e/lock-contention.js'

const USAGE = `npm run lock-contention -- [options]
  --rounds N    faults, one after the other (default 1000)
  --seed N      draws the faults (default: by the time of day)
  --minutes M   ends it at the latest then (default 60)
  --verbose     tells each fault`

const PROGRESS_EVERY = 10

const values = readOptions(
  {
    rounds: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    minutes: { type: 'string', default: '60' },
    verbose: { type: 'boolean', default: false },
  },
  USAGE,
)

function numberOf(name: 'rounds' | 'seed' | 'minutes'): number {
  const number = Number(values[name])
  if (values[name].trim() !== '' && number >= 0 && number < 2 ** 32) return number
  return wrongOption(`--${name} is ${values[name]}; it must be a number from 0`, USAGE)
}

function summary(contention: LockContention, rounds: number, fromMs: number): string {
  const { ledger, counts } = contention
  const seconds = (performance.now() - fromMs) / 1000
  const faults = [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ')
  const { done, lost, unknown } = ledger.writes
  return (
    `${rounds} rounds in ${seconds.toFixed(0)} s: the lock was held ${ledger.holdings} times and lost ${ledger.lost} times; ` +
    `guarded writes: ${done} done, ${lost} refused, ${unknown} unknown; ` +
    `${ledger.refused} late uses refused by their token; ${faults}`
  )
}

async function run(): Promise<void> {
  const [rounds, seed, minutes] = [numberOf('rounds'), numberOf('seed'), numberOf('minutes')]
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  console.log(`seed ${seed}; Ctrl-C ends it after the round`)
  const fromMs = performance.now()
  const until = fromMs + minutes * 60_000
  const tell = (text: string): void => {
    if (values.verbose) console.log(`${((performance.now() - fromMs) / 1000).toFixed(3)} s  ${text}`)
  }
  const contention = await LockContention.start({ seed, tell })
  let done = 0
  try {
    while (done < rounds && performance.now() < until && !interrupted.signal.aborted) {
      await contention.round()
      done++
      if (done % PROGRESS_EVERY === 0) console.log(summary(contention, done, fromMs))
    }
    console.log(
      `✓ no two ever held it at once, and none went back to an older token\n  ${summary(contention, done, fromMs)}`,
    )
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    console.log(`✗ round ${done + 1} of seed ${seed}: ${error.message}\n  ${summary(contention, done, fromMs)}`)
    process.exitCode = 1
  } finally {
    await contention.dispose()
  }
}

try {
  await run()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
