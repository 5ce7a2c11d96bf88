import { MEMBERS_MAX, SERVER_ID_MAX, type Member, type ServerId } from '../machines/types.js'
import { ADDRESS_CHARACTERS_MAX } from '../options.js'

/**
 * Reads of what another server said in JSON: a handshake, a wish to join, a change of membership. Whatever is not as it
 * must be is refused; fields that are not known here are left out, since a later version may have added them.
 */

/** Names and addresses end up in logs and messages: no control characters, and not long. */
const NAME = new RegExp(`^\\P{C}{1,${ADDRESS_CHARACTERS_MAX}}$`, 'u')
const PRINTABLE_CHARACTERS_MAX = 500

/** What somebody else wrote, made fit for a line of a log. */
export function printable(text: string): string {
  return text.slice(0, PRINTABLE_CHARACTERS_MAX).replace(/\p{C}/gu, '?')
}

/** The object that `text` holds as JSON, or undefined. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    return objectOf(JSON.parse(text))
  } catch {
    return undefined
  }
}

export function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value)
}

export function isUint32(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff
}

export function isServerId(value: unknown): value is ServerId {
  return isUint32(value) && value >= 1 && value <= SERVER_ID_MAX
}

/** Every element read by `readOne`, or undefined when one of them is none or there are too many. */
export function readList<Element>(
  value: unknown,
  readOne: (value: unknown) => Element | undefined,
): readonly Element[] | undefined {
  if (!Array.isArray(value) || value.length > MEMBERS_MAX) return undefined
  const list: Element[] = []
  for (const element of value) {
    const read = readOne(element)
    if (read === undefined) return undefined
    list.push(read)
  }
  return list
}

export function readServerId(value: unknown): ServerId | undefined {
  return isServerId(value) ? value : undefined
}

export function readPlace(value: unknown): { readonly id: ServerId; readonly address: string } | undefined {
  const { id, address } = objectOf(value) ?? {}
  return isServerId(id) && isName(address) ? { id, address } : undefined
}

export function readMember(value: unknown): Member | undefined {
  const place = readPlace(value)
  const { storeId, promotable } = objectOf(value) ?? {}
  if (place === undefined) return undefined
  if (storeId !== undefined && !isName(storeId)) return undefined
  if (promotable !== undefined && typeof promotable !== 'boolean') return undefined
  return { ...place, ...(storeId !== undefined && { storeId }), ...(promotable !== undefined && { promotable }) }
}

export function objectOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
}
