import type { ActorumError } from '../../../src/errors.js'
import type { RaftContext } from '../../../src/machines/context.js'
import type { RaftEvent } from '../../../src/machines/events.js'
import { lastTerm } from '../../../src/machines/log.js'
import type { Message } from '../../../src/machines/messages.js'
import type { MembershipChange } from '../../../src/machines/messages.js'
import type { Progress } from '../../../src/machines/progress.js'
import type { Configuration, LogIndex, ServerId } from '../../../src/machines/types.js'
import type { Consistency } from '../../../src/options.js'
import type { CompareAndSwapResult, KvCommand, KvResult, PutResult } from '../../../src/state-machines/kv/commands.js'
import { KeyValueStore } from '../../../src/state-machines/kv/key-value-store.js'
import { keyChars, type Bytes } from '../../../src/state-machines/kv/keys.js'
import {
  memberOf,
  SimulatedCluster,
  type SimulationOptions,
} from '../../../src/testing/simulation/simulated-cluster.js'
import type { SimulatedServer } from '../../../src/testing/simulation/simulated-server.js'

/** The election timeout T and the heartbeat interval of every story, in virtual milliseconds. */
export const T = 150
export const HEARTBEAT_MS = 30
/** How long a message is on its way, unless a link is told otherwise: long enough to tell one step from the next. */
export const HOP_MS = 1

const MINUTE = 60_000

/** For a story that does harm to disks, and looks itself for who stops. */
export const SERVERS_MAY_STOP: Pick<SimulationOptions<KvCommand, KvResult>, 'failed'> = { failed: () => undefined }

/** Learners to be, learners that shall vote, and members that leave. */
export interface ChangeWish {
  readonly add?: readonly ServerId[]
  readonly promote?: readonly ServerId[]
  readonly remove?: readonly ServerId[]
  readonly force?: boolean
}

/** A message that a server handled. */
export interface Heard {
  readonly at: number
  readonly to: ServerId
  readonly from: ServerId
  readonly message: Message
}

/** A client's call and what became of it. */
export interface Call<Value> {
  isSettled: boolean
  value: Value | undefined
  error: ActorumError | undefined
}

/**
 * A whole cluster of real servers on a simulated network, disks and clocks, and what a story does to it. The laws of
 * Raft are judged after every step; a story adds what it is about.
 */
export class Story {
  readonly cluster: SimulatedCluster<KvCommand, KvResult>
  /** Every message handled so far, in order. */
  readonly heard: Heard[] = []
  readonly notices: string[] = []
  #watch: (id: ServerId, context: RaftContext, event: RaftEvent) => void = () => undefined

  constructor(options: Partial<SimulationOptions<KvCommand, KvResult>> = {}) {
    this.cluster = new SimulatedCluster<KvCommand, KvResult>({
      seed: 1,
      electionTimeoutMs: T,
      heartbeatIntervalMs: HEARTBEAT_MS,
      stateMachine: () => new KeyValueStore(),
      notice: (_, text) => this.notices.push(text),
      stepped: (id, context, event) => this.#stepped(id, context, event),
      ...options,
    })
    this.cluster.network.setFaults({ delayMs: HOP_MS })
    this.cluster.startAll()
    this.cluster.advance(HOP_MS)
  }

  /** A story that begins with server `id` leading in term 1 and everyone knowing it. */
  static ledBy(id: ServerId, options: Partial<SimulationOptions<KvCommand, KvResult>> = {}): Story {
    const story = new Story(options)
    story.elect(id)
    story.until('all know that the no-op is committed', () =>
      story.running.every(({ id, context }) => !story.isMember(id) || context.commitIndex === 1),
    )
    return story
  }

  /** Looks at every step of every server. */
  watch(look: (id: ServerId, context: RaftContext, event: RaftEvent) => void): void {
    this.#watch = look
  }

  #stepped(id: ServerId, context: RaftContext, event: RaftEvent): void {
    if ('message' in event && event.type !== 'staleMessage') {
      this.heard.push({ at: this.now, to: id, from: event.from, message: event.message })
    }
    this.#watch(id, context, event)
  }

  get now(): number {
    return this.cluster.world.now()
  }

  server(id: ServerId): SimulatedServer<KvCommand, KvResult> {
    return this.cluster.server(id)
  }

  get running(): readonly SimulatedServer<KvCommand, KvResult>[] {
    return this.cluster.servers.filter((server) => server.running !== undefined)
  }

  context(id: ServerId): RaftContext {
    return this.server(id).context
  }

  role(id: ServerId): string {
    const value: unknown = this.server(id).running?.server.role.getSnapshot().value
    return typeof value === 'object' && value !== null ? (Object.keys(value)[0] ?? '') : String(value)
  }

  isMember(id: ServerId): boolean {
    return this.cluster.members.some((member) => member.id === id)
  }

  leads(id: ServerId): boolean {
    return this.server(id).running !== undefined && this.context(id).leadership !== undefined
  }

  term(id: ServerId): number {
    return this.context(id).hardState.term
  }

  /** What leader `id` knows of `peer`. */
  progress(id: ServerId, peer: ServerId): Progress {
    const progress = this.context(id).leadership?.progress.get(peer)
    if (progress === undefined) throw new Error(`server ${id} does not lead, or ${peer} is none of its peers`)
    return progress
  }

  // ---- time

  advance(ms: number): void {
    this.cluster.advance(ms)
  }

  /** Lets time pass until what `claim` says comes true. */
  until(claim: string, condition: () => boolean, msMax = MINUTE): void {
    if (!this.cluster.advanceUntil(condition, msMax))
      throw new Error(`within ${msMax} ms it never came true that ${claim}`)
  }

  /** The same, looking every half millisecond also while nothing happens: for what ends by time alone. */
  poll(claim: string, condition: () => boolean, msMax = 10 * T): void {
    const end = this.now + msMax
    while (!condition()) {
      if (this.now >= end) throw new Error(`within ${msMax} ms it never came true that ${claim}`)
      this.advance(0.5)
    }
  }

  // ---- elections

  /**
   * Makes server `id` campaign at once, above `term`, as a TimeoutNow would that its leader no longer remembers. Whoever
   * may win so must wait for the leader's lease to end.
   */
  campaign(id: ServerId, term = this.term(id)): void {
    this.deliver(id, id, { type: 'timeoutNow', term })
    this.advance(0)
  }

  /** Server `id` is elected; its no-op may not have reached anyone yet. A leader that it can reach hands over. */
  lead(id: ServerId): void {
    const leader = this.running.find((server) => server.id !== id && this.holdsLease(server.id))
    if (leader !== undefined && this.reaches(leader.id, id)) leader.running?.server.transferLeadership(id)
    else {
      this.leaseEnds()
      this.campaign(id, this.highestTerm)
    }
    this.until(`server ${id} leads`, () => this.leads(id))
  }

  /** Nobody reads by a lease any more; no election timeout is as short as that. */
  leaseEnds(): void {
    this.poll('every lease has ended', () => !this.running.some(({ id }) => this.holdsLease(id)), T)
  }

  holdsLease(id: ServerId): boolean {
    return this.server(id).running?.server.mayReadByLease() === true
  }

  get highestTerm(): number {
    return Math.max(...this.running.map(({ context }) => context.hardState.term))
  }

  /** Server `id` leads, and its no-op is committed. */
  elect(id: ServerId): void {
    this.lead(id)
    this.until(`the no-op of server ${id} is committed`, () => this.isServing(id))
  }

  isServing(id: ServerId): boolean {
    const { leadership, commitIndex } = this.context(id)
    return leadership !== undefined && commitIndex >= leadership.noopIndex
  }

  /**
   * Server `candidate`, which reaches nobody, asks `voter` for its vote again and again. Says when `leader` last held
   * its lease before the vote was given.
   */
  lastLeaseBeforeVote(leader: ServerId, voter: ServerId, candidate: ServerId): number {
    this.isolate(candidate)
    this.campaign(candidate)
    const { log, hardState } = this.context(candidate)
    const end = { lastLogIndex: log.lastIndex, lastLogTerm: lastTerm(log) }
    const { term } = hardState
    let lastLease = 0
    this.poll(`server ${voter} votes for server ${candidate}`, () => {
      if (this.holdsLease(leader)) lastLease = this.now
      if (this.term(voter) === term) return this.context(voter).hardState.votedFor === candidate
      this.deliver(voter, candidate, { type: 'preVote', term, ...end })
      this.deliver(voter, candidate, { type: 'requestVote', term, ...end, leadershipTransfer: false })
      return false
    })
    return lastLease
  }

  // ---- the network

  /** Hands a message to a server as if it had come over the wire just now. */
  deliver(to: ServerId, from: ServerId, message: Message): void {
    const { running } = this.server(to)
    if (running === undefined) throw new Error(`server ${to} is not running`)
    running.server.transportHandler.message(from, message)
  }

  /** The cable of server `id` is pulled: nobody is told. */
  isolate(...ids: readonly ServerId[]): void {
    for (const id of ids) this.cluster.network.isolate(id, 'silent')
  }

  /** Pulls the cable between two servers. */
  cut(one: ServerId, other: ServerId): void {
    this.cluster.network.cut(one, other, 'silent')
    this.cluster.network.cut(other, one, 'silent')
  }

  reaches(one: ServerId, other: ServerId): boolean {
    const { network } = this.cluster
    return network.link(one, other).cut === undefined && network.link(other, one).cut === undefined
  }

  mend(one: ServerId, other: ServerId): void {
    this.cluster.network.mend(one, other)
    this.cluster.network.mend(other, one)
  }

  mendAll(): void {
    this.cluster.network.heal()
  }

  /** What is sent on this way from now on arrives `ms` later, overtaken by what is sent after it is released. */
  hold(from: ServerId, to: ServerId, ms: number): void {
    this.cluster.network.setLinkFaults(from, to, { delayMs: ms, reordering: 1, reorderMs: 0 })
  }

  release(from: ServerId, to: ServerId): void {
    this.cluster.network.setLinkFaults(from, to, { delayMs: HOP_MS, reordering: 0, loss: 0 })
  }

  /** Messages of one type that a server has handled. */
  heardBy<Type extends Message['type']>(
    to: ServerId,
    type: Type,
  ): readonly (Heard & { readonly message: Extract<Message, { readonly type: Type }> })[] {
    return this.heard.filter(
      (heard): heard is Heard & { readonly message: Extract<Message, { readonly type: Type }> } =>
        heard.to === to && heard.message.type === type,
    )
  }

  // ---- disks

  /** How long each write and sync of a server's disk takes from now on. */
  slowDisk(id: ServerId, ms: number | (() => number)): void {
    this.server(id).disk.latencyMs = typeof ms === 'number' ? () => ms : ms
  }

  // ---- clients

  propose<Result extends KvResult>(id: ServerId, command: KvCommand): Call<Result> {
    return this.#call((calls, resolve, reject) => {
      // A command's result has the shape of its kind.
      calls.propose(command, undefined, resolve as (result: KvResult) => void, reject)
    }, id)
  }

  put(id: ServerId, key: Bytes, value: Bytes): Call<PutResult> {
    return this.propose(id, { type: 'put', key, value })
  }

  swap(id: ServerId, key: Bytes, expected: Bytes | undefined, value: Bytes): Call<CompareAndSwapResult> {
    return this.propose(id, { type: 'compareAndSwap', key, expected, value })
  }

  get(id: ServerId, key: Bytes, consistency: Consistency = 'linearizable'): Call<string | undefined> {
    return this.#call(
      (calls, resolve, reject) => calls.read(() => this.stored(id, key), { consistency }, resolve, reject),
      id,
    )
  }

  /** Another membership is asked for through server `id`; the answer is the index of the new configuration. */
  change(id: ServerId, wish: ChangeWish): Call<LogIndex> {
    const { add = [], promote = [], remove = [], force = false } = wish
    const learners = add.map((newcomer) => ({ ...memberOf(newcomer), promotable: false }))
    const change: MembershipChange = { learners, promote, remove, addresses: [], force }
    return this.#call((_, resolve, reject) => {
      const deadline = (this.server(id).running?.clock.now() ?? 0) + MINUTE
      this.server(id).running?.server.changeMembership(change, { resolve, reject, deadline })
    }, id)
  }

  /** Two snapshots of a server's state, so that its log begins after the first; returns where. */
  compact(id: ServerId): LogIndex {
    const first = this.done(this.snapshot(id))
    this.done(this.put(id, 'between', 'two snapshots'))
    this.done(this.snapshot(id))
    this.until(`the log of server ${id} is compacted`, () => this.context(id).log.boundary.index >= first)
    return first
  }

  snapshot(id: ServerId): Call<LogIndex> {
    return this.#call((_, resolve, reject) => {
      this.server(id).running?.server.takeSnapshot((error, stored) => {
        if (error === undefined) resolve(stored.id.index)
        else reject(error)
      })
    }, id)
  }

  /** What rules a server, by its own books. */
  configuration(id: ServerId): Configuration | undefined {
    return this.context(id).configurations.at(-1)?.configuration
  }

  #call<Value>(
    make: (
      calls: NonNullable<SimulatedServer<KvCommand, KvResult>['running']>['calls'],
      resolve: (value: Value) => void,
      reject: (error: Error) => void,
    ) => void,
    id: ServerId,
  ): Call<Value> {
    const { running } = this.server(id)
    if (running === undefined) throw new Error(`server ${id} is not running`)
    const call: Call<Value> = { isSettled: false, value: undefined, error: undefined }
    const resolve = (value: Value): void => void Object.assign(call, { isSettled: true, value })
    const reject = (error: Error): void => void Object.assign(call, { isSettled: true, error })
    make(running.calls, resolve, reject)
    return call
  }

  /** Waits for a call's outcome. */
  settle<Value>(call: Call<Value>): Call<Value> {
    this.until('the call has an outcome', () => call.isSettled)
    return call
  }

  /** Waits for a call that must succeed. */
  done<Value>(call: Call<Value>): Value {
    const { value, error } = this.settle(call)
    if (error !== undefined) throw error
    return value as Value
  }

  keyValues(id: ServerId): KeyValueStore {
    const stateMachine = this.server(id).running?.stateMachine
    if (!(stateMachine instanceof KeyValueStore)) throw new Error(`server ${id} is not running`)
    return stateMachine
  }

  /** What server `id` has applied, whoever leads. */
  stored(id: ServerId, key: Bytes): string | undefined {
    const value = this.keyValues(id).getValue(keyChars(key, 1024))
    return value === undefined ? undefined : new TextDecoder().decode(value)
  }

  // ---- endings

  /** Every fault heals, whoever is down starts, and all servers but `lost` ones come to one log and one state. */
  heals(lost: readonly ServerId[] = []): void {
    this.cluster.checkLiveness(MINUTE, () => lost)
  }

  /** The end of a server's log. */
  end(id: ServerId): LogIndex {
    return this.context(id).log.lastIndex
  }
}
