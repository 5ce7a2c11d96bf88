import type { SnapshotActorOptions } from '../../actors/snapshot-actor.js'
import type { SnapshotPolicyOptions } from '../../actors/snapshot-policy.js'
import { ActorumError } from '../../errors.js'
import { crc32 } from '../../machines/checksum.js'
import type { RaftContext, RaftSettings } from '../../machines/context.js'
import type { RaftEvent } from '../../machines/events.js'
import { termAt } from '../../machines/log.js'
import { seededRandom, type Random } from '../../machines/time-and-chance.js'
import type { Configuration, LogIndex, Member, ServerId, Term } from '../../machines/types.js'
import { shown } from '../../options.js'
import type { StateMachine } from '../../state-machines/ports.js'
import type { Durability } from '../../storage/ports.js'
import { MemoryNetwork } from '../../transport/memory-network.js'
import { isQuorum, membersOf, show } from './configuration-checker.js'
import { DeliveryChecker } from './delivery-checker.js'
import { ElectionChecker } from './election-checker.js'
import { SafetyChecker } from './safety-checker.js'
import { addressOf, firstStoreId, SimulatedServer, type ServerObserver } from './simulated-server.js'
import { VisibilityChecker } from './visibility-checker.js'
import { TraceHash } from './trace-hash.js'
import { UnexplainedStop, Violation } from './violation.js'
import { VirtualWorld } from './virtual-world.js'

export interface SimulationOptions<Command, Result> {
  /** Everything that happens follows from it. An integer from 0 to 2^32 − 1. */
  readonly seed: number
  /** How many servers found the cluster, 1 to 100. Default 3. */
  readonly servers?: number
  /** Servers with ids above theirs that run from the start and wait to be let in, 0 to 100. Default 0. */
  readonly spares?: number
  /** A new, empty state machine for each start of a server. */
  readonly stateMachine: () => StateMachine<Command, Result>
  /** Default `disk-first`. */
  readonly durability?: Durability
  /** Milliseconds between background syncs of `mem-first`. Default 100. */
  readonly syncIntervalMs?: number
  /** How long a turn of a server's loop waits, in milliseconds, and takes along what arrives meanwhile. Default 0. */
  readonly turnMs?: number
  /** T, in milliseconds. Default 150. */
  readonly electionTimeoutMs?: number
  /** Default 30. */
  readonly heartbeatIntervalMs?: number
  /** What a lease loses for clocks that run apart. Default 10. */
  readonly clockDriftBoundPercent?: number
  /** What the empty disk of server `id` is told of its cluster. Default: `everyone`, all of whom vote; a spare: nothing. */
  readonly configurationOf?: (id: ServerId, everyone: Configuration) => Configuration
  /** Default 1,000. */
  readonly requestTimeoutMs?: number
  /** Default `quorum`. */
  readonly linearizableReads?: 'quorum' | 'lease'
  /** Whether clocks keep to that bound; if not, leases promise nothing. Default true. */
  readonly clocksKeepBound?: boolean
  /** When servers take snapshots. Default: never by themselves. */
  readonly snapshotting?: SnapshotPolicyOptions & Partial<SnapshotActorOptions>
  /** Other settings of the role machines. */
  readonly settings?: Partial<RaftSettings>
  /** Sees every notice. */
  readonly notice?: (id: ServerId, text: string) => void
  /**
   * Hears of every server that stopped, or refused to start, by itself; may throw a Violation. Default: it is one, unless
   * a fault explains it that this cluster's nemesis has dealt. Whoever harms disks without one must say what may stop.
   */
  readonly failed?: (id: ServerId, error: ActorumError) => void
  /** Hears of every start, once the server has recovered. */
  readonly started?: (id: ServerId) => void
  /** Sees every step, after the checkers. */
  readonly stepped?: (id: ServerId, context: RaftContext, event: RaftEvent) => void
}

/** Who deals faults to a cluster, and so knows why its servers stop. */
export interface FaultDealer {
  /** Told of every start, once the server has recovered. */
  started(id: ServerId): void
  /** Told of every server that stopped, or refused to start, by itself; throws a Violation where no fault explains it. */
  failed(id: ServerId, error: ActorumError): void
}

/** Far more than a cluster has; each is a whole server in this one thread. */
const SERVERS_MAX = 100

const NO_SNAPSHOTS: SnapshotPolicyOptions = {
  snapshotEntries: 0,
  snapshotLogBytes: 0,
  snapshotIntervalMs: 0,
  logEntriesKept: 0,
}

/**
 * A whole cluster in one thread, on virtual time: the production machines, loop, codec and apply path over a network
 * and disks in memory. The same seed and calls give the same run, to the byte. The laws of Raft are judged after every
 * step; the first that does not hold is thrown, as a `Violation`, by whatever advances time.
 */
export class SimulatedCluster<Command, Result> {
  readonly world = new VirtualWorld()
  readonly network: MemoryNetwork
  readonly random: Random
  readonly servers: readonly SimulatedServer<Command, Result>[]
  readonly safety = new SafetyChecker()
  readonly #visibility: VisibilityChecker
  readonly #durability: Durability
  readonly #delivery = new DeliveryChecker()
  readonly #elections: ElectionChecker
  readonly #trace = new TraceHash()
  #dealer: FaultDealer | undefined
  #violation: Violation | undefined

  /** INVALID_ARGUMENT: the seed, the numbers of servers or the state machine are not what they must be. */
  constructor(options: SimulationOptions<Command, Result>) {
    checkOptions(options)
    const { seed, servers: count = 3, spares = 0, durability = 'disk-first', syncIntervalMs = 100 } = options
    this.random = seededRandom(seed)
    this.network = new MemoryNetwork({ clock: this.world, random: this.random, checksum: crc32 })
    this.#durability = durability
    this.#visibility = new VisibilityChecker(durability, this.safety)
    const { configurations } = this.safety
    this.#elections = new ElectionChecker((id) => configurations.rulingOn(id), settingsOf(options).electionTimeoutMs)
    const ids = Array.from({ length: count + spares }, (_, at) => at + 1)
    const acquaintances = ids.map(memberOf)
    const voters = ids.slice(0, count)
    // Where nobody joins or leaves, the first leader need not write down whose disk is whose.
    const known = (id: ServerId): Member => ({ ...memberOf(id), storeId: firstStoreId(id) })
    const configuration: Configuration = { voters, learners: [], members: voters.map(spares === 0 ? known : memberOf) }
    const { requestTimeoutMs = 1000, linearizableReads = 'quorum', turnMs = 0, stateMachine } = options
    const ownConfiguration = (id: ServerId): Configuration => (id <= count ? configuration : NOT_YET_A_MEMBER)
    const { configurationOf = ownConfiguration, snapshotting = NO_SNAPSHOTS } = options
    this.servers = ids.map((id) => {
      return new SimulatedServer<Command, Result>({
        id,
        world: this.world,
        network: this.network,
        random: this.random,
        configuration: configurationOf(id, configuration),
        acquaintances,
        settings: settingsOf(options),
        snapshotting,
        durability,
        syncIntervalMs,
        turnMs,
        requestTimeoutMs,
        linearizableReads,
        stateMachine,
        observer: this.#observer(options),
      })
    })
  }

  /** What judges throw inside a server's turn would only stop that server, so it is kept and thrown from here. */
  #observer(options: SimulationOptions<Command, Result>): ServerObserver {
    const judge = (act: () => void): void => {
      if (this.#violation !== undefined) return
      try {
        act()
      } catch (error) {
        this.#violation = error instanceof Violation ? error : new Violation('a judge judges', String(error))
      }
    }
    return {
      started: (id, context, runs, durableIndex) =>
        judge(() => {
          this.safety.checkRecovered(id, durableIndex, context.log)
          if (this.#durability === 'mem-first') this.safety.mayForget(id)
          this.safety.started(id, context, runs)
          this.#elections.started(id, context)
          this.#dealer?.started(id)
          options.started?.(id)
        }),
      failed: (id, error) =>
        judge(() => {
          if (error.code === 'INVARIANT_BROKEN') {
            throw new Violation('no server breaks an invariant', `server ${id}: ${error.message}`)
          }
          if (options.failed !== undefined) options.failed(id, error)
          else if (this.#dealer !== undefined) this.#dealer.failed(id, error)
          else throw new UnexplainedStop(id, error)
        }),
      stepped: (id, context, event) =>
        judge(() => {
          this.#trace.add(this.world.now(), id, context, event)
          const { committedIndex, elections } = this.safety
          this.safety.stepped(id, context, event)
          this.#elections.stepped(id, context, event)
          if (options.clocksKeepBound !== false) {
            if (this.safety.elections > elections) this.#checkLeases(id, context.hardState.term)
            if (event.type === 'heartbeatReply') this.#checkRenewal(id, context.hardState.term)
          }
          if (this.safety.committedIndex > committedIndex) this.#checkQuorum(id, context.commitIndex)
          options.stepped?.(id, context, event)
        }),
      applied: (id, run, state) =>
        judge(() => {
          this.safety.applied(id, run)
          if (!this.safety.hasState(run.lastIndex)) return
          this.safety.stateSeen(id, run.lastIndex, digest(state.snapshot()))
        }),
      taken: (id, index, state) => judge(() => this.safety.stateSeen(id, index, digest(state.snapshot()))),
      restored: (id, index, state) => judge(() => this.safety.restored(id, index, digest(state.snapshot()))),
      wiped: (id) => {
        this.safety.wiped(id)
        this.#visibility.wiped(id)
      },
      sent: (id, to, message) =>
        judge(() => {
          this.#delivery.sent(id, to, message)
          this.#visibility.sent(this.server(id), to, message)
        }),
      heard: (id, from, message) => judge(() => this.#delivery.heard(from, id, message)),
      notice: (id, text) => options.notice?.(id, text),
    }
  }

  /** What was just elected may commit at once: nobody else may still read by a lease (thesis §6.4.1). */
  #checkLeases(elected: ServerId, term: Term): void {
    for (const { id, running } of this.servers) {
      // Whoever is elected after the term is over, having stood still until then, can commit nothing.
      const isThreatened = running !== undefined && running.server.context.hardState.term < term
      if (id === elected || !isThreatened || !running.server.mayReadByLease()) continue
      throw new Violation(
        'nobody is elected within a lease',
        `server ${elected} was, while server ${id} could still read by its own`,
      )
    }
  }

  /** Nor does a lease begin again once there is a later leader. */
  #checkRenewal(id: ServerId, term: Term): void {
    const { newestTerm } = this.safety
    if (newestTerm <= term || this.server(id).running?.server.mayReadByLease() !== true) return
    throw new Violation(
      'nobody is elected within a lease',
      `server ${id} renewed its lease of term ${term} when term ${newestTerm} had a leader`,
    )
  }

  /**
   * Committed is what a majority of the configuration that rules keeps, by their disks; a joint one: a majority of both
   * its halves. One that was damaged or replaced since had kept it; and in `mem-first` so had one whose machine has
   * crashed since, though its word may be counted after its loss.
   */
  #checkQuorum(id: ServerId, index: LogIndex): void {
    const isHolder = (other: ServerId): boolean => {
      const server = this.server(other)
      const isSaid = server.saidIndex >= index
      if (isSaid && this.safety.wasSame(other, id, index)) return true
      if (!this.safety.isSame(other, id, index)) return false
      const isExcused = server.running === undefined || this.#durability === 'mem-first'
      return this.#visibility.holds(server, index) || (isExcused && isSaid)
    }
    const ruling = this.safety.configurations.rulingOn(id)
    if (isQuorum(ruling, isHolder)) return
    const holders = membersOf(ruling).filter(isHolder).join(', ')
    throw new Violation(
      'what is committed is durable on a majority',
      `server ${id} committed entry ${index}, which servers ${holders} of ${show(ruling)} hold`,
    )
  }

  /** The configuration by which the newest leader goes, or nobody's. */
  get configuration(): Configuration {
    const { leader } = this
    return leader === undefined ? NOT_YET_A_MEMBER : this.safety.configurations.rulingOn(leader.id)
  }

  /** Those of `configuration`, in order of their ids. */
  get members(): readonly SimulatedServer<Command, Result>[] {
    const ids = membersOf(this.configuration)
    return this.servers.filter(({ id }) => ids.includes(id))
  }

  /** A hash of everything that has happened: equal for two runs of the same seed. */
  get traceHash(): string {
    return this.#trace.value
  }

  /** Events handled by all servers so far. */
  get events(): number {
    return this.#trace.count
  }

  server(id: ServerId): SimulatedServer<Command, Result> {
    const server = this.servers[id - 1]
    if (server === undefined) throw new ActorumError('INVALID_ARGUMENT', `there is no server ${id}`)
    return server
  }

  startAll(): void {
    for (const server of this.servers) server.start()
    this.world.settle()
    this.check()
  }

  /** Lets `ms` pass, and throws the first violation. */
  advance(ms: number): void {
    this.advanceUntil(() => false, ms)
  }

  /** Lets time pass until `condition` holds, for `msMax` at most, and says whether it came to hold. */
  advanceUntil(condition: () => boolean, msMax: number): boolean {
    const met = this.world.advanceUntil(() => this.#violation !== undefined || condition(), msMax)
    this.check()
    return met
  }

  /** Whose faults explain that servers stop: one at most, since each stays within what may be survived only by itself. */
  attach(dealer: FaultDealer): void {
    if (this.#dealer !== undefined) throw invalid('a simulated cluster takes one nemesis, and this one has it')
    this.#dealer = dealer
  }

  /** Another judge found a violation, perhaps in the middle of a server's turn: it is thrown by whatever advances time. */
  report(violation: Violation): void {
    this.#violation ??= violation
  }

  /** Throws the violation that was found, if one was. */
  check(): void {
    if (this.#violation !== undefined) throw this.#violation
  }

  /** The servers that lead, in the newest term among them: one at most unless a deposed one does not know it yet. */
  get leader(): SimulatedServer<Command, Result> | undefined {
    let leader: SimulatedServer<Command, Result> | undefined
    for (const server of this.servers) {
      if (server.running === undefined || server.context.leadership === undefined) continue
      if (leader === undefined || server.context.hardState.term > leader.context.hardState.term) leader = server
    }
    return leader
  }

  /** Lets time pass until a leader has committed its no-op, for `msMax` at most. */
  advanceToLeader(msMax = 10_000): SimulatedServer<Command, Result> {
    const isEstablished = (): boolean => {
      const context = this.leader?.context
      return context !== undefined && termAt(context.log, context.commitIndex) === context.hardState.term
    }
    const { leader } = this.advanceUntil(isEstablished, msMax) ? this : { leader: undefined }
    if (leader === undefined)
      throw new Violation('a leader is elected when a majority can talk', `none within ${msMax} ms`)
    return leader
  }

  /** Every link mended and faultless, every process running at its pace; those that are down stay down. */
  heal(): void {
    this.network.heal()
    this.network.setFaults({})
    for (const server of this.servers) {
      server.disk.heal()
      server.snapshotDisk.heal()
      server.drift(1)
      if (server.isPaused) server.resume()
    }
  }

  /**
   * Liveness: with every fault healed, a leader is elected, a change of the membership under way comes to its end, and
   * all members but `lost` ones, learners too, come to the same log, applied. Throws a Violation when they do not within
   * `msMax`. That a server is lost may show only when it starts.
   */
  checkLiveness(msMax = 20_000, lost: () => readonly ServerId[] = () => []): void {
    this.heal()
    for (const { id } of this.servers) if (!lost().includes(id)) this.server(id).start()
    const idsOf = (): readonly ServerId[] => this.members.map(({ id }) => id).filter((id) => !lost().includes(id))
    const fault = (): string | undefined => {
      if (this.leader === undefined) return 'there is no leader'
      if (this.configuration.votersOutgoing !== undefined) return `${show(this.configuration)} still rules`
      const ids = idsOf()
      const down = ids.find((id) => this.server(id).running === undefined)
      if (down !== undefined) return `server ${down} is down: ${this.server(down).failure?.message}`
      return this.safety.checkConverged(ids, (id) => this.#appliedBy(id))
    }
    if (!this.advanceUntil(() => fault() === undefined, msMax)) {
      throw new Violation('healed servers elect a leader and come to the same log', `after ${msMax} ms: ${fault()}`)
    }
    this.#checkSameState(idsOf())
  }

  #appliedBy(id: ServerId): LogIndex {
    return this.server(id).running?.server.lastApplied ?? 0
  }

  /** State Machine Safety, from the outside: the same log gives the same state. */
  #checkSameState(ids: readonly ServerId[]): void {
    const states = ids.map((id) => digest(this.server(id).running?.stateMachine.snapshot() ?? []))
    const other = states.findIndex((state) => state !== states[0])
    if (other > 0)
      throw new Violation('the same log gives the same state', `servers ${ids[0]} and ${ids[other]} differ`)
  }
}

function checkOptions<Command, Result>(options: SimulationOptions<Command, Result>): void {
  const { seed, servers = 3, spares = 0, stateMachine } = options
  checkInteger('seed', seed, 0, 0xffff_ffff)
  checkInteger('servers', servers, 1, SERVERS_MAX)
  checkInteger('spares', spares, 0, SERVERS_MAX)
  if (typeof stateMachine !== 'function') {
    throw invalid(`stateMachine is ${shown(stateMachine)}; it must be a function that makes a state machine`)
  }
}

function checkInteger(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return
  throw invalid(`${name} is ${shown(value)}; it must be an integer from ${min} to ${max}`)
}

function invalid(message: string): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', message)
}

const NOT_YET_A_MEMBER: Configuration = { voters: [], learners: [] }

/** How a configuration names a simulated server. */
export function memberOf(id: ServerId): Member {
  return { id, address: addressOf(id) }
}

function settingsOf<Command, Result>(options: SimulationOptions<Command, Result>): RaftSettings {
  const { electionTimeoutMs = 150, heartbeatIntervalMs = 30, clockDriftBoundPercent = 10, settings } = options
  return {
    electionTimeoutMs,
    heartbeatIntervalMs,
    leaseMs: electionTimeoutMs * (1 - clockDriftBoundPercent / 100),
    appendBytesMax: 64 * 1024,
    inflightAppendsMax: 8,
    inflightBytesMax: 256 * 1024,
    uncommittedBytesMax: 4 * 1024 * 1024,
    logTailBytesMax: 16 * 1024,
    promotionLagEntries: 20,
    promotionAfterMs: electionTimeoutMs,
    electionPriority: 0,
    checksum: crc32,
    ...settings,
  }
}

function digest(chunks: Iterable<Uint8Array>): number {
  let sum = 0
  for (const chunk of chunks) sum = crc32(chunk, sum)
  return sum
}
