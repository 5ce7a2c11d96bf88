import type { CommandCodec } from '../ports.js'
import { ByteCounter, byteLength, type ByteSink, ByteWriter, writeBytes } from './byte-sink.js'
import {
  CLOSE_SESSION,
  COMPACT,
  type CompareAndSwapCommand,
  COUNT_ONLY,
  CREATE,
  DELETE,
  DELETE_RANGE,
  DELETE_WITH,
  type DeleteCommand,
  type DeleteRangeCommand,
  EXPIRE,
  GET,
  GRANT,
  HAS_LEASE,
  HAS_TO,
  HAS_TTL,
  IN_SESSION,
  KEEP_LEASE,
  KEEP_SESSION,
  KEYS_ONLY,
  type KvCommand,
  type KvCompare,
  OPEN_SESSION,
  PUT,
  PUT_WITH,
  type PutCommand,
  RANGE,
  type RangeCommand,
  RELATIONS,
  REVERSE,
  REVOKE,
  SWAP,
  TARGETS,
  TXN,
  type TxnCommand,
  WANT_PREVIOUS,
} from './commands.js'
import { writeUint32 } from './integers.js'
import { checkCommand } from './command-checks.js'
import { TXN_RANGE_ENTRIES_MAX } from './limits.js'

/**
 * How commands of the key-value store become bytes. `sizeOf` refuses one that no server would take.
 * @throws ActorumError INVALID_ARGUMENT, TOO_LARGE
 */
export const kvCommands: CommandCodec<KvCommand> = {
  versionOf(command) {
    switch (command.type) {
      case 'put':
        return isPlainPut(command) ? 1 : COORDINATION_VERSION
      case 'delete':
        return command.wantPrevious === true ? COORDINATION_VERSION : 1
      case 'compareAndSwap':
        return 1
      default:
        return COORDINATION_VERSION
    }
  },

  sizeOf(command) {
    if (command.type === 'put' && isPlainPut(command)) return 5 + byteLength(command.key) + byteLength(command.value)
    checkCommand(command)
    const counter = new ByteCounter()
    writeCommand(command, counter)
    return counter.size
  },

  write(command, target, at) {
    if (command.type === 'put' && isPlainPut(command)) writePut(command, target, at)
    else writeCommand(command, new ByteWriter(target, at))
  },
}

/** Of the protocol: whoever speaks it knows leases, transactions, ranges and sessions. */
const COORDINATION_VERSION = 2

function isPlainPut({ lease, ttlMs, wantPrevious }: PutCommand): boolean {
  return lease === undefined && ttlMs === undefined && wantPrevious !== true
}

/** By far the most frequent, and so without a writer. */
function writePut({ key, value }: PutCommand, target: Uint8Array, at: number): void {
  const keyBytes = byteLength(key)
  target[at] = PUT
  writeUint32(keyBytes, target, at + 1)
  writeBytes(key, target, at + 5)
  writeBytes(value, target, at + 5 + keyBytes)
}

function writeCommand(command: KvCommand, sink: ByteSink): void {
  switch (command.type) {
    case 'put':
      return writePutWith(command, sink)
    case 'delete':
      return writeDelete(command, sink)
    case 'compareAndSwap':
      return writeSwap(command, sink)
    case 'deleteRange':
      sink.u8(DELETE_RANGE)
      return writeRange(command, command.wantPrevious === true ? WANT_PREVIOUS : 0, sink)
    case 'get':
      sink.u8(GET)
      return sink.bytes(command.key)
    case 'range':
      sink.u8(RANGE)
      return writeRange(command, flagsOf(command), sink, command.limit ?? TXN_RANGE_ENTRIES_MAX)
    case 'txn':
      return writeTxn(command, sink)
    case 'compact':
      return writeNumber(COMPACT, command.revision, sink)
    case 'expire':
      return sink.u8(EXPIRE)
    case 'grantLease':
      return writeNumber(GRANT, command.ttlMs, sink)
    case 'keepLeaseAlive':
      return writeNumber(KEEP_LEASE, command.lease, sink)
    case 'revokeLease':
      return writeNumber(REVOKE, command.lease, sink)
    case 'openSession':
      return writeNumber(OPEN_SESSION, command.timeoutMs, sink)
    case 'keepSessionAlive':
      return writeNumber(KEEP_SESSION, command.session, sink)
    case 'closeSession':
      return writeNumber(CLOSE_SESSION, command.session, sink)
    case 'inSession':
      writeNumber(IN_SESSION, command.session, sink)
      sink.u64(command.sequence)
      sink.u64(command.lowestOutstanding)
      return writeCommand(command.command, sink)
  }
}

function writeNumber(operation: number, value: number, sink: ByteSink): void {
  sink.u8(operation)
  sink.u64(value)
}

function writePutWith(command: PutCommand, sink: ByteSink): void {
  const { key, value, lease, ttlMs, wantPrevious } = command
  if (isPlainPut(command)) {
    sink.u8(PUT)
  } else {
    sink.u8(PUT_WITH)
    sink.u8(
      (wantPrevious === true ? WANT_PREVIOUS : 0) |
        (lease === undefined ? 0 : HAS_LEASE) |
        (ttlMs === undefined ? 0 : HAS_TTL),
    )
    if (lease !== undefined) sink.u64(lease)
    if (ttlMs !== undefined) sink.u64(ttlMs)
  }
  sink.field(key)
  sink.bytes(value)
}

function writeDelete({ key, wantPrevious }: DeleteCommand, sink: ByteSink): void {
  if (wantPrevious === true) {
    sink.u8(DELETE_WITH)
    sink.u8(WANT_PREVIOUS)
  } else {
    sink.u8(DELETE)
  }
  sink.bytes(key)
}

function writeSwap({ key, expected, value }: CompareAndSwapCommand, sink: ByteSink): void {
  sink.u8(expected === undefined ? CREATE : SWAP)
  sink.field(key)
  if (expected !== undefined) sink.field(expected)
  sink.bytes(value)
}

function flagsOf({ reverse, keysOnly, countOnly }: RangeCommand): number {
  return (reverse === true ? REVERSE : 0) | (keysOnly === true ? KEYS_ONLY : 0) | (countOnly === true ? COUNT_ONLY : 0)
}

function writeRange(
  { from, to }: RangeCommand | DeleteRangeCommand,
  flags: number,
  sink: ByteSink,
  limit?: number,
): void {
  sink.u8(flags | (to === undefined ? 0 : HAS_TO))
  if (limit !== undefined) sink.u32(limit)
  sink.field(from)
  if (to !== undefined) sink.field(to)
}

function writeTxn(command: TxnCommand, sink: ByteSink): void {
  sink.u8(TXN)
  sink.u32(command.compares.length)
  sink.u32(command.then.length)
  sink.u32(command.else.length)
  for (const compare of command.compares) sink.nested(() => writeCompare(compare, sink))
  for (const operation of command.then) sink.nested(() => writeCommand(operation, sink))
  for (const operation of command.else) sink.nested(() => writeCommand(operation, sink))
}

function writeCompare(compare: KvCompare, sink: ByteSink): void {
  sink.u8(TARGETS.indexOf(compare.target))
  sink.u8(RELATIONS.indexOf(compare.relation))
  sink.field(compare.key)
  if (compare.target === 'value') sink.bytes(compare.operand)
  else sink.u64(compare.operand)
}
