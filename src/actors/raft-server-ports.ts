import type { ActorumError } from '../errors.js'
import type { RaftContext, RaftSettings } from '../machines/context.js'
import type { EntryRun } from '../machines/entry-run.js'
import type { RaftEvent } from '../machines/events.js'
import type { Clock, Random } from '../machines/time-and-chance.js'
import type { LogIndex, ServerId } from '../machines/types.js'
import type { StateMachine } from '../state-machines/ports.js'
import type { LogStore, Recovered, SnapshotStore } from '../storage/ports.js'
import type { Transport } from '../transport/ports.js'
import type { LeaderView, ProposalLimits } from './pending-proposals.js'
import type { ReadLimits } from './pending-reads.js'
import type { SnapshotActorOptions } from './snapshot-actor.js'
import type { SnapshotPolicyOptions } from './snapshot-policy.js'

export interface RaftServerPorts<Command, Result> {
  readonly transport: Transport
  /** Open, and recovered as `recovered` says. */
  readonly store: LogStore
  /** Open. */
  readonly snapshots: SnapshotStore
  readonly stateMachine: StateMachine<Command, Result>
  readonly clock: Clock
  readonly random: Random
}

export interface RaftServerOptions {
  readonly id: ServerId
  /** Where its peers reach it; '' where nobody does. */
  readonly address: string
  /** Addresses of servers that may know who the members are, for one whose log does not tell yet. */
  readonly acquaintances: readonly string[]
  readonly settings: RaftSettings
  readonly limits: Omit<ProposalLimits & ReadLimits, 'retryMs'>
  /** Fits the newest snapshot, if there is one (storage/restore-point.ts). */
  readonly recovered: Recovered
  readonly snapshotting: SnapshotPolicyOptions & Partial<SnapshotActorOptions>
  /** Random per start; also in the transport's handshake. */
  readonly nonce: number
  /** What this server names the cluster if it becomes its first leader. */
  readonly proposedClusterId: string
  /** The only cluster it is to belong to; default: any. */
  readonly expectedClusterId?: string | undefined
}

export interface RaftServerHandler {
  /** The server has stopped by itself: its store failed or an invariant broke. */
  failed(error: ActorumError): void
  notice(text: string): void
  /** After every event of the machine, for those who check its laws. */
  stepped?(context: RaftContext, event: RaftEvent): void
  /** After every run applied. */
  applied?(run: EntryRun): void
  /** The state has become a snapshot's. */
  restored?(index: LogIndex): void
  /** Somebody else leads, or nobody does any more. */
  leaderChanged?(leader: LeaderView): void
  /** Another configuration rules. */
  membershipChanged?(): void
}
