import type { Observable } from 'rxjs'
import type { LogIndex, ServerId } from '../machines/types.js'

/** A member of the cluster and what it may do. */
export interface ClusterMember {
  readonly id: ServerId
  readonly address: string
  /** `promotable`: a learner that the leader makes a voter once it has caught up; `readOnly`: one that stays a learner. */
  readonly role: 'voter' | 'promotable' | 'readOnly'
  readonly isLeader: boolean
}

/** Who belongs to the cluster, and since which entry of the log. */
export interface Membership {
  readonly voters: readonly ServerId[]
  readonly learners: readonly ServerId[]
  /** As far as this server knows. */
  readonly leaderId: ServerId | undefined
  /** Log index of the configuration. */
  readonly index: LogIndex
}

/** Who can tell of the cluster as one server sees it. */
export interface ClusterSource {
  members(): readonly ClusterMember[]
  /** As far as it knows. */
  leaderId(): ServerId | undefined
  /** Now, and whenever that changes. */
  membership$(): Observable<Membership>
}
