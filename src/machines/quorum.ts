import { invariant } from './invariant.js'
import type { Configuration, LogIndex, ServerId } from './types.js'

/**
 * The arithmetic of quorums, for plain and joint configurations (thesis §4.3): a joint one needs a majority of both
 * halves.
 */

/** How a vote stands: `won` and `lost` can no longer change, whatever the missing votes say. */
export type VoteResult = 'won' | 'lost' | 'pending'

/**
 * The highest index that a quorum has reached. An index that is not known counts as 0.
 * @throws InvariantBroken when the configuration has no voters.
 */
export function committedIndex(
  configuration: Configuration,
  indexOf: (id: ServerId) => LogIndex | undefined,
): LogIndex {
  return quorumValue(configuration, (id) => indexOf(id) ?? 0)
}

/**
 * The highest value that a quorum has reached, for any number that only grows: an index, a round, a time.
 * @throws InvariantBroken when the configuration has no voters.
 */
export function quorumValue(configuration: Configuration, valueOf: (id: ServerId) => number): number {
  const reached = majorityValue(configuration.voters, valueOf)
  return isJoint(configuration) ? Math.min(reached, majorityValue(configuration.votersOutgoing, valueOf)) : reached
}

/** By counting: voters are few, every answer of a peer asks for it, and to sort their values makes much garbage. */
function majorityValue(voters: readonly ServerId[], valueOf: (id: ServerId) => number): number {
  invariant(voters.length > 0, 'a configuration has voters')
  const majority = (countOf(voters, () => true) >> 1) + 1
  let reached = -Infinity
  for (const voter of voters) {
    const value = valueOf(voter)
    if (value > reached && countOf(voters, (id) => valueOf(id) >= value) >= majority) reached = value
  }
  return reached
}

/** How many of `ids` meet `condition`, each counted once. */
function countOf(ids: readonly ServerId[], condition: (id: ServerId) => boolean): number {
  let count = 0
  for (let at = 0; at < ids.length; at++) {
    const id = ids[at]
    if (id !== undefined && ids.indexOf(id) === at && condition(id)) count++
  }
  return count
}

/**
 * How a vote stands, given who granted (true), refused (false) or has not answered (undefined).
 * @throws InvariantBroken when the configuration has no voters.
 */
export function voteResult(configuration: Configuration, voteOf: (id: ServerId) => boolean | undefined): VoteResult {
  const result = majorityVote(configuration.voters, voteOf)
  if (!isJoint(configuration)) return result
  const outgoing = majorityVote(configuration.votersOutgoing, voteOf)
  if (result === 'lost' || outgoing === 'lost') return 'lost'
  return result === 'won' && outgoing === 'won' ? 'won' : 'pending'
}

function majorityVote(voters: readonly ServerId[], voteOf: (id: ServerId) => boolean | undefined): VoteResult {
  const ids = distinct(voters)
  invariant(ids.length > 0, 'a configuration has voters')
  let granted = 0
  let refused = 0
  for (const id of ids) {
    const vote = voteOf(id)
    if (vote === true) granted++
    else if (vote === false) refused++
  }
  const majority = (ids.length >> 1) + 1
  if (granted >= majority) return 'won'
  return ids.length - refused < majority ? 'lost' : 'pending'
}

/** True while C_old,new rules. */
export function isJoint(
  configuration: Configuration,
): configuration is Configuration & { readonly votersOutgoing: readonly ServerId[] } {
  return configuration.votersOutgoing !== undefined && configuration.votersOutgoing.length > 0
}

export function isVoter(configuration: Configuration, id: ServerId): boolean {
  return configuration.voters.includes(id) || (configuration.votersOutgoing?.includes(id) ?? false)
}

/** True when `id` decides alone, so that it need not wait to hear from anyone. */
export function isSoleVoter(configuration: Configuration, id: ServerId): boolean {
  // A server that is yet to join knows of no voters at all.
  if (configuration.voters.length === 0) return false
  return voteResult(configuration, (voter) => (voter === id ? true : undefined)) === 'won'
}

/** Everyone but `self` who votes or listens, each once. */
export function peersOf(configuration: Configuration, self: ServerId): readonly ServerId[] {
  const { voters, votersOutgoing = [], learners } = configuration
  return distinct([...voters, ...votersOutgoing, ...learners]).filter((id) => id !== self)
}

function distinct(ids: readonly ServerId[]): readonly ServerId[] {
  return ids.filter((id, at) => ids.indexOf(id) === at)
}
