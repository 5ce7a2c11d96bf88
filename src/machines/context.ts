import type { PendingEffects } from './effects.js'
import { effectsWith, NO_EFFECTS } from './effects.js'
import type { Envelope } from './messages.js'
import type { Leadership } from './leadership.js'
import { recoveredLog, termAt, type Log } from './log.js'
import type { Checksum, Configuration, EntryPlace, HardState, LogIndex, ServerId, Term } from './types.js'

/**
 * All that a role machine knows. Nested, since XState's assign slows down threefold beyond 16 top-level fields.
 */
export interface RaftContext {
  readonly id: ServerId
  readonly settings: RaftSettings
  /** When the latest event was handled. */
  readonly instant: { readonly now: number; readonly wallTime: number }
  /** Current term and vote, durable or on their way to disk. Terms never go back. */
  readonly hardState: HardState
  /** What the disk is known to hold: the very HardState object that was written, and the log up to `index`. */
  readonly durable: { readonly hardState: HardState; readonly index: LogIndex }
  readonly log: Log
  /** Every configuration above the boundary, after the boundary's own; the last one rules (§4.1). */
  readonly configurations: readonly ConfigurationAt[]
  readonly identity: Identity
  /** Monotonic within one incarnation. */
  readonly commitIndex: LogIndex
  readonly leaderId: ServerId | undefined
  /** What this server has heard from its leader. */
  readonly contact: Contact
  /** Answers to this server's own (pre-)vote requests. */
  readonly votes: ReadonlyMap<ServerId, boolean>
  readonly campaign: Campaign
  /** A leader's bookkeeping; undefined in every other role. */
  readonly leadership: Leadership | undefined
  /** The seeded source, and the election timeout drawn from it, in [T, 2T). */
  readonly chance: { readonly state: number; readonly electionTimeoutMs: number }
  readonly effects: PendingEffects
}

export interface Identity {
  /** What this server's no-ops name the cluster; the first committed one counts. */
  readonly clusterId: string
  /** Of its data directory; '' where there is none. */
  readonly storeId: string
  /** Of the data directories of the peers that are connected. */
  readonly storeIds: ReadonlyMap<ServerId, string>
}

export interface ConfigurationAt {
  readonly index: LogIndex
  readonly configuration: Configuration
}

export interface Campaign {
  /** Whether the campaign under way was asked for by a leader that hands over (§3.10). */
  readonly leadershipTransfer: boolean
  /** The newest term that this server has led; after a start it is the one it may have led before. */
  readonly ledTerm: Term
  /** The index of a committed configuration that leaves this server out, as another one told it; 0 when none did. */
  readonly leftAt: LogIndex
}

export interface Contact {
  /** When the leader was last heard, or a vote granted. The election timer runs from here. */
  readonly at: number
  /** No vote is granted before this instant (§4.2.3, and the promise that the leader's lease stands on). */
  readonly promisedUntil: number
  /** The log is known to match the current leader's up to here; commitIndex goes no further on its word. */
  readonly matchIndex: LogIndex
}

/** Fixed for the life of a server. Times in ms; see options.ts for defaults and bounds. */
export interface RaftSettings {
  /** T: an election timeout is drawn in [T, 2T). */
  readonly electionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  /** How long the lease lasts from the sending of a confirmed round: the promise asked of followers, less the drift bound. */
  readonly leaseMs: number
  /** Limits of one AppendEntries, and of what may be unanswered at one peer. */
  readonly appendBytesMax: number
  readonly inflightAppendsMax: number
  readonly inflightBytesMax: number
  /** What a leader accepts beyond the committed entries, in bytes, from its peers' clients. */
  readonly uncommittedBytesMax: number
  /** What the log may take in memory for peers that are a little behind. */
  readonly logTailBytesMax: number
  /** A promotable learner votes once it has been no more than so many entries behind for so long. */
  readonly promotionLagEntries: number
  readonly promotionAfterMs: number
  /** From −1 to 1: which part of [T, 2T) election timeouts are drawn from. 0: all of it. */
  readonly electionPriority: number
  /** CRC-32. */
  readonly checksum: Checksum
}

/** What a server starts from. */
export interface RaftInput {
  readonly id: ServerId
  readonly settings: RaftSettings
  /** Seed of the election timeouts. */
  readonly seed: number
  readonly now: number
  readonly wallTime: number
  readonly hardState: HardState
  readonly log: Omit<Log, 'tail' | 'truncations'>
  readonly configurations: readonly ConfigurationAt[]
  /** What the state machine is restored to: at the boundary or beyond. Default: the boundary. */
  readonly commitIndex?: LogIndex
  /** The cluster's id where it is known, and otherwise what this server would name it as its first leader. */
  readonly clusterId: string
  /** Default ''. */
  readonly storeId?: string
}

export function initialContext(input: RaftInput): RaftContext {
  const { id, settings, now, wallTime, hardState, clusterId, storeId = '' } = input
  const log = recoveredLog(input.log)
  const boundary: ConfigurationAt = { index: log.boundary.index, configuration: log.boundary.configuration }
  // A restarted voter may have confirmed a lease just before: it grants no vote until that must have run out.
  const isRestarted = hardState.term > 0
  const promisedUntil = isRestarted ? now + Math.max(settings.electionTimeoutMs, hardState.promiseMs) : now
  return {
    id,
    settings,
    instant: { now, wallTime },
    hardState,
    durable: { hardState, index: log.lastIndex },
    log,
    configurations: [boundary, ...input.configurations],
    identity: { clusterId, storeId, storeIds: new Map() },
    commitIndex: Math.max(log.boundary.index, input.commitIndex ?? 0),
    leaderId: undefined,
    contact: { at: now, promisedUntil, matchIndex: 0 },
    votes: new Map(),
    campaign: { leadershipTransfer: false, ledTerm: hardState.term, leftAt: 0 },
    leadership: undefined,
    chance: { state: input.seed >>> 0, electionTimeoutMs: settings.electionTimeoutMs },
    effects: NO_EFFECTS,
  }
}

/**
 * The context with some of its fields replaced; none can be made undefined by it. Written out, since a spread of so many
 * fields takes V8's slow path, microseconds at a time, once it has met contexts that were made in several ways.
 */
export function amended(
  context: RaftContext,
  changes: Partial<RaftContext>,
  instant = changes.instant ?? context.instant,
): RaftContext {
  return {
    id: context.id,
    settings: context.settings,
    instant,
    hardState: changes.hardState ?? context.hardState,
    durable: changes.durable ?? context.durable,
    log: changes.log ?? context.log,
    configurations: changes.configurations ?? context.configurations,
    identity: context.identity,
    commitIndex: changes.commitIndex ?? context.commitIndex,
    leaderId: changes.leaderId ?? context.leaderId,
    contact: changes.contact ?? context.contact,
    votes: context.votes,
    campaign: context.campaign,
    leadership: changes.leadership ?? context.leadership,
    chance: context.chance,
    effects: changes.effects ?? context.effects,
  }
}

/** The configuration that rules: the latest in the log, committed or not (§4.1). */
export function configurationOf(context: Pick<RaftContext, 'configurations'>): Configuration {
  return latestConfiguration(context).configuration
}

/** The configuration that rules, and where it stands in the log. */
export function latestConfiguration({ configurations }: Pick<RaftContext, 'configurations'>): ConfigurationAt {
  return configurations.at(-1)!
}

/** The entry of the configuration that rules. What a snapshot covers counts as of the snapshot's term. */
export function placeOfConfiguration(context: Pick<RaftContext, 'configurations' | 'log'>): EntryPlace {
  const { index } = latestConfiguration(context)
  const { boundary } = context.log
  return { index, term: index > boundary.index ? (termAt(context.log, index) ?? boundary.term) : boundary.term }
}

/** Whether a peer runs on the data directory that the configuration names, where it names one. */
export function hasNamedStore(context: Pick<RaftContext, 'configurations' | 'identity'>, id: ServerId): boolean {
  const named = configurationOf(context).members?.find((member) => member.id === id)?.storeId
  return named === undefined || named === context.identity.storeIds.get(id)
}

/** The configuration as of `index`, which is no earlier than the boundary. */
export function configurationAsOf(
  { configurations }: Pick<RaftContext, 'configurations'>,
  index: LogIndex,
): Configuration {
  return configurations.findLast((at) => at.index <= index)!.configuration
}

/** True when the disk holds the current term, vote and promise. */
export function isHardStateDurable(context: Pick<RaftContext, 'hardState' | 'durable'>): boolean {
  return context.durable.hardState === context.hardState
}

/** Effects that send `messages` as soon as nothing they reveal is undurable: now, or after the writes under way. */
export function respond(
  context: Pick<RaftContext, 'hardState' | 'durable' | 'log'>,
  messages: readonly Envelope[],
): PendingEffects {
  if (isHardStateDurable(context)) return effectsWith(NO_EFFECTS, { messages })
  return effectsWith(NO_EFFECTS, { persists: [{ runs: [], messages, ...endOf(context.log) }] })
}

/** The part of a Persist that says how far the log reaches with it. */
export function endOf(log: Log): { readonly lastIndex: LogIndex; readonly truncations: number } {
  return { lastIndex: log.lastIndex, truncations: log.truncations }
}
