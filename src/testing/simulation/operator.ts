import { ActorumError } from '../../errors.js'
import type { MembershipChange } from '../../machines/messages.js'
import type { Configuration, ServerId } from '../../machines/types.js'
import { halvesOf, membersOf } from './configuration-checker.js'
import type { ChangeMembers } from './faults.js'
import { memberOf, type SimulatedCluster } from './simulated-cluster.js'

/** How long a request may take, and how soon an operator tries again, in virtual milliseconds. */
const REQUEST_MS = 400
const RETRY_MS = 60
/** A request that has no outcome yet may still be on its way to a leader. */
const LINGER_MS = 1500

const NO_CHANGE: MembershipChange = { learners: [], promote: [], remove: [], addresses: [], force: false }

/**
 * Changes the membership of a simulated cluster as an operator would, who knows no more than a server tells and asks
 * nothing that would leave the cluster without a quorum for ever.
 */
export class Operator<Command, Result> {
  readonly #cluster: SimulatedCluster<Command, Result>
  /** Servers that will not start again. */
  readonly #lost: () => readonly ServerId[]
  readonly #tell: (text: string) => void
  #underWay = 0
  #tasks = 0
  #endedAt = -Infinity

  constructor(
    cluster: SimulatedCluster<Command, Result>,
    lost: () => readonly ServerId[],
    tell: (text: string) => void,
  ) {
    this.#cluster = cluster
    this.#lost = lost
    this.#tell = tell
  }

  /** Whether it is done with all that it has begun. */
  get isIdle(): boolean {
    return this.#tasks === 0 && this.#underWay === 0
  }

  /** Whether a change may still happen that was asked for some time ago. */
  get isChanging(): boolean {
    return !this.isIdle || this.#cluster.world.now() - this.#endedAt < LINGER_MS
  }

  /** Whether the cluster goes on without `lost`, whatever configuration comes to rule. */
  mayLose(lost: readonly ServerId[]): boolean {
    const { configurations, committedIndex } = this.#cluster.safety
    return configurations.inPlay(committedIndex).every((configuration) => survives(configuration, lost))
  }

  /** Asks for a change through one server, as far as it makes sense; false where nothing of it does. */
  ask(wish: ChangeMembers, via: ServerId): boolean {
    const ruling = this.#cluster.safety.configurations.rulingOn(via)
    const change = this.#sensible(wish, ruling)
    if (change === undefined || !this.#isSafe(ruling, change)) return false
    return this.#request(via, change, () => undefined)
  }

  #sensible(wish: ChangeMembers, ruling: Configuration): MembershipChange | undefined {
    const { voters, learners } = ruling
    const members = membersOf(ruling)
    const leader = this.#cluster.leader?.id
    const remove = wish.remove
      .flatMap((who) => (who === 'leader' ? (leader ?? []) : who))
      .filter((id) => members.includes(id))
    const demote = wish.demote.filter((id) => voters.includes(id) && !remove.includes(id))
    const add = wish.add.filter((id) => !members.includes(id))
    const promote = wish.promote.filter((id) => learners.includes(id) && !remove.includes(id))
    if (remove.length + demote.length + add.length + promote.length === 0) return undefined
    const { promotable, force } = wish
    const added = add.map((id) => ({ ...memberOf(id), promotable }))
    return { ...NO_CHANGE, learners: [...added, ...demote.map(memberOf)], promote, remove: [...new Set(remove)], force }
  }

  /** While servers are lost only one request is out at a time: two might each spare a quorum, and not together. */
  #isSafe(ruling: Configuration, { learners, promote, remove }: MembershipChange): boolean {
    const lost = this.#lost()
    if (lost.length > 0 && this.isChanging) return false
    const leaving = [...remove, ...learners.map(({ id }) => id)]
    const voters = [...ruling.voters.filter((id) => !leaving.includes(id)), ...promote]
    return survives({ voters, learners: [] }, lost)
  }

  #request(via: ServerId, change: MembershipChange, ended: () => void): boolean {
    const { running } = this.#cluster.server(via)
    if (running === undefined) return false
    this.#underWay++
    let isOver = false
    const end = (text: string): void => {
      if (isOver) return
      isOver = true
      this.#underWay--
      this.#endedAt = this.#cluster.world.now()
      this.#tell(text)
      ended()
    }
    // A dead process never answers.
    this.#cluster.world.setTimeout(() => end('a change of the membership was not answered'), 2 * REQUEST_MS)
    running.clock.defer(() => {
      if (running.server.isStopped) return
      try {
        running.server.changeMembership(change, {
          resolve: (index) => end(`the membership changed at entry ${index}`),
          reject: ({ message }) => end(message),
          deadline: running.clock.now() + REQUEST_MS,
        })
      } catch (error) {
        if (!(error instanceof ActorumError)) throw error
        end(error.message)
      }
    })
    return true
  }

  /**
   * A server came back with an empty disk: it is removed, comes anew with another empty disk that knows nothing of the
   * cluster, and is added as a learner to be promoted; or another one is added in its stead.
   */
  replaceWiped(id: ServerId, by: ServerId, readmitted: () => void): void {
    this.#tasks++
    this.#until(
      () => !membersOf(this.#settled).includes(id),
      { ...NO_CHANGE, remove: [id], force: true },
      () => {
        if (by === id) this.#readmit(id)
        readmitted()
        this.#until(
          () => membersOf(this.#settled).includes(by),
          { ...NO_CHANGE, learners: [{ ...memberOf(by), promotable: true }], force: true },
          () => this.#tasks--,
        )
      },
    )
  }

  #readmit(id: ServerId): void {
    const server = this.#cluster.server(id)
    server.wipe({ voters: [], learners: [] })
    server.start()
    this.#tell(`server ${id} begins anew, with nothing`)
  }

  /** The configuration that is known to be committed, by whoever leads. */
  get #settled(): Configuration {
    const { leader } = this.#cluster
    const latest = leader?.context.configurations.at(-1)
    if (leader === undefined || latest === undefined || latest.index > leader.context.commitIndex) return UNKNOWN
    return latest.configuration
  }

  /** Asks again and again, whoever leads, until it is so. */
  #until(isSo: () => boolean, change: MembershipChange, done: () => void): void {
    const { world, leader } = this.#cluster
    if (this.#settled !== UNKNOWN && isSo()) return done()
    const again = (): void => void world.setTimeout(() => this.#until(isSo, change, done), RETRY_MS)
    if (leader === undefined || !this.#request(leader.id, change, again)) again()
  }
}

/** Whoever cannot be seen may be a member or not. */
const UNKNOWN: Configuration = { voters: [], learners: [] }

function survives(configuration: Configuration, lost: readonly ServerId[]): boolean {
  return halvesOf(configuration).every((half) => half.filter((id) => lost.includes(id)).length * 2 < half.length)
}
