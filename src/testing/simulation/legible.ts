import { textOf } from './plain-model.js'

/** Bytes as text, one character a byte, all the way down. */
export function legible(value: unknown): unknown {
  if (value instanceof Uint8Array) return textOf(value)
  if (Array.isArray(value)) return value.map(legible)
  if (typeof value !== 'object' || value === null) return value
  const shown: Record<string, unknown> = {}
  for (const [name, each] of Object.entries(value)) shown[name] = legible(each)
  return shown
}

/** Whether two legible values say the same; what is not there and what is undefined are one. */
export function isSame(one: unknown, other: unknown): boolean {
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return one === other
  const left = one as Readonly<Record<string, unknown>>
  const right = other as Readonly<Record<string, unknown>>
  for (const name of Object.keys(left)) if (!isSame(left[name], right[name])) return false
  for (const name of Object.keys(right)) if (right[name] !== undefined && !Object.hasOwn(left, name)) return false
  return true
}
