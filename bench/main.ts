/** Measures the engine against the pipeline limit; see options.ts for the command line. */
import { runRow } from './cluster.js'
import type { Run } from './cluster.js'
import { describeMachine } from './machine.js'
import { parseOptions } from './options.js'
import { machineLines, quietLine, tableLines } from './report.js'
import type { RowResult } from './report.js'
import { ROWS } from './rows.js'
import type { Row } from './rows.js'
import type { SubjectName } from './subject.js'

const options = parseOptions(process.argv.slice(2))
const subjects: readonly SubjectName[] = options.onlyLimit ? ['limit'] : ['limit', 'engine']
const rows = ROWS.filter((row) => `${row.name} ${row.durability}`.includes(options.rows))

/** limit, engine, limit, engine …, so that a change in the machine's mood meets both. */
async function measureRow(row: Row): Promise<RowResult> {
  const runs: Record<SubjectName, Run[]> = { limit: [], engine: [] }
  for (let run = 0; run < options.runs; run++) {
    for (const subject of subjects) {
      process.stderr.write(`${row.name}, ${row.durability}: run ${run + 1} of ${options.runs}, ${subject}\n`)
      runs[subject].push(await runRow(subject, row, options, options.dir))
    }
  }
  return { row, limit: runs.limit, engine: runs.engine }
}

const machine = describeMachine(options.dir)
const results: RowResult[] = []
for (const row of rows) results.push(await measureRow(row))

if (options.json) console.log(JSON.stringify({ machine, options, results }, null, 2))
else
  console.log(
    [...machineLines(machine, process.argv.slice(2)), '', ...tableLines(results), '', quietLine(results)].join('\n'),
  )
