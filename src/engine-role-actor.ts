import type { Actor, AnyActorRef, InspectionEvent, Subscription } from 'xstate'
import { ActorumError } from './errors.js'
import type { raftMachine } from './machines/raft.machine.js'

type Inspector = Parameters<AnyActorRef['system']['inspect']>[0]

/** The role machine's XState actor, to look at. */
export interface RoleActor {
  getSnapshot(): ReturnType<Actor<typeof raftMachine>['getSnapshot']>
  subscribe: Actor<typeof raftMachine>['subscribe']
  /**
   * For XState's inspectors: reports every event and transition while attached. Costs about as much as the machine. An
   * inspector that throws is let go of, with a notice; the actors that it is shown take no events.
   */
  inspect(observer: Inspector): Subscription
}

/** What anybody may do with the role machine's actor. `notice` hears of inspectors that throw. */
export function viewOf(role: Actor<typeof raftMachine>, notice: (text: string) => void): RoleActor {
  return {
    getSnapshot: () => role.getSnapshot(),
    subscribe: role.subscribe.bind(role),
    inspect: (observer) => {
      const tell = typeof observer === 'function' ? observer : (event: InspectionEvent) => observer.next?.(event)
      const subscription = role.system.inspect((event) => {
        try {
          tell(shownTo(event))
        } catch (error) {
          // It is called within the server's turn, which would not survive it.
          subscription.unsubscribe()
          notice(`an inspector threw, and is not called again: ${String(error)}`)
        }
      })
      return subscription
    },
  }
}

/** One for each actor, so that an inspector knows it again. */
const shownRefs = new WeakMap<object, object>()

function shownTo(event: InspectionEvent): InspectionEvent {
  const shown = { ...event, actorRef: watchable(event.actorRef) }
  return 'sourceRef' in shown && shown.sourceRef !== undefined
    ? { ...shown, sourceRef: watchable(shown.sourceRef) }
    : shown
}

/** The actor as it is, but that it takes no events: those are the server's alone to send. */
function watchable<Ref extends object>(ref: Ref): Ref {
  const known = shownRefs.get(ref)
  if (known !== undefined) return known as Ref
  const shown = Object.create(ref, { send: { value: refuse } }) as Ref
  shownRefs.set(ref, shown)
  return shown
}

function refuse(): never {
  throw new ActorumError(
    'REFUSED',
    "a server's role machine takes events from its server alone; it is there to look at",
  )
}
