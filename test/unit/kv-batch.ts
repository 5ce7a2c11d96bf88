import { type KvCommand, kvCommands } from '../../src/state-machines/kv/commands.js'
import { type Bytes, type KeyChars, keyChars } from '../../src/state-machines/kv/keys.js'
import type { CommittedBatch } from '../../src/state-machines/ports.js'

/** Commands as they reach a state machine once committed. */
export function batchOf(commands: readonly KvCommand[], firstIndex = 1): CommittedBatch {
  return batchOfPayloads(commands.map(encoded), firstIndex)
}

export function batchOfPayloads(payloads: readonly Uint8Array[], firstIndex = 1): CommittedBatch {
  const bytes = Buffer.concat(payloads)
  const bounds = new Uint32Array(payloads.length * 2)
  let at = 0
  payloads.forEach((payload, i) => {
    bounds.set([at, at + payload.length], 2 * i)
    at += payload.length
  })
  const stamps = { term: 1, clusterTime: 0, wallTime: 0 }
  return { firstIndex, count: payloads.length, ...stamps, bytes, bounds, resultsWanted: true }
}

export function encoded(command: KvCommand): Uint8Array {
  const bytes = new Uint8Array(kvCommands.sizeOf(command))
  kvCommands.write(command, bytes, 0)
  return bytes
}

export function put(key: Bytes, value: Bytes): KvCommand {
  return { type: 'put', key, value }
}

export function del(key: Bytes): KvCommand {
  return { type: 'delete', key }
}

export function compareAndSwap(key: Bytes, expected: Bytes | undefined, value: Bytes): KvCommand {
  return { type: 'compareAndSwap', key, expected, value }
}

export function keyOf(key: Bytes): KeyChars {
  return keyChars(key, 64 * 1024)
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
