import { latestConfiguration, type RaftContext } from './context.js'
import { invariant } from './invariant.js'
import { lastTerm } from './log.js'
import { isMember, sameIds } from './membership.js'
import { isJoint, peersOf } from './quorum.js'
import type { Configuration, TermStart } from './types.js'

/**
 * The laws of one server, checked after every step by tests and the simulator (LogCabin's habit). The laws between
 * servers, the paper's Figure 3, are the simulator's.
 */
export function checkInvariants(context: RaftContext, before?: RaftContext): void {
  checkState(context)
  checkConfigurations(context)
  if (before === undefined) return
  checkChange(context, before)
  if (staysLeader(context, before)) checkReconfiguration(context, before)
}

function checkState({ hardState, durable, log, commitIndex, leadership, leaderId, id }: RaftContext): void {
  invariant(durable.hardState.term <= hardState.term, 'the disk holds no later term than memory')
  invariant(durable.index <= log.lastIndex, 'the disk holds no more of the log than memory', [
    durable.index,
    log.lastIndex,
  ])
  invariant(commitIndex <= log.lastIndex, 'no entry is committed that is not in the log', [commitIndex, log.lastIndex])
  invariant(commitIndex >= log.boundary.index, 'what a snapshot covers is committed')
  invariant(lastTerm(log) <= hardState.term, 'no entry is of a later term than the server', [
    lastTerm(log),
    hardState.term,
  ])
  let before: TermStart | undefined
  for (const start of log.termStarts) {
    const isRise = before === undefined || (before.index < start.index && before.term < start.term)
    invariant(isRise, 'terms rise along the log')
    before = start
  }
  if (leadership === undefined) return
  invariant(leaderId === id, 'a leader knows itself as such')
  invariant(hardState.votedFor === id, 'a leader voted for itself')
  for (const [, progress] of leadership.progress) {
    invariant(progress.matchIndex <= log.lastIndex, "no peer matches beyond the leader's log")
    invariant(progress.nextIndex > progress.matchIndex, 'nextIndex lies beyond matchIndex', progress)
    const isAnswered = progress.mode === 'replicate' && progress.inflight.length === 0
    const law = 'what was sent to a peer and is not answered is in flight'
    invariant(!isAnswered || progress.nextIndex === progress.matchIndex + 1, law, progress)
  }
}

function checkConfigurations(context: RaftContext): void {
  const { configurations, log, leadership, id } = context
  const [oldest] = configurations
  invariant(oldest !== undefined && oldest.index <= log.boundary.index, 'the configuration at the boundary is known')
  invariant(oldest.configuration === log.boundary.configuration, 'the boundary has the configuration that rules there')
  for (let at = 1; at < configurations.length; at++) {
    const previousIndex = at === 1 ? log.boundary.index : configurations[at - 1]!.index
    const isNext = configurations[at]!.index > previousIndex
    invariant(isNext, 'configurations above the boundary are kept in log order')
  }
  const { index, configuration } = latestConfiguration(context)
  invariant(index <= Math.max(log.lastIndex, log.boundary.index), 'no configuration outlives its entry')
  if (leadership === undefined) return
  const { progress, membership } = leadership
  const peers = peersOf(configuration, id)
  for (const peer of peers) {
    invariant(progress.has(peer), 'a leader sends to every member of the latest configuration')
  }
  for (const peer of progress.keys()) {
    const isLeftOut = membership.departing.has(peer)
    const law = 'a leader sends to others only while it tells them that they are left out'
    invariant((peer === id ? isMember(configuration, id) : peers.includes(peer)) !== isLeftOut, law)
  }
}

function staysLeader(context: RaftContext, before: RaftContext): boolean {
  const isSameTerm = context.hardState.term === before.hardState.term
  return isSameTerm && context.leadership !== undefined && before.leadership !== undefined
}

/** Thesis §4.3, of what a leader appends. */
function checkReconfiguration(context: RaftContext, before: RaftContext): void {
  const since = latestConfiguration(before)
  let last = since
  for (const next of context.configurations) {
    if (next.index <= since.index) continue
    invariant(last.index <= context.commitIndex, 'a configuration follows only one that is committed', next)
    invariant(context.commitIndex >= (context.leadership?.noopIndex ?? 0), 'only a serving leader changes members')
    invariant(isStep(last.configuration, next.configuration), 'voters change by way of a joint configuration', next)
    last = next
  }
}

function isStep(before: Configuration, next: Configuration): boolean {
  if (isJoint(before)) return !isJoint(next) && sameIds(before.voters, next.voters)
  return sameIds(before.voters, isJoint(next) ? next.votersOutgoing : next.voters)
}

function checkChange(context: RaftContext, before: RaftContext): void {
  const { hardState } = context
  invariant(hardState.term >= before.hardState.term, 'terms never go back', [hardState.term, before.hardState.term])
  const sameTerm = hardState.term === before.hardState.term
  invariant(
    !sameTerm || before.hardState.votedFor === undefined || hardState.votedFor === before.hardState.votedFor,
    'a vote is never changed within its term',
  )
  invariant(context.commitIndex >= before.commitIndex, 'commitIndex never goes back')
  const isStill = staysLeader(context, before)
  invariant(!isStill || context.log.lastIndex >= before.log.lastIndex, 'a leader only appends to its log')
  invariant(!isStill || context.log.truncations === before.log.truncations, 'a leader truncates nothing')
}
