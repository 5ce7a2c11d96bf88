import type { Malformed } from '../machines/entry-run.js'
import type { MembershipChange } from '../machines/messages.js'
import { parseObject, readList, readMember, readPlace, readServerId } from './json-fields.js'

/** A change of membership as the body of a frame: rare and small, so JSON, as the log's configurations are. */
export function encodeChange({ learners, promote, remove, addresses, force }: MembershipChange): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify({
      learners: learners.map(({ id, address, storeId, promotable }) => ({ id, address, storeId, promotable })),
      promote,
      remove,
      addresses: addresses.map(({ id, address }) => ({ id, address })),
      force,
    }),
  )
}

/** Reads a body that has passed its checksum. Never throws. */
export function decodeChange(bytes: Uint8Array): MembershipChange | Malformed {
  const said = parseObject(new TextDecoder().decode(bytes))
  if (said === undefined) return { malformed: 'a change is not a JSON object' }
  const learners = readList(said.learners, readMember)
  if (learners === undefined) return { malformed: 'a change has no list of learners' }
  const promote = readList(said.promote, readServerId)
  if (promote === undefined) return { malformed: 'a change has no list of ids to promote' }
  const remove = readList(said.remove, readServerId)
  if (remove === undefined) return { malformed: 'a change has no list of ids to remove' }
  const addresses = readList(said.addresses, readPlace)
  if (addresses === undefined) return { malformed: 'a change has no list of addresses' }
  const { force } = said
  if (typeof force !== 'boolean') return { malformed: 'a change does not say whether it is forced' }
  return { learners, promote, remove, addresses, force }
}
