import type { Consistency } from '../../src/index.js'
import { Dice, Violation, type Operation, type StoryLine } from '../../src/testing/index.js'
import { judgeHistory } from '../../src/testing/simulation/kv-judgement.js'
import { CallRecord } from './call-record.js'
import { RealCluster } from './real-cluster.js'
import { RealNemesis } from './real-nemesis.js'
import { ReplicatedLog } from './replicated-log.js'
import { Workload } from './workload.js'

export interface TortureOptions {
  /** Draws the calls and the faults. The machine draws the rest: a seed is a plan, and no replay. */
  readonly seed: number
  readonly servers: number
  readonly durability: 'disk-first' | 'mem-first'
}

/** What a round without a violation came to. */
export interface RoundResult {
  readonly operations: number
  /** Of those, the ones that may or may not have taken effect. */
  readonly unknown: number
  /** Of those, the ones that certainly did nothing. */
  readonly failed: number
  /** `undecided`: the search for an order ran out of steps, and neither proved nor refuted it. */
  readonly verdict: 'decided' | 'undecided'
  readonly judgedMs: number
}

const KEYS = 4
const CLIENTS_EACH = 2
const THINK_MS = [1, 30] as const
const LAST_READ_MS = 30_000

/**
 * A cluster of real processes under real faults, in rounds. A round has keys of its own, so that its history is judged
 * by itself; the cluster, its logs and its disks go on from round to round.
 */
export class Torture {
  readonly cluster: RealCluster
  readonly nemesis: RealNemesis
  readonly log: ReplicatedLog
  readonly #options: TortureOptions
  readonly #record: CallRecord
  readonly #story: readonly StoryLine[]
  #rounds = 0
  #keys: readonly string[] = []
  #workload: Workload | undefined

  private constructor(
    options: TortureOptions,
    cluster: RealCluster,
    record: CallRecord,
    story: StoryLine[],
    tell: (text: string) => void,
  ) {
    this.#options = options
    this.#record = record
    this.#story = story
    this.cluster = cluster
    this.nemesis = new RealNemesis({ cluster, dice: Dice.of(options.seed, 'nemesis'), tell })
    this.log = new ReplicatedLog(options.durability)
  }

  /** With all servers up. Dispose of it, whatever happens. */
  static async start(options: TortureOptions): Promise<Torture> {
    const { servers, durability } = options
    const record = new CallRecord()
    const story: StoryLine[] = []
    const tell = (text: string): void => void story.push({ atMs: record.nowNs() / 1e6, text })
    const cluster = await RealCluster.make({ servers, durability, startNs: record.startNs, tell })
    try {
      await cluster.startAll()
    } catch (error) {
      await cluster.dispose()
      throw error
    }
    return new Torture(options, cluster, record, story, tell)
  }

  /** Faults and elections, in order, timed as the operations are. */
  get story(): readonly StoryLine[] {
    return this.#story
  }

  /** What the clients of this round have done and seen. */
  get history(): readonly Operation[] {
    return this.#record.history
  }

  /** Lets clients call, on new keys, until the round is finished. */
  beginRound(): void {
    const round = ++this.#rounds
    this.#record.clear()
    this.#keys = Array.from({ length: KEYS }, (_, at) => `${round}.${at + 1}`)
    this.#workload = new Workload({
      cluster: this.cluster,
      record: this.#record,
      keys: this.#keys,
      name: `${round}`,
      dice: Dice.of(this.#options.seed, `workload ${round}`),
      thinkMs: THINK_MS,
      clientsEach: CLIENTS_EACH,
    })
  }

  /** Waits until so many more writes have been answered. */
  async progress(writes: number): Promise<void> {
    const goal = this.#acknowledged + writes
    await this.cluster.until(() => this.#acknowledged >= goal, 'a majority makes progress')
  }

  /** Deals faults until the signal fires; then everything is healed. */
  async rage(signal: AbortSignal): Promise<void> {
    const over = new AbortController()
    const both = AbortSignal.any([signal, over.signal])
    try {
      await Promise.race([this.nemesis.rage(both), this.cluster.broken])
    } finally {
      over.abort()
    }
  }

  /**
   * With everything healed: waits until the servers agree, reads every key at each, kills them all, and judges what the
   * clients saw by what the disks hold. Throws the first Violation. All servers are down afterwards.
   */
  async finishRound(): Promise<RoundResult> {
    await this.#inTime(this.#workload?.stop())
    await this.cluster.converged()
    await this.#inTime(this.#lastReads())
    const end = await this.cluster.converged()
    await this.cluster.killAll()
    const { ids } = this.cluster
    await this.log.read(
      ids.map((id) => ({ id, directory: this.cluster.logDirectory(id) })),
      end,
    )
    const startedAt = performance.now()
    const { history } = this
    this.log.noteOutcomes(history)
    const verdict = judgeHistory(history, this.log.ledger, { leaseReads: 'linearizable' })
    const judgedMs = performance.now() - startedAt
    const count = (outcome: Operation['outcome']): number => history.filter((each) => each.outcome === outcome).length
    return { operations: history.length, unknown: count('unknown'), failed: count('failed'), verdict, judgedMs }
  }

  dispose(): Promise<void> {
    return this.cluster.dispose()
  }

  get #acknowledged(): number {
    return this.#workload?.acknowledged ?? 0
  }

  #inTime(work: Promise<void> | undefined): Promise<void> {
    return Promise.race([work ?? Promise.resolve(), this.cluster.broken])
  }

  async #lastReads(): Promise<void> {
    const reads = this.cluster.ids.flatMap((id) => this.#keys.map((key) => this.#lastRead(id, key, 'linearizable')))
    await Promise.all(reads)
    await Promise.all(this.cluster.ids.flatMap((id) => this.#keys.map((key) => this.#lastRead(id, key, 'eventual'))))
  }

  async #lastRead(id: number, key: string, consistency: Consistency): Promise<void> {
    const client = `last ${consistency} read of ${key} at ${id}`
    const call = { op: 'get', key, consistency, timeoutMs: LAST_READ_MS } as const
    const server = this.cluster.server(id)
    const ended = this.#record.ordered(client, call)
    const answer = await server?.call(call)
    ended(answer, server?.name ?? `${id}`)
    if (answer?.outcome === 'ok') return
    throw new Violation('healed servers answer', `the ${client} came to ${answer?.code ?? 'nothing'}`)
  }
}
