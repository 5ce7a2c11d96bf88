import { crc32 } from '../../machines/checksum.js'
import type { Message } from '../../machines/messages.js'
import type { ServerId } from '../../machines/types.js'
import { Violation } from './violation.js'

/**
 * Judges the wire: what a server hears was said to it, word for word. It may come late, twice, out of order or never.
 * Messages are compared as they enter the codec and as they leave it, so that neither its checksums nor its idea of what
 * belongs to a message are taken for granted.
 */
export class DeliveryChecker {
  readonly #said = new Map<string, Set<string>>()

  sent(from: ServerId, to: ServerId, message: Message): void {
    const way = `${from} to ${to}`
    const words = wordsOf(message)
    const said = this.#said.get(way)
    if (said === undefined) this.#said.set(way, new Set([words]))
    else said.add(words)
  }

  heard(from: ServerId, to: ServerId, message: Message): void {
    const words = wordsOf(message)
    if (this.#said.get(`${from} to ${to}`)?.has(words) === true) return
    throw new Violation('what a server hears was said to it', `server ${from} never said to ${to}: ${words}`)
  }
}

/** All that is in a value, whatever the order of its fields; of bytes their checksum. */
function wordsOf(value: unknown): string {
  if (value instanceof Uint8Array) return `${value.length} bytes ${crc32(value)}`
  if (Array.isArray(value)) return `[${value.map(wordsOf).join()}]`
  if (typeof value !== 'object' || value === null) return String(value)
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
  fields.sort(([one], [other]) => (one < other ? -1 : 1))
  return `{${fields.map(([name, field]) => `${name} ${wordsOf(field)}`).join()}}`
}
