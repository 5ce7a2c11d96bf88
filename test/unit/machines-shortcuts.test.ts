import { describe, expect, it, vi } from 'vitest'
import { transition } from 'xstate'
import type { RaftContext } from '../../src/machines/context.js'
import type { Effect } from '../../src/machines/effects.js'
import type { RaftEvent } from '../../src/machines/events.js'
import { raftMachine } from '../../src/machines/raft.machine.js'
import type * as shortcutsModule from '../../src/machines/shortcuts.js'
import { drawPlan, runPlan } from '../../src/testing/index.js'

type Shortcuts = typeof shortcutsModule
type Scope = Parameters<typeof raftMachine.transition>[2]
type MachineState = ReturnType<typeof raftMachine.getInitialSnapshot>

vi.setConfig({ testTimeout: 60_000 })

const taken = vi.hoisted(() => new Map<string, number>())

// Every server of the simulations below decides twice, by the machine and by the shortcut.
vi.mock('../../src/machines/shortcuts.js', async (original) => {
  const shortcuts = await original<Shortcuts>()
  const { swiftRaftMachine } = shortcuts
  const both = (state: MachineState, event: RaftEvent, scope: Scope): MachineState => {
    const isTaken = state.status === 'active' && shortcuts.shortcut(state, event) !== undefined
    const decided = isTaken ? transition(raftMachine, state, event) : undefined
    const next = swiftRaftMachine.transition(state, event, scope)
    if (decided !== undefined) hold(decided, next, shortcuts)
    if (decided !== undefined) taken.set(nameOf(state, event), (taken.get(nameOf(state, event)) ?? 0) + 1)
    return next
  }
  const checked = Object.create(swiftRaftMachine, { transition: { value: both } }) as typeof swiftRaftMachine
  return { ...shortcuts, swiftRaftMachine: checked }
})

function hold(
  decided: ReturnType<typeof transition<typeof raftMachine>>,
  next: MachineState,
  shortcuts: Shortcuts,
): void {
  const [machine, actions] = decided
  const emitted = actions.map(({ params }) => (params as { readonly event: Effect }).event)
  expect(withPlainTail(next.context)).toEqual(withPlainTail(machine.context))
  expect(new Set(shortcuts.effectsIn(next.context.effects))).toEqual(new Set(emitted.filter(hasContent)))
  expect(next.value).toEqual(machine.value)
  expect(Object.keys(next).sort()).toEqual(Object.keys(machine).sort())
}

/** Tails share their array with later ones: what counts is the window. */
function withPlainTail({ log, ...context }: RaftContext): unknown {
  const { shared, start, end, byteLength } = log.tail
  return { ...context, log: { ...log, tail: { runs: shared.slice(start, end), byteLength } } }
}

function hasContent({ type, ...payload }: Effect): boolean {
  return type.length > 0 && Object.values(payload).some((list: readonly unknown[]) => list.length > 0)
}

function nameOf({ value }: MachineState, { type }: RaftEvent): string {
  return `${typeof value === 'string' ? value : Object.keys(value)[0]} ${type}`
}

describe('a shortcut', () => {
  it.each([2, 4, 5])('decides what the machine decides, event by event (seed %d)', (seed) => {
    expect(runPlan(drawPlan({ seed })).violation).toBeUndefined()
  })

  it('is taken for the events that make up nearly all', () => {
    const names = ['proposals', 'propose', 'reads', 'readIndex', 'appendEntriesReply', 'heartbeatReply', 'persisted']
    const expected = names.map((name) => `leader ${name}`)
    expect([...taken.keys()].sort()).toEqual(
      [
        ...expected,
        'follower appendEntries',
        'follower heartbeat',
        'follower persisted',
        'follower proposals',
        'follower reads',
        'follower readIndexReply',
        ...['follower', 'preCandidate', 'candidate', 'leader'].map((role) => `${role} clock`),
      ].sort(),
    )
  })
})
