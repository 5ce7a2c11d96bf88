// Runs random simulations that the parent process asks for, one seed at a time.
import { drawPlan, runPlan, type PlanOptions } from '../src/testing/index.js'

/** What the parent learns of one run; a failed one it runs again itself. */
export interface RunReport {
  readonly seed: number
  readonly failed: boolean
  readonly events: number
  readonly elections: number
  readonly operations: number
  readonly decided: boolean
  readonly faults: readonly (readonly [string, number])[]
  readonly cpuMs: number
}

function run(options: PlanOptions): RunReport {
  const before = process.cpuUsage()
  const result = runPlan(drawPlan(options))
  const { user, system } = process.cpuUsage(before)
  return {
    seed: options.seed,
    failed: result.violation !== undefined,
    events: result.events,
    elections: result.elections,
    operations: result.history.length,
    decided: result.decided,
    faults: [...result.faults],
    cpuMs: (user + system) / 1000,
  }
}

// Ctrl-C reaches the whole process group; the parent decides when it is over.
process.on('SIGINT', () => undefined)
process.on('disconnect', () => process.exit())
process.on('message', (options: PlanOptions) => {
  // A parent that has gone meanwhile wants no report.
  process.send?.(run(options), undefined, undefined, (error) => {
    if (error !== null) process.exit()
  })
})
