import { realClock } from './actors/clock.js'
import type { RaftServer } from './actors/raft-server.js'
import { latestConfiguration } from './machines/context.js'
import { isLeftOutByLog } from './machines/membership.js'
import type { LogIndex, Member } from './machines/types.js'
import type { ResolvedOptions } from './options.js'
import type { Recovered } from './storage/ports.js'
import type { JoinAnswer, Transport } from './transport/ports.js'

/** How long to wait before asking again (ms). */
const RETRY_MS = 250
/** Reasons that are told; after so many another one says nothing new. */
const TOLD_MAX = 64

/** What the joining of a server needs of it. */
export type Joinable = Pick<RaftServer<never, never>, 'context' | 'changeMembership' | 'clusterId' | 'lookup'> & {
  readonly isStopped: boolean
}

/**
 * Sees to it that the cluster knows this server, at its address: a new one asks those named in `join`, and whom they
 * name, until the leader has let it in; a member that listens elsewhere than the log says has that changed. It goes on
 * until it is done or the server stops, and tells what keeps it.
 */
export class Joining {
  readonly #options: ResolvedOptions
  readonly #transport: Pick<Transport, 'ask' | 'setClusterId'>
  readonly #server: Joinable
  readonly #self: Member
  readonly #isFresh: boolean
  readonly #told = new Set<string>()
  #lastTold: string | undefined
  /** The entry with which it was let in; undefined before it was. */
  #acceptedAt: LogIndex | undefined

  constructor(
    options: ResolvedOptions,
    transport: Pick<Transport, 'ask' | 'setClusterId'>,
    server: Joinable,
    { storeId, fresh, address }: Pick<Recovered, 'storeId' | 'fresh'> & Pick<Member, 'address'>,
  ) {
    this.#options = options
    this.#transport = transport
    this.#server = server
    this.#isFresh = fresh
    const { id, joinAs } = options
    this.#self = { id, address, storeId, promotable: joinAs === 'promotable' }
  }

  begin(): void {
    const known = this.#known
    const [first] = this.#addresses
    if (this.#options.listen === undefined || this.#isKnown) return
    // The peers of a member that moved cannot reach it, so that it hears of no leader: it asks, like one that is new.
    if (first !== undefined) this.#ask(first, 0, 0)
    else if (known !== undefined) this.#move()
  }

  /** What keeps the cluster from knowing this server, as last heard; undefined where nothing does. */
  get obstacle(): string | undefined {
    return this.#isKnown ? undefined : this.#lastTold
  }

  /**
   * Only a server that was never a member may enter as a new one: one that is or was keeps to what the leader says, and
   * comes back, once removed, only with an empty directory. Without `join` nobody wants a directory that is not empty in.
   */
  get #isNew(): boolean {
    const isWanted = this.#isFresh || this.#options.join !== undefined
    return (
      isWanted && this.#acceptedAt === undefined && this.#known === undefined && !isLeftOutByLog(this.#server.context)
    )
  }

  get #known(): Member | undefined {
    return this.#members.find(({ id }) => id === this.#self.id)
  }

  /** Not if the log, which may be behind, names one that was under its id before it. */
  get #isKnown(): boolean {
    const { address, storeId = this.#self.storeId } = this.#known ?? {}
    return address === this.#self.address && storeId === this.#self.storeId
  }

  get #members(): readonly Member[] {
    return latestConfiguration(this.#server.context).configuration.members ?? []
  }

  /** Whom to ask: those named by the options, and those that the log names. */
  get #addresses(): readonly string[] {
    const others = this.#members.filter(({ id, address }) => id !== this.#self.id && address !== '')
    return [...new Set([...(this.#options.join ?? []), ...others.map(({ address }) => address)])]
  }

  /** The log has this server, which leads, or is alone, at another address. */
  #move(): void {
    if (this.#server.isStopped || this.#isKnown) return
    const { id, address } = this.#self
    const change = { learners: [], promote: [], remove: [], addresses: [{ id, address }], force: false }
    const later = (cause: unknown): void => {
      const why = cause instanceof Error ? cause.message : String(cause)
      this.#tell(`the cluster does not know yet that server ${id} listens on ${address}: ${why}`)
      realClock.setTimeout(() => this.#move(), RETRY_MS)
    }
    const deadline = realClock.now() + this.#options.requestTimeoutMs
    try {
      this.#server.changeMembership(change, { resolve: () => undefined, reject: later, deadline })
    } catch (refusal) {
      later(refusal)
    }
  }

  #ask(address: string, at: number, redirects: number): void {
    if (this.#server.isStopped || this.#isKnown) return
    // It needs nobody to move: those who hear it are told by the log.
    if (this.#known !== undefined && this.#server.context.leadership !== undefined) return this.#move()
    // What is on disk counts: a server of another cluster brings a log that is not this one's.
    const clusterId = this.#server.clusterId ?? this.#options.clusterId ?? null
    const request = { clusterId, member: this.#self, ...(!this.#isNew && { isMoving: true }) }
    this.#transport.ask(address, request, (error, answer) => {
      if (error !== undefined) this.#askLater(at, `${address}: ${error.message}`)
      else this.#answered(address, answer, at, redirects)
    })
  }

  #answered(address: string, answer: JoinAnswer, at: number, redirects: number): void {
    if (answer.kind === 'accepted') this.#accepted(answer, at)
    else if (answer.kind === 'refused') this.#refused(address, answer, at)
    else if (redirects < 3) this.#ask(answer.address, at, redirects + 1)
    else this.#askLater(at, `${address}: no leader found`)
  }

  #accepted({ members, asOf, clusterId }: Extract<JoinAnswer, { readonly kind: 'accepted' }>, at: number): void {
    // Accepted once more, it is as little reached as before.
    if (this.#acceptedAt === undefined) this.#lastTold = undefined
    this.#acceptedAt = asOf?.index ?? 0
    // From here on the members dial this server, and it accepts them; the log tells the rest.
    this.#server.lookup.peers.introduce(members, asOf)
    if (clusterId !== null) this.#transport.setClusterId(clusterId)
    this.#awaitLeader(at, realClock.now() + 2 * this.#options.electionTimeoutMs)
  }

  /** Whoever was let in at an address where nobody reaches it would hear of nothing. */
  #awaitLeader(at: number, deadline: number): void {
    realClock.setTimeout(() => {
      const isReached = this.#isKnown || this.#server.context.leaderId !== undefined
      if (this.#server.isStopped || isReached) return
      if (realClock.now() < deadline) return this.#awaitLeader(at, deadline)
      const { id, address } = this.#self
      this.#tell(`server ${id} was let in at ${address}, but no member has reached it there yet`)
      this.#askNext(at)
    }, RETRY_MS)
  }

  #refused(address: string, answer: Extract<JoinAnswer, { readonly kind: 'refused' }>, at: number): void {
    const { reason, removedBy } = answer
    const acceptedAt = this.#acceptedAt ?? 0
    if (removedBy !== undefined && removedBy > acceptedAt) return this.#removed(removedBy)
    // The leader that let it in was deposed before others had the entry.
    if (removedBy !== undefined) this.#acceptedAt = undefined
    this.#askLater(at, `${address}: ${reason}`)
  }

  #removed(index: LogIndex): void {
    this.#server.lookup.noteRemoved(index)
    const advice = 'To have it back, give it an empty directory and let it join'
    this.#tell(`server ${this.#self.id} was removed by entry ${index}, and does not ask to be let in again. ${advice}`)
  }

  #askLater(at: number, reason: string): void {
    const { id, address } = this.#self
    const what = this.#isNew ? 'has not joined the cluster yet' : `is not known at ${address} yet`
    this.#tell(`server ${id} ${what}: ${reason}`)
    realClock.setTimeout(() => this.#askNext(at), RETRY_MS)
  }

  #askNext(at: number): void {
    const addresses = this.#addresses
    const next = (at + 1) % Math.max(1, addresses.length)
    this.#ask(addresses[next] ?? '', next, 0)
  }

  /** Once for each reason, however often it is asked. */
  #tell(text: string): void {
    this.#lastTold = text
    if (this.#told.has(text) || this.#told.size >= TOLD_MAX) return
    this.#told.add(text)
    this.#options.log({ level: 'warn', message: text })
  }
}
