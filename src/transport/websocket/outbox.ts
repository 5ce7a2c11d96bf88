import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'

const FRAGMENT = { binary: true, compress: false, fin: false }
const LAST_FRAGMENT = { binary: true, compress: false, fin: true }

/** The sending side of an open connection: bounded, and one system call for all that is sent in a turn. */
export class Outbox {
  readonly #ws: WebSocket
  readonly #socket: Socket
  readonly #bytesMax: number
  #corked = false

  constructor(ws: WebSocket, socket: Socket, bytesMax: number) {
    this.#ws = ws
    this.#socket = socket
    this.#bytesMax = bytesMax
  }

  /** Sends a frame of `bytes` in all, or returns false when it would be more than may wait. An empty outbox takes any. */
  offer(parts: readonly Uint8Array[], bytes: number): boolean {
    const waiting = this.#ws.bufferedAmount
    if (waiting > 0 && waiting + bytes > this.#bytesMax) return false
    this.#cork()
    const last = parts.length - 1
    for (let at = 0; at < last; at++) this.#ws.send(parts[at]!, FRAGMENT)
    this.#ws.send(parts[last]!, LAST_FRAGMENT)
    return true
  }

  /**
   * ws writes a fragment's head and payload separately. Corked, all leave together when the turn's work is done: a small
   * append costs 10 µs in a stream instead of 24. By microtask, so that nothing waits for another round of the event loop.
   */
  #cork(): void {
    if (this.#corked) return
    this.#corked = true
    this.#socket.cork()
    queueMicrotask(() => {
      this.#corked = false
      this.#socket.uncork()
    })
  }
}
