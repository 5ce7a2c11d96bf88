import { kvCommands } from '../../src/state-machines/kv/command-codec.js'
import type {
  CompareAndSwapCommand,
  DeleteCommand,
  KvCommand,
  PutCommand,
} from '../../src/state-machines/kv/commands.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import { type Bytes, FIRST_KEY, type KeyChars, keyChars, type KeyRange } from '../../src/state-machines/kv/keys.js'
import type { KvResult } from '../../src/state-machines/kv/results.js'
import type { CommittedBatch } from '../../src/state-machines/ports.js'

/** Commands as they reach a state machine once committed. */
export function batchOf(commands: readonly KvCommand[], firstIndex = 1, clusterTime = 0): CommittedBatch {
  return batchOfPayloads(commands.map(encoded), firstIndex, clusterTime)
}

export function batchOfPayloads(payloads: readonly Uint8Array[], firstIndex = 1, clusterTime = 0): CommittedBatch {
  const bytes = Buffer.concat(payloads)
  const bounds = new Uint32Array(payloads.length * 2)
  let at = 0
  payloads.forEach((payload, i) => {
    bounds.set([at, at + payload.length], 2 * i)
    at += payload.length
  })
  const stamps = { term: 1, clusterTime, wallTime: 0 }
  return { firstIndex, count: payloads.length, ...stamps, bytes, bounds, resultsWanted: true }
}

export function restore(store: KeyValueStore, chunks: Iterable<Uint8Array>): void {
  const sink = store.restore()
  for (const chunk of chunks) sink.write(chunk)
  sink.end()
}

export function encoded(command: KvCommand): Uint8Array {
  const bytes = new Uint8Array(kvCommands.sizeOf(command))
  kvCommands.write(command, bytes, 0)
  return bytes
}

export function put(key: Bytes, value: Bytes, options: Pick<PutCommand, 'lease' | 'ttlMs'> = {}): PutCommand {
  return { type: 'put', key, value, ...options }
}

export function del(key: Bytes): DeleteCommand {
  return { type: 'delete', key }
}

export function compareAndSwap(key: Bytes, expected: Bytes | undefined, value: Bytes): CompareAndSwapCommand {
  return { type: 'compareAndSwap', key, expected, value }
}

/** A store and the log that it applies: one command at a time, each with its revision. */
export class AppliedLog {
  store: KeyValueStore
  revision = 0
  clusterTime = 0

  constructor(store = new KeyValueStore()) {
    this.store = store
  }

  apply(command: KvCommand): KvResult {
    const [result] = this.store.apply(batchOf([command], ++this.revision, this.clusterTime))
    if (result === undefined) throw new Error('a command without a result')
    return result
  }

  /** Its value as text, undefined when there is none. */
  text(key: Bytes): string | undefined {
    const value = this.store.getValue(keyOf(key))
    return value && textOf(value)
  }

  /** Goes on with another store, which has only the snapshot of this one. */
  restart(): void {
    const restarted = new KeyValueStore()
    restore(restarted, this.store.snapshot())
    this.store = restarted
  }
}

/** The range `[from, to)` of keys. */
export function keyRange(from: Bytes, to?: Bytes): KeyRange {
  return { from: from.length === 0 ? FIRST_KEY : keyOf(from), to: to === undefined ? undefined : keyOf(to) }
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

export function keyOf(key: Bytes): KeyChars {
  return keyChars(key, 64 * 1024)
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
