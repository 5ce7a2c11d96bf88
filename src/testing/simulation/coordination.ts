import { FIRST_KEY, prefixRange, singleKeyRange, type KeyChars } from '../../state-machines/kv/keys.js'
import type { Consistency } from '../linearizability/history.js'
import { BankClient } from './bank-client.js'
import { CausalClient } from './causal-client.js'
import { Dice } from './dice.js'
import type { KvCluster } from './kv-client.js'
import type { KvLedger } from './kv-ledger.js'
import { LeaseClient } from './lease-client.js'
import type { LoopingClient } from './looping-client.js'
import { ProcessClock } from './process-clock.js'
import { RevisionOrder } from './revision-order.js'
import { RoamingStore } from './roaming-store.js'
import { SessionClient } from './session-client.js'
import { Violation } from './violation.js'
import { WatchClient } from './watch-client.js'

/** Which clients use what makes up coordination, and how many of each. */
export interface Coordination {
  /** Who moves money between accounts. */
  readonly bankers: number
  readonly accounts: number
  /** Who holds leases. */
  readonly holders: number
  /** Who writes in sessions. */
  readonly sessions: number
  readonly watchers: number
  /** How long clients wait between their calls. */
  readonly thinkMs: readonly [min: number, max: number]
  /** How many changes servers keep. */
  readonly historyEntriesMax: number
  /** Whether every change of every server's store is judged. */
  readonly isWitnessed: boolean
  /** Who goes from server to server with a causal view. */
  readonly travellers: number
}

/** Few clients, so that those of single keys still matter; at times of one kind alone. */
export function drawCoordination(dice: Dice): Coordination {
  const some = (): number => dice.pick([0, 1, 2])
  const drawn = { bankers: some(), holders: some(), sessions: some(), watchers: 2 * some() }
  const isNothing = drawn.bankers + drawn.holders + drawn.sessions === 0
  return {
    ...drawn,
    ...(isNothing ? { bankers: 1, holders: 1 } : {}),
    accounts: dice.between(2, 6),
    thinkMs: dice.pick([
      [0, 20],
      [5, 60],
    ] as const),
    historyEntriesMax: dice.pick([4, 30, 100_000]),
    isWitnessed: dice.chance(0.5),
    // Drawn last: what a seed drew before there were any stays the same.
    travellers: dice.pick([0, 0, 1, 2]),
  }
}

export interface CoordinationSpec {
  readonly seed: number
  readonly cluster: KvCluster
  readonly ledger: KvLedger
  readonly coordination: Coordination
  readonly linearizableReads: 'quorum' | 'lease'
  readonly requestTimeoutMs: number
  readonly patienceMs: number
  readonly clockDriftBoundPercent: number
  /** Whether clocks keep to that bound. */
  readonly clocksKeepBound: boolean
}

/** How long a healed cluster has for what is to end, and for telling who watches, in virtual milliseconds. */
const SETTLING_MS_MAX = 20_000

/** All clients of a run that coordinate, and what is judged at its end. */
export class CoordinationClients {
  readonly #spec: CoordinationSpec
  readonly #order = new RevisionOrder()
  readonly #bankers: readonly LoopingClient[]
  readonly #holders: readonly LeaseClient[]
  readonly #sessions: readonly SessionClient[]
  readonly #watchers: readonly WatchClient[]
  readonly #travellers: readonly LoopingClient[]

  constructor(spec: CoordinationSpec) {
    this.#spec = spec
    const { bankers, accounts, holders, sessions, watchers, travellers } = spec.coordination
    this.#bankers = named('banker', bankers).map((name) => new BankClient(this.#looping(name), accounts))
    this.#holders = named('holder', holders).map((name) => new LeaseClient(this.#looping(name), spec.clocksKeepBound))
    this.#sessions = named('session', sessions).map((name) => new SessionClient(this.#looping(name)))
    this.#watchers = named('watcher', watchers).map((name) => this.#watcher(name))
    this.#travellers = named('traveller', travellers).map((name) => new CausalClient(this.#looping(name)))
  }

  get #writers(): readonly LoopingClient[] {
    return [...this.#bankers, ...this.#holders, ...this.#sessions, ...this.#travellers]
  }

  /** How often those who watch were told something. */
  get told(): number {
    return this.#watchers.reduce((sum, { events }) => sum + events, 0)
  }

  start(): void {
    for (const client of [...this.#watchers, ...this.#writers]) client.start()
  }

  /** No call is begun any more. */
  stop(): void {
    for (const client of [...this.#writers, ...this.#watchers]) client.stop()
  }

  /**
   * In a healed cluster: calls under way come to their end, leases and sessions end once nobody keeps them alive, and who
   * watches is told of everything. Throws a Violation.
   */
  settle(): void {
    const { cluster, ledger, patienceMs } = this.#spec
    const until = (condition: () => boolean, ms: number, law: string, what: () => string): void => {
      if (!cluster.advanceUntil(condition, ms)) throw new Violation(law, `${what()} after ${ms} ms`)
    }
    const isBusy = ({ isBusy }: LoopingClient): boolean => isBusy
    const busy = (): LoopingClient | undefined => this.#writers.find(isBusy)
    until(
      () => busy() === undefined,
      3 * patienceMs + SETTLING_MS_MAX,
      'every call is answered or given up',
      () => {
        return `${busy()?.name} waits`
      },
    )
    until(
      () => ledger.nextExpiry === undefined,
      SETTLING_MS_MAX,
      'what is over ends',
      () => {
        return `what was due at ${ledger.nextExpiry} has not ended`
      },
    )
    const behind = (): WatchClient | undefined => this.#watchers.find((one) => !one.isThrough(ledger.lastIndex))
    // A slow one may have much before it: what counts is that it gets on.
    const told = (): number => this.#watchers.reduce((sum, { told }) => sum + told, 0)
    for (let before = -Infinity; behind() !== undefined && told() > before;) {
      before = told()
      cluster.advanceUntil(() => behind() === undefined, SETTLING_MS_MAX)
    }
    const last = behind()
    if (last !== undefined) throw new Violation('who watches is told of every change', `${last.name} does not get on`)
  }

  /** What can be judged only of the whole run. Throws a Violation. */
  judge(): void {
    for (const holder of this.#holders) holder.checkPromises()
    for (const session of this.#sessions) session.checkGivenUp()
  }

  #looping(name: string): ConstructorParameters<typeof BankClient>[0] {
    const { cluster, ledger, coordination, clocksKeepBound } = this.#spec
    const dice = this.#dice(name)
    const mustSee = (consistency: Consistency): boolean => {
      return consistency === 'linearizable' || (consistency === 'lease' && clocksKeepBound)
    }
    const { thinkMs } = coordination
    return { name, cluster, ledger, order: this.#order, store: this.#connection(dice), dice, thinkMs, mustSee }
  }

  #watcher(name: string): WatchClient {
    const { cluster, ledger } = this.#spec
    const dice = this.#dice(name)
    const range = dice.pick([
      { from: FIRST_KEY, to: undefined },
      prefixRange('bank/' as KeyChars),
      prefixRange('lease/' as KeyChars),
      prefixRange('session/' as KeyChars),
      singleKeyRange('bank/0' as KeyChars),
      singleKeyRange('lease/0' as KeyChars),
    ])
    const options = {
      previous: dice.chance(0.5),
      only: dice.pick([undefined, undefined, 'puts', 'deletes'] as const),
      progressIntervalMs: dice.pick([undefined, 10, 100]),
      bufferedChangesMax: dice.pick([1, 5, 1000]),
      resume: dice.chance(0.7),
    }
    const [observes, slowMs] = [dice.chance(0.4), dice.pick([undefined, 1, 10, 40])]
    const answersLate = dice.chance(0.5)
    const store = this.#connection(dice)
    return new WatchClient({ name, cluster, ledger, store, dice, range, options, observes, slowMs, answersLate })
  }

  /** A client has a clock of its own, which runs apart from others as those of servers do. */
  #connection(dice: Dice): RoamingStore {
    const { cluster, clocksKeepBound } = this.#spec
    const clock = new ProcessClock(cluster.world, 1000 * dice.fraction())
    clock.drift(clocksKeepBound ? 0.955 + 0.09 * dice.fraction() : dice.pick([0.5, 1, 2]))
    return new RoamingStore({ ...this.#spec, clock }, dice.pick(cluster.servers).id)
  }

  #dice(name: string): Dice {
    return Dice.of(this.#spec.seed, name)
  }
}

function named(kind: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => `${kind}-${at + 1}`)
}
