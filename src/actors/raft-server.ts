import type { Actor } from 'xstate'
import { ActorumError } from '../errors.js'
import type { RaftContext } from '../machines/context.js'
import type { Answer, Effect } from '../machines/effects.js'
import type { EntryRun } from '../machines/entry-run.js'
import type { Instant, LocalEvent, MessageEvent, RaftEvent } from '../machines/events.js'
import { unreachable } from '../machines/invariant.js'
import { holdsLease } from '../machines/leadership.js'
import { termAt } from '../machines/log.js'
import type { swiftRaftMachine } from '../machines/shortcuts.js'
import { step } from '../machines/step.js'
import type { MembershipChange } from '../machines/messages.js'
import type { LogIndex, ServerId } from '../machines/types.js'
import type { Callback, StoredSnapshot } from '../storage/ports.js'
import { refuse } from '../storage/record-disk.js'
import type { TransportHandler } from '../transport/ports.js'
import { versionOf } from '../transport/protocol-versions.js'
import { ApplyActor } from './apply-actor.js'
import { Expiries } from './expiries.js'
import { assertExpected, toActorumError } from './failure.js'
import type { RaftServerHandler, RaftServerOptions, RaftServerPorts } from './raft-server-ports.js'
import { EffectRunner, eventAt, persistedAt, type MergedWrite } from './effect-runner.js'
import { EventLoop, type LoopInput } from './event-loop.js'
import type { ServerLoad } from './health.js'
import { JoinAnswers } from './join-answers.js'
import { transportInbox } from './transport-inbox.js'
import { LoopClock } from './loop-clock.js'
import { MemberVersions } from './member-versions.js'
import { MemberLookup } from './member-lookup.js'
import { PendingChanges, type ChangeRequest } from './pending-changes.js'
import { PendingProposals, type LeaderView } from './pending-proposals.js'
import { PendingReads, type ReadRequest } from './pending-reads.js'
import type { ProposalRequest } from './proposal-batch.js'
import { createRoleActor } from './role-actor.js'
import { SnapshotUpkeep } from './snapshot-upkeep.js'
import { Waiters, type Waiter } from './waiters.js'

/** How often calls are looked at whose time has run out or whose leader has not answered (ms). */
const SWEEP_MS = 25

/**
 * One server: the role machine, the loop that feeds it, and what performs its effects. Everything here happens in turns
 * of the loop; callbacks, not promises, so that a simulated cluster replays exactly.
 */
export class RaftServer<Command, Result> {
  readonly id: ServerId
  readonly role: Actor<typeof swiftRaftMachine>
  readonly #ports: RaftServerPorts<Command, Result>
  readonly #options: RaftServerOptions
  readonly #handler: RaftServerHandler
  readonly #loop: EventLoop
  readonly #timers: LoopClock
  readonly #runner: EffectRunner
  readonly #applier: ApplyActor<Command, Result>
  readonly #proposals: PendingProposals<Command, Result>
  readonly #reads: PendingReads
  readonly #changes: PendingChanges
  readonly #joins: JoinAnswers
  readonly #expiries: Expiries<Command>
  readonly #snapshots: SnapshotUpkeep
  readonly #waiters = new Waiters()
  readonly #versions = new MemberVersions()
  /** Who the members are, whatever the log knows of them yet. */
  readonly lookup: MemberLookup
  /** For the transport. */
  readonly transportHandler: TransportHandler
  #effects: Effect[] = []
  #machineError: unknown
  #leader: LeaderView = { leaderId: undefined, term: 0, isSelf: false }
  #clusterId: string | undefined
  #isSweeping = false
  #isAwake = false
  #writingSince: number | undefined
  #stopped: ActorumError | undefined

  constructor(ports: RaftServerPorts<Command, Result>, options: RaftServerOptions, handler: RaftServerHandler) {
    const { clock, random, stateMachine, store, transport } = ports
    const { settings, recovered, nonce, acquaintances } = options
    this.id = options.id
    this.#ports = ports
    this.#options = options
    this.#handler = handler
    this.#clusterId = recovered.clusterId
    this.#loop = new EventLoop(clock, this.#turn, this.#fail, settings.appendBytesMax)
    this.#timers = new LoopClock(clock, (timer) => this.#loop.expiries.next({ type: 'expiry', timer }))
    const limits = { ...options.limits, retryMs: 2 * settings.heartbeatIntervalMs }
    this.#proposals = new PendingProposals(stateMachine.commands, limits, nonce)
    this.#reads = new PendingReads(limits, nonce)
    this.#changes = new PendingChanges(nonce)
    const clusterId = (): string | undefined => this.#clusterId
    const self = { id: options.id, address: options.address, storeId: recovered.storeId }
    const context = (): RaftContext => this.context
    const notice = (text: string): void => handler.notice(text)
    this.lookup = new MemberLookup({ transport, context, acquaintances, clusterId, self, notice })
    this.#joins = new JoinAnswers({
      context,
      clusterId,
      leader: () => this.#leader,
      changeMembership: (change, request) => this.changeMembership(change, request),
      isStopped: () => this.isStopped,
      now: () => clock.now(),
    })
    this.#applier = new ApplyActor(
      {
        stateMachine,
        store,
        isAwaited: (run) => this.#proposals.isAwaited(run),
        applied: this.#applied,
        named: this.#named,
        fail: this.#fail,
        wake: () => this.#loop.completions.next({ type: 'requests' }),
      },
      { index: 0, term: 0, checksum: 0, clusterTime: 0 },
    )
    this.#expiries = this.#createExpiries(limits.retryMs)
    this.#snapshots = new SnapshotUpkeep(
      {
        transport,
        log: store,
        snapshots: ports.snapshots,
        stateMachine,
        clock,
        applier: this.#applier,
        context,
        clusterId,
        post: (event) => this.#loop.completions.next({ type: 'event', event }),
        restored: this.#restored,
        notice,
        fail: this.#fail,
      },
      options.snapshotting,
    )
    this.transportHandler = this.#createInbox()
    this.#runner = this.#createRunner(recovered.lastIndex)
    this.role = this.#createRole(random.uint32())
  }

  #createExpiries(retryMs: number): Expiries<Command> {
    return new Expiries({
      stateMachine: this.#ports.stateMachine,
      timers: this.#timers,
      context: () => this.context,
      lastApplied: () => this.#applier.lastApplied,
      propose: (batch, instant) => this.#send({ ...instant, type: 'proposals', batches: [batch] }),
      nonce: this.#options.nonce,
      retryMs,
    })
  }

  #createInbox(): TransportHandler {
    return transportInbox({
      loop: this.#loop,
      versions: this.#versions,
      context: () => this.context,
      peerDown: (peer) => this.#snapshots.stopStream(peer),
      joinAsked: (request, answer) => this.#joins.answer(request, answer),
      strangerAt: (address) => this.lookup.strangerAt(address),
      notice: (text) => this.#handler.notice(text),
    })
  }

  #createRunner(lastIndex: LogIndex): EffectRunner {
    const { clock, store, transport } = this.#ports
    return new EffectRunner(
      {
        transport,
        store: {
          read: (from, bytesMax, callback) => store.read(from, bytesMax, callback),
          write: (write, callback) => {
            this.#writingSince = clock.now()
            store.write(write, callback)
          },
        },
        commit: (commit) => {
          this.#applier.commit(commit)
          this.#applier.advance(this.context.durable.index)
        },
        answer: this.#answer,
        workOnSnapshot: (work) => this.#snapshots.work(work),
        notify: (text) => this.#handler.notice(text),
        written: this.#written,
        post: (event) => this.#loop.completions.next({ type: 'event', event }),
        fail: this.#fail,
      },
      lastIndex,
    )
  }

  #createRole(seed: number): Actor<typeof swiftRaftMachine> {
    const { clock, snapshots } = this.#ports
    const snapshotIndex = snapshots.stored[0]?.id.index ?? 0
    const role = createRoleActor({ options: this.#options, clock, timers: this.#timers, snapshotIndex, seed })
    // Listeners that throw are swallowed by XState, so this one only collects.
    role.on('*', (effect) => void this.#effects.push(effect))
    role.subscribe({ error: (error) => (this.#machineError = error) })
    return role
  }

  /** Starts the role machine. The transport may deliver from now on, through `transportHandler`. */
  start(): void {
    try {
      this.#snapshots.restoreNewest()
      this.role.start()
      this.#runEffects()
      this.#notePeers()
      this.lookup.begin(this.#timers, this.#ports.clock)
      this.#runner.flush()
    } catch (error) {
      this.#fail(error)
    }
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined
  }

  /**
   * A write has come to its end. A follower whom nothing else waits for answers its leader at once, and hears of its
   * own disk in the next turn.
   */
  readonly #written = (write: MergedWrite): void => {
    this.#writingSince = undefined
    if (this.#stopped !== undefined) return
    const { isSelf } = this.#leader
    const isAwaited = isSelf || write.hardState !== undefined || this.#runner.hasWaiting || this.#applier.isBehind
    if (isAwaited) {
      this.#loop.completions.next({ type: 'written', write })
      return
    }
    try {
      const event = this.#runner.complete(write, this.#applier.releasedIndex)
      this.#loop.unhurried.next({ type: 'event', event })
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The role machine's state as of the last turn. */
  get context(): RaftContext {
    return this.role.getSnapshot().context
  }

  get lastApplied(): LogIndex {
    return this.#applier.lastApplied
  }

  get clusterId(): string | undefined {
    return this.#clusterId
  }

  get load(): ServerLoad {
    return { writingSince: this.#writingSince, pendingShare: Math.max(this.#proposals.share, this.#reads.share) }
  }

  /** True once a leader is known and the no-op of its term is committed, and applied here. */
  get isReady(): boolean {
    const { leaderId, hardState, log } = this.context
    return !this.isStopped && leaderId !== undefined && termAt(log, this.lastApplied) === hardState.term
  }

  /**
   * Proposes a command. Throws BUSY, REFUSED (the command is too new for a member, or this server is none) or STOPPED, in
   * which case the request is never called.
   */
  propose(command: Command, request: ProposalRequest<Result>): void {
    this.#assertMember()
    this.#versions.assertKnown(this.#ports.stateMachine.commands.versionOf?.(command), this.context)
    this.#proposals.add(command, request)
    this.#wake()
  }

  abandonProposal(request: ProposalRequest<Result>, reason: unknown): void {
    this.#proposals.abandon(request, reason)
  }

  /** Reads once a leader has confirmed that it leads, or holds its lease. Throws BUSY, REFUSED or STOPPED likewise. */
  read(request: ReadRequest, lease: boolean): void {
    this.#assertMember()
    this.#reads.add(request, lease)
    this.#wake()
  }

  /** Reads once this server has applied `index`. Throws BUSY or STOPPED likewise. */
  readAt(request: ReadRequest, index: LogIndex): void {
    this.#assertRunning()
    this.#reads.addAt(request, index, this.#ports.clock.now())
    this.#wake()
  }

  /** True when the state here holds everything that was committed `ms` ago, by this server's own clock. */
  isFresherThan(ms: number): boolean {
    return this.mayReadByLease() || this.#ports.clock.now() - this.#reads.freshAt <= ms
  }

  abandonRead(request: ReadRequest, reason: unknown): void {
    this.#reads.abandon(request, reason)
  }

  /** True when the state may be read this very moment by this server's own lease. */
  mayReadByLease(): boolean {
    const { context } = this
    return (
      this.#stopped === undefined &&
      this.#applier.lastApplied >= context.commitIndex &&
      holdsLease(context, this.#ports.clock.now())
    )
  }

  /** Calls back once the condition, of `context`, holds at the end of a turn. Gives the way to wait no longer. */
  when(condition: () => boolean, waiter: Waiter): () => void {
    this.#assertRunning()
    this.#waiters.add(condition, waiter)
    this.#wake()
    return () => this.#waiters.remove(waiter)
  }

  transferLeadership(to?: ServerId): void {
    this.#loop.requests.next({ type: 'event', event: { type: 'transferLeadership', to } })
  }

  /** Asks the leader for another membership. Throws STOPPED and the like. */
  changeMembership(change: MembershipChange, request: ChangeRequest): void {
    this.#assertMember()
    this.#versions.assertLeaderKnows('changes of the membership', versionOf('changeMembership'), this.context)
    this.#changes.add(change, request)
    this.#wake()
  }

  abandonChange(request: ChangeRequest, reason: unknown): void {
    this.#changes.abandon(request, reason)
  }

  /** Takes a snapshot once all is applied that is known to be committed by now. */
  takeSnapshot(callback: Callback<StoredSnapshot>): void {
    this.#assertRunning()
    const { commitIndex } = this.context
    // The log may begin after a snapshot already while the state is still the one before it.
    const isApplied = (): boolean => !this.#applier.isRestoring && this.#applier.lastApplied >= commitIndex
    if (isApplied()) return this.#snapshots.take(callback)
    const waiter = { resolve: () => this.#snapshots.take(callback), reject: (error: Error) => refuse(callback, error) }
    this.#waiters.add(isApplied, { ...waiter, deadline: Infinity })
  }

  #assertMember(): void {
    this.#assertRunning()
    this.lookup.assertMember()
  }

  /** Throws what stopped this server, or STOPPED. */
  #assertRunning(): void {
    if (this.#stopped !== undefined) throw this.#stopped
  }

  /** Ends the loop at once. Requests without an outcome are rejected. */
  stop(error = new ActorumError('STOPPED', 'this server was stopped')): void {
    if (this.#stopped !== undefined) return
    this.#stopped = error
    this.#loop.stop()
    this.#timers.stop()
    this.role.stop()
    this.#snapshots.stop()
    this.#changes.rejectEverything(error)
    this.#proposals.rejectEverything(error)
    this.#reads.rejectEverything(error)
    this.#waiters.rejectAll(error)
  }

  /** For the store: a background sync failed, so this server stops. */
  readonly storageFailed = (error: Error): void => this.#fail(error)

  readonly #fail = (cause: unknown): void => {
    if (this.#stopped !== undefined) return
    const error = toActorumError(cause)
    // The role machine shows it too: an inspector sees a server that failed, not one that went silent.
    if (this.#machineError === undefined) this.#sendSafely({ type: 'storageFailed', reason: error.message })
    this.stop(error)
    this.#handler.failed(error)
  }

  #sendSafely(event: LocalEvent): void {
    try {
      this.role.send({ ...event, ...this.#instant() })
    } catch {
      // What failed first is told; that the machine could not show it must not keep the server from stopping.
    }
    this.#effects = []
  }

  /** Asks for a turn; once is enough for all requests until then. */
  #wake(): void {
    if (this.#isAwake) return
    this.#isAwake = true
    this.#loop.requests.next({ type: 'requests' })
  }

  #instant(): Instant {
    const { clock } = this.#ports
    return { now: clock.now(), wallTime: clock.wallTime() }
  }

  readonly #turn = (inputs: readonly LoopInput[]): void => {
    const instant = this.#instant()
    for (const input of inputs) if (!this.isStopped) this.#handle(input, instant)
    if (this.isStopped) return
    this.#applier.advance(this.context.durable.index)
    this.#noteLeader()
    this.#notePeers()
    this.#drainRequests(instant)
    this.#runner.flush()
    this.#reads.applied(this.#applier.lastApplied)
    this.#waiters.check()
    this.#snapshots.review(instant.now)
    this.#sweepLater()
  }

  #handle(input: LoopInput, instant: Instant): void {
    switch (input.type) {
      case 'message': {
        const { from, message } = input
        const { now, wallTime } = instant
        this.#send({ type: message.type, from, message, now, wallTime } as RaftEvent & MessageEvent)
        return
      }
      case 'event':
        this.#send(eventAt(input.event, instant))
        return
      case 'written':
        this.#send(persistedAt(this.#runner.complete(input.write, this.#applier.releasedIndex), instant))
        return
      case 'expiry':
        if (input.timer.isCleared) return
        this.#send({ ...instant, type: 'clock' })
        input.timer.callback()
        this.#afterSend({ ...instant, type: 'clock' })
        return
      case 'requests':
        return
      default:
        unreachable(input)
    }
  }

  #send(event: RaftEvent): void {
    for (const settled of step(this.context, event)) {
      this.role.send(settled)
      this.#afterSend(settled)
    }
  }

  #afterSend(event: RaftEvent): void {
    if (this.#machineError !== undefined) throw toActorumError(this.#machineError)
    this.#handler.stepped?.(this.context, event)
    this.#runEffects()
  }

  #runEffects(): void {
    if (this.#effects.length === 0) return
    const effects = this.#effects
    this.#effects = []
    for (const effect of effects) this.#runner.run(effect)
  }

  #noteLeader(): void {
    const { leaderId, hardState, leadership } = this.context
    const { term } = hardState
    const isSelf = leadership !== undefined
    if (leaderId === this.#leader.leaderId && term === this.#leader.term && isSelf === this.#leader.isSelf) return
    this.#leader = { leaderId, term, isSelf }
    this.#proposals.leaderChanged(this.#leader)
    this.#changes.leaderChanged(this.#leader)
    if (!isSelf) this.#snapshots.stopStreams()
    this.#handler.leaderChanged?.(this.#leader)
  }

  #notePeers(): void {
    if (this.lookup.peers.review()) this.#handler.membershipChanged?.()
  }

  #drainRequests({ now, wallTime }: Instant): void {
    this.#isAwake = false
    // While its own write is under way a leader lets the next batch grow: it could not be written sooner, and fewer,
    // larger batches cost every server less.
    const mayPropose = !this.#leader.isSelf || !this.#runner.isWriting
    const batches = mayPropose ? this.#proposals.drain(this.#leader, now) : []
    if (batches.length > 0) this.#send({ type: 'proposals', batches, now, wallTime })
    if (mayPropose) this.#expiries.review({ now, wallTime })
    for (const event of this.#changes.drain(this.#leader)) this.#send({ ...event, now, wallTime })
    const requests = this.#reads.drain(this.#leader, now)
    if (requests.length > 0) this.#send({ type: 'reads', requests, now, wallTime })
  }

  readonly #answer = (answer: Answer): void => {
    if (answer.type === 'membershipAnswered') {
      this.#changes.answered(answer)
    } else if (answer.type === 'proposalsRefused') {
      this.#proposals.refused(answer, this.#leader, this.#ports.clock.now())
    } else {
      this.#reads.answered(answer, this.#applier.lastApplied)
    }
  }

  readonly #applied = (run: EntryRun, results: readonly Result[] | undefined): void => {
    if (results !== undefined) this.#proposals.applied(run, results)
    this.#handler.applied?.(run)
  }

  /** The no-op that named the cluster may be compacted everywhere by now: its snapshot tells. */
  readonly #restored = ({ id, clusterId }: StoredSnapshot): void => {
    if (clusterId !== undefined) this.#named(clusterId)
    this.#handler.restored?.(id.index)
  }

  /** The first committed no-op names the cluster; later ones only repeat it. */
  readonly #named = (clusterId: string): void => {
    if (this.#clusterId !== undefined) return
    assertExpected(clusterId, this.#options.expectedClusterId)
    this.#clusterId = clusterId
    this.#ports.transport.setClusterId(clusterId)
    this.#runner.recordClusterId(clusterId)
  }

  /** One timer while anything waits, whatever its number. */
  #sweepLater(): void {
    if (this.#isSweeping || this.#stopped !== undefined) return
    if (this.#proposals.size + this.#reads.size + this.#changes.size + this.#waiters.size === 0) return
    this.#isSweeping = true
    this.#timers.setTimeout(() => {
      this.#isSweeping = false
      const now = this.#ports.clock.now()
      this.#proposals.expire(now, this.#leader)
      this.#reads.expire(now, this.#leader)
      this.#changes.expire(now)
      this.#waiters.expire(now, this.#leader.leaderId)
    }, SWEEP_MS)
  }
}
