import type { RaftContext } from '../../machines/context.js'
import type { RaftEvent } from '../../machines/events.js'
import type { ServerId } from '../../machines/types.js'

/** A running hash (FNV-1a, two lanes) of a simulation's steps: two runs with the same value did the same. */
export class TraceHash {
  #low = 0x811c_9dc5
  #high = 0x01b3_5bd1
  #count = 0

  get count(): number {
    return this.#count
  }

  get value(): string {
    return [this.#high, this.#low].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('')
  }

  add(now: number, id: ServerId, context: RaftContext, event: RaftEvent): void {
    this.#count++
    this.#mix(now * 1024)
    this.#mix(id)
    for (let at = 0; at < event.type.length; at += 3) this.#mix(event.type.charCodeAt(at))
    this.#mix(context.hardState.term)
    this.#mix(context.hardState.votedFor ?? 0)
    this.#mix(context.log.lastChecksum)
    this.#mix(context.commitIndex)
    this.#mix(context.durable.index)
    this.#mix(context.leaderId ?? 0)
  }

  #mix(value: number): void {
    this.#low = Math.imul(this.#low ^ value, 0x0100_0193)
    this.#high = Math.imul(this.#high ^ this.#low, 0x85eb_ca6b) + value
  }
}
