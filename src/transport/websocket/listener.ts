import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer, type RawData, type WebSocket } from 'ws'
import { ActorumError } from '../../errors.js'
import { AcceptedConnection, close, refuse } from './accepted-connection.js'
import type { HelloFault } from '../fault.js'
import {
  addressOfStranger,
  decodeHandshake,
  encodeHandshake,
  HANDSHAKE_BYTES_MAX,
  judgeHello,
  welcomeOf,
} from '../handshake.js'
import type { Hello } from '../handshake.js'
import { encodeJoinAnswer, judgeJoin, requestOf, type Join } from '../join.js'
import { JoinRequests } from '../join-requests.js'
import type { LinkContext } from './link-context.js'
import type { PeerLink } from './peer-link.js'
import { receivedText } from './received-text.js'

/** Strangers send text for a handshake, admitted peers binary frames whose parts are the fragments. */
type Received = (bytes: RawData, isBinary: boolean) => void

/** A connection that has not said a good hello yet. */
interface Stranger {
  readonly ws: WebSocket
  readonly socket: Socket
  /** Lifts the limit on its bytes, and says in notices whose connection this is. */
  trust(name: string): void
}

/** RFC 6455 §7.4.1: it has served its purpose. */
const NORMAL_CODE = 1000

/**
 * Listens, and lets nobody in without a good hello. Until then a connection is a stranger's: their number, time and
 * bytes are bounded.
 */
export class Listener {
  readonly #context: LinkContext
  readonly #links: ReadonlyMap<number, PeerLink>
  readonly #joins: JoinRequests
  readonly #http: Server
  readonly #sockets: WebSocketServer
  /** With the timer that ends each. */
  readonly #strangers = new Map<Socket, unknown>()

  constructor(context: LinkContext, links: ReadonlyMap<number, PeerLink>) {
    this.#context = context
    this.#links = links
    this.#joins = new JoinRequests(context.clock, context.handler, context.options.joinTimeoutMs)
    this.#http = createServer((_request, response) => {
      response.writeHead(426, { connection: 'close' }).end('This port speaks the WebSocket protocol of Actorum.\n')
    })
    this.#http.on('connection', (socket: Socket) => this.#metStranger(socket))
    this.#sockets = new WebSocketServer({
      server: this.#http,
      perMessageDeflate: false,
      skipUTF8Validation: true,
      maxPayload: context.limits.frameBytesMax,
      maxFragments: context.limits.runsMax + 1,
    })
    this.#sockets.on('connection', (ws, request) => this.#upgraded(ws, request))
    this.#sockets.on('wsClientError', (_error, socket) => socket.destroy())
  }

  listen(host: string, port: number, callback: (error: Error | undefined) => void): void {
    const failed = (error: Error): void => {
      const message = `cannot listen on ${host}:${port}: ${error.message}`
      callback(new ActorumError('TRANSPORT_FAILED', message, { cause: error }))
    }
    // The WebSocket server repeats the errors of its HTTP server.
    this.#sockets.once('error', failed)
    this.#http.listen({ host, port }, () => {
      this.#sockets.off('error', failed)
      this.#sockets.on('error', (error) =>
        this.#context.notices.limited('listen', `the listening socket failed: ${error.message}`),
      )
      callback(undefined)
    })
  }

  /** The port listened on: the one the system chose where 0 was asked for. */
  get port(): number | undefined {
    const address = this.#http.address()
    return typeof address === 'object' ? address?.port : undefined
  }

  close(callback: () => void): void {
    for (const ws of this.#sockets.clients) ws.terminate()
    for (const socket of this.#strangers.keys()) socket.destroy()
    this.#sockets.close()
    // Its only error is that it was not listening, which is what is wanted.
    this.#http.close(() => callback())
  }

  #metStranger(socket: Socket): void {
    const { clock, notices, options } = this.#context
    if (this.#strangers.size >= options.strangersMax) {
      notices.limited('strangers', `${this.#strangers.size} connections have sent no hello yet: one more was closed`)
      socket.destroy()
      return
    }
    this.#strangers.set(
      socket,
      clock.setTimeout(() => socket.destroy(), options.helloTimeoutMs),
    )
    socket.once('close', () => this.#forgetStranger(socket))
  }

  #forgetStranger(socket: Socket): void {
    this.#context.clock.clearTimeout(this.#strangers.get(socket))
    this.#strangers.delete(socket)
  }

  #upgraded(ws: WebSocket, request: IncomingMessage): void {
    const { socket } = request
    ws.binaryType = 'fragments'
    let name = 'a stranger'
    let bytes = 0
    const count = (chunk: Uint8Array): void => {
      bytes += chunk.length
      if (bytes > 2 * HANDSHAKE_BYTES_MAX) socket.destroy()
    }
    socket.on('data', count)
    const trust = (peer: string): void => {
      name = peer
      socket.off('data', count)
    }
    const stranger = { ws, socket, trust }
    let receive: Received = (text, isBinary) => {
      receive = this.#greeted(stranger, receivedText(text, isBinary))
    }
    ws.on('error', (error) => {
      if ('code' in error && String(error.code).startsWith('WS_ERR_')) {
        const reason = this.#faultOf(error.code, error.message)
        const subject = `protocol of ${name}: ${String(error.code)}`
        this.#context.notices.limited(subject, `a connection of ${name} was closed: ${reason}`)
      }
      socket.destroy()
    })
    ws.on('message', (received, isBinary) => {
      try {
        receive(received, isBinary)
      } catch (error) {
        this.#context.notices.limited(
          'failures',
          `a connection was closed, because receiving from it failed: ${String(error)}`,
        )
        ws.terminate()
      }
    })
  }

  /** What is wrong with what a connection carried, by the error that ws makes of it. */
  #faultOf(code: unknown, message: string): string {
    if (code !== 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') return `what it carried is no WebSocket: ${message}`
    const { frameBytesMax } = this.#context.limits
    const advice =
      'The options that limit keys, values, requests, runs, appends and pieces of snapshots have to be the same'
    return `a frame of it is longer than frameBytesMax, ${frameBytesMax}. ${advice} on all servers`
  }

  /** Judges what a stranger says first; the result receives whatever comes next. */
  #greeted(stranger: Stranger, text: string): Received {
    const said = decodeHandshake(text)
    if ('malformed' in said) return this.#refused(stranger, { ...said, fault: 'handshake' })
    if (said.kind === 'hello') return this.#admitted(stranger, said)
    if (said.kind === 'join') return this.#asked(stranger, said)
    return this.#refused(stranger, {
      malformed: `it begins with a ${said.kind}, not with a hello`,
      fault: 'handshake',
    })
  }

  #admitted(stranger: Stranger, hello: Hello): Received {
    const { identity, versions } = this.#context
    const link = this.#links.get(hello.id)
    const version = judgeHello(hello, identity, versions, link?.peer)
    if (typeof version !== 'number') {
      const address = addressOfStranger(hello, identity, link?.peer)
      if (address !== undefined) this.#context.handler.strangerAt(address)
      return this.#refused(stranger, version)
    }
    const { ws, socket } = stranger
    this.#forgetStranger(socket)
    stranger.trust(`server ${hello.id}`)
    const connection = new AcceptedConnection(ws, hello, version, this.#context)
    ws.on('close', () => link?.acceptedClosed(connection))
    ws.send(encodeHandshake(welcomeOf(identity, version)))
    link?.accept(connection)
    return (parts, isBinary) => connection.received(isBinary && Array.isArray(parts) ? parts : undefined)
  }

  #asked(stranger: Stranger, join: Join): Received {
    const { identity, versions } = this.#context
    const version = judgeJoin(join, identity, versions)
    if (typeof version !== 'number') return this.#refused(stranger, version)
    const { ws, socket } = stranger
    this.#forgetStranger(socket)
    const withdraw = this.#joins.ask(requestOf(join), (answer) => {
      ws.send(encodeJoinAnswer(answer, version))
      close(ws, NORMAL_CODE, '', this.#context)
    })
    ws.on('close', withdraw)
    return () => ws.terminate()
  }

  #refused({ ws, socket }: Stranger, { malformed: reason, fault }: HelloFault): Received {
    const from = `${socket.remoteAddress ?? 'an address unknown'}`
    this.#context.notices.limited(`refusals: ${fault}`, `refused a connection from ${from}: ${reason}`)
    ws.send(encodeHandshake({ kind: 'refusal', reason }))
    refuse(ws, '', this.#context)
    return () => undefined
  }
}
