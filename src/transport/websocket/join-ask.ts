import { WebSocket } from 'ws'
import { ActorumError, type ErrorCode } from '../../errors.js'
import { decodeJoinAnswer, joinOf, JOIN_ANSWER_BYTES_MAX } from '../join.js'
import { encodeHandshake } from '../handshake.js'
import { printable } from '../json-fields.js'
import type { JoinCallback, JoinRequest } from '../ports.js'
import type { LinkContext } from './link-context.js'
import { receivedText } from './received-text.js'

/** One wish to join: a short connection to any server, a question, an answer. */
export class JoinAsk {
  readonly #context: LinkContext
  readonly #address: string
  /** Undefined once called. */
  #callback: JoinCallback | undefined
  #ws: WebSocket | undefined
  #deadline: unknown

  constructor(context: LinkContext, address: string, callback: JoinCallback) {
    this.#context = context
    this.#address = address
    this.#callback = callback
  }

  start(request: JoinRequest): void {
    const { clock, options, versions } = this.#context
    const join = joinOf(request, versions)
    if (join === undefined)
      return this.#fail('TRANSPORT_FAILED', `protocol version ${versions.max} knows of no joining`)
    this.#deadline = clock.setTimeout(() => this.#fail('TIMEOUT', 'it did not answer in time'), options.joinTimeoutMs)
    try {
      this.#connect(encodeHandshake(join))
    } catch (error) {
      this.#fail('TRANSPORT_FAILED', error instanceof Error ? error.message : String(error))
    }
  }

  /** The transport stops. */
  abandon(): void {
    this.#fail('STOPPED', 'the transport was stopped')
  }

  #connect(text: string): void {
    const ws = new WebSocket(`ws://${this.#address}/`, { perMessageDeflate: false, maxPayload: JOIN_ANSWER_BYTES_MAX })
    this.#ws = ws
    ws.on('open', () => ws.send(text))
    ws.on('message', (bytes, isBinary) => this.#answered(receivedText(bytes, isBinary)))
    ws.on('error', (error) => this.#fail('TRANSPORT_FAILED', error.message))
    ws.on('close', (_code, reason) =>
      this.#fail('TRANSPORT_FAILED', `it closed the connection ${printable(String(reason))}`),
    )
  }

  #answered(text: string): void {
    const answer = decodeJoinAnswer(text, this.#context.versions)
    if ('malformed' in answer) return this.#fail('TRANSPORT_FAILED', answer.malformed)
    const callback = this.#end()
    callback?.(undefined, answer)
  }

  #fail(code: ErrorCode, reason: string): void {
    const callback = this.#end()
    callback?.(new ActorumError(code, `asked the server at ${this.#address} for membership: ${reason}`), undefined)
  }

  #end(): JoinCallback | undefined {
    const callback = this.#callback
    this.#callback = undefined
    this.#context.clock.clearTimeout(this.#deadline)
    this.#ws?.terminate()
    return callback
  }
}
