import type { WebSocket } from 'ws'
import type { ServerId } from '../../machines/types.js'
import { decodeMessage } from '../codec.js'
import type { FrameFault } from '../fault.js'
import type { Hello } from '../handshake.js'
import type { LinkContext } from './link-context.js'

/** Policy violation (RFC 6455 §7.4.1): the code a connection is closed with when what it carried is refused. */
const REFUSED_CODE = 1008
/** A close frame carries 123 bytes of reason; three bytes a character is the most that UTF-8 needs here. */
const REASON_CHARACTERS_MAX = 41
const FAREWELL_MS = 1000

/** Closes a connection because of what it carried. */
export function refuse(ws: WebSocket, reason: string, context: LinkContext): void {
  close(ws, REFUSED_CODE, reason.slice(0, REASON_CHARACTERS_MAX), context)
}

/** Closes a connection once what was sent on it has left, and without waiting long for the other side to agree. */
export function close(ws: WebSocket, code: number, reason: string, context: LinkContext): void {
  ws.close(code, reason)
  const timer = context.clock.setTimeout(() => ws.terminate(), FAREWELL_MS)
  ws.once('close', () => context.clock.clearTimeout(timer))
}

/** A connection that an admitted peer dialled: it receives. */
export class AcceptedConnection {
  readonly hello: Hello
  /** The protocol version agreed upon. */
  readonly #version: number
  readonly #ws: WebSocket
  readonly #context: LinkContext
  #closed = false

  constructor(ws: WebSocket, hello: Hello, version: number, context: LinkContext) {
    this.#ws = ws
    this.hello = hello
    this.#version = version
    this.#context = context
  }

  get from(): ServerId {
    return this.hello.id
  }

  /** One frame, as the socket delivered it: the parts if it was binary, undefined if it was text. */
  received(parts: readonly Uint8Array[] | undefined): void {
    if (this.#closed) return
    if (parts === undefined) return this.#malformed({ malformed: 'text after the handshake', fault: 'text' })
    const message = decodeMessage(parts, this.#context.limits, this.#context.checksum, this.#version)
    if ('malformed' in message) this.#malformed(message)
    else this.#context.handler.message(this.from, message)
  }

  /** Delivers nothing more. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#ws.terminate()
  }

  #malformed({ malformed: reason, fault }: FrameFault): void {
    this.#closed = true
    const text = `a malformed frame from server ${this.from} on its ${this.hello.channel} channel closed that connection`
    this.#context.notices.limited(`frames of ${this.from}: ${fault}`, `${text}: ${reason}`)
    refuse(this.#ws, reason, this.#context)
  }
}
