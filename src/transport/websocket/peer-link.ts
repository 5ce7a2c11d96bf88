import type { Message } from '../../machines/messages.js'
import type { AcceptedConnection } from './accepted-connection.js'
import { encodeMessage } from '../codec.js'
import { DialledConnection } from './dialled-connection.js'
import { bytesOf } from '../frame-limits.js'
import { channelOf, faultOfIntroduction, type Channel, type Welcome } from '../handshake.js'
import type { LinkContext } from './link-context.js'
import type { Notices } from '../notices.js'
import type { Peer } from '../ports.js'
import { faultOfAge, SNAPSHOT_VERSION, versionOf } from '../protocol-versions.js'

/** All connections with one peer: those dialled for sending, and those accepted for receiving, one a channel. */
export class PeerLink {
  readonly #context: LinkContext
  readonly #control: DialledConnection
  readonly #log: DialledConnection
  /** There while the control connection is open and the peer's version knows of it. The peer is up without it. */
  #snapshot: DialledConnection | undefined
  readonly #accepted = new Map<Channel, AcceptedConnection>()
  #peer: Peer
  /** Of the incarnation met last; connections with any other are closed. */
  #nonce: number | undefined
  /** What the peer said when it came up; undefined while it is down. */
  #up: Welcome | undefined

  constructor(context: LinkContext, peer: Peer) {
    this.#context = context
    this.#peer = peer
    this.#control = this.#connection('control')
    this.#log = this.#connection('log')
  }

  get peer(): Peer {
    return this.#peer
  }

  dial(): void {
    for (const connection of this.#dialled) connection.dial()
  }

  /** Sends on the message's channel, or returns false. What the peer cannot know counts as sent. */
  send(message: Message): boolean {
    if (this.#up === undefined) return false
    if (versionOf(message.type) > this.#up.version) {
      const text = faultOfAge(this.#peer.id, this.#up.version)
      this.#afterSend((notices) => notices.once(ageOf(this.#peer.id), text))
      return true
    }
    const parts = encodeMessage(message, this.#context.checksum)
    const bytes = bytesOf(parts)
    const channel = channelOf(message.type)
    if (bytes > this.#context.limits.frameBytesMax) return this.#tooLong(message, bytes)
    if (channel === 'snapshot') return this.#offerPiece(parts, bytes)
    return (channel === 'log' ? this.#log : this.#control).offer(parts, bytes)
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
    for (const connection of this.#dialled) {
      const { welcome } = connection
      if (welcome !== undefined && faultOfIntroduction(welcome, identity, peer) !== undefined) connection.reset()
    }
  }

  /** Ends all connections; a peer that was up is reported down. */
  close(): void {
    this.abandon()
    this.#settle()
  }

  /** Ends all connections without a word. */
  abandon(): void {
    for (const connection of this.#dialled) connection.close()
    for (const connection of this.#accepted.values()) connection.close()
    this.#accepted.clear()
  }

  get #dialled(): readonly DialledConnection[] {
    const always = [this.#control, this.#log]
    return this.#snapshot === undefined ? always : [...always, this.#snapshot]
  }

  #offerPiece(parts: readonly Uint8Array[], bytes: number): boolean {
    // It opens a moment after the peer is up; should it not, that is said when dialling fails.
    if (this.#snapshot?.welcome === undefined) return false
    if (this.#snapshot.offer(parts, bytes)) return true
    const { id } = this.#peer
    const text = `pieces of a snapshot to server ${id} were dropped, and will be sent again`
    this.#afterSend((notices) =>
      notices.limited(`snapshot to ${id}`, `${text}: it takes them more slowly than they are sent`),
    )
    return false
  }

  #tooLong({ type }: Message, bytes: number): false {
    const { frameBytesMax } = this.#context.limits
    const text = `a message (${type}) of ${bytes} bytes to server ${this.#peer.id} was dropped`
    this.#afterSend((notices) =>
      notices.limited('frames to send', `${text}: it is longer than frameBytesMax, ${frameBytesMax}`),
    )
    return false
  }

  /** No handler is called from inside `send`. */
  #afterSend(say: (notices: Notices) => void): void {
    const { clock, notices } = this.#context
    clock.defer(() => say(notices))
  }

  #connection(channel: Channel): DialledConnection {
    return new DialledConnection(this.#context, () => this.#peer, channel, {
      opened: (welcome) => {
        this.#meet(welcome.nonce)
        if (channel === 'control') this.#dialForSnapshots(welcome.version)
        this.#settle()
      },
      closed: () => {
        if (channel === 'control') this.#dialForSnapshots(undefined)
        this.#settle()
      },
    })
  }

  /** The control connection has come, with the version spoken on it, or gone. */
  #dialForSnapshots(version: number | undefined): void {
    this.#snapshot?.close()
    this.#snapshot = undefined
    if (version === undefined || version < SNAPSHOT_VERSION) return
    this.#snapshot = this.#connection('snapshot')
    this.#snapshot.dial()
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
    for (const connection of this.#dialled) {
      if (connection.welcome === undefined || connection.welcome.nonce === nonce) continue
      connection.reset()
      connection.dial()
    }
  }

  #settle(): void {
    const { handler, notices, versions } = this.#context
    const { id } = this.#peer
    const [control, log] = [this.#control.welcome, this.#log.welcome]
    const up = control !== undefined && control.nonce === this.#nonce && log?.nonce === this.#nonce
    if (up === (this.#up !== undefined)) return
    this.#up = up ? control : undefined
    if (!up) return handler.peerDown(id)
    if (control.version === versions.max) notices.forget(ageOf(id))
    handler.peerUp(id, control.nonce, control.storeId, control.version)
  }
}

/** What notices of an old protocol version are about. */
function ageOf(id: number): string {
  return `version of ${id}`
}
