import type { MessageType } from '../machines/messages.js'
import type { ServerId } from '../machines/types.js'
import { decodeMessage } from './codec.js'
import { bytesOf } from './frame-limits.js'
import { channelOf, type Channel } from './handshake.js'
import type { Link, MemoryNetwork } from './memory-network.js'
import type { MemoryRun } from './memory-transport.js'

type Parts = readonly Uint8Array[]

/** Frames on their way, in order. Each has an arrival scheduled, and every arrival delivers the first. */
interface Queue {
  readonly frames: Parts[]
  /** When the last of them arrives: none that is sent later arrives before. */
  lastAt: number
}

/** Between whom a connection is, and what they agreed upon. */
export interface ConnectionEnds {
  readonly sender: MemoryRun
  readonly receiver: MemoryRun
  readonly address: string
  readonly version: number
}

/** What one started server sends to another on, until either stops or the link breaks. */
export class MemoryConnection {
  readonly from: ServerId
  readonly to: ServerId
  readonly sender: MemoryRun
  readonly receiver: MemoryRun
  /** Where the receiver was found. */
  readonly address: string
  /** The protocol version agreed upon. */
  readonly version: number
  readonly #network: MemoryNetwork
  readonly #link: Link
  readonly #queues: Readonly<Record<Channel, Queue>>
  /** Frames still on their way are lost. */
  ended = false

  constructor(network: MemoryNetwork, ends: ConnectionEnds) {
    const { sender, receiver } = ends
    this.from = sender.identity.id
    this.to = receiver.identity.id
    this.sender = sender
    this.receiver = receiver
    this.address = ends.address
    this.version = ends.version
    this.#network = network
    this.#link = network.link(this.from, this.to)
    this.#queues = { control: emptyQueue(), log: emptyQueue(), snapshot: emptyQueue() }
  }

  send(type: MessageType, parts: Parts): void {
    const { loss, corruption, duplication } = this.#link.faults
    const { chance } = this.#network
    if (this.#link.cut !== undefined || chance.happens(loss)) return
    const frame = parts.map((part) => new Uint8Array(part))
    if (chance.happens(corruption)) this.#flipBit(frame)
    const queue = this.#queues[channelOf(type)]
    this.#schedule(queue, frame)
    if (chance.happens(duplication))
      this.#schedule(
        queue,
        frame.map((part) => part.slice()),
      )
  }

  #schedule(queue: Queue, frame: Parts): void {
    const { clock, chance } = this.#network
    const delayMs = chance.delayMs(this.#link.faults)
    if (chance.happens(this.#link.faults.reordering)) {
      const heldMs = chance.fraction() * this.#link.faults.reorderMs
      clock.setTimeout(() => this.#deliver(frame), delayMs + heldMs)
      return
    }
    const now = clock.now()
    const waitMs = Math.max(delayMs, queue.lastAt - now)
    queue.frames.push(frame)
    if (waitMs === 0) this.#network.arriveSoon(() => this.#arrive(queue))
    else {
      queue.lastAt = now + waitMs
      clock.setTimeout(() => this.#arrive(queue), waitMs)
    }
  }

  #arrive(queue: Queue): void {
    const frame = queue.frames.shift()
    if (frame !== undefined) this.#deliver(frame)
  }

  #deliver(frame: Parts): void {
    if (this.ended || this.#link.cut !== undefined || !this.#network.runs(this.to, this.receiver)) return
    const message = decodeMessage(frame, this.#network.limits, this.#network.checksum, this.version)
    if ('malformed' in message) this.#network.refused(this, message.malformed)
    else this.receiver.handler.message(this.from, message)
  }

  #flipBit(frame: readonly Uint8Array[]): void {
    const { chance } = this.#network
    let at = Math.floor(chance.fraction() * bytesOf(frame))
    for (const part of frame) {
      if (at < part.length) {
        part[at]! ^= 1 << Math.floor(chance.fraction() * 8)
        return
      }
      at -= part.length
    }
  }
}

function emptyQueue(): Queue {
  return { frames: [], lastAt: 0 }
}
