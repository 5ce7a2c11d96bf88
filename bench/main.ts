/** Measures the engine against the pipeline limit; see options.ts for the command line. */
import { runRow } from './cluster.js'
import type { Run, Setting } from './cluster.js'
import { wrongOption } from './command-line.js'
import { describeMachine } from './machine.js'
import { parseOptions } from './options.js'
import { machineLines, quietLine, scaleLines, tableLines, wantedLines } from './report.js'
import type { RowResult } from './report.js'
import { ROWS } from './rows.js'
import type { Row } from './rows.js'

const options = parseOptions()
const rows = ROWS.filter((row) => nameOf(row).includes(options.rows))
if (rows.length === 0) {
  wrongOption(`no row's name contains '${options.rows}'; there are: ${ROWS.map(nameOf).join('; ')}`)
}

function nameOf({ name, durability }: Row): string {
  return `${name} ${durability}`
}

/** limit, engine, limit, engine …, so that a change in the machine's mood meets all. */
async function measureRow(row: Row): Promise<RowResult[]> {
  const limits = options.servers.map((servers) => ({ servers, runs: new Array<Run>() }))
  const engines = options.servers.flatMap((servers) =>
    options.logStores.map((logStore) => ({ servers, logStore, runs: new Array<Run>() })),
  )
  for (let run = 1; run <= options.runs; run++) {
    for (const { servers, runs } of limits) {
      runs.push(await measureRun(row, run, { subject: 'limit', logStore: 'level', servers }))
      for (const engine of options.onlyLimit ? [] : engines) {
        if (engine.servers !== servers) continue
        engine.runs.push(await measureRun(row, run, { subject: 'engine', logStore: engine.logStore, servers }))
      }
    }
  }
  return engines.map(({ servers, logStore, runs }) => {
    const limit = limits.find((one) => one.servers === servers)?.runs ?? []
    return { row, servers, logStore, limit, engine: runs }
  })
}

function measureRun(row: Row, run: number, setting: Setting): Promise<Run> {
  const { subject, logStore, servers } = setting
  const what = `${row.name}, ${row.durability}: run ${run} of ${options.runs}`
  process.stderr.write(`${what}, ${subject} on ${logStore}, ${servers} servers\n`)
  return runRow(setting, row, options, options.dir)
}

const machine = describeMachine(options.dir)
const results: RowResult[] = []
for (const row of rows) results.push(...(await measureRow(row)))

if (options.json) console.log(JSON.stringify({ machine, options, results }, null, 2))
else {
  const parts = [
    machineLines(machine, process.argv.slice(2)),
    tableLines(results),
    scaleLines(results),
    wantedLines(results),
    [quietLine(results)],
  ]
  console.log(
    parts
      .flatMap((lines) => (lines.length === 0 ? [] : [...lines, '']))
      .join('\n')
      .trimEnd(),
  )
}
