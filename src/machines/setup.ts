import { emit, setup } from 'xstate'
import type { RaftContext, RaftInput } from './context.js'
import type { Effect } from './effects.js'
import type { Instant, RaftEvent } from './events.js'
import { invariant } from './invariant.js'

interface RaftTypes {
  context: RaftContext
  events: RaftEvent
  emitted: Effect
  input: RaftInput
}

// XState reads these types and never the value; the linter takes the assertion for needless, and without it all is any.
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-assertion
const typed = setup({ types: {} as RaftTypes })

/**
 * What every role file builds on: the types, and the actions that let effects out. A transition's assign fills
 * `context.effects`; the emits named after it send them on.
 */
export const raftSetup = typed.extend({
  actions: {
    persist: emit(({ context }) => ({ type: 'persist', steps: context.effects.persists })),
    sendMessages: emit(({ context }) => ({ type: 'sendMessages', messages: context.effects.messages })),
    commit: emit(({ context }) => ({ type: 'commit', commits: context.effects.commits })),
    answerRequests: emit(({ context }) => ({ type: 'answerRequests', answers: context.effects.answers })),
    readEntries: emit(({ context }) => ({ type: 'readEntries', requests: context.effects.reads })),
    workOnSnapshots: emit(({ context }) => ({ type: 'workOnSnapshots', works: context.effects.snapshots })),
    notify: emit(({ context }) => ({ type: 'notices', texts: context.effects.notices })),
  },
})

/** An event of one of these types. */
export type EventOf<Type extends RaftEvent['type']> = Extract<RaftEvent, { readonly type: Type }>

/** An assign for events of the given type: what changes in the context, and when. */
export function change<Type extends RaftEvent['type']>(
  type: Type,
  changes: (context: RaftContext, event: EventOf<Type>) => Partial<RaftContext>,
) {
  return typed.assign(({ context, event }) => {
    invariant(isOfType(event, type), 'an action runs only on events that it is written for', event.type)
    const { now, wallTime } = event
    return { ...changes(context, event), instant: { now, wallTime } }
  })
}

function isOfType<Type extends RaftEvent['type']>(event: RaftEvent, type: Type): event is EventOf<Type> {
  return event.type === type
}

/** An assign for entering a state, whatever brought the machine there. */
export function enter(changes: (context: RaftContext, instant: Instant) => Partial<RaftContext>) {
  return typed.assign(({ context, event }) => {
    const { now, wallTime } = 'now' in event ? event : context.instant
    return { ...changes(context, { now, wallTime }), instant: { now, wallTime } }
  })
}
