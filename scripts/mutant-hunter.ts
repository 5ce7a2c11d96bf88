// Looks for a planted bug in one process of its own, in the copy of the sources that it lies in.
import { runHunt, type HuntName, type Kill } from '../test/mutants/hunts.js'

export interface HuntJob {
  readonly hunt: HuntName
  /** Seeds 1 to `runs`, until one fails. */
  readonly runs: number
}

export interface HuntReport {
  readonly kill: Kill | undefined
  /** Runs made, the failed one among them. */
  readonly runs: number
  readonly cpuMs: number
}

function hunt(job: HuntJob): HuntReport {
  const before = process.cpuUsage()
  const report = (kill: Kill | undefined, runs: number): HuntReport => {
    const { user, system } = process.cpuUsage(before)
    return { kill, runs, cpuMs: (user + system) / 1000 }
  }
  for (let seed = 1; seed <= job.runs; seed++) {
    const kill = runHunt(job.hunt, seed)
    if (kill !== undefined) return report(kill, seed)
  }
  return report(undefined, job.runs)
}

process.on('disconnect', () => process.exit())
process.on('message', (job: HuntJob) => process.send?.(hunt(job), () => process.disconnect()))
