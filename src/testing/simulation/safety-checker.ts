import type { RaftContext } from '../../machines/context.js'
import { configurationOf, type EntryRun } from '../../machines/entry-run.js'
import { checkInvariants } from '../../machines/invariants.js'
import type { RaftEvent } from '../../machines/events.js'
import { runsBetween } from '../../machines/log.js'
import type { Boundary, HardState, LogIndex, ServerId, Term } from '../../machines/types.js'
import { ConfigurationChecker } from './configuration-checker.js'
import {
  checkFollows,
  checkReaches,
  checkSound,
  findRun,
  placeOf,
  type RunEnd,
  type RunPlace,
  type SeenRun,
} from './seen-runs.js'
import { Violation } from './violation.js'

const EMPTY: RunEnd = { lastIndex: 0, checksum: 0 }

/** A log before one of its truncations. */
interface FormerLog {
  readonly runs: readonly SeenRun[]
  readonly replacedIn: Term
  /** The first of the runs that came instead. */
  readonly replacedBy: SeenRun
}

/** What is known of one server, across its restarts. */
interface SeenServer {
  /** Its log as of the latest step, run by run, from the first entry on: what it has compacted is committed, and known. */
  runs: SeenRun[]
  truncations: number
  /** What its log was before each truncation since it started. */
  former: FormerLog[]
  before: RaftContext | undefined
  lastApplied: LogIndex
  /** The newest HardState that its disk was known to hold. */
  durable: HardState | undefined
}

/**
 * Judges the laws of the Raft paper's Figure 3 after every step of every server, from their logs and states alone: it
 * shares no decision with the code that it judges. Runs are told apart by their checksums, which are chained: two logs
 * with the same run at the same place are the same up to there.
 */
export class SafetyChecker {
  readonly #servers = new Map<ServerId, SeenServer>()
  readonly #leaders = new Map<Term, ServerId>()
  /** Log matching: the one run that can be at an index in a term. */
  readonly #runs = new Map<string, SeenRun>()
  /** What has been committed by anyone, in order. */
  readonly #committed: SeenRun[] = []
  readonly #votes = new Map<string, ServerId>()
  /** What those had who may have lost it, with their disks or their machines: their word may still be counted. */
  readonly #former = new Map<ServerId, SeenServer[]>()
  /** The state at an index, as a digest, by whoever took the first snapshot of it. */
  readonly #states = new Map<LogIndex, { readonly id: ServerId; readonly digest: number }>()
  readonly configurations = new ConfigurationChecker()
  #newestTerm: Term = 0

  /** The last index known to be committed by some server. */
  get committedIndex(): LogIndex {
    return this.#committed.at(-1)?.lastIndex ?? 0
  }

  /** The newest term that has had a leader. */
  get newestTerm(): Term {
    return this.#newestTerm
  }

  /** How many terms have had a leader. */
  get elections(): number {
    return this.#leaders.size
  }

  /** A server starts with what it recovered. */
  started(id: ServerId, context: RaftContext, runs: readonly EntryRun[]): void {
    const known = this.#servers.get(id)
    const { hardState } = context
    if (known?.durable !== undefined) this.#checkRemembered(id, known.durable, hardState)
    const { boundary } = context.log
    this.configurations.started(id, boundary)
    this.#checkBoundary(id, boundary)
    const server: SeenServer = {
      runs: this.#committedUntil(boundary.index),
      truncations: 0,
      former: [],
      before: context,
      lastApplied: 0,
      durable: hardState,
    }
    this.#servers.set(id, server)
    for (const run of runs) {
      checkSound(id, run)
      this.#appended(id, server, run)
    }
    checkReaches(id, server.runs, context)
    this.#checkVote(id, hardState)
  }

  /** The disk of a server that is down was replaced by an empty one: it remembers nothing, and is another server. */
  wiped(id: ServerId): void {
    this.mayForget(id)
    this.#servers.delete(id)
    for (const key of [...this.#votes.keys()]) if (key.startsWith(`${id}/`)) this.#votes.delete(key)
  }

  /** From here on a server may lack what it had and has told others of: in mem-first its machine may have crashed. */
  mayForget(id: ServerId): void {
    const server = this.#servers.get(id)
    if (server !== undefined) this.#former.set(id, [...(this.#former.get(id) ?? []), server])
  }

  #committedUntil(index: LogIndex): SeenRun[] {
    return this.#committed.slice(0, placeOf(this.#committed, index + 1))
  }

  /** What a log no longer holds is committed, and ends where the log says. */
  #checkBoundary(id: ServerId, boundary: Boundary): void {
    if (boundary.index === 0) return
    const run = findRun(this.#committed, boundary.index)
    const isSound =
      run?.lastIndex === boundary.index && run.checksum === boundary.checksum && run.term === boundary.term
    if (!isSound) {
      throw new Violation(
        'only what is committed is compacted',
        `the log of server ${id} begins after entry ${boundary.index} of term ${boundary.term}, which is not committed`,
      )
    }
    this.configurations.checkBoundary(id, boundary)
  }

  #checkRemembered(id: ServerId, durable: HardState, recovered: HardState): void {
    const forgot =
      recovered.term < durable.term ||
      (recovered.term === durable.term && durable.votedFor !== undefined && recovered.votedFor !== durable.votedFor)
    if (!forgot) return
    throw new Violation(
      'a server never forgets its term and vote',
      `server ${id} had ${show(durable)} on disk and recovered ${show(recovered)}`,
    )
  }

  /** A server handled one event. */
  stepped(id: ServerId, context: RaftContext, event: RaftEvent): void {
    const server = this.#server(id)
    const { before } = server
    if (event.type === 'requestVote' && before !== undefined) checkGrant(id, before, context, event)
    try {
      checkInvariants(context, before)
    } catch (error) {
      throw new Violation(
        'every server keeps the laws of its own state',
        `server ${id}: ${error instanceof Error ? error.message : String(error)}`,
      )
    }
    if (before?.log !== context.log) this.#followLog(id, server, context)
    if (before !== undefined && before.configurations !== context.configurations) {
      this.configurations.stepped(id, context, before)
    }
    if (before?.durable.hardState !== context.durable.hardState) {
      server.durable = context.durable.hardState
      this.#checkVote(id, context.durable.hardState)
    }
    if (context.leadership !== undefined && before?.leadership === undefined) this.#elected(id, server, context)
    if (context.commitIndex !== before?.commitIndex) this.#commitAdvanced(id, server, context)
    server.before = context
  }

  #followLog(id: ServerId, server: SeenServer, context: RaftContext): void {
    const { log } = context
    const { boundary } = log
    const isCompacted = boundary.index !== server.before?.log.boundary.index
    if (isCompacted) this.#checkBoundary(id, boundary)
    if (log.truncations !== server.truncations) {
      server.truncations = log.truncations
      if (isCompacted) return this.#begunAnew(id, server, boundary)
      this.#followTruncation(id, server, context)
      return
    }
    const last = server.runs.at(-1)?.lastIndex ?? log.boundary.index
    if (log.lastIndex === last) return
    for (const run of runsBetween(log, last, log.lastIndex)) this.#appended(id, server, run)
    checkReaches(id, server.runs, context)
  }

  /** By a snapshot that was installed. */
  #begunAnew(id: ServerId, server: SeenServer, { index }: Boundary): void {
    server.runs = this.#committedUntil(index)
    this.configurations.begunAnew(id, index)
  }

  /** After a truncation the newest runs are in memory: those that are no longer the same there have been replaced. */
  #followTruncation(id: ServerId, server: SeenServer, { log, hardState }: RaftContext): void {
    const current = runsBetween(log, log.boundary.index, log.lastIndex)
    const first = current[0]?.firstIndex ?? log.lastIndex + 1
    const kept = server.runs.filter((run) => run.lastIndex < first && run.lastIndex <= log.lastIndex)
    const lost = server.runs.find((run) => run.lastIndex >= first || run.lastIndex > log.lastIndex)
    const committed = this.#committed.findLast((run) => run.lastIndex <= (server.before?.commitIndex ?? 0))
    const { runs } = server
    server.runs = kept
    this.configurations.truncated(id, (kept.at(-1)?.lastIndex ?? 0) + 1)
    for (const run of current) this.#appended(id, server, run)
    noteReplaced(server, runs, hardState.term)
    if (lost === undefined || committed === undefined) return
    if (this.#runAt(server, committed.lastIndex)?.checksum !== committed.checksum) {
      throw new Violation('no committed entry is truncated', `server ${id} truncated entry ${committed.lastIndex}`)
    }
  }

  #appended(id: ServerId, server: SeenServer, run: EntryRun): void {
    const { firstIndex, lastIndex, term, checksum } = run
    const decoded = run.kind === 'configuration' ? configurationOf(run) : undefined
    const configuration = decoded === undefined || 'malformed' in decoded ? undefined : decoded
    const seen: SeenRun = { firstIndex, lastIndex, term, checksum, configuration }
    checkFollows(id, server.runs.at(-1) ?? EMPTY, run)
    server.runs.push(seen)
    if (configuration !== undefined) this.configurations.appended(id, firstIndex, configuration)
    const key = `${firstIndex}/${term}`
    const known = this.#runs.get(key)
    if (known === undefined) {
      this.#runs.set(key, seen)
      return
    }
    if (known.checksum !== checksum || known.lastIndex !== lastIndex) {
      throw new Violation(
        'Log Matching: entries with the same index and term are the same, and so are all before them',
        `entries ${firstIndex} to ${lastIndex} of term ${term} on server ${id} are not the ones seen before`,
      )
    }
  }

  #checkVote(id: ServerId, { term, votedFor }: HardState): void {
    if (votedFor === undefined) return
    const key = `${id}/${term}`
    const known = this.#votes.get(key)
    if (known !== undefined && known !== votedFor) {
      throw new Violation(
        'a server votes once a term',
        `server ${id} voted for ${known} and for ${votedFor} in term ${term}`,
      )
    }
    this.#votes.set(key, votedFor)
  }

  #elected(id: ServerId, server: SeenServer, { hardState }: RaftContext): void {
    const { term } = hardState
    const other = this.#leaders.get(term)
    if (other !== undefined) {
      throw new Violation('Election Safety: at most one leader a term', `servers ${other} and ${id} in term ${term}`)
    }
    this.#leaders.set(term, id)
    this.#newestTerm = Math.max(this.#newestTerm, term)
    this.#checkComplete(id, server, term)
  }

  /** Leader Completeness: a leader has every entry that was committed in an earlier term. */
  #checkComplete(id: ServerId, server: SeenServer, term: Term): void {
    const committed = this.#committed.at(-1)
    if (committed === undefined || committed.term > term) return
    if (this.#runAt(server, committed.lastIndex)?.checksum !== committed.checksum) {
      throw new Violation(
        'Leader Completeness: a leader has every committed entry',
        `server ${id}, leader of term ${term}, lacks entry ${committed.lastIndex}, committed in term ${committed.term}`,
      )
    }
  }

  #commitAdvanced(id: ServerId, server: SeenServer, context: RaftContext): void {
    const from = this.committedIndex
    if (context.commitIndex <= from) {
      const run = this.#runAt(server, context.commitIndex)
      const known = findRun(this.#committed, context.commitIndex)
      if (run?.checksum !== known?.checksum) {
        throw new Violation(
          'State Machine Safety: servers commit the same entries',
          `server ${id} committed another entry ${context.commitIndex}`,
        )
      }
      return
    }
    const fresh = server.runs
      .slice(placeOf(server.runs, from + 1))
      .filter((run) => run.lastIndex <= context.commitIndex)
    if (fresh.at(-1)?.lastIndex !== context.commitIndex) {
      throw new Violation('runs are never split', `server ${id} committed up to ${context.commitIndex}, within a run`)
    }
    const { term } = context.hardState
    if (context.leadership !== undefined && fresh.at(-1)?.term !== term) {
      throw new Violation(
        'a leader commits by counting only entries of its own term (§5.4.2)',
        `server ${id} committed entry ${context.commitIndex} of term ${fresh.at(-1)?.term} in term ${term}`,
      )
    }
    for (const run of fresh) {
      this.#committed.push(run)
      if (run.configuration !== undefined) this.configurations.committed(run.firstIndex, run.configuration)
    }
    // A leader of a later term that lacks them was elected without them.
    for (const [later, leader] of this.#leaders) {
      const other = this.#servers.get(leader)
      const leads = other?.before?.leadership !== undefined && other.before.hardState.term === later
      if (leads && leader !== id && later > term) this.#checkComplete(leader, other, later)
    }
  }

  /** A server applied a run. */
  applied(id: ServerId, run: EntryRun): void {
    const server = this.#server(id)
    if (run.firstIndex !== server.lastApplied + 1) {
      throw new Violation(
        'entries are applied in order, each once',
        `server ${id} applied ${run.firstIndex} after ${server.lastApplied}`,
      )
    }
    server.lastApplied = run.lastIndex
    const known = findRun(this.#committed, run.firstIndex)
    if (known?.checksum !== run.checksum) {
      throw new Violation(
        'State Machine Safety: servers apply the same committed entries',
        `server ${id} applied another entry ${run.firstIndex}`,
      )
    }
  }

  /** A server's state has become a snapshot's. */
  restored(id: ServerId, index: LogIndex, digest: number): void {
    const server = this.#server(id)
    if (index < server.lastApplied) {
      throw new Violation(
        'a state never goes back',
        `server ${id} went from entry ${server.lastApplied} back to a snapshot of ${index}`,
      )
    }
    server.lastApplied = index
    this.stateSeen(id, index, digest)
  }

  /** Whether somebody took a snapshot of the state at an index: it is worth comparing with others. */
  hasState(index: LogIndex): boolean {
    return this.#states.has(index)
  }

  /** The state of a server that has applied all up to `index`, by the log or by a snapshot. */
  stateSeen(id: ServerId, index: LogIndex, digest: number): void {
    const known = this.#states.get(index)
    if (known === undefined) this.#states.set(index, { id, digest })
    else if (known.digest !== digest) {
      throw new Violation(
        'a snapshot is the state that its log gives',
        `at entry ${index} the states of servers ${known.id} and ${id} differ`,
      )
    }
  }

  /** After all faults have healed: `ids` have every committed entry, the same log and have applied it. */
  checkConverged(ids: readonly ServerId[], appliedOf: (id: ServerId) => LogIndex): string | undefined {
    const last = this.#committed.at(-1)
    if (last === undefined) return 'nothing was ever committed'
    for (const id of ids) {
      const server = this.#server(id)
      const end = server.runs.at(-1)
      if (end?.checksum !== last.checksum)
        return `server ${id} ends at entry ${end?.lastIndex}, not at ${last.lastIndex}`
      if (appliedOf(id) !== last.lastIndex) return `server ${id} has applied ${appliedOf(id)} of ${last.lastIndex}`
    }
    return undefined
  }

  /** Whether a server's log has the same entries as another's, up to `index` (a run's last) of that other. */
  isSame(id: ServerId, other: ServerId, index: LogIndex): boolean {
    const theirs = this.runAt(other, index)
    return theirs !== undefined && this.runAt(id, index)?.checksum === theirs.checksum
  }

  /** Whether a server had that at a time that it may have forgotten. */
  wasSame(id: ServerId, other: ServerId, index: LogIndex): boolean {
    const theirs = this.runAt(other, index)
    if (theirs === undefined) return false
    const former = this.#former.get(id) ?? []
    return former.some((server) => this.#runAt(server, index)?.checksum === theirs.checksum)
  }

  /** Durability: entries that a server said it holds are there when it starts again. */
  checkRecovered(id: ServerId, durableIndex: LogIndex, { boundary, lastIndex }: RaftContext['log']): void {
    if (lastIndex >= durableIndex) return
    // A snapshot was durable and about to take the place of a log that conflicts with it.
    if (boundary.index > 0 && this.runAt(id, boundary.index)?.checksum !== boundary.checksum) return
    const recoveredIndex = lastIndex
    throw new Violation(
      'what was durable is recovered',
      `server ${id} had entries up to ${durableIndex} on disk and recovered ${recoveredIndex}`,
    )
  }

  #server(id: ServerId): SeenServer {
    const server = this.#servers.get(id)
    if (server === undefined) throw new Violation('every server is announced', `server ${id} is not`)
    return server
  }

  /**
   * What has been in the place of entry `index` since `term`, and has been replaced, and what came instead: an answer of
   * that term may leave only now, and is as true as if it had left before.
   */
  replacedSince(id: ServerId, index: LogIndex, term: Term): readonly RunPlace[] {
    const former = this.#servers.get(id)?.former ?? []
    return former
      .filter(({ replacedIn, replacedBy }) => replacedIn > term && replacedBy.firstIndex <= index)
      .flatMap(({ runs, replacedBy }) => [findRun(runs, index) ?? replacedBy, replacedBy])
  }

  /** The run that holds entry `index` in a server's log. */
  runAt(id: ServerId, index: LogIndex): RunPlace | undefined {
    const server = this.#servers.get(id)
    return server && this.#runAt(server, index)
  }

  #runAt(server: SeenServer, index: LogIndex): SeenRun | undefined {
    return findRun(server.runs, index)
  }
}

function noteReplaced(server: SeenServer, runs: readonly SeenRun[], replacedIn: Term): void {
  const isOther = ({ firstIndex, checksum }: SeenRun): boolean => findRun(runs, firstIndex)?.checksum !== checksum
  const replacedBy = server.runs.find(isOther)
  if (replacedBy !== undefined) server.former.push({ runs, replacedIn, replacedBy })
}

/** §5.4.1, which makes leaders complete: a vote goes only to a log at least as up to date. */
function checkGrant(
  id: ServerId,
  before: RaftContext,
  { hardState }: RaftContext,
  { from, message }: Extract<RaftEvent, { readonly type: 'requestVote' }>,
): void {
  const isNew =
    hardState.votedFor === from && (before.hardState.votedFor !== from || before.hardState.term !== hardState.term)
  const { termStarts, boundary, lastIndex } = before.log
  const lastTerm = termStarts.at(-1)?.term ?? boundary.term
  const isBehind =
    message.lastLogTerm < lastTerm || (message.lastLogTerm === lastTerm && message.lastLogIndex < lastIndex)
  if (!isNew || !isBehind) return
  throw new Violation(
    'a vote goes only to a log at least as up to date',
    `server ${id} voted for ${from} in term ${hardState.term}`,
  )
}

function show({ term, votedFor }: HardState): string {
  return `term ${term}, vote ${votedFor ?? 'none'}`
}
