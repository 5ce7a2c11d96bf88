import { latestConfiguration, type RaftContext } from './context.js'
import type { MembershipChange } from './messages.js'
import { isJoint, isVoter } from './quorum.js'
import type { Configuration, LogIndex, Member, ServerId } from './types.js'

/** The arithmetic of membership changes (thesis §4.3): from one configuration to the next, by way of a joint one. */

/** The configuration that `change` leads to, or why there is none. Equal members and roles give an equal value. */
export function configurationAfter(before: Configuration, change: MembershipChange): Configuration | string {
  const named = [...change.learners, ...change.addresses].map(({ id }) => id).concat(change.promote, change.remove)
  const twice = named.find((id, at) => named.indexOf(id) !== at)
  if (twice !== undefined) return `server ${twice} is named twice in one change`
  const members = new Map((before.members ?? []).map((member) => [member.id, member]))
  const voters = new Set(before.voters)
  const learners = new Set(before.learners)
  const fault = takeOut(change, voters, learners, members) ?? takeIn(change, voters, learners, members)
  if (fault !== undefined) return fault
  for (const id of change.promote) {
    if (!learners.delete(id)) return `server ${id} is no learner, so it cannot be promoted`
    voters.add(id)
    const known = members.get(id)
    if (known !== undefined) members.set(id, asVoter(known))
  }
  // Those that are demoted stay where they are known to be.
  const moved = [...change.learners.filter((member) => !isDemotion(member)), ...change.addresses]
  for (const { id, address } of moved) {
    const holder = [...members.values()].find((member) => member.address === address && member.id !== id)
    if (holder !== undefined) return `server ${holder.id} has the address ${address} already`
  }
  if (voters.size === 0) return 'a cluster without a voter could decide nothing'
  const kept = before.members === undefined && members.size === 0 ? {} : { members: [...members.values()] }
  return { voters: [...voters], learners: [...learners], ...kept }
}

function takeOut(
  { remove, addresses }: MembershipChange,
  voters: Set<ServerId>,
  learners: Set<ServerId>,
  members: Map<ServerId, Member>,
): string | undefined {
  for (const id of remove) {
    const wasVoter = voters.delete(id)
    const wasLearner = learners.delete(id)
    if (!wasVoter && !wasLearner) return `server ${id} is no member, so it cannot be removed`
    members.delete(id)
  }
  for (const { id, address } of addresses) {
    if (!voters.has(id) && !learners.has(id)) return `server ${id} is no member, so it has no address to change`
    members.set(id, { ...members.get(id), id, address })
  }
  return undefined
}

function takeIn(
  change: MembershipChange,
  voters: Set<ServerId>,
  learners: Set<ServerId>,
  members: Map<ServerId, Member>,
): string | undefined {
  for (const member of change.learners) {
    const known = members.get(member.id)
    if (known?.storeId !== undefined && member.storeId !== undefined && known.storeId !== member.storeId) {
      return `server ${member.id} is a member with another data directory (${known.storeId}, not ${member.storeId}): it was wiped or replaced; remove it first, or give the new one another id`
    }
    const wasVoter = voters.delete(member.id)
    if (wasVoter && !isDemotion(member))
      return `server ${member.id} is a voter already; to make it a learner, demote it`
    if (!wasVoter && isDemotion(member)) return `server ${member.id} is no voter, so it cannot be demoted`
    learners.add(member.id)
    // Whoever asked may have known less of it, or what is no longer so.
    members.set(member.id, isDemotion(member) ? (known ?? member) : { ...known, ...member })
  }
  return undefined
}

/** Of a learner in a change: a new one says whether it is to be promoted, and a voter has nothing to say of that. */
function isDemotion({ promotable }: Member): boolean {
  return promotable === undefined
}

/** Only a learner is promotable. */
function asVoter({ id, address, storeId }: Member): Member {
  return storeId === undefined ? { id, address } : { id, address, storeId }
}

/** C_old,new where the voters differ; the next configuration itself where they do not (thesis §4.3). */
export function firstStep(before: Configuration, next: Configuration): Configuration {
  if (sameIds(before.voters, next.voters)) return next
  const members = new Map((before.members ?? []).map((member) => [member.id, member]))
  for (const member of next.members ?? []) members.set(member.id, member)
  const kept = members.size === 0 ? {} : { members: [...members.values()] }
  return { voters: next.voters, votersOutgoing: before.voters, learners: next.learners, ...kept }
}

/** C_new: what a joint configuration leads to. */
export function lastStep({ voters, learners, members }: Configuration): Configuration {
  const staying = members?.filter(({ id }) => voters.includes(id) || learners.includes(id))
  return staying === undefined ? { voters, learners } : { voters, learners, members: staying }
}

export function sameConfiguration(one: Configuration, other: Configuration): boolean {
  const memberOf = (members: readonly Member[] = [], id: ServerId): Member | undefined =>
    members.find((member) => member.id === id)
  return (
    sameIds(one.voters, other.voters) &&
    sameIds(one.learners, other.learners) &&
    one.members?.length === other.members?.length &&
    (one.members ?? []).every((member) => {
      const match = memberOf(other.members, member.id)
      return (
        match?.address === member.address && match.storeId === member.storeId && match.promotable === member.promotable
      )
    })
  )
}

export function sameIds(one: readonly ServerId[], other: readonly ServerId[]): boolean {
  return one.length === other.length && one.every((id) => other.includes(id))
}

export function isMember(configuration: Configuration, id: ServerId): boolean {
  return isVoter(configuration, id) || configuration.learners.includes(id)
}

/**
 * Whether this server may campaign: it votes, or did before a change that is not yet known to be committed. Leaving is
 * certain only then (thesis §4.2.2), and until then the others may need it.
 */
export function mayCampaign(context: RaftContext): boolean {
  const { configurations, commitIndex, campaign, id } = context
  const latest = latestConfiguration(context)
  if (campaign.leftAt > latest.index) return false
  if (isVoter(latest.configuration, id)) return true
  const before = configurations.at(-2)
  return latest.index > commitIndex && before !== undefined && isVoter(before.configuration, id)
}

/**
 * Where this server learnt that it is a member no more: from the leader, or from its own log once that is known to be
 * committed there. Undefined for a member, and for one that has yet to join.
 */
export function removedAt(context: RaftContext): LogIndex | undefined {
  const { index } = latestConfiguration(context)
  if (context.campaign.leftAt > index) return context.campaign.leftAt
  return index <= context.commitIndex && isLeftOutByLog(context) ? index : undefined
}

/** Whether the log named this server, by its data directory, and its latest configuration does not. */
export function isLeftOutByLog(context: RaftContext): boolean {
  return !isMember(latestConfiguration(context).configuration, context.id) && wasNamed(context)
}

/** Whether the log names or named this server, by its data directory: another one may have been under its id before. */
export function wasNamed({ id, identity, configurations }: RaftContext): boolean {
  return configurations.some(({ configuration: { members = [] } }) =>
    members.some((member) => member.id === id && member.storeId === identity.storeId),
  )
}

/** The index of the committed configuration that leaves `id` out; undefined while none is known to. */
export function leftOutAt(context: RaftContext, id: ServerId): number | undefined {
  const { index, configuration } = latestConfiguration(context)
  const isSettled = index > 0 && index <= context.commitIndex && !isJoint(configuration)
  return isSettled && !isMember(configuration, id) ? index : undefined
}
