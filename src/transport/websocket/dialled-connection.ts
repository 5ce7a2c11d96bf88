import type { Socket } from 'node:net'
import { WebSocket } from 'ws'
import { decodeHandshake, encodeHandshake, faultOfWelcome, HANDSHAKE_BYTES_MAX, helloOf } from '../handshake.js'
import type { Channel, Welcome } from '../handshake.js'
import { printable } from '../json-fields.js'
import type { LinkContext } from './link-context.js'
import { Outbox } from './outbox.js'
import { receivedText } from './received-text.js'
import type { Peer } from '../ports.js'

const PINGS_UNANSWERED_MAX = 3
/** The ordinary sight of a server that is not up yet, or has just gone. */
const ORDINARY_ERRORS = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE'])

interface DialListener {
  opened(welcome: Welcome): void
  closed(): void
}

/** What an open connection has learned and needs. */
interface Open {
  readonly welcome: Welcome
  readonly outbox: Outbox
  readonly since: number
}

/**
 * One connection to one peer, for sending, kept up by dialling again and again: connecting → greeting → open, and after
 * any end a pause with backoff and jitter. Events of a socket that is no longer the current one are ignored.
 */
export class DialledConnection {
  readonly #context: LinkContext
  readonly #peer: () => Peer
  readonly #channel: Channel
  readonly #listener: DialListener
  #ws: WebSocket | undefined
  #socket: Socket | undefined
  #open: Open | undefined
  #failures = 0
  #pause: unknown
  #deadline: unknown
  #pingsUnanswered = 0
  #waitingBefore = 0
  #closed = false

  constructor(context: LinkContext, peer: () => Peer, channel: Channel, listener: DialListener) {
    this.#context = context
    this.#peer = peer
    this.#channel = channel
    this.#listener = listener
  }

  get welcome(): Welcome | undefined {
    return this.#open?.welcome
  }

  /** Sends a frame, or returns false when the connection is not open or has too much waiting. */
  offer(parts: readonly Uint8Array[], bytes: number): boolean {
    return this.#open !== undefined && this.#open.outbox.offer(parts, bytes)
  }

  /** Dials at once, if it is only waiting for the next attempt. */
  dial(): void {
    if (this.#closed || this.#ws !== undefined) return
    this.#context.clock.clearTimeout(this.#pause)
    try {
      this.#connect()
    } catch (error) {
      this.#context.notices.once(this.#subject, `cannot dial ${this.#name}: ${textOf(error)}`)
      this.#end()
    }
  }

  /** Ends the connection and dials anew, as after a failure. */
  reset(): void {
    if (this.#ws !== undefined) this.#end()
  }

  /** Ends the connection for good, telling nobody. */
  close(): void {
    this.#closed = true
    this.#context.clock.clearTimeout(this.#pause)
    this.#forgetSocket()
  }

  get #subject(): string {
    return `dial ${this.#peer().id}`
  }

  get #name(): string {
    return `server ${this.#peer().id} at ${this.#peer().address}`
  }

  #connect(): void {
    const { options, clock } = this.#context
    const ws = new WebSocket(`ws://${this.#peer().address}/`, {
      perMessageDeflate: false,
      skipUTF8Validation: true,
      maxPayload: HANDSHAKE_BYTES_MAX,
      // Masking protects what lies between a browser and a server. A mask of zeros is a mask, and with it ws neither
      // copies nor changes the payload at either end: an append of 300 KB takes 0.4 ms there and back instead of 2.6.
      generateMask: (mask) => mask.fill(0),
    })
    this.#ws = ws
    this.#deadline = clock.setTimeout(() => this.reset(), options.dialTimeoutMs)
    ws.on('upgrade', (response) => this.#while(ws, () => (this.#socket = response.socket)))
    ws.on('open', () => this.#while(ws, () => this.#greet(ws)))
    ws.on('message', (bytes, isBinary) => this.#while(ws, () => this.#greeted(receivedText(bytes, isBinary))))
    ws.on('pong', () => this.#while(ws, () => (this.#pingsUnanswered = 0)))
    ws.on('error', (error) => this.#while(ws, () => this.#noticeError(error)))
    ws.on('close', (code, reason) => this.#while(ws, () => this.#ended(code, String(reason))))
  }

  /** Acts on an event of the current socket; what goes wrong ends this connection and nothing else. */
  #while(ws: WebSocket, act: () => void): void {
    if (this.#ws !== ws) return
    try {
      act()
    } catch (error) {
      this.#context.notices.limited(this.#subject, `the connection to ${this.#name} failed: ${textOf(error)}`)
      this.reset()
    }
  }

  #greet(ws: WebSocket): void {
    const { identity, versions } = this.#context
    ws.send(encodeHandshake(helloOf(identity, this.#peer().id, this.#channel, versions)))
  }

  #greeted(text: string): void {
    const answer = decodeHandshake(text)
    const fault =
      this.#open === undefined ? this.#faultOf(answer) : 'it sent something on a connection meant for receiving'
    if (fault !== undefined) {
      this.#context.notices.once(this.#subject, `no connection to ${this.#name}: ${fault}`)
      this.#end()
    } else if ('kind' in answer && answer.kind === 'welcome' && this.#ws !== undefined && this.#socket !== undefined) {
      this.#opened(answer, this.#ws, this.#socket)
    }
  }

  #faultOf(answer: ReturnType<typeof decodeHandshake>): string | undefined {
    if ('malformed' in answer) return answer.malformed
    if (answer.kind === 'refusal') return `it refuses, because ${answer.reason}`
    if (answer.kind !== 'welcome') return `it answers a hello with a ${answer.kind}`
    return faultOfWelcome(answer, this.#context.identity, this.#context.versions, this.#peer())
  }

  #opened(welcome: Welcome, ws: WebSocket, socket: Socket): void {
    const { clock, options, notices } = this.#context
    clock.clearTimeout(this.#deadline)
    notices.forget(this.#subject)
    this.#open = { welcome, outbox: new Outbox(ws, socket, options.outboxBytesMax), since: clock.now() }
    this.#pingsUnanswered = 0
    this.#waitingBefore = 0
    this.#deadline = clock.setTimeout(() => this.#ping(ws), options.pingMs)
    this.#listener.opened(welcome)
  }

  /**
   * A cut network tells nobody, and TCP may then take minutes to try again after it has healed. Behind megabytes an
   * answer takes its time, so what leaves the outbox counts as one.
   */
  #ping(ws: WebSocket): void {
    if (ws.bufferedAmount < this.#waitingBefore) this.#pingsUnanswered = 0
    if (this.#pingsUnanswered >= PINGS_UNANSWERED_MAX) return this.reset()
    this.#pingsUnanswered++
    ws.ping()
    this.#waitingBefore = ws.bufferedAmount
    this.#deadline = this.#context.clock.setTimeout(() => this.#ping(ws), this.#context.options.pingMs)
  }

  #noticeError(error: Error): void {
    if ('code' in error && ORDINARY_ERRORS.has(String(error.code))) return
    this.#context.notices.once(this.#subject, `cannot reach ${this.#name}: ${error.message}`)
  }

  #ended(code: number, reason: string): void {
    if (reason !== '') {
      this.#context.notices.limited(
        this.#subject,
        `${this.#name} closed the connection (${code}): ${printable(reason)}`,
      )
    }
    this.#end()
  }

  #end(): void {
    const { clock, options, random } = this.#context
    const open = this.#open
    this.#forgetSocket()
    const held = open !== undefined && clock.now() - open.since >= options.reconnectMsMax
    this.#failures = held ? 0 : this.#failures + 1
    const longest = Math.min(options.reconnectMsMax, options.reconnectMsMin * 2 ** Math.max(0, this.#failures - 1))
    const jitter = 0.5 + random.uint32() / 0x1_0000_0000 / 2
    this.#pause = clock.setTimeout(() => this.dial(), longest * jitter)
    if (open !== undefined) this.#listener.closed()
  }

  #forgetSocket(): void {
    const ws = this.#ws
    this.#ws = undefined
    this.#socket = undefined
    this.#open = undefined
    this.#context.clock.clearTimeout(this.#deadline)
    ws?.terminate()
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
