import { ActorumError } from '../../errors.js'
import { byteLength } from './byte-sink.js'
import { type KvCommand, type KvCompare, type KvOperation, RELATIONS, TARGETS, type TxnCommand } from './commands.js'
import { TTL_MS_MAX, TXN_DEPTH_MAX, TXN_OPERATIONS_MAX, TXN_RANGE_ENTRIES_MAX } from './limits.js'

/**
 * Refuses a command that would stop the servers that apply it. Lengths of keys and values have been checked.
 * @throws ActorumError INVALID_ARGUMENT, TOO_LARGE
 */
export function checkCommand(command: KvCommand): void {
  switch (command.type) {
    case 'grantLease':
      return checkInteger('ttlMs', command.ttlMs, 1, TTL_MS_MAX)
    case 'keepLeaseAlive':
    case 'revokeLease':
      return checkInteger('lease', command.lease, 1)
    case 'openSession':
      return checkInteger('timeoutMs', command.timeoutMs, 1, TTL_MS_MAX)
    case 'keepSessionAlive':
    case 'closeSession':
      return checkInteger('session', command.session, 1)
    case 'compact':
      return checkInteger('revision', command.revision, 0)
    case 'expire':
      return
    case 'inSession':
      checkInteger('session', command.session, 1)
      checkInteger('lowestOutstanding', command.lowestOutstanding, 0)
      checkInteger('sequence', command.sequence, command.lowestOutstanding)
      return checkCommand(command.command)
    case 'txn':
      checkCount(operationsOf(command, 1))
      return checkTxn(command)
    default:
      return checkOperation(command)
  }
}

/** @throws ActorumError TOO_LARGE: transactions too deep within one another */
function operationsOf(txn: TxnCommand, depth: number): number {
  if (depth > TXN_DEPTH_MAX) {
    throw new ActorumError('TOO_LARGE', `transactions lie more than ${TXN_DEPTH_MAX} deep within one another`)
  }
  let count = txn.compares.length
  for (const operation of [...txn.then, ...txn.else]) {
    count += operation.type === 'txn' ? 1 + operationsOf(operation, depth + 1) : 1
  }
  return count
}

function checkCount(count: number): void {
  if (count <= TXN_OPERATIONS_MAX) return
  const text = `a transaction has ${count} comparisons and operations; at most ${TXN_OPERATIONS_MAX} are allowed`
  throw new ActorumError('TOO_LARGE', `${text}: split it`)
}

function checkTxn(txn: TxnCommand): void {
  txn.compares.forEach(checkCompare)
  txn.then.forEach(checkOperation)
  txn.else.forEach(checkOperation)
}

function checkCompare(compare: KvCompare): void {
  if (!TARGETS.includes(compare.target)) throw invalid('target', compare.target, `one of ${TARGETS.join(', ')}`)
  if (!RELATIONS.includes(compare.relation))
    throw invalid('relation', compare.relation, `one of ${RELATIONS.join(' ')}`)
  checkKey(compare.key)
  if (compare.target !== 'value') checkInteger('operand', compare.operand, 0)
}

function checkOperation(operation: KvOperation): void {
  switch (operation.type) {
    case 'txn':
      return checkTxn(operation)
    case 'put':
      checkKey(operation.key)
      if (operation.lease !== undefined) checkInteger('lease', operation.lease, 1)
      if (operation.ttlMs === undefined) return
      checkInteger('ttlMs', operation.ttlMs, 1, TTL_MS_MAX)
      if (operation.lease !== undefined) {
        throw new ActorumError('INVALID_ARGUMENT', 'a put has both a lease and a ttlMs; give one of them')
      }
      return
    case 'range':
      return checkInteger('limit', operation.limit ?? TXN_RANGE_ENTRIES_MAX, 1, TXN_RANGE_ENTRIES_MAX)
    case 'delete':
    case 'compareAndSwap':
    case 'get':
      return checkKey(operation.key)
    case 'deleteRange':
      return
  }
}

function checkKey(key: string | Uint8Array): void {
  if (byteLength(key) === 0) throw new ActorumError('INVALID_ARGUMENT', 'the key is empty; a key has at least one byte')
}

function checkInteger(name: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return
  throw invalid(name, value, `an integer from ${min} to ${max}`)
}

function invalid(name: string, value: string | number, allowed: string): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', `${name} is ${value}; it must be ${allowed}`)
}
