import { join } from 'node:path'
import { freeMembers, SERVERS } from '../cluster.js'
import type { EnginePlan } from '../engine-server.js'
import { count } from '../engine/report.js'
import type { EngineProcesses } from '../engine/processes.js'
import { listenOf } from '../subject.js'
import type { LogStoreName } from '../subject.js'
import { measureCalls, measureFanOut, measureHandover } from './phase.js'
import type { Phase, Servers, Timing } from './phase.js'
import type { Presence, Row } from './rows.js'

/** The plain calls and the row, measured in turn in one cluster. */
interface Pairs {
  readonly plain: readonly Phase[]
  readonly measured: readonly Phase[]
  /** What else is to be said of it. */
  readonly note: string
}

export interface Outcome extends Pairs {
  /** Terms that passed meanwhile. */
  readonly elections: number
}

export interface TrialOptions extends Timing {
  readonly runs: number
  /** Keys that are there besides, in the rows that have such. */
  readonly keysBeside: number
  readonly logStore: LogStoreName
}

/** Starts three servers with empty disks, measures one row in them, and ends them. */
export async function runTrial(
  row: Row,
  options: TrialOptions,
  processes: EngineProcesses,
  dir: string,
): Promise<Outcome> {
  const servers = await start(processes, options.logStore, dir)
  const { term } = await servers.leader.ask('position', undefined)
  await servers.leader.ask('fill', { keys: row.keys })
  const pairs = await new Trial(row, options, servers).run()
  const elections = (await servers.leader.ask('position', undefined)).term - term
  await processes.killAll()
  return { ...pairs, elections }
}

async function start(processes: EngineProcesses, logStore: LogStoreName, dir: string): Promise<Servers> {
  const members = await freeMembers()
  // A snapshot in one phase and not in the other, or a leader that goes to another process, is not what is measured.
  const steady = { snapshotEntries: 0, snapshotLogBytes: 0, handOverWhenUnhealthy: false }
  const common = { members, logStore, ...steady }
  const planOf = (id: number): EnginePlan & { readonly id: number } => {
    return { ...common, id, listen: listenOf(members, id), dataDir: join(dir, String(id)) }
  }
  const all = await Promise.all(SERVERS.map((id) => processes.start(planOf(id))))
  await Promise.all(all.map((server) => server.ask('ready', undefined)))
  const leader = processes.server(await processes.leaderId())
  const follower = all.find((server) => server !== leader) ?? leader
  return { leader, follower, all }
}

class Trial {
  readonly #row: Row
  readonly #options: TrialOptions
  readonly #servers: Servers
  readonly #plain: Phase[] = []
  readonly #measured: Phase[] = []
  #note = ''

  constructor(row: Row, options: TrialOptions, servers: Servers) {
    this.#row = row
    this.#options = options
    this.#servers = servers
  }

  /** plain, row, plain, row …, so that a change in the machine's mood meets both. */
  async run(): Promise<Pairs> {
    const { measurement } = this.#row
    const presence = measurement.kind === 'calls' ? measurement.beside : undefined
    if (presence?.kind === 'keys') await this.#beforeAndAfterKeys(presence.ttlMs)
    else {
      for (let run = 1; run <= this.#options.runs; run++) {
        await this.#measurePlain(run)
        await this.#amid(presence, () => this.#measureRow(run))
      }
    }
    return { plain: this.#plain, measured: this.#measured, note: this.#note }
  }

  /** Keys by the million are not taken away as fast as they come. */
  async #beforeAndAfterKeys(ttlMs: number | undefined): Promise<void> {
    const { runs, keysBeside } = this.#options
    for (let run = 1; run <= runs; run++) await this.#measurePlain(run)
    this.#say(`writing ${count(keysBeside)} keys`)
    await this.#servers.leader.ask('fill', { keys: keysBeside, family: 'beside', ttlMs })
    this.#note = `${count(keysBeside)} keys`
    for (let run = 1; run <= runs; run++) await this.#measureRow(run)
  }

  async #amid(presence: Exclude<Presence, { kind: 'keys' }> | undefined, measure: () => Promise<void>): Promise<void> {
    const { leader } = this.#servers
    if (presence !== undefined) await leader.ask('watchBegin', { watchers: presence.watchers, of: presence.kind })
    await measure()
    if (presence !== undefined) await leader.ask('watchEnd', undefined)
  }

  async #measurePlain(run: number): Promise<void> {
    const { plain, keys } = this.#row
    this.#say(`run ${run} of ${this.#options.runs}, plain`)
    this.#plain.push(await measureCalls(this.#servers, this.#options, plain, keys))
  }

  async #measureRow(run: number): Promise<void> {
    this.#say(`run ${run} of ${this.#options.runs}`)
    this.#measured.push(await this.#phase())
  }

  async #phase(): Promise<Phase> {
    const { measurement, keys } = this.#row
    switch (measurement.kind) {
      case 'calls': {
        const phase = await measureCalls(this.#servers, this.#options, measurement.calls, keys)
        if (measurement.calls.kind === 'churn') await this.#noteChurn(phase)
        return phase
      }
      case 'fanOut':
        return measureFanOut(this.#servers, this.#options, measurement)
      case 'handover':
        return measureHandover(this.#servers, this.#options, measurement)
    }
  }

  /** Were keys to expire more slowly than they come, more than a second of writes would be left. */
  async #noteChurn({ perSecond }: Phase): Promise<void> {
    const left = await this.#servers.leader.ask('keysIn', 'churn')
    this.#note = `${(left / perSecond).toFixed(1)} s of writes left at the end`
  }

  #say(text: string): void {
    process.stderr.write(`${this.#row.name}: ${text}\n`)
  }
}
