import type { RaftContext } from '../../machines/context.js'
import type { RaftEvent } from '../../machines/events.js'
import type { Configuration, ServerId, Term } from '../../machines/types.js'
import { halvesOf, isQuorum, membersOf } from './configuration-checker.js'
import { Violation } from './violation.js'

interface Grants {
  readonly term: Term
  readonly from: Set<ServerId>
}

interface SeenServer {
  before: RaftContext
  /** Who has granted pre-votes for a campaign in that term. */
  preVotes: Grants
  /** Who has voted for it in that term. */
  votes: Grants
  /** The term in which a leader that hands over has asked it to campaign. */
  askedFor: Term
  /** While it leads: since when, and when each peer answered last, by its own clock. */
  ledSince: number
  answeredAt: Map<ServerId, number>
  configuration: Configuration
}

/**
 * Judges how terms begin and how leaders end, by keeping count of what each server has been told: pre-votes (thesis
 * §9.6) and CheckQuorum (§6.2), which keep a cluster working more than they keep it safe.
 */
export class ElectionChecker {
  readonly #configurationOf: (id: ServerId) => Configuration
  readonly #electionTimeoutMs: number
  readonly #begun = new Set<Term>()
  readonly #servers = new Map<ServerId, SeenServer>()

  /** `configurationOf`: what rules a server at the moment, by its log; T in milliseconds. */
  constructor(configurationOf: (id: ServerId) => Configuration, electionTimeoutMs: number) {
    this.#configurationOf = configurationOf
    this.#electionTimeoutMs = electionTimeoutMs
  }

  started(id: ServerId, context: RaftContext): void {
    this.#servers.set(id, {
      before: context,
      preVotes: { term: 0, from: new Set() },
      votes: { term: 0, from: new Set() },
      askedFor: 0,
      ledSince: 0,
      answeredAt: new Map(),
      configuration: this.#configurationOf(id),
    })
  }

  /** A server handled one event. */
  stepped(id: ServerId, context: RaftContext, event: RaftEvent): void {
    const server = this.#servers.get(id)
    if (server === undefined) return
    noteEvent(server, event)
    if (context.hardState.term > server.before.hardState.term) this.#termRaised(id, server, context)
    if (context.leadership !== undefined) this.#followLeader(id, server, context, event)
    server.configuration = this.#configurationOf(id)
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
    const granted = [id, ...(preVotes.term === term ? preVotes.from : [])]
    if (isQuorum(this.#configurationOf(id), (voter) => granted.includes(voter)) || askedFor === term) return
    throw new Violation(
      'a campaign begins with the pre-votes of a majority, or with a leader that hands over',
      `server ${id} campaigned in term ${term} with those of ${granted.join(', ')}`,
    )
  }

  #followLeader(id: ServerId, server: SeenServer, { leadership, hardState }: RaftContext, event: RaftEvent): void {
    const { before } = server
    if (before.leadership === undefined || before.hardState.term !== hardState.term) {
      server.ledSince = event.now
      server.answeredAt = new Map()
      this.#checkElected(id, server, hardState.term)
      return
    }
    const isAnswer =
      event.type === 'heartbeatReply' || event.type === 'appendEntriesReply' || event.type === 'installSnapshotReply'
    if (isAnswer) server.answeredAt.set(event.from, event.now)
    this.#noteNewcomers(id, server, event.now)
    const isNewRound = event.type === 'clock' && leadership?.round !== before.leadership.round
    if (!isNewRound) return
    const silentMs = event.now - quorumAnsweredAt(id, server, event.now)
    if (silentMs <= this.#electionTimeoutMs) return
    throw new Violation(
      'a leader that no quorum answers steps down',
      `server ${id} begins a round after ${silentMs} ms of silence`,
    )
  }

  /** A new member is given as long as the others to answer for the first time. */
  #noteNewcomers(id: ServerId, { answeredAt, configuration }: SeenServer, now: number): void {
    const next = this.#configurationOf(id)
    if (next === configuration) return
    const before = membersOf(configuration)
    for (const member of membersOf(next)) if (!before.includes(member)) answeredAt.set(member, now)
  }

  #checkElected(id: ServerId, { votes }: SeenServer, term: Term): void {
    const granted = [id, ...(votes.term === term ? votes.from : [])]
    if (isQuorum(this.#configurationOf(id), (voter) => granted.includes(voter))) return
    throw new Violation(
      'a leader has the votes of a majority of its configuration',
      `server ${id} leads term ${term} with those of ${granted.join(', ')}`,
    )
  }
}

/** When the last of those answered without whom there is no quorum. */
function quorumAnsweredAt(id: ServerId, { ledSince, answeredAt, configuration }: SeenServer, now: number): number {
  const answered = halvesOf(configuration).map((half) => {
    const times = half.map((voter) => (voter === id ? now : (answeredAt.get(voter) ?? ledSince))).sort((a, b) => b - a)
    return times[half.length >> 1] ?? now
  })
  return Math.min(...answered)
}

function noteEvent(server: SeenServer, event: RaftEvent): void {
  if (event.type === 'timeoutNow') server.askedFor = event.message.term + 1
  if (event.type === 'preVoteReply' && event.message.granted) server.preVotes = withGrant(server.preVotes, event)
  if (event.type === 'requestVoteReply' && event.message.granted) server.votes = withGrant(server.votes, event)
}

/** A late one of an earlier campaign says nothing of this one. */
function withGrant(
  grants: Grants,
  { from, message }: { readonly from: ServerId; readonly message: { readonly term: Term } },
): Grants {
  const { term } = message
  if (grants.term > term) return grants
  const current = grants.term === term ? grants : { term, from: new Set<ServerId>() }
  current.from.add(from)
  return current
}
