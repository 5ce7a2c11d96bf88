import type { RevisionChanges } from '../state-machines/kv/change-feed.js'
import type { Bytes } from '../state-machines/kv/keys.js'
import { writeBytes, byteLength } from '../state-machines/kv/byte-sink.js'
import type { InSessionCommand, KvCommand, KvCompare, KvOperation } from '../state-machines/kv/commands.js'
import { bytesOfChars, type KeyChars, type KeyRange, keyWithin, prefixRange } from '../state-machines/kv/keys.js'
import type { KvEntry } from '../state-machines/kv/results.js'
import type { KvChange } from '../state-machines/kv/watchers.js'
import type { CommandResult } from './store-port.js'

type InSession = InSessionCommand['command']

/** A prefix, added to the keys of all that goes in and taken from those of all that comes out. */
export class KeyPrefix {
  readonly #chars: KeyChars
  readonly #bytes: Uint8Array
  /** The first key after all that begin with it, undefined when there is none. */
  readonly #end: KeyChars | undefined

  constructor(prefix: KeyChars) {
    this.#chars = prefix
    this.#bytes = bytesOfChars(prefix)
    this.#end = prefixRange(prefix).to
  }

  add(key: KeyChars): KeyChars {
    return keyWithin(this.#chars, key)
  }

  addToRange({ from, to }: KeyRange): KeyRange {
    return { from: this.add(from), to: to === undefined ? this.#end : this.add(to) }
  }

  addToCommand(command: KvCommand): KvCommand {
    return command.type === 'inSession'
      ? { ...command, command: this.#addToInSession(command.command) }
      : this.#isWithoutKeys(command)
        ? command
        : this.#addToOperation(command)
  }

  #addToInSession(command: InSession): InSession {
    return this.#isWithoutKeys(command) ? command : this.#addToOperation(command)
  }

  #isWithoutKeys<Command extends KvCommand>(command: Command): command is Exclude<Command, KvOperation> {
    switch (command.type) {
      case 'put':
      case 'delete':
      case 'compareAndSwap':
      case 'get':
      case 'deleteRange':
      case 'range':
      case 'txn':
        return false
      default:
        return true
    }
  }

  #addToOperation(operation: KvOperation): KvOperation {
    switch (operation.type) {
      case 'deleteRange':
      case 'range': {
        const end = this.#end && bytesOfChars(this.#end)
        const to = operation.to === undefined ? end : this.#addToBytes(operation.to)
        return { ...operation, from: this.#addToBytes(operation.from), to }
      }
      case 'txn':
        return {
          ...operation,
          compares: operation.compares.map((comparison) => this.#addToCompare(comparison)),
          then: operation.then.map((each) => this.#addToOperation(each)),
          else: operation.else.map((each) => this.#addToOperation(each)),
        }
      default:
        return { ...operation, key: this.#addToBytes(operation.key) }
    }
  }

  #addToCompare(comparison: KvCompare): KvCompare {
    return { ...comparison, key: this.#addToBytes(comparison.key) }
  }

  #addToBytes(key: Bytes): Uint8Array {
    const { length } = this.#bytes
    const whole = new Uint8Array(length + byteLength(key))
    whole.set(this.#bytes)
    writeBytes(key, whole, length)
    return whole
  }

  takeFromEntry(entry: KvEntry): KvEntry {
    return { ...entry, key: this.#takeFromKey(entry.key) }
  }

  #takeFromKey(key: Uint8Array): Uint8Array {
    return key.slice(this.#bytes.length)
  }

  /** Of those keys alone that begin with the prefix. */
  takeFromKeys(keys: readonly Uint8Array[]): Uint8Array[] {
    return keys.filter((key) => this.#bytes.every((byte, at) => key[at] === byte)).map((key) => this.#takeFromKey(key))
  }

  takeFromResult(result: CommandResult): CommandResult {
    if ('results' in result) {
      const results = result.results.map((each) => ('refused' in each ? each : this.takeFromResult(each)))
      return { ...result, results }
    }
    if ('entries' in result) return { ...result, entries: this.#takeFromEntries(result.entries) }
    if ('entry' in result) return { ...result, entry: result.entry && this.takeFromEntry(result.entry) }
    if (!('previous' in result) || result.previous === undefined) return result
    if ('deletedCount' in result) return { ...result, previous: this.#takeFromEntries(result.previous) }
    return { ...result, previous: this.takeFromEntry(result.previous) }
  }

  #takeFromEntries(entries: readonly KvEntry[]): KvEntry[] {
    return entries.map((entry) => this.takeFromEntry(entry))
  }

  takeFromChanges({ revision, changes }: RevisionChanges): RevisionChanges {
    return { revision, changes: changes.map((change) => this.#takeFromChange(change)) }
  }

  #takeFromChange(change: KvChange): KvChange {
    if (change.type === 'delete') {
      return { ...change, key: this.#takeFromKey(change.key), previous: this.takeFromEntry(change.previous) }
    }
    const previous = change.previous && this.takeFromEntry(change.previous)
    return { ...change, entry: this.takeFromEntry(change.entry), previous }
  }
}
