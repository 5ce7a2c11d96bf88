import { ActorumError } from './errors.js'
import type { Member } from './machines/types.js'
import { hasUnspecifiedHost, ownAddress, type ResolvedOptions } from './options.js'
import type { Recovered } from './storage/ports.js'

/** What a data directory says of the server whose it is. */
type Identity = Pick<Recovered, 'fresh' | 'clusterId' | 'boundary' | 'configurations'>

/** The members that the log in a data directory names last. */
export function loggedMembers({
  boundary,
  configurations,
}: Pick<Identity, 'boundary' | 'configurations'>): readonly Member[] {
  return (configurations.at(-1)?.configuration ?? boundary.configuration).members ?? []
}

/** Options that a data directory belies: another cluster's are refused, and what counts no more is told. */
export function checkIdentity(options: ResolvedOptions, recovered: Identity): void {
  refuseOtherCluster(options, recovered)
  if (recovered.fresh) return
  const known = loggedMembers(recovered)
  for (const message of [otherMembers(options, known), movedFrom(options, known), joinsNobody(options, known)]) {
    if (message !== undefined) options.log({ level: 'warn', message })
  }
}

function refuseOtherCluster({ clusterId, dataDir }: ResolvedOptions, recovered: Identity): void {
  if (clusterId === undefined || recovered.clusterId === undefined || clusterId === recovered.clusterId) return
  const text = `the data directory ${dataDir} belongs to cluster ${recovered.clusterId}, not ${clusterId}; start it with its own clusterId, or with another dataDir`
  throw new ActorumError('INVALID_ARGUMENT', text)
}

function otherMembers(options: ResolvedOptions, known: readonly Member[]): string | undefined {
  const { id, members, join, listen = '', dataDir } = options
  // Who names nobody else has most likely named nobody at all.
  const areOthersNamed = members.length > 1 || members[0]?.address !== listen
  if (join !== undefined || !areOthersNamed || describe(known) === describe(members)) return undefined
  const address = ownAddress(options, known)
  const isMoving = known.some((member) => member.id === id && member.address !== address)
  const but = isMoving ? `, and gets server ${id}'s address from here: ${address}` : ''
  return `the option members says ${describe(members)}, but the log in ${dataDir} says ${describe(known)}; the log rules${but}`
}

/** Somebody moved a server, perhaps, and named its new address in `listen` alone. */
function movedFrom(options: ResolvedOptions, known: readonly Member[]): string | undefined {
  const { id, listen } = options
  const address = ownAddress(options, known)
  // What listens everywhere says nothing of where it is reached.
  if (listen === undefined || listen === address || hasUnspecifiedHost(listen)) return undefined
  if (!known.some((member) => member.id === id && member.address === address)) return undefined
  const advice = `unless ${address} leads to ${listen}, by a proxy or another name, name ${listen} in members too`
  return `server ${id} listens on ${listen}, but is known at ${address}, as the option members has it: ${advice}`
}

/** It was started without `join` once, perhaps by mistake, and began a cluster of its own. */
function joinsNobody(options: ResolvedOptions, known: readonly Member[]): string | undefined {
  const { id, listen, join = [], dataDir } = options
  const others = join.filter((address) => address !== listen && address !== ownAddress(options, known))
  const isAlone = known.length === 1 && known[0]?.id === id
  if (!isAlone || others.length === 0) return undefined
  const advice = `to have it join ${others.join(', ')}, give it an empty directory`
  return `server ${id} is a cluster by itself, as ${dataDir} has it, and joins nobody: ${advice}`
}

function describe(members: readonly Member[]): string {
  return members
    .map(({ id, address }) => `${id}@${address}`)
    .sort()
    .join(', ')
}
