import { amended, endOf, respond, type ConfigurationAt, type Contact, type RaftContext } from './context.js'
import { effectsWith, NO_EFFECTS, type Commit, type Persist, type PendingEffects } from './effects.js'
import { configurationOf, type EntryRun } from './entry-run.js'
import { append, replaceFrom, runsBetween, splitsRun, termAt, trimTail, type Log } from './log.js'
import type { AppendEntries, Envelope, Heartbeat } from './messages.js'
import { conflictAt } from './progress.js'
import type { EventOf } from './setup.js'
import type { HardState, LogIndex, ServerId } from './types.js'

/** The receiver's side of AppendEntries and heartbeats (§5.3). */

/** Takes what follows the leader's log, refuses what does not fit, and answers once it is durable. */
export function acceptEntries(
  context: RaftContext,
  from: ServerId,
  message: AppendEntries,
  now: number,
): Partial<RaftContext> {
  const heard = heardFrom(context, from, now, context.settings.electionTimeoutMs)
  const { log } = context
  const prevLogIndex = Math.max(message.prevLogIndex, log.boundary.index)
  // What a snapshot covers is committed, so it matches.
  const runs = message.runs.filter((run) => run.lastIndex > log.boundary.index)
  const isCovered = message.prevLogIndex < log.boundary.index
  if (!isCovered && termAt(log, message.prevLogIndex) !== message.prevLogTerm) {
    return { ...heard, effects: respond(context, [rejection(context, from, message)]) }
  }
  const fresh = runs.slice(countMatching(log, runs))
  const fault = faultOf(context, fresh)
  if (fault !== undefined) return { ...heard, effects: { ...NO_EFFECTS, notices: [`from server ${from}: ${fault}`] } }
  const next = amended(withRuns(context, fresh), heard)
  const matchIndex = runs.at(-1)?.lastIndex ?? prevLogIndex
  return commitAndReply(next, from, message, matchIndex, fresh, log)
}

/** How many of the leading runs the log has already. */
function countMatching(log: Log, runs: readonly EntryRun[]): number {
  let count = 0
  for (const { firstIndex, lastIndex, term } of runs) {
    if (termAt(log, firstIndex) !== term || termAt(log, lastIndex) !== term) break
    count++
  }
  return count
}

/** What no leader of this term can have sent: it is not taken, and a person is told. */
function faultOf({ log, commitIndex, contact }: RaftContext, fresh: readonly EntryRun[]): string | undefined {
  const first = fresh[0]
  if (first === undefined) return undefined
  const index = first.firstIndex
  if (index <= commitIndex) return `an append that would truncate the committed entry ${index}`
  if (index <= contact.matchIndex)
    return `an append that would truncate entry ${index}, which this term's leader had sent`
  const continues = index <= log.lastIndex || first.previousChecksum === log.lastChecksum
  // By Log Matching an entry that two logs share is in the same run in both.
  if (!continues || splitsRun(log, index) || termAt(log, index) === first.term) {
    return `entry ${index} does not continue this server's log, although index and term agree: one of the two logs is damaged`
  }
  return undefined
}

function withRuns(context: RaftContext, fresh: readonly EntryRun[]): RaftContext {
  const first = fresh[0]
  if (first === undefined) return context
  const { log, durable } = context
  if (first.firstIndex > log.lastIndex) {
    const configurations = withConfigurations(context.configurations, fresh)
    return amended(context, { log: append(log, fresh), configurations })
  }
  // §5.3: a conflicting entry and all that follow it go; what was durable of them counts no more.
  const kept = context.configurations.filter(({ index }) => index < first.firstIndex)
  return amended(context, {
    log: replaceFrom(log, first.firstIndex, fresh),
    configurations: withConfigurations(kept, fresh),
    durable: { hardState: durable.hardState, index: Math.min(durable.index, first.firstIndex - 1) },
  })
}

function withConfigurations(
  configurations: readonly ConfigurationAt[],
  runs: readonly EntryRun[],
): readonly ConfigurationAt[] {
  const added: ConfigurationAt[] = []
  for (const run of runs) {
    if (run.kind !== 'configuration') continue
    const configuration = configurationOf(run)
    if (!('malformed' in configuration)) added.push({ index: run.firstIndex, configuration })
  }
  return added.length === 0 ? configurations : [...configurations, ...added]
}

function commitAndReply(
  context: RaftContext,
  from: ServerId,
  message: AppendEntries,
  matchIndex: LogIndex,
  fresh: readonly EntryRun[],
  before: Log,
): Partial<RaftContext> {
  const { log, hardState } = context
  const { at, promisedUntil } = context.contact
  const contact = { at, promisedUntil, matchIndex: Math.max(context.contact.matchIndex, matchIndex) }
  const reply = {
    to: from,
    message: { type: 'appendEntriesReply', term: hardState.term, success: true, matchIndex },
  } as const
  const { commitIndex, commits } = followCommit(context, contact, message.commitIndex)
  const isDurable = fresh.length === 0 && matchIndex <= context.durable.index
  const base: PendingEffects = isDurable ? respond(context, [reply]) : NO_EFFECTS
  const truncateFrom = log.truncations > before.truncations ? fresh[0]?.firstIndex : undefined
  const persists: readonly Persist[] = isDurable
    ? base.persists
    : [{ runs: fresh, truncateFrom, messages: [reply], lastIndex: log.lastIndex, truncations: log.truncations }]
  return amended(context, { contact, commitIndex, effects: effectsWith(base, { persists, commits }) })
}

/** A follower advances commitIndex no further than what it is known to match (§5.3). */
function followCommit(
  context: RaftContext,
  { matchIndex }: Contact,
  leaderCommit: LogIndex,
): { readonly commitIndex: LogIndex; readonly commits: readonly Commit[] } {
  const index = Math.min(leaderCommit, matchIndex)
  if (index <= context.commitIndex) return { commitIndex: context.commitIndex, commits: [] }
  return { commitIndex: index, commits: [{ index, runs: runsBetween(context.log, context.commitIndex, index) }] }
}

function rejection(context: RaftContext, to: ServerId, { prevLogIndex }: AppendEntries): Envelope {
  const { log, hardState } = context
  const conflict = conflictAt(log, prevLogIndex)
  return {
    to,
    message: { type: 'appendEntriesReply', term: hardState.term, success: false, prevLogIndex, ...conflict },
  }
}

/**
 * A heartbeat touches no entry. Its answer confirms this leader, and with it the promise to elect no one else for
 * `promiseMs`, so it waits until that promise is durable.
 */
export function answerHeartbeat(
  context: RaftContext,
  from: ServerId,
  message: Heartbeat,
  now: number,
): Partial<RaftContext> {
  const heard = heardFrom(context, from, now, message.promiseMs)
  const { log, hardState } = context
  const { commitIndex, commits } = followCommit(context, heard.contact, message.commitIndex)
  const reply: Envelope = {
    to: from,
    message: { type: 'heartbeatReply', term: hardState.term, round: message.round, lastLogIndex: log.lastIndex },
  }
  if (message.promiseMs <= hardState.promiseMs) {
    const { leaderId, contact } = heard
    return { leaderId, contact, commitIndex, effects: effectsWith(respond(context, [reply]), { commits }) }
  }
  const promised: HardState = { ...hardState, promiseMs: message.promiseMs }
  const persists: readonly Persist[] = [{ hardState: promised, runs: [], messages: [reply], ...endOf(log) }]
  return { ...heard, hardState: promised, commitIndex, effects: { ...NO_EFFECTS, commits, persists } }
}

/** A leader follows up a read index with the state from there: a commit notice for what this server matches. */
export function followReadIndex(context: RaftContext, index: LogIndex): Partial<RaftContext> {
  const { commitIndex, commits } = followCommit(context, context.contact, index)
  return { commitIndex, effects: { ...NO_EFFECTS, commits } }
}

export function heardFrom(
  { contact, settings }: RaftContext,
  from: ServerId,
  now: number,
  promiseMs: number,
): { readonly leaderId: ServerId; readonly contact: Contact } {
  const promisedUntil = Math.max(contact.promisedUntil, now + Math.max(promiseMs, settings.electionTimeoutMs))
  return { leaderId: from, contact: { at: now, promisedUntil, matchIndex: contact.matchIndex } }
}

/** A step of the log store completed; entries truncated since do not count (also when rewritten: A-B-A). */
export function recordPersisted(context: RaftContext, event: EventOf<'persisted'>): RaftContext {
  const { durable, log, settings } = context
  const isCurrent = event.truncations === log.truncations
  const index = isCurrent ? Math.max(durable.index, event.index) : durable.index
  const hardState = event.hardState ?? durable.hardState
  const trimmed = trimTail(log, Math.min(index, event.lastApplied), settings.logTailBytesMax)
  return amended(context, { durable: { hardState, index }, log: trimmed, effects: NO_EFFECTS })
}
