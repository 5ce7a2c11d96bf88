import { ActorumError } from '../../errors.js'
import type { LogIndex } from '../../machines/types.js'
import type { CommandCodec } from '../ports.js'
import { readUint32, writeUint32 } from './integers.js'
import type { Bytes } from './keys.js'
import { utf8Length, writeUtf8 } from './utf8.js'

/**
 * What a client proposes to the key-value store. Keys and values are checked before, by `validateKey` and
 * `validateValue`.
 */
export type KvCommand = PutCommand | DeleteCommand | CompareAndSwapCommand

export interface PutCommand {
  readonly type: 'put'
  readonly key: Bytes
  readonly value: Bytes
}

export interface DeleteCommand {
  readonly type: 'delete'
  readonly key: Bytes
}

export interface CompareAndSwapCommand {
  readonly type: 'compareAndSwap'
  readonly key: Bytes
  /** undefined: the key must not exist. */
  readonly expected: Bytes | undefined
  readonly value: Bytes
}

/**
 * One result a command, in the shape of its kind. `revision` is the log index of the command, also when it changed
 * nothing.
 */
export type KvResult = PutResult | DeleteResult | CompareAndSwapResult

export interface PutResult {
  readonly revision: LogIndex
}

export interface DeleteResult {
  /** False when there was no such key. */
  readonly deleted: boolean
  readonly revision: LogIndex
}

export interface CompareAndSwapResult {
  /** False when the key's value was not the expected one. */
  readonly swapped: boolean
  readonly revision: LogIndex
}

/**
 * A command's first byte: the format in its upper half, the operation in the lower. A later format takes new bytes, and
 * a server that does not know one stops instead of guessing.
 *
 *     PUT     u32 keyLength, key, value
 *     DELETE  key
 *     SWAP    u32 keyLength, key, u32 expectedLength, expected, value
 *     CREATE  u32 keyLength, key, value        a compare-and-swap that expects no key
 */
export const PUT = 0x11
export const DELETE = 0x12
export const SWAP = 0x13
export const CREATE = 0x14

export const kvCommands: CommandCodec<KvCommand> = {
  sizeOf(command) {
    const key = lengthOf(command.key)
    switch (command.type) {
      case 'put':
        return 5 + key + lengthOf(command.value)
      case 'delete':
        return 1 + key
      case 'compareAndSwap':
        return 5 + key + (command.expected === undefined ? 0 : 4 + lengthOf(command.expected)) + lengthOf(command.value)
    }
  },

  write(command, target, at) {
    switch (command.type) {
      case 'put':
        target[at] = PUT
        write(command.value, target, writeWithLength(command.key, target, at + 1))
        return
      case 'delete':
        target[at] = DELETE
        write(command.key, target, at + 1)
        return
      case 'compareAndSwap': {
        target[at] = command.expected === undefined ? CREATE : SWAP
        const next = writeWithLength(command.key, target, at + 1)
        const rest = command.expected === undefined ? next : writeWithLength(command.expected, target, next)
        write(command.value, target, rest)
      }
    }
  },
}

function lengthOf(bytes: Bytes): number {
  if (typeof bytes !== 'string') return bytes.length
  const length = utf8Length(bytes)
  if (length < 0) throw new ActorumError('INVALID_ARGUMENT', 'a string with half a surrogate pair has no UTF-8')
  return length
}

function writeWithLength(bytes: Bytes, target: Uint8Array, at: number): number {
  const length = lengthOf(bytes)
  writeUint32(length, target, at)
  write(bytes, target, at + 4)
  return at + 4 + length
}

function write(bytes: Bytes, target: Uint8Array, at: number): void {
  if (typeof bytes === 'string') writeUtf8(bytes, target, at)
  else target.set(bytes, at)
}

/**
 * Where the field ends whose length is at `at`. A committed command that is malformed can only be a bug or a damaged
 * log, so it throws, and the server stops.
 */
export function endOfField(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) throw malformedCommand(`ends within a length, ${end - at} bytes before its end`)
  const fieldEnd = at + 4 + readUint32(bytes, at)
  if (fieldEnd > end) throw malformedCommand(`has a field that ends ${fieldEnd - end} bytes beyond it`)
  return fieldEnd
}

export function malformedCommand(fault: string): ActorumError {
  return new ActorumError('CORRUPT', `a committed key-value command ${fault}; restore this server from a sound one`)
}

export function unknownCommand(operation: number | undefined): ActorumError {
  const found = operation === undefined ? 'is empty' : `begins with the byte ${operation}, which is not known here`
  const advice = 'it comes from a newer version: upgrade this server'
  return new ActorumError('UNSUPPORTED_FORMAT', `a committed key-value command ${found}; ${advice}`)
}
