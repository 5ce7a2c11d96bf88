import type { InSessionCommand, KvCompare, KvOperation } from '../state-machines/kv/commands.js'
import type { Bytes } from '../state-machines/kv/keys.js'

type Repeatable = InSessionCommand['command']

/** The command with bytes of its own, for one that may be sent again after its caller has changed his buffers. */
export function copyOfCommand(command: Repeatable): Repeatable {
  switch (command.type) {
    case 'grantLease':
    case 'keepLeaseAlive':
    case 'revokeLease':
    case 'compact':
      return command
    default:
      return copyOfOperation(command)
  }
}

function copyOfOperation(operation: KvOperation): KvOperation {
  switch (operation.type) {
    case 'put':
      return { ...operation, key: copied(operation.key), value: copied(operation.value) }
    case 'delete':
    case 'get':
      return { ...operation, key: copied(operation.key) }
    case 'compareAndSwap': {
      const { key, expected, value } = operation
      return {
        ...operation,
        key: copied(key),
        expected: expected === undefined ? undefined : copied(expected),
        value: copied(value),
      }
    }
    case 'deleteRange':
    case 'range': {
      const { from, to } = operation
      return { ...operation, from: copied(from), to: to === undefined ? undefined : copied(to) }
    }
    case 'txn': {
      const { compares, then, else: otherwise } = operation
      return {
        ...operation,
        compares: compares.map(copyOfCompare),
        then: then.map(copyOfOperation),
        else: otherwise.map(copyOfOperation),
      }
    }
  }
}

function copyOfCompare(compare: KvCompare): KvCompare {
  const key = copied(compare.key)
  return compare.target === 'value' ? { ...compare, key, operand: copied(compare.operand) } : { ...compare, key }
}

/** A Node Buffer's own `slice` would copy nothing. */
function copied(bytes: Bytes): Bytes {
  return typeof bytes === 'string' ? bytes : new Uint8Array(bytes)
}
