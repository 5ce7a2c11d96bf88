import { DEFAULT_SNAPSHOT_OPTIONS } from '../../actors/snapshot-actor.js'
import type { RaftContext } from '../../machines/context.js'
import type { ServerId } from '../../machines/types.js'
import type { KvCommand, KvResult } from '../../state-machines/kv/commands.js'
import { KeyValueStore } from '../../state-machines/kv/key-value-store.js'
import type { Consistency, Operation } from '../linearizability/history.js'
import { HistoryRecorder } from '../linearizability/recorder.js'
import { CoordinationClients, type Coordination } from './coordination.js'
import { Dice } from './dice.js'
import type { Fault } from './faults.js'
import { KvClient, type KvCluster } from './kv-client.js'
import { judgeHistory } from './kv-judgement.js'
import { KvLedger } from './kv-ledger.js'
import { LedgeredStore } from './ledgered-store.js'
import { Nemesis } from './nemesis.js'
import { SimulatedCluster, type SimulationOptions } from './simulated-cluster.js'
import { Violation } from './violation.js'

export interface KvScenarioOptions extends Omit<SimulationOptions<KvCommand, KvResult>, 'stateMachine' | 'failed'> {
  /** What lease reads are held to. Default `linearizable`: clocks keep to the lease's bound. */
  readonly leaseReads?: 'linearizable' | 'eventual'
  /** How many clients. Default 3. */
  readonly clients?: number
  /** Clients that use transactions, leases, sessions and watches from the start to the end. Default: none. */
  readonly coordination?: Coordination | undefined
}

/** Something that happened, at a virtual time in milliseconds. */
export interface StoryLine {
  readonly atMs: number
  readonly text: string
}

/** How long healed servers have to answer, in virtual milliseconds. */
const ANSWER_MS_MAX = 10_000
/** And to come to the same log, beside the time that a snapshot takes. */
const CONVERGE_MS_MAX = 30_000
/** A large snapshot, as these runs make them, and a piece of it: sent once the one before it is on a slow disk. */
const SNAPSHOT_BYTES_MAX = 100_000
const PIECE_MS_MAX = 20

/**
 * A key-value cluster with clients, a nemesis and all judges, and the story of what happened to it. Random runs and
 * property tests are made of these.
 */
export class KvScenario {
  readonly cluster: KvCluster
  readonly nemesis: Nemesis<KvCommand, KvResult>
  readonly clients: readonly KvClient[]
  readonly ledger: KvLedger
  readonly coordinating: CoordinationClients | undefined
  readonly #recorder: HistoryRecorder
  readonly #story: StoryLine[] = []
  readonly #keys = new Set<string>()
  readonly #leaseReads: 'linearizable' | 'eventual'
  readonly #patienceMs: number
  readonly #convergeMs: number
  #verdict: 'decided' | 'undecided' | undefined

  constructor(options: KvScenarioOptions) {
    const { clients = 3, leaseReads = 'linearizable', requestTimeoutMs = 1000, durability = 'disk-first' } = options
    const { historyEntriesMax, isWitnessed } = options.coordination ?? {}
    const limits = historyEntriesMax === undefined ? {} : { historyEntriesMax }
    this.ledger = new KvLedger({ ...limits, now: () => this.cluster.world.now() })
    const report = isWitnessed === true ? (violation: Violation) => this.cluster.report(violation) : undefined
    this.cluster = new SimulatedCluster<KvCommand, KvResult>({
      ...options,
      clocksKeepBound: leaseReads === 'linearizable',
      stateMachine: () => new LedgeredStore(this.ledger, { limits, report }),
      stepped: (id, context, event) => {
        this.#noteLeader(id, context)
        options.stepped?.(id, context, event)
      },
    })
    const dice = Dice.of(options.seed, 'nemesis')
    this.nemesis = new Nemesis(this.cluster, { durability, dice, tell: (text) => this.tell(text) })
    this.#recorder = new HistoryRecorder(() => Math.round(this.cluster.world.now() * 1e6))
    this.#leaseReads = leaseReads
    this.#patienceMs = 2 * requestTimeoutMs
    const { chunkBytes = DEFAULT_SNAPSHOT_OPTIONS.chunkBytes } = options.snapshotting ?? {}
    this.#convergeMs = CONVERGE_MS_MAX + (SNAPSHOT_BYTES_MAX / chunkBytes) * PIECE_MS_MAX
    this.clients = Array.from({ length: clients }, (_, at) => this.#client(`c${at + 1}`))
    this.coordinating = options.coordination && this.#coordinate(options, options.coordination)
    this.cluster.startAll()
    this.coordinating?.start()
  }

  #coordinate(options: KvScenarioOptions, coordination: Coordination): CoordinationClients {
    const { seed, requestTimeoutMs = 1000, linearizableReads = 'quorum', clockDriftBoundPercent = 10 } = options
    const { cluster, ledger } = this
    return new CoordinationClients({
      seed,
      cluster,
      ledger,
      coordination,
      linearizableReads,
      requestTimeoutMs,
      patienceMs: this.#patienceMs,
      clockDriftBoundPercent,
      clocksKeepBound: this.#leaseReads === 'linearizable',
    })
  }

  /** Keys that clients use: they are all read at the end. */
  useKeys(keys: readonly string[]): void {
    for (const key of keys) this.#keys.add(key)
  }

  /** What clients have done and seen so far. */
  get history(): readonly Operation[] {
    return this.#recorder.history()
  }

  /** Faults, elections and ends, in order. */
  get story(): readonly StoryLine[] {
    return this.#story
  }

  /** Whether the history could be judged in time; undefined before `finish`. */
  get verdict(): 'decided' | 'undecided' | undefined {
    return this.#verdict
  }

  tell(text: string): void {
    this.#story.push({ atMs: this.cluster.world.now(), text })
  }

  /** Deals a fault that heals by itself after `forMs`. */
  inject(fault: Fault, forMs: number): void {
    const heal = this.nemesis.inject(fault)
    if (heal !== undefined) this.cluster.world.setTimeout(heal, forMs)
  }

  pass(ms: number): void {
    this.cluster.advance(ms)
  }

  /**
   * Heals everything, and judges: all servers that are not lost come to the same log and state, each of them answers
   * reads of every key, and the history is what was promised. Throws the first Violation.
   */
  finish(): void {
    this.coordinating?.stop()
    this.nemesis.healAll()
    if (!this.cluster.advanceUntil(() => this.nemesis.isIdle, this.#convergeMs))
      throw new Violation('a healed cluster changes its membership', 'an operator waits for it in vain')
    this.cluster.checkLiveness(this.#convergeMs, () => this.nemesis.gone)
    this.#readEverything()
    this.coordinating?.settle()
    // A call that was under way may have been committed meanwhile.
    this.cluster.checkLiveness(this.#convergeMs, () => this.nemesis.gone)
    const { gone } = this.nemesis
    for (const { id, running } of this.cluster.members) {
      if (gone.includes(id)) continue
      if (running?.stateMachine instanceof KeyValueStore) this.ledger.checkStore(`server ${id}`, running.stateMachine)
    }
    this.coordinating?.judge()
    this.#verdict = judgeHistory(this.history, this.ledger, { leaseReads: this.#leaseReads })
  }

  #readEverything(): void {
    const { gone } = this.nemesis
    const asked = this.cluster.members.filter(({ id, running }) => running !== undefined && !gone.includes(id))
    const reads = asked.flatMap(({ id }) =>
      [...this.#keys].map((key) => ({ id, key, client: this.#client(`last read of ${key} at ${id}`) })),
    )
    const before = this.history.length
    for (const { id, key, client } of reads) client.call(id, { op: 'get', key, consistency: 'linearizable' })
    this.cluster.advanceUntil(() => !reads.some(({ client }) => client.isBusy), ANSWER_MS_MAX)
    const silent = this.history.slice(before).find(({ outcome }) => outcome !== 'ok')
    if (silent !== undefined) throw new Violation('healed servers answer', `${silent.client} was not answered`)
  }

  #client(name: string): KvClient {
    const { cluster, ledger } = this
    const mustSee = (consistency: Consistency): boolean => {
      return consistency === 'linearizable' || (consistency === 'lease' && this.#leaseReads === 'linearizable')
    }
    return new KvClient({ name, cluster, ledger, mustSee, recorder: this.#recorder, patienceMs: this.#patienceMs })
  }

  #leading = new Map<ServerId, number>()

  #noteLeader(id: ServerId, { leadership, hardState }: RaftContext): void {
    if (leadership === undefined || this.#leading.get(id) === hardState.term) return
    this.#leading.set(id, hardState.term)
    this.tell(`server ${id} leads term ${hardState.term}`)
  }
}
