import { acceptEntries, answerHeartbeat, recordPersisted } from './appending.js'
import { amended, type RaftContext } from './context.js'
import { NO_EFFECTS, type Effect, type PendingEffects } from './effects.js'
import type { RaftEvent } from './events.js'
import { takeForwarded } from './forwarding.js'
import { appendProposals, isSettling, recordAppendReply, recordHeartbeatReply, recordOwnWrite } from './leading.js'
import { forwardProposals, forwardReads, passReadIndex, raftMachine } from './raft.machine.js'
import { takeReads } from './reads.js'

type MachineState = ReturnType<typeof raftMachine.getInitialSnapshot>
type Scope = Parameters<typeof raftMachine.transition>[2]
type ActiveState = Extract<MachineState, { readonly status: 'active' }>

/**
 * `raftMachine` for a server's own use. To an event that changes nothing but the books, as all but a few of a busy
 * server's do, it reacts by the same functions that the machine names, without XState's search for them, which costs
 * several times what the functions do (ADR 0013). The machine stays the one description: a test holds the two together,
 * event by event. Effects without content do not leave.
 */
export const swiftRaftMachine = Object.create(raftMachine, {
  transition: {
    value: (state: MachineState, event: RaftEvent, scope: Scope): MachineState => {
      const changes = state.status === 'active' ? shortcut(state, event) : undefined
      if (state.status !== 'active' || changes === undefined) return raftMachine.transition(state, event, scope)
      const { now, wallTime } = event
      const context = amended(state.context, changes, { now, wallTime })
      scope.defer(() => effectsIn(context.effects).forEach((effect) => scope.emit(effect)))
      return stateWith(state, context)
    },
  },
}) as typeof raftMachine

/** What the event changes; undefined where the machine is to decide. */
export function shortcut({ value, context }: ActiveState, event: RaftEvent): Partial<RaftContext> | undefined {
  if (event.type === 'clock') return { effects: NO_EFFECTS }
  if (typeof value === 'string') return undefined
  if ('leader' in value) return context.leadership === undefined ? undefined : leaderShortcut(context, event)
  return 'follower' in value ? followerShortcut(context, event) : undefined
}

function leaderShortcut(context: RaftContext, event: RaftEvent): Partial<RaftContext> | undefined {
  switch (event.type) {
    case 'proposals':
      return context.leadership?.transfer === undefined ? appendProposals(context, event) : undefined
    case 'propose':
      return takeForwarded(context, event.from, event.message, event)
    case 'reads':
      return takeReads(
        context,
        event.requests.map(({ nonce, id, lease }) => ({ nonce, id, lease, from: context.id })),
        event.now,
      )
    case 'readIndex': {
      const { nonce, id, lease } = event.message
      return takeReads(context, [{ from: event.from, nonce, id, lease }], event.now)
    }
    case 'appendEntriesReply':
      return isSettling(context) ? undefined : recordAppendReply(context, event)
    case 'heartbeatReply':
      return recordHeartbeatReply(context, event)
    case 'persisted':
      return isSettling(context) ? undefined : recordOwnWrite(context, event)
    default:
      return undefined
  }
}

/** A configuration may make a voter a learner, which is for the machine. */
function followerShortcut(context: RaftContext, event: RaftEvent): Partial<RaftContext> | undefined {
  const isSettled = (context.configurations.at(-1)?.index ?? 0) <= context.commitIndex
  if (!isSettled) return undefined
  switch (event.type) {
    case 'appendEntries': {
      const isPlain = event.message.runs.every(({ kind }) => kind !== 'configuration')
      return isPlain ? acceptEntries(context, event.from, event.message, event.now) : undefined
    }
    case 'heartbeat':
      return answerHeartbeat(context, event.from, event.message, event.now)
    case 'persisted':
      return recordPersisted(context, event)
    case 'proposals':
      return forwardProposals(context, event)
    case 'reads':
      return forwardReads(context, event)
    case 'readIndexReply':
      return passReadIndex(context, event)
    default:
      return undefined
  }
}

/** Written out for the reason that `amended` gives; a test sees to it that nothing is left out. */
function stateWith(state: ActiveState, context: RaftContext): ActiveState {
  return {
    status: state.status,
    output: state.output,
    error: state.error,
    machine: state.machine,
    context,
    _nodes: state._nodes,
    value: state.value,
    tags: state.tags,
    children: state.children,
    historyValue: state.historyValue,
    matches: state.matches,
    hasTag: state.hasTag,
    can: state.can,
    getMeta: state.getMeta,
    toJSON: state.toJSON,
  }
}

/** What leaves: the effects that have content, in the order in which they are to be run. */
export function effectsIn(effects: PendingEffects): readonly Effect[] {
  const { persists, messages, commits, reads, snapshots, answers, notices } = effects
  const leaving: Effect[] = []
  if (persists.length > 0) leaving.push({ type: 'persist', steps: persists })
  if (messages.length > 0) leaving.push({ type: 'sendMessages', messages })
  if (commits.length > 0) leaving.push({ type: 'commit', commits })
  if (reads.length > 0) leaving.push({ type: 'readEntries', requests: reads })
  if (snapshots.length > 0) leaving.push({ type: 'workOnSnapshots', works: snapshots })
  if (answers.length > 0) leaving.push({ type: 'answerRequests', answers })
  if (notices.length > 0) leaving.push({ type: 'notices', texts: notices })
  return leaving
}
