import { ActorumError } from '../errors.js'
import { configurationAsOf, type RaftContext } from '../machines/context.js'
import type { SnapshotWork } from '../machines/effects.js'
import type { LocalEvent } from '../machines/events.js'
import { unreachable } from '../machines/invariant.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { LogIndex, SnapshotId } from '../machines/types.js'
import type { Callback, LogStore, SnapshotStore, StoredSnapshot } from '../storage/ports.js'
import { refuse } from '../storage/record-disk.js'
import type { Transport } from '../transport/ports.js'
import type { AppliedEnd } from './apply-actor.js'
import { toActorumError } from './failure.js'
import { SnapshotActor, type SnapshotActorOptions, type SnapshotActorPorts } from './snapshot-actor.js'
import { SnapshotPolicy, type SnapshotPolicyOptions } from './snapshot-policy.js'

export interface SnapshotUpkeepPorts {
  readonly transport: Pick<Transport, 'send'>
  readonly log: LogStore
  readonly snapshots: SnapshotStore
  readonly stateMachine: SnapshotActorPorts['stateMachine']
  readonly clock: Clock
  /** Whose state it is. */
  readonly applier: {
    readonly end: AppliedEnd
    readonly appliedBytes: number
    readonly isRestoring: boolean
    restoring(index: number): void
    restored(end: AppliedEnd): void
  }
  readonly context: () => RaftContext
  readonly clusterId: () => string | undefined
  readonly post: (event: LocalEvent) => void
  /** The state has become that of a snapshot. */
  readonly restored: (stored: StoredSnapshot) => void
  readonly notice: (text: string) => void
  readonly fail: (error: Error) => void
}

/** A server's snapshots: when they are taken and what of the log goes then, and what its role machine wants done with them. */
export class SnapshotUpkeep {
  readonly #ports: SnapshotUpkeepPorts
  readonly #actor: SnapshotActor
  readonly #policy: SnapshotPolicy
  #restoreNext: SnapshotId | undefined
  #isStopped = false

  constructor(ports: SnapshotUpkeepPorts, options: SnapshotPolicyOptions & Partial<SnapshotActorOptions>) {
    const { transport, log, snapshots, stateMachine, clock, post, notice, fail } = ports
    this.#ports = ports
    this.#actor = new SnapshotActor(
      {
        store: snapshots,
        stateMachine,
        clock,
        send: (to, piece) => {
          transport.send(to, { type: 'installSnapshot', term: ports.context().hardState.term, ...piece })
        },
        post,
        notice,
        fail,
      },
      options,
    )
    this.#policy = new SnapshotPolicy(
      {
        log,
        snapshots,
        take: this.#takeHere,
        compact: (end) => post({ type: 'compactLog', end }),
        peersAt: this.#peersAt,
        fail,
      },
      options,
      clock.now(),
    )
  }

  readonly #takeHere = (callback: Callback<StoredSnapshot>): void => {
    const { end } = this.#ports.applier
    const boundary = { ...end, configuration: configurationAsOf(this.#ports.context(), end.index) }
    this.#actor.take(boundary, this.#ports.clusterId(), callback)
  }

  /** After a turn of the loop. */
  review(now: number): void {
    if (this.#isStopped) return
    this.#policy.review(this.#applied, now)
  }

  /** Takes a snapshot of what is applied by now, whatever the policy says; after the one under way if that has less. */
  take(callback: Callback<StoredSnapshot>): void {
    if (this.#isStopped) return refuse(callback, new ActorumError('STOPPED', 'the server was stopped'))
    const { taking = Infinity } = this.#policy
    if (taking >= this.#applied.end.index) {
      this.#policy.take(this.#applied, this.#ports.clock.now(), callback)
      return
    }
    this.#policy.whenTaken(() => this.take(callback))
  }

  readonly #peersAt = (): readonly LogIndex[] => {
    const { leadership, settings } = this.#ports.context()
    const since = this.#ports.clock.now() - 2 * settings.electionTimeoutMs
    return [...(leadership?.progress ?? [])].flatMap(([peer, { mode, matchIndex, contactAt }]) => {
      if (mode === 'down' || contactAt < since) return []
      return mode === 'snapshot' ? (this.#actor.endFor(peer) ?? []) : matchIndex
    })
  }

  get #applied() {
    const { end, appliedBytes, isRestoring } = this.#ports.applier
    const context = this.#ports.context()
    // A server that joined at the log's beginning learns its first configuration from an entry, and none before it.
    const isIncomplete = isRestoring || configurationAsOf(context, end.index).voters.length === 0
    return { end, appliedBytes, isIncomplete, boundaryIndex: context.log.boundary.index }
  }

  work(work: SnapshotWork): void {
    switch (work.type) {
      case 'stream':
        this.#actor.stream(work.peer)
        return
      case 'streamReplied':
        this.#actor.replied(work.peer, work.reply)
        return
      case 'receive':
        this.#actor.receive(work.from, work.message)
        return
      case 'restore':
        this.restore(work)
        return
      default:
        unreachable(work)
    }
  }

  /** At a start: the state is that of the newest snapshot, if there is one. */
  restoreNewest(): void {
    const newest = this.#ports.snapshots.stored[0]
    if (newest !== undefined) this.restore(newest)
  }

  /** The state becomes that of a snapshot; what follows it in the log is applied afterwards. */
  restore({ id }: { readonly id: SnapshotId }): void {
    const isUnderWay = this.#ports.applier.isRestoring
    this.#ports.applier.restoring(id.index)
    this.#restoreNext = id
    if (!isUnderWay) this.#restoreLatest(id)
  }

  /** One at a time; a newer snapshot that came meanwhile follows at once. */
  #restoreLatest(id: SnapshotId): void {
    const stored = this.#ports.snapshots.stored.find((known) => known.id.index === id.index)
    this.#actor.restore(id, (error) => {
      const next = this.#restoreNext
      if (this.#isStopped) return
      if (error !== undefined || stored === undefined) this.#restoreOlder(id, error ?? gone(id))
      else {
        // Also when another one follows: what may be read is the state of this one by now.
        this.#restored(stored)
        if (next !== undefined && next !== id) this.restore({ id: next })
      }
    })
  }

  /**
   * A damaged snapshot has been set aside, or is one that the state machine refuses. Where the log goes on from an older
   * one, or from nothing, it costs only time.
   */
  #restoreOlder(id: SnapshotId, error: Error): void {
    const older = this.#ports.snapshots.stored.find((known) => known.id.index < id.index)
    const { index: begin } = this.#ports.context().log.boundary
    const isDamaged = error instanceof ActorumError && error.code === 'CORRUPT'
    const isCovered = older === undefined ? begin === 0 : older.id.index >= begin
    if (!isDamaged || !isCovered) {
      this.#ports.fail(error)
      return
    }
    const from = older === undefined ? 'the beginning of the log' : `the one at ${older.id.index} and the log after it`
    this.#ports.notice(`${error.message} The state as of entry ${id.index} is made from ${from} instead`)
    if (older !== undefined) {
      this.#restoreNext = older.id
      this.#restoreLatest(older.id)
    } else {
      this.#restoreNext = undefined
      this.#ports.applier.restored({ index: 0, term: 0, checksum: 0, clusterTime: 0 })
    }
  }

  #restored(stored: StoredSnapshot): void {
    this.#restoreNext = undefined
    const { index, term, checksum, clusterTime } = stored.boundary
    this.#ports.applier.restored({ index, term, checksum, clusterTime })
    try {
      this.#ports.restored(stored)
    } catch (error) {
      // It comes from the store's callback, where nobody else would catch it.
      this.#ports.fail(toActorumError(error))
    }
  }

  stopStream(peer: number): void {
    this.#actor.stopStream(peer)
  }

  stopStreams(): void {
    this.#actor.stopStreams()
  }

  stop(): void {
    this.#isStopped = true
    this.#actor.stop()
  }
}

function gone({ index }: SnapshotId): ActorumError {
  return new ActorumError('CORRUPT', `the snapshot at ${index} is gone.`)
}
