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
  #waiting: { readonly condition: () => boolean; readonly waiter: Waiter }[] = []

  get size(): number {
    return this.#waiting.length
  }

  add(condition: () => boolean, waiter: Waiter): void {
    this.#waiting.push({ condition, waiter })
  }

  check(): void {
    if (this.#waiting.length === 0) return
    const met = this.#waiting.filter(({ condition }) => condition())
    if (met.length === 0) return
    this.#waiting = this.#waiting.filter((one) => !met.includes(one))
    for (const { waiter } of met) waiter.resolve()
  }

  expire(now: number, leaderId: ServerId | undefined): void {
    const late = this.#waiting.filter(({ waiter }) => waiter.deadline <= now)
    this.#waiting = this.#waiting.filter(({ waiter }) => waiter.deadline > now)
    for (const { waiter } of late) waiter.reject(lateError(leaderId))
  }

  rejectAll(error: ActorumError): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { waiter } of waiting) waiter.reject(error)
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
