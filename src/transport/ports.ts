import type { Message } from '../machines/messages.js'
import type { EntryPlace, LogIndex, Member, ServerId } from '../machines/types.js'

/**
 * Carries messages between servers, perhaps losing, delaying, duplicating or reordering them: Raft resends. It never
 * blocks; what a peer cannot take is dropped and reported. The conformance suite in testing/ says the rest.
 */
export interface Transport {
  /** Starts listening and dialling. The callback comes once it listens, or with a TRANSPORT_FAILED error. */
  start(identity: TransportIdentity, handler: TransportHandler, callback: (error: Error | undefined) => void): void
  /**
   * Replaces the set of peers, at any time. Who is no longer among them is reported down and cut off both ways; a peer
   * whose address changed is dialled anew. A server without peers accepts nobody.
   */
  setPeers(peers: readonly Peer[]): void
  /** The cluster's id became known. */
  setClusterId(clusterId: string): void
  /**
   * Sends, or drops and says so to the handler. The message's bytes must never change afterwards: they are not copied,
   * and may wait here for as long as the peer is slow. A piece of a snapshot that is dropped, and a message that the
   * protocol version spoken with the peer does not know, are no `peerDropped`: only a notice tells of them.
   */
  send(to: ServerId, message: Message): void
  /**
   * Asks the server at `address` (`host:port`) for membership, whoever it is. Errors are TIMEOUT, STOPPED, and
   * TRANSPORT_FAILED when it cannot be reached or does not answer as it should; a refusal is an answer.
   */
  ask(address: string, request: JoinRequest, callback: JoinCallback): void
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
  /** Where it listens, as `host:port`, for those who do not know it. */
  readonly address?: string
}

/** What a server that is no member yet says of itself. */
export interface JoinRequest {
  /** null: it will belong to whatever cluster takes it. */
  readonly clusterId: string | null
  readonly member: Member
  /** It is one, and asks only who the others are by now: it is not made a member if it is none any more. */
  readonly isMember?: boolean
  /** It has been one, perhaps elsewhere: if it still is, it is at that address from now on; nobody new enters so. */
  readonly isMoving?: boolean
}

export type JoinAnswer =
  /**
   * It is a member, or soon will be; these are the others, to connect with, as of the configuration in the entry `asOf`
   * (a server of an earlier release does not say).
   */
  | {
      readonly kind: 'accepted'
      readonly clusterId: string | null
      readonly members: readonly Member[]
      readonly asOf?: EntryPlace
    }
  /** Ask there. */
  | { readonly kind: 'redirect'; readonly address: string }
  /** `removedBy`: the committed entry that left it out. */
  | { readonly kind: 'refused'; readonly reason: string; readonly removedBy?: LogIndex }

/** Called exactly once, perhaps before `ask` returns. */
export type JoinCallback = (
  ...outcome: [error: Error, answer: undefined] | [error: undefined, answer: JoinAnswer]
) => void

/** Never called from inside `send`. */
export interface TransportHandler {
  /** Valid, from an admitted peer. Views into the frame are the receiver's to keep. */
  message(from: ServerId, message: Message): void
  /**
   * Messages can reach this peer. `nonce` is new when the peer was restarted; no message of an earlier incarnation is
   * delivered after this. `storeId` is that of the data directory it runs on, `version` the protocol version spoken with
   * it.
   */
  peerUp(peer: ServerId, nonce: number, storeId: string, version: number): void
  peerDown(peer: ServerId): void
  /** At least one message to this peer was dropped. */
  peerDropped(peer: ServerId): void
  /** A server asks to become a member. Answer once, at any time; after some seconds nobody listens any more. */
  joinAsked(request: JoinRequest, answer: (answer: JoinAnswer) => void): void
  /** A server of this cluster was refused, since it is no peer here; it says that it listens at `address`. */
  strangerAt(address: string): void
  /** Something a person should know: a stranger refused, a malformed frame. */
  notice(text: string): void
}
