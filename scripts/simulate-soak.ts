// Random simulations in several processes, and what they come to.
import { fork, type ChildProcess } from 'node:child_process'
import type { PlanOptions } from '../src/testing/index.js'
import type { PlanWishes } from './simulate-options.js'
import type { RunReport } from './simulate-worker.js'

/** What all runs so far come to. */
export class Tally {
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

export interface SoakSpec {
  /** The program of a worker. */
  readonly worker: string | URL
  readonly workers: number
  readonly fromSeed: number
  readonly runs: number
  /** On performance.now's clock. */
  readonly until: number
  readonly plan: PlanWishes
  readonly report: (report: RunReport) => void
}

/** A worker ended by itself: not a law that was broken, but the simulator. */
export class WorkerDied extends Error {
  /** What it was running, if anything. */
  readonly seed: number | undefined

  constructor({ number, child, seed }: Worker, how: string) {
    const at = seed === undefined ? 'before its first run' : `while it ran seed ${seed}`
    super(`worker ${number} (process ${child.pid}) ended with ${how} ${at}`)
    this.seed = seed
  }
}

/** A process that runs simulations, and the seed that it is at. */
interface Worker {
  readonly number: number
  readonly child: ChildProcess
  seed: number | undefined
}

/** Runs that several processes share. */
export class Soak {
  readonly #spec: SoakSpec
  readonly #workers = new Set<Worker>()
  #next = 0
  #failed: number | undefined
  #resolve: (failed: number | undefined) => void = () => undefined
  #reject: (error: Error) => void = () => undefined

  constructor(spec: SoakSpec) {
    this.#spec = spec
  }

  /**
   * Resolves with the seed of the first run that failed, or with undefined at the end, which Ctrl-C may bring early.
   * Rejects with a WorkerDied when one does. Either way no worker runs on.
   */
  async run(): Promise<number | undefined> {
    process.once('SIGINT', this.#stop)
    try {
      return await new Promise<number | undefined>((resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
        for (let at = 1; at <= Math.min(this.#spec.workers, this.#spec.runs); at++) this.#start(at)
      })
    } finally {
      process.off('SIGINT', this.#stop)
      for (const { child } of this.#workers) child.kill()
    }
  }

  readonly #stop = (): void => {
    this.#next = Infinity
    for (const worker of [...this.#workers]) this.#end(worker)
  }

  #start(number: number): void {
    // A simulation makes much short-lived garbage: a larger nursery collects it cheaply.
    const child = fork(this.#spec.worker, [], { execArgv: [...process.execArgv, '--max-semi-space-size=64'] })
    const worker: Worker = { number, child, seed: undefined }
    this.#workers.add(worker)
    child.on('message', (report: RunReport) => {
      this.#spec.report(report)
      if (report.failed) this.#failed ??= report.seed
      this.#ask(worker)
    })
    child.on('error', (error) => this.#died(worker, error.message))
    child.on('exit', (code, signal) => this.#died(worker, signal === null ? `status ${code}` : `signal ${signal}`))
    this.#ask(worker)
  }

  #ask(worker: Worker): void {
    const { runs, until, fromSeed, plan } = this.#spec
    if (this.#next >= runs || performance.now() >= until || this.#failed !== undefined) return this.#end(worker)
    worker.seed = (fromSeed + this.#next++) >>> 0
    const options: PlanOptions = { ...plan, seed: worker.seed }
    // One that has died meanwhile says so itself.
    worker.child.send(options, () => undefined)
  }

  #end(worker: Worker): void {
    this.#workers.delete(worker)
    if (worker.child.connected) worker.child.disconnect()
    if (this.#workers.size === 0) this.#resolve(this.#failed)
  }

  #died(worker: Worker, how: string): void {
    if (!this.#workers.delete(worker)) return
    // A run that broke a law says more than a worker that died after it.
    if (this.#failed !== undefined) this.#resolve(this.#failed)
    else this.#reject(new WorkerDied(worker, how))
  }
}
