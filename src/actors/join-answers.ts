import { latestConfiguration, placeOfConfiguration, type RaftContext } from '../machines/context.js'
import { leftOutAt } from '../machines/membership.js'
import type { MembershipChange } from '../machines/messages.js'
import type { Member } from '../machines/types.js'
import type { JoinAnswer, JoinRequest } from '../transport/ports.js'
import type { ChangeRequest } from './pending-changes.js'
import type { LeaderView } from './pending-proposals.js'

export interface JoinAnswersPorts {
  readonly context: () => RaftContext
  readonly clusterId: () => string | undefined
  readonly leader: () => LeaderView
  readonly changeMembership: (change: MembershipChange, request: ChangeRequest) => void
  readonly isStopped: () => boolean
  readonly now: () => number
}

/** How long a server that asks to join is kept waiting (ms). */
const JOIN_TIMEOUT_MS = 3000
export const NO_CHANGE: MembershipChange = { learners: [], promote: [], remove: [], addresses: [], force: false }

/**
 * A server that is no member yet, or has moved, asks to be let in: the leader makes it a learner and answers once that
 * is committed; any other server says who leads.
 */
export class JoinAnswers {
  readonly #ports: JoinAnswersPorts

  constructor(ports: JoinAnswersPorts) {
    this.#ports = ports
  }

  answer(
    { member, clusterId, isMember = false, isMoving = false }: JoinRequest,
    answer: (answer: JoinAnswer) => void,
  ): void {
    if (this.#ports.isStopped()) return answer({ kind: 'refused', reason: 'this server was stopped' })
    const own = this.#ports.clusterId()
    const { leaderId, isSelf } = this.#ports.leader()
    const leader = this.#members.find(({ id }) => id === leaderId)
    if (clusterId !== null && own !== undefined && clusterId !== own) {
      answer({ kind: 'refused', reason: `this is cluster ${own}, not ${clusterId}` })
    } else if (isSelf) this.#admit(member, { isMember, isMoving }, answer)
    else if (leader !== undefined) answer({ kind: 'redirect', address: leader.address })
    // Without a leader members help one another: perhaps only those who know of each other can elect one.
    else if (isMember && this.#isMember(member)) this.#accept(answer)
    else answer({ kind: 'refused', reason: 'no leader is known; ask again' })
  }

  get #members(): readonly Member[] {
    return latestConfiguration(this.#ports.context()).configuration.members ?? []
  }

  #isMember({ id, storeId }: Member): boolean {
    return this.#members.some((known) => known.id === id && (known.storeId ?? storeId) === storeId)
  }

  #accept(answer: (answer: JoinAnswer) => void): void {
    const asOf = placeOfConfiguration(this.#ports.context())
    answer({ kind: 'accepted', clusterId: this.#ports.clusterId() ?? null, members: this.#members, asOf })
  }

  #admit(
    member: Member,
    { isMember, isMoving }: { readonly isMember: boolean; readonly isMoving: boolean },
    answer: (answer: JoinAnswer) => void,
  ): void {
    const known = this.#members.find(({ id }) => id === member.id)
    if (known?.storeId !== undefined && known.storeId !== member.storeId) {
      const reason = `server ${member.id} is a member with another data directory: it was wiped or replaced; remove it first, or give the new one another id`
      answer({ kind: 'refused', reason })
    } else if (known === undefined && (isMember || isMoving)) {
      const removedBy = leftOutAt(this.#ports.context(), member.id)
      const reason = `server ${member.id} is no member any more`
      answer({ kind: 'refused', reason, ...(removedBy !== undefined && { removedBy }) })
    } else if (known !== undefined && isMember) this.#accept(answer)
    else if (known !== undefined && known.address === member.address) this.#acceptAgain(answer)
    else this.#change(member, known !== undefined, answer)
  }

  /** Who asks once more may be one whose change is under way: lost with this leader, it would not be in at all. */
  #acceptAgain(answer: (answer: JoinAnswer) => void): void {
    const context = this.#ports.context()
    if (latestConfiguration(context).index <= context.commitIndex) this.#accept(answer)
    else answer({ kind: 'refused', reason: 'a change of the membership is under way; ask again once it is done' })
  }

  #change(member: Member, isKnown: boolean, answer: (answer: JoinAnswer) => void): void {
    const { id, address } = member
    const learner = { ...member, promotable: member.promotable ?? false }
    const change = isKnown ? { addresses: [{ id, address }] } : { learners: [learner] }
    this.#ports.changeMembership(
      { ...NO_CHANGE, ...change },
      {
        resolve: () => this.#accept(answer),
        reject: (error) => answer({ kind: 'refused', reason: error.message }),
        deadline: this.#ports.now() + JOIN_TIMEOUT_MS,
      },
    )
  }
}
