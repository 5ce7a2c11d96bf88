import { ActorumError } from '../errors.js'
import type { ServerId } from '../machines/types.js'

/** Someone who waits for a server to get somewhere. One of the two is called, once. */
export interface Waiter {
  resolve(): void
  reject(error: Error): void
  /** On the monotonic clock. */
  readonly deadline: number
}

/** Conditions looked at after every turn of the loop. */
export class Waiters {
  readonly #waiting = new Map<Waiter, () => boolean>()

  get size(): number {
    return this.#waiting.size
  }

  add(condition: () => boolean, waiter: Waiter): void {
    this.#waiting.set(waiter, condition)
  }

  /** Nobody waits for it any more: neither of its two is called. */
  remove(waiter: Waiter): void {
    this.#waiting.delete(waiter)
  }

  check(): void {
    for (const waiter of this.#take((_, condition) => condition())) waiter.resolve()
  }

  expire(now: number, leaderId: ServerId | undefined): void {
    for (const waiter of this.#take(({ deadline }) => deadline <= now)) waiter.reject(lateError(leaderId))
  }

  rejectAll(error: ActorumError): void {
    for (const waiter of this.#take(() => true)) waiter.reject(error)
  }

  /** Takes them out before any is told: one that is may wait anew. */
  #take(isDue: (waiter: Waiter, condition: () => boolean) => boolean): Waiter[] {
    const due: Waiter[] = []
    for (const [waiter, condition] of this.#waiting) if (isDue(waiter, condition)) due.push(waiter)
    for (const waiter of due) this.#waiting.delete(waiter)
    return due
  }
}

function lateError(leaderId: ServerId | undefined): ActorumError {
  return leaderId === undefined
    ? new ActorumError(
        'NO_LEADER',
        'no leader was elected within the given time; is a majority of the servers up and reachable?',
      )
    : new ActorumError(
        'TIMEOUT',
        `server ${leaderId} leads, but its no-op was not known to be committed within the given time`,
      )
}
