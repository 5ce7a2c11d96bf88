import { latestConfiguration, type RaftContext } from '../machines/context.js'
import type { Member, ServerId } from '../machines/types.js'
import type { JoinAnswer, Transport } from '../transport/ports.js'

export interface MemberLookupPorts {
  readonly transport: Pick<Transport, 'ask' | 'setPeers'>
  readonly context: () => RaftContext
  readonly clusterId: () => string | undefined
  /** This server as the others may know it. */
  readonly self: Member
}

const REDIRECTS_MAX = 3

/**
 * A server that missed a change of the membership refuses its new peers as strangers, and if one of them leads, it would
 * never hear of the change. So when it has heard of no leader for two election timeouts it asks the members it does
 * know. They name the leader, who names the members of today, or without one the members that they know themselves. The
 * log then tells the rest.
 */
export class MemberLookup {
  readonly #ports: MemberLookupPorts
  #isAsking = false
  #next = 0

  constructor(ports: MemberLookupPorts) {
    this.#ports = ports
  }

  /** Now and then: a server that only listens has no election timeout that would bring a turn about. */
  review(now: number): void {
    const { leadership, leaderId, contact, settings } = this.#ports.context()
    // Who campaigns in vain begins each wait anew: contact says nothing of how long there has been no leader.
    const isSilent = leaderId === undefined || now - contact.at >= 2 * settings.electionTimeoutMs
    if (leadership !== undefined || this.#isAsking || !isSilent) return
    const others = this.#others
    const member = others[this.#next++ % Math.max(1, others.length)]
    if (member !== undefined) this.#ask(member.address, 0)
  }

  get #others(): readonly Member[] {
    return (peersOf(this.#ports.context()) ?? []).filter(({ address }) => address !== '')
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
    if (answer.kind !== 'accepted') return
    const peers = new Map(this.#others.map((member) => [member.id, member]))
    for (const member of answer.members) peers.set(member.id, withKnownStore(member, peers.get(member.id)))
    peers.delete(this.#ports.context().id)
    this.#ports.transport.setPeers([...peers.values()])
  }
}

/** Whoever answers may be one that was wiped, and know of no data directory: what is known of them here stands. */
function withKnownStore(member: Member, known: Member | undefined): Member {
  return member.storeId === undefined && known?.storeId !== undefined ? { ...member, storeId: known.storeId } : member
}

/**
 * Who is sent to and heard: the members of every configuration that is known, so that one left out can be told. Undefined
 * of a server that is yet to join: it knows its peers from those who let it in.
 */
export function peersOf(context: RaftContext): readonly Member[] | undefined {
  if (latestConfiguration(context).configuration.members === undefined) return undefined
  const peers = new Map<ServerId, Member>()
  for (const { configuration } of context.configurations) {
    for (const member of configuration.members ?? []) peers.set(member.id, member)
  }
  peers.delete(context.id)
  return [...peers.values()]
}
