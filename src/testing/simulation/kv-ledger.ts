import type { LogIndex } from '../../machines/types.js'
import {
  CREATE,
  DELETE,
  endOfField,
  PUT,
  SWAP,
  type SingleKeyCommand,
  type KvResult,
} from '../../state-machines/kv/commands.js'
import { KeyValueStore } from '../../state-machines/kv/key-value-store.js'
import { keyChars } from '../../state-machines/kv/keys.js'
import type { CommittedBatch } from '../../state-machines/ports.js'
import type { AppliedWrite } from '../linearizability/eventual.js'
import { Violation } from './violation.js'

/** A committed command, and whether it changed anything. */
interface Settled {
  readonly command: SingleKeyCommand
  readonly changed: boolean
}

const decoder = new TextDecoder()

/**
 * The final order of all commands, from the committed batches alone: a second, plain model of the key-value store
 * beside the real ones, against which their answers and their states are held.
 */
export class KvLedger {
  readonly #settled = new Map<LogIndex, Settled>()
  readonly #state = new Map<string, string>()
  readonly #applied: AppliedWrite[] = []
  readonly #acknowledged: { readonly command: SingleKeyCommand; readonly result: KvResult }[] = []
  readonly #refused = new Set<string>()
  /** By what it writes, which no two commands of clients share. */
  readonly #committedValues = new Map<string, LogIndex>()
  #twice: string | undefined
  #lastIndex: LogIndex = 0

  /** Every write that changed something, in order. */
  get applied(): readonly AppliedWrite[] {
    return this.#applied
  }

  /** A batch as a server applies it; that all servers apply the same ones is another judge's business. */
  note({ bytes, bounds, count, firstIndex }: CommittedBatch): void {
    for (let at = 0; at < count; at++) {
      const index = firstIndex + at
      if (index <= this.#lastIndex) continue
      this.#lastIndex = index
      const command = decodeCommand(bytes, bounds[2 * at] ?? 0, bounds[2 * at + 1] ?? 0)
      this.#noteValue(command, index)
      this.#settled.set(index, { command, changed: this.#apply(command, index) })
    }
  }

  #noteValue(command: SingleKeyCommand, index: LogIndex): void {
    if (command.type === 'delete') return
    const value = text(command.value)
    const before = this.#committedValues.get(value)
    if (before !== undefined) this.#twice ??= `${command.type} of ${value} is committed at ${before} and at ${index}`
    this.#committedValues.set(value, index)
  }

  #apply(command: SingleKeyCommand, revision: LogIndex): boolean {
    const key = text(command.key)
    const before = this.#state.get(key)
    if (command.type === 'delete') {
      if (!this.#state.delete(key)) return false
      this.#applied.push({ revision, key, value: null })
      return true
    }
    if (command.type === 'compareAndSwap' && before !== (command.expected && text(command.expected))) return false
    const value = text(command.value)
    this.#state.set(key, value)
    this.#applied.push({ revision, key, value })
    return true
  }

  /** A client was told this. */
  acknowledged(command: SingleKeyCommand, result: KvResult): void {
    this.#acknowledged.push({ command, result })
  }

  /** A client was told that this write certainly is not applied. Its value is no other write's. */
  refused(value: string): void {
    this.#refused.add(value)
  }

  /** No write that its client was told is not applied is in the final order. */
  checkRefused(): void {
    for (const { command } of this.#settled.values()) {
      if (command.type === 'delete' || !this.#refused.has(text(command.value))) continue
      const told = `${command.type} of ${text(command.key)} = ${text(command.value)}`
      throw new Violation('what is reported as not applied never is', `${told} was, and is in the log`)
    }
  }

  /** Every acknowledged command is in the final order, once, where and as its client was told. */
  checkAcknowledged(): void {
    if (this.#twice !== undefined) throw new Violation('a command is committed once', this.#twice)
    for (const { command, result } of this.#acknowledged) {
      const settled = this.#settled.get(result.revision)
      const told = `${command.type} of ${text(command.key)} was acknowledged at revision ${result.revision}`
      if (settled === undefined || !isSame(settled.command, command)) {
        throw new Violation(
          'no acknowledged write is lost',
          `${told}, where there is ${settled === undefined ? 'none' : 'another'}`,
        )
      }
      const changed = 'deleted' in result ? result.deleted : 'swapped' in result ? result.swapped : true
      if (changed !== settled.changed) {
        throw new Violation(
          'a command does what its client was told',
          `${told}: it ${changed ? 'changed something' : 'changed nothing'}, its client was told`,
        )
      }
    }
  }

  /** A store that has applied everything holds what the model holds. */
  checkStore(name: string, store: KeyValueStore): void {
    if (store.size !== this.#state.size) {
      throw new Violation(
        'a store holds what was written to it',
        `${name} has ${store.size} keys, not ${this.#state.size}`,
      )
    }
    for (const [key, value] of this.#state) {
      const found = store.getValue(keyChars(key, 1024))
      if (found !== undefined && decoder.decode(found) === value) continue
      throw new Violation(
        'a store holds what was written to it',
        `${name} has ${found && decoder.decode(found)} for ${key}, not ${value}`,
      )
    }
  }
}

/** A key-value store that a ledger looks over the shoulder of. */
export class LedgeredStore extends KeyValueStore {
  readonly #ledger: KvLedger

  constructor(ledger: KvLedger) {
    super()
    this.#ledger = ledger
  }

  override apply(batch: CommittedBatch): readonly KvResult[] {
    this.#ledger.note(batch)
    return super.apply(batch)
  }
}

function decodeCommand(bytes: Uint8Array, start: number, end: number): SingleKeyCommand {
  const operation = bytes[start]
  const slice = (from: number, to: number): string => decoder.decode(bytes.subarray(from, to))
  if (operation === DELETE) return { type: 'delete', key: slice(start + 1, end) }
  const keyEnd = endOfField(bytes, start + 1, end)
  const key = slice(start + 5, keyEnd)
  switch (operation) {
    case PUT:
      return { type: 'put', key, value: slice(keyEnd, end) }
    case CREATE:
      return { type: 'compareAndSwap', key, expected: undefined, value: slice(keyEnd, end) }
    case SWAP: {
      const expectedEnd = endOfField(bytes, keyEnd, end)
      return { type: 'compareAndSwap', key, expected: slice(keyEnd + 4, expectedEnd), value: slice(expectedEnd, end) }
    }
    default:
      throw new Violation('only commands that were proposed are committed', `one begins with byte ${operation}`)
  }
}

function text(bytes: string | Uint8Array): string {
  return typeof bytes === 'string' ? bytes : decoder.decode(bytes)
}

function isSame(a: SingleKeyCommand, b: SingleKeyCommand): boolean {
  if (a.type !== b.type || text(a.key) !== text(b.key)) return false
  if (a.type === 'delete' || b.type === 'delete') return true
  if (text(a.value) !== text(b.value)) return false
  return (
    a.type !== 'compareAndSwap' ||
    b.type !== 'compareAndSwap' ||
    (a.expected && text(a.expected)) === (b.expected && text(b.expected))
  )
}
