import { ActorumError } from '../errors.js'
import type { MembershipAnswer } from '../machines/effects.js'
import type { ChangeRequested } from '../machines/events.js'
import type { MembershipChange } from '../machines/messages.js'
import type { LogIndex } from '../machines/types.js'
import type { LeaderView } from './pending-proposals.js'

/** Someone who wants another membership. One of the two is called, once. */
export interface ChangeRequest {
  /** With the index of the committed configuration. */
  resolve(index: LogIndex): void
  reject(error: Error): void
  /** On the monotonic clock. */
  readonly deadline: number
}

interface PendingChange {
  readonly change: MembershipChange
  readonly request: ChangeRequest
  /** In whose term it was handed over; undefined while it waits for a leader. */
  readonly asked: LeaderView | undefined
}

/** Changes of the membership from the call until their outcome is known. They are rare: one event each. */
export class PendingChanges {
  readonly #nonce: number
  readonly #pending = new Map<number, PendingChange>()
  #nextId = 1

  constructor(nonce: number) {
    this.#nonce = nonce
  }

  get size(): number {
    return this.#pending.size
  }

  add(change: MembershipChange, request: ChangeRequest): void {
    this.#pending.set(this.#nextId++, { change, request, asked: undefined })
  }

  /** What waits for a leader, now that there is one. */
  drain(leader: LeaderView): readonly ChangeRequested[] {
    if (leader.leaderId === undefined) return []
    const events: ChangeRequested[] = []
    for (const [id, pending] of this.#pending) {
      if (pending.asked !== undefined) continue
      this.#pending.set(id, { ...pending, asked: leader })
      events.push({ type: 'changeRequested', nonce: this.#nonce, id, change: pending.change })
    }
    return events
  }

  /** A leader that is gone answers no more. */
  leaderChanged(leader: LeaderView): void {
    for (const [id, { asked, request }] of this.#pending) {
      if (asked === undefined || asked.term === leader.term) continue
      this.#pending.delete(id)
      request.reject(unknown('leadership changed before the change was known to be committed'))
    }
  }

  answered({ nonce, id, index, reason, refusal }: MembershipAnswer): void {
    const pending = this.#pending.get(id)
    if (nonce !== this.#nonce || pending === undefined) return
    if (reason === 'noLeader') {
      this.#pending.set(id, { ...pending, asked: undefined })
      return
    }
    this.#pending.delete(id)
    if (index !== undefined) pending.request.resolve(index)
    else if (reason === 'unknown') pending.request.reject(unknown(refusal))
    else pending.request.reject(new ActorumError('REFUSED', `the membership was not changed: ${refusal}`))
  }

  /** The caller waits no longer. */
  abandon(request: ChangeRequest, cause: unknown): void {
    for (const [id, pending] of this.#pending) {
      if (pending.request !== request) continue
      this.#pending.delete(id)
      request.reject(
        pending.asked === undefined
          ? new ActorumError('ABORTED', 'the call was aborted; the membership was not changed', { cause })
          : unknown('the call was aborted', cause),
      )
    }
  }

  expire(now: number): void {
    for (const [id, { asked, request }] of this.#pending) {
      if (request.deadline > now) continue
      this.#pending.delete(id)
      request.reject(
        asked === undefined
          ? new ActorumError('NO_LEADER', 'no leader was known within the given time; the membership was not changed')
          : unknown('the change was not known to be committed within the given time'),
      )
    }
  }

  rejectEverything(error: ActorumError): void {
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    for (const { asked, request } of pending) {
      request.reject(asked === undefined ? error : unknown(error.message))
    }
  }
}

function unknown(why: string, cause?: unknown): ActorumError {
  const text = `the membership may or may not be changed: ${why}; look at members()`
  return new ActorumError('OUTCOME_UNKNOWN', text, { cause })
}
