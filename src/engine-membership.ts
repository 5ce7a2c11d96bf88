import { BehaviorSubject, distinctUntilChanged, type Observable } from 'rxjs'
import type { ClusterMember, Membership } from './client/cluster-view.js'
import { ActorumError } from './errors.js'
import { type ConfigurationAt, latestConfiguration, type RaftContext } from './machines/context.js'
import type { MembershipChange } from './machines/messages.js'
import { isJoint } from './machines/quorum.js'
import { type Member, MEMBERS_MAX, SERVER_ID_MAX, type ServerId } from './machines/types.js'
import { ADDRESS_CHARACTERS_MAX, checkNames, hasUnspecifiedHost, parseAddress, shown } from './options.js'

/** Who leads, as far as this server knows. */
export interface Leadership {
  readonly leaderId: ServerId | undefined
  readonly term: number
}

/** A change of the membership: everything in it happens at once (joint consensus, thesis §4.3). */
export interface MembershipChangeRequest {
  /**
   * New members. They listen only, until promoted: by the leader once they have caught up if `promotable` (default true).
   * With `promotable: false` they are read-only.
   */
  readonly addLearners?: readonly (Pick<Member, 'id' | 'address'> & { readonly promotable?: boolean })[] | undefined
  /** Learners that shall vote from now on. */
  readonly promote?: readonly ServerId[] | undefined
  /** Voters that shall only listen from now on. */
  readonly demote?: readonly ServerId[] | undefined
  /** Members that leave. */
  readonly remove?: readonly ServerId[] | undefined
  /** Members that moved. */
  readonly addresses?: readonly { readonly id: ServerId; readonly address: string }[] | undefined
  /** Goes ahead although no quorum of the new configuration can be reached, or has caught up, at the moment. Default false. */
  readonly force?: boolean | undefined
}

const NAMES = ['addLearners', 'promote', 'demote', 'remove', 'addresses', 'force']

/**
 * Checks a request, and leaves it to the leader what its members are at present: this server may be behind. What comes of
 * it keeps nothing of the caller's. Throws INVALID_ARGUMENT, or REFUSED: it does not know a voter that is to be demoted.
 */
export function validateChange(request: MembershipChangeRequest, context: RaftContext): MembershipChange {
  const given: unknown = request
  checkNames(given, "the change's parts", NAMES)
  const { addLearners = [], promote = [], demote = [], remove = [], addresses = [], force = false } = request
  for (const [name, ids] of Object.entries({ promote, demote, remove })) checkIds(name, ids)
  checkMembers('addLearners', addLearners, ['id', 'address', 'promotable'])
  checkMembers('addresses', addresses, ['id', 'address'])
  if (typeof force !== 'boolean') throw invalid(`force is ${shown(force)}; it must be true or false`)
  const added = addLearners.map(({ id, address, promotable = true }) => ({ id, address, promotable }))
  const learners = [...added, ...demoted(demote, context)]
  checkLength('addLearners and demote together', learners)
  const moved = addresses.map(({ id, address }) => ({ id, address }))
  return { learners, promote: [...promote], remove: [...remove], addresses: moved, force }
}

function checkLength(name: string, { length }: readonly unknown[]): void {
  if (length > MEMBERS_MAX) throw invalid(`${name} are ${length}; at most ${MEMBERS_MAX} are allowed`)
}

/** As they travel: with the address known here, which the leader has no need of, but every message has one. */
function demoted(ids: readonly ServerId[], context: RaftContext): readonly Pick<Member, 'id' | 'address'>[] {
  const { members = [] } = latestConfiguration(context).configuration
  return ids.map((id) => {
    const known = members.find((member) => member.id === id)
    if (known !== undefined) return { id, address: known.address }
    const text = `server ${id} is no member as far as this server knows, so it cannot be demoted`
    throw new ActorumError('REFUSED', `the membership was not changed: ${text}`)
  })
}

function checkIds(name: string, ids: readonly unknown[]): void {
  // Also where an array has holes, which `every` would pass over.
  if (!Array.isArray(ids) || !Array.from<unknown>(ids).every(isServerId))
    throw invalid(`${name} is ${shown(ids)}; it must be a list of server ids: integers from 1 to ${SERVER_ID_MAX}`)
  checkLength(`the ids in ${name}`, ids)
}

function checkMembers(name: string, members: unknown, names: readonly string[]): void {
  if (!Array.isArray(members))
    throw invalid(`${name} is ${shown(members)}; it must be a list of { ${names.join(', ')} }`)
  checkLength(`the elements of ${name}`, members)
  for (const [at, member] of Array.from<unknown>(members).entries()) {
    checkNames(member, `the parts of ${name}[${at}]`, names)
    const { id, address, promotable } = member
    if (!isServerId(id))
      throw invalid(`${name}[${at}].id is ${shown(id)}; it must be an integer from 1 to ${SERVER_ID_MAX}`)
    if (typeof address === 'string' && hasUnspecifiedHost(address)) {
      const why = 'every address of a machine, and nobody can dial that'
      throw invalid(`${name}[${at}].address is ${shown(address)}, ${why}`)
    }
    if (typeof address !== 'string' || parseAddress(address) === undefined) {
      const form = `host:port, of at most ${ADDRESS_CHARACTERS_MAX} characters`
      throw invalid(`${name}[${at}].address is ${shown(address)}; it must be ${form}`)
    }
    if (promotable !== undefined && typeof promotable !== 'boolean') {
      throw invalid(`${name}[${at}].promotable is ${shown(promotable)}; it must be true or false`)
    }
  }
}

export function isServerId(value: unknown): value is ServerId {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= SERVER_ID_MAX
}

function invalid(text: string): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', `${text}; the membership was not changed`)
}

/** The members as the latest configuration has them, in order of their ids. A server that runs no more knows no leader. */
export function membersOf(context: RaftContext, leaderId: ServerId | undefined): readonly ClusterMember[] {
  const { voters, votersOutgoing = [], learners, members = [] } = latestConfiguration(context).configuration
  return [...new Set([...voters, ...votersOutgoing, ...learners])]
    .sort((one, other) => one - other)
    .map((id) => {
      const member = members.find((known) => known.id === id)
      const role = voters.includes(id) || votersOutgoing.includes(id) ? 'voter' : learnerRole(member)
      return { id, address: member?.address ?? '', role, isLeader: id === leaderId }
    })
}

function learnerRole(member: Member | undefined): 'promotable' | 'readOnly' {
  return member?.promotable === true ? 'promotable' : 'readOnly'
}

/** What an engine tells of its cluster as it changes; the present state first. */
export class ClusterFeed {
  readonly #membership: BehaviorSubject<Membership>
  readonly #leadership: BehaviorSubject<Leadership>

  constructor(context: RaftContext) {
    // Of a joint one, half-way, nothing is told: a server that was stopped within a change begins with what was before it.
    const { configurations } = context
    const whole =
      configurations.findLast(({ configuration }) => !isJoint(configuration)) ?? latestConfiguration(context)
    this.#membership = new BehaviorSubject(membershipOf(whole, context))
    this.#leadership = new BehaviorSubject<Leadership>({ leaderId: undefined, term: context.hardState.term })
  }

  get membership$(): Observable<Membership> {
    return this.#membership.pipe(distinctUntilChanged(isSameMembership))
  }

  get leadership$(): Observable<Leadership> {
    return this.#leadership.asObservable()
  }

  /** Somebody else leads, or another configuration rules; half-way, in a joint one, nothing is told yet. */
  update(context: RaftContext): void {
    const { leaderId, hardState } = context
    const told = this.#leadership.value
    if (told.leaderId !== leaderId || told.term !== hardState.term) {
      this.#leadership.next({ leaderId, term: hardState.term })
    }
    const latest = latestConfiguration(context)
    if (!isJoint(latest.configuration)) this.#membership.next(membershipOf(latest, context))
  }

  complete(): void {
    this.#membership.complete()
    this.#leadership.complete()
  }
}

function membershipOf({ index, configuration }: ConfigurationAt, { leaderId }: RaftContext): Membership {
  return { voters: configuration.voters, learners: configuration.learners, leaderId, index }
}

function isSameMembership(one: Membership, other: Membership): boolean {
  return one.index === other.index && one.leaderId === other.leaderId && one.voters === other.voters
}
