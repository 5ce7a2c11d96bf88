import type { RaftContext } from '../../machines/context.js'
import type { RaftEvent } from '../../machines/events.js'
import type { ServerId, Term } from '../../machines/types.js'
import { Violation } from './violation.js'

interface SeenServer {
  before: RaftContext
  /** Who has granted pre-votes for a campaign in that term. */
  preVotes: { readonly term: Term; readonly from: Set<ServerId> }
  /** The term in which a leader that hands over has asked it to campaign. */
  askedFor: Term
  /** While it leads: since when, and when each peer answered last, by its own clock. */
  ledSince: number
  answeredAt: Map<ServerId, number>
}

/**
 * Judges how terms begin and how leaders end, by keeping count of what each server has been told: pre-votes (thesis
 * §9.6) and CheckQuorum (§6.2), which keep a cluster working more than they keep it safe.
 */
export class ElectionChecker {
  readonly #majority: number
  readonly #electionTimeoutMs: number
  readonly #begun = new Set<Term>()
  readonly #servers = new Map<ServerId, SeenServer>()

  /** Of `servers` voters; T in milliseconds. */
  constructor(servers: number, electionTimeoutMs: number) {
    this.#majority = (servers >> 1) + 1
    this.#electionTimeoutMs = electionTimeoutMs
  }

  started(id: ServerId, context: RaftContext): void {
    const preVotes = { term: 0, from: new Set<ServerId>() }
    this.#servers.set(id, { before: context, preVotes, askedFor: 0, ledSince: 0, answeredAt: new Map() })
  }

  /** A server handled one event. */
  stepped(id: ServerId, context: RaftContext, event: RaftEvent): void {
    const server = this.#servers.get(id)
    if (server === undefined) return
    noteEvent(server, event)
    if (context.hardState.term > server.before.hardState.term) this.#termRaised(id, server, context)
    if (context.leadership !== undefined) this.#followLeader(id, server, context, event)
    server.before = context
  }

  #termRaised(id: ServerId, { preVotes, askedFor }: SeenServer, { hardState }: RaftContext): void {
    const { term, votedFor } = hardState
    if (votedFor !== id) {
      if (this.#begun.has(term)) return
      throw new Violation(
        'a term begins with a candidate',
        `server ${id} is in term ${term}, in which nobody has campaigned`,
      )
    }
    this.#begun.add(term)
    const granted = preVotes.term === term ? preVotes.from.size + 1 : 1
    if (granted >= this.#majority || askedFor === term) return
    throw new Violation(
      'a campaign begins with the pre-votes of a majority, or with a leader that hands over',
      `server ${id} campaigned in term ${term} with ${granted} of ${this.#majority}`,
    )
  }

  #followLeader(id: ServerId, server: SeenServer, { leadership, hardState }: RaftContext, event: RaftEvent): void {
    const { before } = server
    if (before.leadership === undefined || before.hardState.term !== hardState.term) {
      server.ledSince = event.now
      server.answeredAt = new Map()
      return
    }
    if (event.type === 'heartbeatReply' || event.type === 'appendEntriesReply')
      server.answeredAt.set(event.from, event.now)
    const isNewRound = event.type === 'clock' && leadership?.round !== before.leadership.round
    if (!isNewRound) return
    const silentMs = event.now - this.#quorumAnsweredAt(server, event.now, [...before.leadership.progress.keys()])
    if (silentMs <= this.#electionTimeoutMs) return
    throw new Violation(
      'a leader that no quorum answers steps down',
      `server ${id} begins a round after ${silentMs} ms of silence`,
    )
  }

  #quorumAnsweredAt({ ledSince, answeredAt }: SeenServer, now: number, peers: readonly ServerId[]): number {
    const times = [now, ...peers.map((peer) => answeredAt.get(peer) ?? ledSince)].sort((a, b) => b - a)
    return times[this.#majority - 1] ?? now
  }
}

function noteEvent(server: SeenServer, event: RaftEvent): void {
  if (event.type === 'timeoutNow') server.askedFor = event.message.term + 1
  if (event.type !== 'preVoteReply' || !event.message.granted) return
  const { term } = event.message
  // A late one of an earlier campaign says nothing of this one.
  if (server.preVotes.term < term) server.preVotes = { term, from: new Set() }
  if (server.preVotes.term === term) server.preVotes.from.add(event.from)
}
