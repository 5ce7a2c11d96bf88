import type { Message } from '../machines/messages.js'
import type { ServerId } from '../machines/types.js'

/**
 * Carries messages between servers, perhaps losing, delaying, duplicating or reordering them: Raft resends. It never
 * blocks; what a peer cannot take is dropped and reported. The conformance suite in testing/ says the rest.
 */
export interface Transport {
  /** Starts listening and dialling. The callback comes once it listens, or with a TRANSPORT_FAILED error. */
  start(identity: TransportIdentity, handler: TransportHandler, callback: (error: Error | undefined) => void): void
  /** Replaces the set of peers; a peer whose address changed is dialled anew. */
  setPeers(peers: readonly Peer[]): void
  /** The cluster's id became known. */
  setClusterId(clusterId: string): void
  /**
   * Sends, or drops and says so to the handler. The message's bytes must never change afterwards: they are not copied,
   * and may wait here for as long as the peer is slow.
   */
  send(to: ServerId, message: Message): void
  /** Closes everything it opened. */
  stop(callback: () => void): void
}

export interface Peer {
  readonly id: ServerId
  readonly address: string
  /** Known once the peer's data directory has been seen; another one under the same id is refused. */
  readonly storeId?: string
}

/** What a handshake tells a peer. */
export interface TransportIdentity {
  readonly id: ServerId
  readonly clusterId: string | undefined
  readonly storeId: string
  /** Random per start. */
  readonly nonce: number
}

/** Never called from inside `send`. */
export interface TransportHandler {
  /** Valid, from an admitted peer. Views into the frame are the receiver's to keep. */
  message(from: ServerId, message: Message): void
  /**
   * Messages can reach this peer. `nonce` is new when the peer was restarted; no message of an earlier incarnation is
   * delivered after this.
   */
  peerUp(peer: ServerId, nonce: number): void
  peerDown(peer: ServerId): void
  /** At least one message to this peer was dropped. */
  peerDropped(peer: ServerId): void
  /** Something a person should know: a stranger refused, a malformed frame. */
  notice(text: string): void
}
