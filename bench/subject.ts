import type { Consistency } from '../src/options.js'
import type { Durability } from '../src/storage/ports.js'

/** What a benchmark drives: the pipeline limit or the engine, behind the same two calls. */
export interface Subject {
  put(key: Uint8Array, value: Uint8Array): Promise<unknown>
  get(key: Uint8Array, consistency: Consistency): Promise<Uint8Array | undefined>
  /** True on the one server where the load runs. */
  readonly leads: boolean
}

export type SubjectName = 'limit' | 'engine'

export const LOG_STORES = ['level', 'file'] as const
export type LogStoreName = (typeof LOG_STORES)[number]

export type LinearizableReads = 'quorum' | 'lease'

/** How one server is started. */
export interface ServerPlan {
  readonly id: number
  readonly dataDir: string
  readonly members: Members
  readonly durability: Durability
  /** The engine's; the limit's log is on Level. */
  readonly logStore: LogStoreName
  /** Whether a linearizable read asks a quorum, or trusts the leader's lease. */
  readonly linearizableReads: LinearizableReads
}

export type Members = readonly { readonly id: number; readonly address: string }[]

/** Where a member listens, `host:port`. */
export function listenOf(members: Members, id: number): string {
  const member = members.find((candidate) => candidate.id === id)
  if (member === undefined) throw new Error(`there is no member ${id}`)
  return member.address
}
