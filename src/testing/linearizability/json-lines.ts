import { ActorumError } from '../../errors.js'
import type { Operation } from './history.js'
import { faultOfOperation, isOperation } from './validity.js'

/**
 * A history as JSON lines, one operation a line, in the order given: `client`, `op`, `key`, `input`, `output`, `call`,
 * `return` (null where the outcome is unknown), `outcome`, and on a get, where known, `consistency`, `server`, `seen`.
 */
export function formatHistory(history: readonly Operation[]): string {
  return history.map((operation) => JSON.stringify(fieldsOf(operation)) + '\n').join('')
}

/**
 * Reads what `formatHistory` wrote; blank lines are passed over. A get may leave `input` out. Throws INVALID_ARGUMENT
 * with the line's number for a line that is not an operation.
 */
export function parseHistory(text: string): Operation[] {
  const history: Operation[] = []
  text.split('\n').forEach((line, index) => {
    if (line.trim() !== '') history.push(parseLine(line, index + 1))
  })
  return history
}

function fieldsOf(operation: Operation): object {
  const { client, op, key, input, output, call, outcome } = operation
  const fields = { client, op, key, input, output, call, return: finite(operation.return), outcome }
  if (operation.op !== 'get') return fields
  const { consistency, server, seen } = operation
  return { ...fields, consistency, server, seen }
}

function finite(time: number): number | null {
  return time === Infinity ? null : time
}

function parseLine(line: string, number: number): Operation {
  const candidate = restored(parseJson(line, number))
  if (isOperation(candidate)) return candidate
  throw refusal(number, faultOfOperation(candidate) ?? 'it is not an operation')
}

function parseJson(line: string, number: number): unknown {
  try {
    return JSON.parse(line)
  } catch (cause) {
    throw refusal(number, 'it is not JSON', cause)
  }
}

/** JSON has no Infinity and other writers leave out what is null. */
function restored(parsed: unknown): unknown {
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return parsed
  const fields: Readonly<Record<string, unknown>> = { input: null, output: null, ...parsed }
  const unreturned = fields['outcome'] === 'unknown' && (fields['return'] ?? null) === null
  return unreturned ? { ...fields, return: Infinity } : fields
}

function refusal(line: number, fault: string, cause?: unknown): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', `line ${line} of the history is no operation: ${fault}`, { cause })
}
