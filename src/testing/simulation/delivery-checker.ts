import { crc32 } from '../../machines/checksum.js'
import type { Message } from '../../machines/messages.js'
import type { ServerId } from '../../machines/types.js'
import { legible } from './legible.js'
import { Violation } from './violation.js'

/**
 * Judges the wire: what a server hears was said to it, word for word. It may come late, twice, out of order or never.
 * Messages are compared as they enter the codec and as they leave it, so that neither its checksums nor its idea of what
 * belongs to a message are taken for granted.
 */
export class DeliveryChecker {
  /** By sender, then by who is told. */
  readonly #said = new Map<ServerId, Map<ServerId, Set<string>>>()

  sent(from: ServerId, to: ServerId, message: Message): void {
    this.#saidTo(from, to).add(wordsOf(message))
  }

  heard(from: ServerId, to: ServerId, message: Message): void {
    if (this.#saidTo(from, to).has(wordsOf(message))) return
    const said = JSON.stringify(legible(message))
    throw new Violation('what a server hears was said to it', `server ${from} never said to ${to}: ${said}`)
  }

  #saidTo(from: ServerId, to: ServerId): Set<string> {
    const byListener = this.#said.get(from) ?? new Map<ServerId, Set<string>>()
    const said = byListener.get(to) ?? new Set()
    if (said.size === 0) this.#said.set(from, byListener.set(to, said))
    return said
  }
}

/** All that is in a value, whatever the order of its fields; of bytes their checksum. Short, since millions are kept. */
function wordsOf(value: unknown): string {
  if (typeof value === 'string') return `${value.length}:${value}`
  if (typeof value !== 'object' || value === null) return String(value)
  if (value instanceof Uint8Array) return `${value.length} bytes ${crc32(value)}`
  let words = ''
  if (Array.isArray(value)) {
    for (const each of value) words += `${wordsOf(each)},`
    return `[${words}]`
  }
  const fields = value as Readonly<Record<string, unknown>>
  const { number, sorted } = namesIn(fields)
  for (const name of sorted) words += `${wordsOf(fields[name])},`
  return `${number}{${words}}`
}

/** The names of an object's fields, in order, and a number in their place. */
interface Names {
  readonly number: number
  readonly sorted: readonly string[]
}

/** After some names in the order in which an object has them: which may follow; and, where one ends, all of them. */
interface NamesRead {
  readonly next: Map<string, NamesRead>
  names: Names | undefined
}

const ORDERS: NamesRead = { next: new Map(), names: undefined }
const KNOWN = new Map<string, Names>()

/** Sorted once for each order in which objects have them: there are few, and every message is asked for. */
function namesIn(fields: Readonly<Record<string, unknown>>): Names {
  let read = ORDERS
  for (const name in fields) {
    if (fields[name] === undefined) continue
    let next = read.next.get(name)
    if (next === undefined) read.next.set(name, (next = { next: new Map(), names: undefined }))
    read = next
  }
  return (read.names ??= sortedNames(fields))
}

function sortedNames(fields: Readonly<Record<string, unknown>>): Names {
  const sorted = Object.keys(fields)
    .filter((name) => fields[name] !== undefined)
    .sort()
  const all = sorted.join()
  const names = KNOWN.get(all) ?? { number: KNOWN.size, sorted }
  KNOWN.set(all, names)
  return names
}
