/**
 * The values Raft reasons about, as plain data. Everything here is immutable: a change makes a new value.
 */

/** A server's id: a positive integer below 2^32. 0 stands for "none" on the wire and on disk. */
export type ServerId = number
/** A term (thesis §3.3): a safe integer from 0, never going back. */
export type Term = number
/** An entry's position in the log: a safe integer, 1 for the first entry, 0 for "before the first". */
export type LogIndex = number

export const SERVER_ID_MAX = 0xffff_ffff
/** Of a cluster, those included that a joint configuration leaves out: longer lists are refused on the wire. */
export const MEMBERS_MAX = 1024

/** A member of the cluster as its configuration names it. */
export interface Member {
  readonly id: ServerId
  /** `host:port` that its peers dial. */
  readonly address: string
  /** The random id of its data directory, once known: a wiped disk under an old id shows here. */
  readonly storeId?: string
  /** Of a learner: the leader makes it a voter once it has caught up. */
  readonly promotable?: boolean
}

/**
 * Who votes and who only listens (thesis §4). `votersOutgoing` is C_old while a joint configuration rules.
 * A configuration takes effect when it is appended (§4.1).
 */
export interface Configuration {
  readonly voters: readonly ServerId[]
  readonly votersOutgoing?: readonly ServerId[]
  readonly learners: readonly ServerId[]
  readonly members?: readonly Member[]
}

/** What a server must never forget, in one durable record. Set only by the machines; terms never go back. */
export interface HardState {
  readonly term: Term
  /** Whom this server voted for in `term`. */
  readonly votedFor: ServerId | undefined
  /**
   * The longest time (ms) for which this server has promised a leader to grant no vote after hearing from it.
   * Durable, so that a restarted voter still honours a lease it had confirmed.
   */
  readonly promiseMs: number
}

export const INITIAL_HARD_STATE: HardState = { term: 0, votedFor: undefined, promiseMs: 0 }

/** The first index of a run of equal terms. */
export interface TermStart {
  readonly index: LogIndex
  readonly term: Term
}

/** Where an entry stands: entries of one index and term are the same entry (§5.3). */
export interface EntryPlace {
  readonly index: LogIndex
  readonly term: Term
}

/** Where the log begins: everything up to `index` is in a snapshot (index 0: nothing is). */
export interface Boundary {
  readonly index: LogIndex
  readonly term: Term
  /** Checksum of the run that ended at `index`, to which the next run is chained; 0 at index 0. */
  readonly checksum: number
  /** Cluster time of that run; 0 at index 0. */
  readonly clusterTime: number
  /** The configuration as of `index`. */
  readonly configuration: Configuration
}

/**
 * Names one snapshot: two that agree in all of this have the same bytes, wherever they were taken. The index is that of
 * the last entry it covers.
 */
export interface SnapshotId {
  readonly index: LogIndex
  readonly term: Term
  /** Of the whole file. */
  readonly byteLength: number
  readonly checksum: number
}

/** CRC-32 (IEEE), continued from `seed` (default 0). Pure; Node passes zlib's, a browser the one in checksum.ts. */
export type Checksum = (bytes: Uint8Array, seed?: number) => number
