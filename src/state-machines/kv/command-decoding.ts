import { ByteSource } from './byte-source.js'
import {
  CLOSE_SESSION,
  COMPACT,
  COUNT_ONLY,
  CREATE,
  DELETE,
  DELETE_RANGE,
  DELETE_WITH,
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
  type KvOperation,
  malformedCommand,
  OPEN_SESSION,
  PUT,
  PUT_WITH,
  RANGE,
  RELATIONS,
  REVERSE,
  REVOKE,
  SWAP,
  TARGETS,
  TXN,
  unknownCommand,
  WANT_PREVIOUS,
} from './commands.js'
import { checkCommand } from './command-checks.js'
import type { KeyChars } from './keys.js'
import { TXN_DEPTH_MAX, TXN_OPERATIONS_MAX } from './limits.js'

/** A command as it is applied. Its values are views of the batch. */
export type CommittedCommand = KvCommand<KeyChars, Uint8Array>
export type CommittedOperation = KvOperation<KeyChars, Uint8Array>
export type CommittedCompare = KvCompare<KeyChars, Uint8Array>

/** @throws ActorumError CORRUPT, UNSUPPORTED_FORMAT */
export function decodeCommand(bytes: Uint8Array, start: number, end: number): CommittedCommand {
  const command = readCommand(new ByteSource(bytes, start, end, malformedCommand), 1)
  try {
    checkCommand(command)
  } catch (error) {
    throw malformedCommand(`could not have been proposed: ${error instanceof Error ? error.message : String(error)}`)
  }
  return command
}

function readCommand(source: ByteSource, depth: number): CommittedCommand {
  if (source.left === 0) throw unknownCommand(undefined)
  const operation = source.u8()
  switch (operation) {
    case GRANT:
      return ended(source, { type: 'grantLease', ttlMs: source.u64() })
    case KEEP_LEASE:
      return ended(source, { type: 'keepLeaseAlive', lease: source.u64() })
    case REVOKE:
      return ended(source, { type: 'revokeLease', lease: source.u64() })
    case OPEN_SESSION:
      return ended(source, { type: 'openSession', timeoutMs: source.u64() })
    case KEEP_SESSION:
      return ended(source, { type: 'keepSessionAlive', session: source.u64() })
    case CLOSE_SESSION:
      return ended(source, { type: 'closeSession', session: source.u64() })
    case COMPACT:
      return ended(source, { type: 'compact', revision: source.u64() })
    case EXPIRE:
      return ended(source, { type: 'expire' })
    case IN_SESSION:
      return readInSession(source)
    default:
      return readOperation(operation, source, depth)
  }
}

function ended<Command>(source: ByteSource, command: Command): Command {
  source.end()
  return command
}

function readInSession(source: ByteSource): CommittedCommand {
  const [session, sequence, lowestOutstanding] = [source.u64(), source.u64(), source.u64()]
  const command = readCommand(source, 1)
  switch (command.type) {
    case 'inSession':
    case 'openSession':
    case 'keepSessionAlive':
    case 'closeSession':
    case 'expire':
      throw malformedCommand(`has the kind ${command.type} within a session`)
    default:
      return { type: 'inSession', session, sequence, lowestOutstanding, command }
  }
}

function readOperation(operation: number, source: ByteSource, depth: number): CommittedOperation {
  switch (operation) {
    case PUT:
      return { type: 'put', key: source.key(), value: source.rest() }
    case PUT_WITH:
      return readPutWith(source)
    case DELETE:
      return { type: 'delete', key: source.restAsKey() }
    case DELETE_WITH:
      return { type: 'delete', wantPrevious: (source.u8() & WANT_PREVIOUS) > 0, key: source.restAsKey() }
    case SWAP:
      return { type: 'compareAndSwap', key: source.key(), expected: source.field(), value: source.rest() }
    case CREATE:
      return { type: 'compareAndSwap', key: source.key(), expected: undefined, value: source.rest() }
    case DELETE_RANGE: {
      const flags = source.u8()
      const bounds = readBounds(flags, source)
      return ended(source, { type: 'deleteRange', ...bounds, wantPrevious: (flags & WANT_PREVIOUS) > 0 })
    }
    case GET:
      return { type: 'get', key: source.restAsKey() }
    case RANGE:
      return readRange(source)
    case TXN:
      return readTxn(source, depth)
    default:
      throw unknownCommand(operation)
  }
}

function readPutWith(source: ByteSource): CommittedOperation {
  const flags = source.u8()
  const lease = flags & HAS_LEASE ? source.u64() : undefined
  const ttlMs = flags & HAS_TTL ? source.u64() : undefined
  const wantPrevious = (flags & WANT_PREVIOUS) > 0
  return { type: 'put', key: source.key(), value: source.rest(), lease, ttlMs, wantPrevious }
}

function readBounds(flags: number, source: ByteSource): { from: KeyChars; to: KeyChars | undefined } {
  return { from: source.bound(), to: flags & HAS_TO ? source.bound() : undefined }
}

function readRange(source: ByteSource): CommittedOperation {
  const flags = source.u8()
  const limit = source.u32()
  const bounds = readBounds(flags, source)
  const [reverse, keysOnly, countOnly] = [REVERSE, KEYS_ONLY, COUNT_ONLY].map((flag) => (flags & flag) > 0)
  return ended(source, { type: 'range', ...bounds, limit, reverse, keysOnly, countOnly })
}

function readTxn(source: ByteSource, depth: number): CommittedOperation {
  if (depth > TXN_DEPTH_MAX) throw malformedCommand(`has transactions more than ${TXN_DEPTH_MAX} deep`)
  const counts = [source.u32(), source.u32(), source.u32()] as const
  if (counts.some((count) => count > TXN_OPERATIONS_MAX)) {
    throw malformedCommand(`has a transaction of more than ${TXN_OPERATIONS_MAX} operations`)
  }
  const [compares, then, otherwise] = counts
  const next = () => {
    const part = source.field()
    return new ByteSource(part, 0, part.length, malformedCommand)
  }
  const operations = (length: number) =>
    Array.from({ length }, () => {
      const part = next()
      if (part.left === 0) throw unknownCommand(undefined)
      return readOperation(part.u8(), part, depth + 1)
    })
  return ended(source, {
    type: 'txn',
    compares: Array.from({ length: compares }, () => readCompare(next())),
    then: operations(then),
    else: operations(otherwise),
  })
}

function readCompare(source: ByteSource): CommittedCompare {
  const [target, relation] = [TARGETS[source.u8()], RELATIONS[source.u8()]]
  // A later version may compare something else.
  if (target === undefined || relation === undefined) throw unknownCommand(TXN)
  const key = source.key()
  if (target === 'value') return { key, target, relation, operand: source.rest() }
  return ended(source, { key, target, relation, operand: source.u64() })
}
