import type { RaftContext } from './context.js'
import { invariant } from './invariant.js'
import { lastTerm } from './log.js'

/**
 * The laws of one server, checked after every step by tests and the simulator (LogCabin's habit). The laws between
 * servers, the paper's Figure 3, are the simulator's.
 */
export function checkInvariants(context: RaftContext, before?: RaftContext): void {
  checkState(context)
  if (before !== undefined) checkChange(context, before)
}

function checkState({
  hardState,
  durable,
  log,
  commitIndex,
  leadership,
  leaderId,
  id,
  configurations,
}: RaftContext): void {
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
  const starts = log.termStarts
  invariant(
    starts.every((start, at) => at === 0 || (starts[at - 1]!.index < start.index && starts[at - 1]!.term < start.term)),
    'terms rise along the log',
  )
  invariant(
    configurations.every((at, place) => place === 0 || at.index > configurations[place - 1]!.index),
    'configurations are kept in log order',
  )
  invariant((configurations.at(-1)?.index ?? 0) <= log.lastIndex, 'no configuration outlives its entry')
  if (leadership === undefined) return
  invariant(leaderId === id, 'a leader knows itself as such')
  invariant(hardState.votedFor === id, 'a leader voted for itself')
  for (const [, progress] of leadership.progress) {
    invariant(progress.matchIndex <= log.lastIndex, "no peer matches beyond the leader's log")
    invariant(progress.nextIndex > progress.matchIndex, 'nextIndex lies beyond matchIndex', progress)
  }
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
  const staysLeader = context.leadership !== undefined && before.leadership !== undefined && sameTerm
  invariant(!staysLeader || context.log.lastIndex >= before.log.lastIndex, 'a leader only appends to its log')
  invariant(!staysLeader || context.log.truncations === before.log.truncations, 'a leader truncates nothing')
}
