import { ActorumError } from '../errors.js'
import { latestConfiguration, type RaftContext } from '../machines/context.js'
import { removedAt, wasNamed } from '../machines/membership.js'
import type { LogIndex, Member, ServerId } from '../machines/types.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { JoinAnswer, Transport } from '../transport/ports.js'
import { KnownPeers } from './known-peers.js'
import type { LoopClock } from './loop-clock.js'

export interface MemberLookupPorts {
  readonly transport: Pick<Transport, 'ask' | 'setPeers'>
  readonly context: () => RaftContext
  /** Where else to ask, until the log names this server. */
  readonly acquaintances: readonly string[]
  readonly clusterId: () => string | undefined
  /** This server as the others may know it. */
  readonly self: Member
  readonly notice: (text: string) => void
}

const REDIRECTS_MAX = 3
/** As many as a cluster has voters, and then some. */
const STRANGERS_MAX = 16
/** Reasons that are told; after so many another one says nothing new. */
const TOLD_MAX = 64

/**
 * A server that missed a change of the membership refuses its new peers as strangers, and if one of them leads, it would
 * never hear of the change. So when it has heard of no leader for two election timeouts it asks the members it does
 * know, and the strangers of its own cluster that it has refused: all whom it knows may have left since. They name the
 * leader, who names the members of today, or without one the members that they know themselves. The log then tells the
 * rest.
 */
export class MemberLookup {
  readonly peers: KnownPeers
  readonly #ports: MemberLookupPorts
  #isAsking = false
  #next = 0
  /** Where those listen who were refused, newest last. */
  #strangers: readonly string[] = []
  readonly #told = new Set<string>()
  #removedBy: LogIndex = 0

  constructor(ports: MemberLookupPorts) {
    this.peers = new KnownPeers(ports.transport, ports.context)
    this.#ports = ports
  }

  /** Reviews now and then, for as long as these timers go. */
  begin(timers: LoopClock, clock: Clock): void {
    timers.setTimeout(() => {
      this.review(clock.now())
      this.begin(timers, clock)
    }, 2 * this.#ports.context().settings.electionTimeoutMs)
  }

  /** Now and then: a server that only listens has no election timeout that would bring a turn about. */
  review(now: number): void {
    const { leadership, leaderId, contact, settings } = this.#ports.context()
    // Who campaigns in vain begins each wait anew: contact says nothing of how long there has been no leader.
    const isSilent = leaderId === undefined || now - contact.at >= 2 * settings.electionTimeoutMs
    if (leadership !== undefined || this.#isAsking || !isSilent) return
    const addresses = this.#addresses
    const address = addresses[this.#next++ % Math.max(1, addresses.length)]
    if (address !== undefined) this.#ask(address, 0)
  }

  /** A server of this cluster that is not known here was refused; it listens at `address`. */
  strangerAt(address: string): void {
    this.#strangers = [...this.#strangers.filter((other) => other !== address), address].slice(-STRANGERS_MAX)
  }

  /** Which entry removed this server, as far as it knows; undefined for a member, and for one that has yet to join. */
  get removedAt(): LogIndex | undefined {
    const context = this.#ports.context()
    const isStill = this.#removedBy > 0 && this.#removedBy >= latestConfiguration(context).index
    return isStill ? this.#removedBy : removedAt(context)
  }

  /** A leader said so. */
  noteRemoved(index: LogIndex): void {
    this.#removedBy = Math.max(this.#removedBy, index)
  }

  /** Throws REFUSED on a server that was removed: whom it takes for the leader sends it nothing any more. */
  assertMember(): void {
    const index = this.removedAt
    if (index !== undefined) throw new ActorumError('REFUSED', removedText(this.#ports.self.id, index))
  }

  get #addresses(): readonly string[] {
    const { peers } = this
    const known = (peers.members ?? []).map(({ address }) => address).filter((address) => address !== '')
    const acquaintances = peers.isNamedInLog ? [] : this.#ports.acquaintances
    return [...new Set([...known, ...acquaintances, ...this.#strangers])]
  }

  #ask(address: string, redirects: number): void {
    const { self: member } = this.#ports
    if (member.address === '') return
    this.#isAsking = true
    this.#ports.transport.ask(
      address,
      { clusterId: this.#ports.clusterId() ?? null, member, isMember: true },
      (error, answer) => {
        this.#isAsking = false
        // Nobody there, or nobody who knows: another one is asked the next time.
        if (error === undefined) this.#answered(answer, redirects)
      },
    )
  }

  #answered(answer: JoinAnswer, redirects: number): void {
    if (answer.kind === 'redirect' && redirects < REDIRECTS_MAX) this.#ask(answer.address, redirects + 1)
    if (answer.kind === 'refused') this.#refused(answer)
    if (answer.kind !== 'accepted') return
    const known = new Map((this.peers.members ?? []).map((member) => [member.id, member]))
    const members = answer.members.map((member) => withKnownStore(member, known.get(member.id)))
    this.peers.introduce(members, answer.asOf)
  }

  /** Whoever has yet to be let in is no member either, and was never removed. */
  #refused({ reason, removedBy = 0 }: Extract<JoinAnswer, { readonly kind: 'refused' }>): void {
    if (!wasNamed(this.#ports.context())) return
    this.#tell(reason)
    this.noteRemoved(removedBy)
  }

  /** Once for each reason, however often it is heard. */
  #tell(reason: string): void {
    if (this.#told.has(reason) || this.#told.size >= TOLD_MAX) return
    this.#told.add(reason)
    this.#ports.notice(`server ${this.#ports.self.id} hears from no leader: ${reason}`)
  }
}

/** What a server that was removed says of itself. */
export function removedText(id: ServerId, index: LogIndex): string {
  return `server ${id} was removed from the cluster by entry ${index}: stop it, and never use its data directory again`
}

/** Whoever answers may be one that was wiped, and know of no data directory: what is known of them here stands. */
function withKnownStore(member: Member, known: Member | undefined): Member {
  return member.storeId === undefined && known?.storeId !== undefined ? { ...member, storeId: known.storeId } : member
}
