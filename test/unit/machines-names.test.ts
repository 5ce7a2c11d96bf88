import type { AnyStateNode, AnyTransitionDefinition } from 'xstate'
import { describe, expect, it } from 'vitest'
import type { RaftEvent } from '../../src/machines/events.js'
import { raftMachine } from '../../src/machines/raft.machine.js'
import { Machine } from '../machine-harness.js'

/**
 * XState takes an unknown action for nothing, an unknown delay for none at all, and an unknown event in silence; and an
 * inline action, guard or delay is invisible in a diagram. So this walks the machine and looks every name up.
 */

const { actions, guards, delays } = raftMachine.implementations
const root: AnyStateNode = raftMachine.root
const nodes: readonly AnyStateNode[] = withChildren(root)
const transitions = nodes.flatMap((node) => transitionsOf(node).map((transition) => ({ node, transition })))

function transitionsOf(node: AnyStateNode): readonly AnyTransitionDefinition[] {
  return [...[...node.transitions.values()].flat(), ...(node.always ?? [])]
}

function withChildren(node: AnyStateNode): readonly AnyStateNode[] {
  return [node, ...Object.values<AnyStateNode>(node.states).flatMap(withChildren)]
}

/** XState itself starts and cancels the timer of an `after` by two actions of its own. */
const TIMER_ACTIONS = ['xstate.raise', 'xstate.cancel']

function nameOf(action: unknown): string {
  if (typeof action === 'string') return action
  if (typeof action === 'object' && action !== null && 'type' in action) return String(action.type)
  const isTimer = typeof action === 'function' && 'type' in action && TIMER_ACTIONS.includes(String(action.type))
  return isTimer ? 'timer' : `inline: ${String(action)}`
}

/** Names with the place of each, so that a failure says where to look. */
function unknown(found: readonly (readonly [name: string, place: string])[], known: object): readonly string[] {
  return found.filter(([name]) => !(name in known)).map(([name, place]) => `${place}: ${name}`)
}

describe('the role machine', () => {
  it('has every action implemented, and none inline', () => {
    const inStates = nodes.flatMap((node) =>
      [...node.entry, ...node.exit].map((action) => [nameOf(action), node.id] as const),
    )
    const timers = inStates.filter(([name]) => name === 'timer')
    const named = inStates.filter(([name]) => name !== 'timer')
    const onTransitions = transitions.flatMap(({ node, transition }) =>
      transition.actions.map((action) => [nameOf(action), `${node.id} on ${transition.eventType}`] as const),
    )
    expect(unknown([...named, ...onTransitions], actions)).toEqual([])
    const delayed = nodes.flatMap((node) => [...new Set(node.after.map(({ eventType }) => String(eventType)))])
    expect(named.length).toBeGreaterThan(10)
    expect(timers).toHaveLength(2 * delayed.length)
  })

  it('has every guard implemented, and none inline', () => {
    const found = transitions.flatMap(({ node, transition: { guard, eventType } }) =>
      guard === undefined
        ? []
        : [[typeof guard === 'string' ? guard : 'inline', `${node.id} on ${eventType}`] as const],
    )
    expect(found.length).toBeGreaterThan(10)
    expect(unknown(found, guards)).toEqual([])
  })

  it('has every delay implemented, and none inline: an unknown one would fire at once', () => {
    const found = nodes.flatMap((node) => node.after.map(({ delay }) => [String(delay), node.id] as const))
    expect(new Set(found.map(([name]) => name))).toEqual(
      new Set(['electionTimeout', 'campaignTimeout', 'heartbeatInterval', 'transferTimeout']),
    )
    expect(unknown(found, delays)).toEqual([])
  })

  it('has nothing implemented that no state uses', () => {
    const used = new Set([
      ...nodes.flatMap((node) => [...node.entry, ...node.exit].map(nameOf)),
      ...transitions.flatMap(({ transition }) => transition.actions.map(nameOf)),
      ...transitions.map(({ transition: { guard } }) => guard),
      ...nodes.flatMap((node) => node.after.map(({ delay }) => delay)),
    ])
    const names = [...Object.keys(actions), ...Object.keys(guards), ...Object.keys(delays)]
    expect(names.filter((name) => !used.has(name))).toEqual([])
  })

  it('leads every transition to a state of its own', () => {
    const targets = transitions.flatMap(({ transition }) => transition.target ?? [])
    expect(targets.length).toBeGreaterThan(10)
    expect(targets.filter((target) => !nodes.includes(target))).toEqual([])
  })

  it('comes to each of its states by some path', () => {
    const reached = new Set<AnyStateNode>()
    const reach = (node: AnyStateNode): void => {
      if (reached.has(node)) return
      reached.add(node)
      if (node.parent !== undefined) reach(node.parent)
      if (node.type === 'parallel') Object.values<AnyStateNode>(node.states).forEach(reach)
      node.initial?.target.forEach(reach)
      for (const { node: from, transition } of transitions) if (from === node) transition.target?.forEach(reach)
    }
    reach(root)
    expect(nodes.filter((node) => !reached.has(node)).map(({ id }) => id)).toEqual([])
  })

  it('has a handler for every type of event', () => {
    const handled = new Set(transitions.map(({ transition }) => String(transition.eventType)))
    expect(Object.keys(EVENT_TYPES).filter((type) => !handled.has(type))).toEqual([])
  })

  it('handles every type of event in every role, if only by ignoring it', () => {
    const atRoot = new Set(
      transitions.flatMap(({ node, transition }) => (node === root ? String(transition.eventType) : [])),
    )
    expect(Object.keys(EVENT_TYPES).filter((type) => !atRoot.has(type))).toEqual([])
  })

  it('stops at an event that it does not know, rather than ignoring it', () => {
    const machine = new Machine()
    const misspelt: string = 'hearbeat'
    expect(() => machine.send({ type: misspelt as 'clock' })).toThrow('every event has a handler')
  })

  it('keeps its context to sixteen fields, beyond which an assign costs three times as much', () => {
    expect(Object.keys(new Machine().context)).toHaveLength(16)
  })
})

/** Every event's type: the compiler refuses one too few, and one too many. */
const EVENT_TYPES: Record<RaftEvent['type'], true> = {
  preVote: true,
  preVoteReply: true,
  requestVote: true,
  requestVoteReply: true,
  appendEntries: true,
  appendEntriesReply: true,
  heartbeat: true,
  heartbeatReply: true,
  timeoutNow: true,
  readIndex: true,
  readIndexReply: true,
  propose: true,
  proposeReply: true,
  clock: true,
  termObserved: true,
  staleMessage: true,
  proposals: true,
  reads: true,
  persisted: true,
  entriesRead: true,
  peerUp: true,
  peerDown: true,
  peerDropped: true,
  transferLeadership: true,
  storageFailed: true,
  commitAdvanced: true,
  roundBegun: true,
  configurationAppended: true,
  installSnapshot: true,
  installSnapshotReply: true,
  changeMembership: true,
  changeMembershipReply: true,
  notMember: true,
  changeRequested: true,
  outsiderCampaigned: true,
  snapshotProgress: true,
  snapshotReceived: true,
  compactLog: true,
  peerMatched: true,
}
