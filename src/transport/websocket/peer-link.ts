import type { Message } from '../../machines/messages.js'
import type { AcceptedConnection } from './accepted-connection.js'
import { encodeMessage } from '../codec.js'
import { DialledConnection } from './dialled-connection.js'
import { bytesOf } from '../frame-limits.js'
import { channelOf, CHANNELS, faultOfIntroduction, type Channel } from '../handshake.js'
import type { LinkContext } from './link-context.js'
import type { Peer } from '../ports.js'

/** All connections with one peer: two dialled for sending, up to two accepted for receiving. */
export class PeerLink {
  readonly #context: LinkContext
  readonly #dialled: Readonly<Record<Channel, DialledConnection>>
  readonly #accepted = new Map<Channel, AcceptedConnection>()
  #peer: Peer
  /** Of the incarnation met last; connections with any other are closed. */
  #nonce: number | undefined
  #up = false

  constructor(context: LinkContext, peer: Peer) {
    this.#context = context
    this.#peer = peer
    this.#dialled = { control: this.#connection('control'), log: this.#connection('log') }
  }

  get peer(): Peer {
    return this.#peer
  }

  dial(): void {
    for (const channel of CHANNELS) this.#dialled[channel].dial()
  }

  /** Sends on the message's channel, or returns false. */
  send(message: Message): boolean {
    if (!this.#up) return false
    const parts = encodeMessage(message, this.#context.checksum)
    const bytes = bytesOf(parts)
    const { frameBytesMax } = this.#context.limits
    if (bytes <= frameBytesMax) return this.#dialled[channelOf(message.type)].offer(parts, bytes)
    const text = `a message (${message.type}) of ${bytes} bytes to server ${this.#peer.id} was dropped`
    this.#context.notices.limited('frames to send', `${text}: it is longer than frameBytesMax, ${frameBytesMax}`)
    return false
  }

  /** Takes over a connection whose hello was found good; an older one of the same channel gives way. */
  accept(connection: AcceptedConnection): void {
    this.#meet(connection.hello.nonce)
    const { channel } = connection.hello
    this.#accepted.get(channel)?.close()
    this.#accepted.set(channel, connection)
    // It is alive, so there is no point in waiting out a pause.
    this.dial()
  }

  acceptedClosed(connection: AcceptedConnection): void {
    const { channel } = connection.hello
    if (this.#accepted.get(channel) === connection) this.#accepted.delete(channel)
  }

  /** What is known about the peer or about this server's cluster has changed: connections that no longer fit end. */
  judgeAgain(peer: Peer): void {
    this.#peer = peer
    const { identity } = this.#context
    for (const [channel, connection] of this.#accepted) {
      if (faultOfIntroduction(connection.hello, identity, peer) === undefined) continue
      this.#accepted.delete(channel)
      connection.close()
    }
    for (const channel of CHANNELS) {
      const { welcome } = this.#dialled[channel]
      if (welcome !== undefined && faultOfIntroduction(welcome, identity, peer) !== undefined)
        this.#dialled[channel].reset()
    }
  }

  /** Ends all connections; a peer that was up is reported down. */
  close(): void {
    this.abandon()
    this.#settle()
  }

  /** Ends all connections without a word. */
  abandon(): void {
    for (const channel of CHANNELS) this.#dialled[channel].close()
    for (const connection of this.#accepted.values()) connection.close()
    this.#accepted.clear()
  }

  #connection(channel: Channel): DialledConnection {
    return new DialledConnection(this.#context, () => this.#peer, channel, {
      opened: (welcome) => {
        this.#meet(welcome.nonce)
        this.#settle()
      },
      closed: () => this.#settle(),
    })
  }

  /**
   * Whoever completed a handshake last is the living incarnation. What an earlier one sent and is still unread goes
   * with its connections.
   */
  #meet(nonce: number): void {
    if (this.#nonce === nonce) return
    this.#nonce = nonce
    for (const [channel, connection] of this.#accepted) {
      if (connection.hello.nonce === nonce) continue
      this.#accepted.delete(channel)
      connection.close()
    }
    for (const channel of CHANNELS) {
      const connection = this.#dialled[channel]
      if (connection.welcome === undefined || connection.welcome.nonce === nonce) continue
      connection.reset()
      connection.dial()
    }
  }

  #settle(): void {
    const up = CHANNELS.every(
      (channel) => this.#dialled[channel].welcome?.nonce === this.#nonce && this.#nonce !== undefined,
    )
    if (up === this.#up) return
    this.#up = up
    if (up && this.#nonce !== undefined) this.#context.handler.peerUp(this.#peer.id, this.#nonce)
    else this.#context.handler.peerDown(this.#peer.id)
  }
}
