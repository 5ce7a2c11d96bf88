/**
 * What coordination costs beside plain puts and gets: `npm run bench:coordination -- --seconds 3 --runs 5`. Three processes
 * on loopback with the client in the leader's, as in `npm run bench`; `--rows` takes a part of the rows' names.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readOptions, wrongOption } from './command-line.js'
import { measureMemory, MEMORY_ROWS } from './coordination/memory.js'
import type { Memory } from './coordination/memory.js'
import { isReached, tableLines } from './coordination/report.js'
import type { RowResult } from './coordination/report.js'
import { ROWS } from './coordination/rows.js'
import { runTrial } from './coordination/trial.js'
import { EngineProcesses } from './engine/processes.js'
import { count, printOutcome } from './engine/report.js'
import { logStoresOf, positive, whole } from './options.js'
import type { LogStoreName } from './subject.js'

const values = readOptions({
  /** Measured pairs of each row, of which the median counts. */
  runs: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '3' },
  /** Of load, before each measurement. */
  warmup: { type: 'string', default: '3' },
  rows: { type: 'string', default: '' },
  /** Of the rows that have many: beside the writes, and in memory. */
  keys: { type: 'string', default: '1000000' },
  'log-store': { type: 'string', default: 'level' },
  dir: { type: 'string', default: tmpdir() },
  json: { type: 'boolean', default: false },
})
const logStore = oneLogStore()
const keys = whole('--keys', values.keys)
const options = {
  runs: whole('--runs', values.runs),
  seconds: positive('--seconds', values.seconds),
  warmupSeconds: positive('--warmup', values.warmup),
  keysBeside: keys,
  logStore,
}
const isAsked = ({ name }: { readonly name: string }): boolean => name.includes(values.rows)

const dir = await mkdtemp(join(values.dir, 'actorum-coordination-'))
const processes = new EngineProcesses()

function oneLogStore(): LogStoreName {
  const [logStore, other] = logStoresOf(values['log-store'])
  if (logStore !== undefined && other === undefined) return logStore
  wrongOption('--log-store must be level or file here, one a run')
}

/** Each row in a directory of its own, which goes with it. */
async function inDirectory<Result>(measure: (dir: string) => Promise<Result>): Promise<Result> {
  const own = await mkdtemp(join(dir, 'row-'))
  const result = await measure(own)
  await rm(own, { recursive: true })
  return result
}

const results: RowResult[] = []
const memories: Memory[] = []

async function measureAll(): Promise<void> {
  for (const row of ROWS.filter(isAsked)) {
    results.push({ row, ...(await inDirectory((own) => runTrial(row, options, processes, own))) })
  }
  for (const row of MEMORY_ROWS.filter(isAsked)) {
    memories.push(await inDirectory((own) => measureMemory(row, keys, logStore, processes, own)))
  }
}

try {
  // What was measured before a row failed is worth telling.
  const failure = await measureAll().then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error)),
  )
  await processes.close()
  printOutcome({
    script: 'bench:coordination',
    dir: values.dir,
    isJson: values.json,
    othersShare: await processes.othersShare(),
    figures: { results, memories, failure },
    lines: [
      `Three processes on loopback, disk-first on ${logStore}; keys of 8 bytes, values of 256; medians, ratios run by run.`,
      `Many keys are ${count(keys)}; memory is for each million.`,
      '',
      ...tableLines(results, memories),
      ...(failure === undefined ? [] : ['', `It ended early: ${failure}`]),
    ],
    isReached: failure === undefined && results.every(isReached),
  })
} finally {
  await processes.close()
  await rm(dir, { recursive: true, force: true })
}
