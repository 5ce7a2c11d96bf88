import { ActorumError } from '../errors.js'
import { latestConfiguration, type RaftContext } from '../machines/context.js'
import { peersOf } from '../machines/quorum.js'
import type { ServerId } from '../machines/types.js'

/**
 * Which protocol version each peer was last heard to speak. What an older one does not know is refused before it is
 * proposed: a member that met it in the log would have to stop. One that was never heard counts as upgraded, since
 * otherwise nothing new could be used while a server is down.
 */
export class MemberVersions {
  readonly #spoken = new Map<ServerId, number>()

  note(peer: ServerId, version: number): void {
    this.#spoken.set(peer, version)
  }

  /** @throws ActorumError REFUSED: a member is known not to know a command that came with `version` */
  assertKnown(version: number | undefined, context: RaftContext): void {
    if (version === undefined || version === 1) return
    const peers = peersOf(latestConfiguration(context).configuration, context.id)
    const old = peers.find((peer) => (this.#spoken.get(peer) ?? version) < version)
    if (old !== undefined) throw this.#refusal(old, 'this command')
  }

  /** @throws ActorumError REFUSED: the leader is known not to know `what`, which came with `version` */
  assertLeaderKnows(what: string, version: number, { leaderId }: RaftContext): void {
    const spoken = leaderId === undefined ? undefined : this.#spoken.get(leaderId)
    if (leaderId !== undefined && spoken !== undefined && spoken < version) throw this.#refusal(leaderId, what)
  }

  #refusal(id: ServerId, what: string): ActorumError {
    const text = `server ${id} speaks protocol version ${this.#spoken.get(id)} with this one, and that does not know ${what}`
    return new ActorumError('REFUSED', `${text}; nothing was proposed: upgrade that server first`)
  }
}
