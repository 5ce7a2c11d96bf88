import type { LogIndex } from '../../machines/types.js'
import type { CommittedBatch, StateMachine } from '../ports.js'
import {
  CREATE,
  DELETE,
  endOfField,
  kvCommands,
  type KvCommand,
  type KvResult,
  malformedCommand,
  PUT,
  SWAP,
  unknownCommand,
} from './commands.js'
import { copyOut } from './copies.js'
import { charsOf, type KeyChars } from './keys.js'
import { decodeSnapshot, encodeSnapshot, type StoredValue } from './snapshot.js'

/** A value and the revision that wrote it. */
export interface KeyValue {
  readonly value: Uint8Array
  /** Log index of the command that wrote the value. */
  readonly modRevision: LogIndex
}

/**
 * The built-in replicated state: byte keys and byte values. A revision is the log index of the command that wrote.
 *
 * Bytes are copied in when a command is applied and out when they are read, so nobody holds the store's own. Each
 * value has a buffer to itself: a slice of a shared one would keep the whole of it alive.
 */
export class KeyValueStore implements StateMachine<KvCommand, KvResult> {
  readonly commands = kvCommands
  #records = new Map<KeyChars, StoredValue>()
  /** How many have been taken. */
  #snapshots = 0

  /** Number of keys. */
  get size(): number {
    return this.#records.size
  }

  /** A copy of the key's value, undefined when there is no such key. `keyChars` makes the key. */
  getValue(key: KeyChars): Uint8Array | undefined {
    const record = this.#records.get(key)
    return record && copyOut(record.value)
  }

  /** As `getValue`, with the revision that wrote it. */
  get(key: KeyChars): KeyValue | undefined {
    const record = this.#records.get(key)
    return record && { value: copyOut(record.value), modRevision: record.modRevision }
  }

  /** The values of several keys as of one revision, in the order of `keys`. */
  getMulti(keys: readonly KeyChars[]): (Uint8Array | undefined)[] {
    return keys.map((key) => this.getValue(key))
  }

  apply(batch: CommittedBatch): readonly KvResult[] {
    const { bounds, count, firstIndex, resultsWanted } = batch
    // Perhaps a Node Buffer, whose `slice` copies nothing; this view's does.
    const bytes = new Uint8Array(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.byteLength)
    const results: KvResult[] = []
    for (let i = 0; i < count; i++) {
      const start = bounds[2 * i]!
      const revision = firstIndex + i
      const changed = this.#applyCommand(bytes, start, bounds[2 * i + 1]!, revision)
      if (resultsWanted) results.push(resultOf(bytes[start]!, changed, revision))
    }
    return results
  }

  /** Applies the command in `bytes[start, end)` and says whether it changed anything. */
  #applyCommand(bytes: Uint8Array, start: number, end: number, revision: LogIndex): boolean {
    const operation = start < end ? bytes[start] : undefined
    switch (operation) {
      case PUT: {
        const keyEnd = endOfField(bytes, start + 1, end)
        const key = keyIn(bytes, start + 5, keyEnd)
        this.#set(key, this.#records.get(key), bytes, keyEnd, end, revision)
        return true
      }
      case DELETE:
        return this.#records.delete(keyIn(bytes, start + 1, end))
      case SWAP: {
        const keyEnd = endOfField(bytes, start + 1, end)
        const expectedEnd = endOfField(bytes, keyEnd, end)
        const key = keyIn(bytes, start + 5, keyEnd)
        const current = this.#records.get(key)
        if (current === undefined || !holds(current.value, bytes, keyEnd + 4, expectedEnd)) return false
        this.#set(key, current, bytes, expectedEnd, end, revision)
        return true
      }
      case CREATE: {
        const keyEnd = endOfField(bytes, start + 1, end)
        const key = keyIn(bytes, start + 5, keyEnd)
        if (this.#records.has(key)) return false
        this.#set(key, undefined, bytes, keyEnd, end, revision)
        return true
      }
      default:
        throw unknownCommand(operation)
    }
  }

  /**
   * Copies `bytes[start, end)` in. A value of the same length is overwritten where it is, unless a snapshot may still
   * show it: a buffer for each put would cost as much as all the rest of it.
   */
  #set(
    key: KeyChars,
    current: StoredValue | undefined,
    bytes: Uint8Array,
    start: number,
    end: number,
    modRevision: LogIndex,
  ): void {
    if (current?.value.length === end - start && current.snapshots === this.#snapshots) {
      current.value.set(bytes.subarray(start, end))
      current.modRevision = modRevision
      return
    }
    this.#records.set(key, { value: bytes.slice(start, end), modRevision, snapshots: this.#snapshots })
  }

  /**
   * The state as of now, in frames of about 256 KiB. Later writes do not show in it: the lists of keys and values are
   * copied here, at once (a pointer each; the values themselves are shared, and from now on left as they are).
   */
  snapshot(): Iterable<Uint8Array> {
    this.#snapshots++
    const keys = [...this.#records.keys()]
    const values = [...this.#records.values()]
    return { [Symbol.iterator]: () => encodeSnapshot(keys, values) }
  }

  /** Throws CORRUPT or UNSUPPORTED_FORMAT, and then the state is what it was. */
  restore(chunks: Iterable<Uint8Array>): void {
    this.#records = decodeSnapshot(chunks, this.#snapshots)
  }
}

function keyIn(bytes: Uint8Array, start: number, end: number): KeyChars {
  if (start >= end) throw malformedCommand('has an empty key')
  return charsOf(bytes, start, end)
}

/** Whether `value` equals `bytes[start, end)`. */
function holds(value: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (value.length !== end - start) return false
  for (let i = 0; i < value.length; i++) {
    if (value[i] !== bytes[start + i]) return false
  }
  return true
}

function resultOf(operation: number, changed: boolean, revision: LogIndex): KvResult {
  switch (operation) {
    case PUT:
      return { revision }
    case DELETE:
      return { deleted: changed, revision }
    default:
      return { swapped: changed, revision }
  }
}
