import { ActorumError } from '../errors.js'
import type { KvCompare, KvOperation, TxnCommand } from '../state-machines/kv/commands.js'
import { TTL_MS_MAX, TXN_DEPTH_MAX, TXN_RANGE_ENTRIES_MAX } from '../state-machines/kv/limits.js'
import { boundChars, validateKey, validateValue } from '../state-machines/kv/keys.js'
import { checkedInteger, invalid } from './call-checks.js'
import type { StoreLimits } from './store-port.js'

type Limits = Pick<StoreLimits, 'keyBytesMax' | 'valueBytesMax'>

/**
 * Checks the keys, values and numbers of a transaction, and that it is made of comparisons and operations at all. What
 * else may be wrong with it is found when it is encoded.
 * @throws ActorumError INVALID_ARGUMENT, TOO_LARGE
 */
export function checkTxnBytes({ compares, then, else: otherwise }: TxnCommand, limits: Limits, depth = 1): void {
  // One that holds itself has no end.
  if (depth > TXN_DEPTH_MAX) {
    throw new ActorumError('TOO_LARGE', `transactions lie more than ${TXN_DEPTH_MAX} deep within one another`)
  }
  for (const part of [compares, then, otherwise]) {
    if (!Array.isArray(part)) throw invalid('a part of the transaction is no list; give what compare and op make')
  }
  for (const comparison of compares) checkComparison(comparison, limits)
  for (const operation of [...then, ...otherwise]) checkOperation(operation, limits, depth)
}

function checkComparison(comparison: KvCompare, { keyBytesMax, valueBytesMax }: Limits): void {
  const given: unknown = comparison
  if (!isComparison(given)) {
    throw invalid('a comparison is none; give what compare.value(key, relation, value) and its like make')
  }
  validateKey(comparison.key, keyBytesMax)
  if (comparison.target === 'value') validateValue(comparison.operand, valueBytesMax)
  else checkedInteger('operand', comparison.operand, 0)
}

function isComparison(given: unknown): boolean {
  if (typeof given !== 'object' || given === null || !('target' in given && 'relation' in given)) return false
  return typeof given.target === 'string' && typeof given.relation === 'string'
}

function checkOperation(operation: KvOperation, limits: Limits, depth: number): void {
  const { keyBytesMax, valueBytesMax } = limits
  const given: unknown = operation
  if (typeof given !== 'object' || given === null) throw noOperation()
  switch (operation.type) {
    case 'put':
      validateKey(operation.key, keyBytesMax)
      validateValue(operation.value, valueBytesMax)
      checkNumber('lease', operation.lease)
      checkNumber('ttlMs', operation.ttlMs, TTL_MS_MAX)
      return
    case 'delete':
    case 'get':
      validateKey(operation.key, keyBytesMax)
      return
    case 'compareAndSwap':
      validateKey(operation.key, keyBytesMax)
      if (operation.expected !== undefined) validateValue(operation.expected, valueBytesMax)
      validateValue(operation.value, valueBytesMax)
      return
    case 'deleteRange':
    case 'range':
      if (operation.type === 'range') checkNumber('limit', operation.limit, TXN_RANGE_ENTRIES_MAX)
      // A range of one key ends a byte after it.
      boundChars(operation.from, 'bound from', keyBytesMax + 1)
      if (operation.to !== undefined) boundChars(operation.to, 'bound to', keyBytesMax + 1)
      return
    case 'txn':
      return checkTxnBytes(operation, limits, depth + 1)
    default:
      throw noOperation()
  }
}

function checkNumber(name: string, given: number | undefined, max?: number): void {
  if (given !== undefined) checkedInteger(name, given, 1, max)
}

function noOperation(): ActorumError {
  return invalid('an operation of the transaction is none; give what op.put(key, value) and its like make')
}
