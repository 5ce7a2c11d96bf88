import type { Operation } from './history.js'

/** Why `candidate` is no operation, or undefined when it is one. `return` is Infinity where the outcome is unknown. */
export function faultOfOperation(candidate: unknown): string | undefined {
  if (!isRecord(candidate)) return 'an operation is an object'
  if (typeof candidate['client'] !== 'string') return `client is a string; found ${json(candidate['client'])}`
  if (typeof candidate['key'] !== 'string') return `key is a string; found ${json(candidate['key'])}`
  return faultOfTimes(candidate) ?? faultOfCall(candidate)
}

/** Narrows what `faultOfOperation` finds nothing wrong with. */
export function isOperation(candidate: unknown): candidate is Operation {
  return faultOfOperation(candidate) === undefined
}

type Fields = Readonly<Record<string, unknown>>

function faultOfTimes(fields: Fields): string | undefined {
  const { call, outcome } = fields
  const end = fields['return']
  if (outcome !== 'ok' && outcome !== 'failed' && outcome !== 'unknown')
    return `outcome is ok, failed or unknown; found ${json(outcome)}`
  if (typeof call !== 'number' || !Number.isFinite(call) || call < 0)
    return `call is a time from 0; found ${json(call)}`
  if (outcome === 'unknown')
    return end === Infinity ? undefined : `an unknown outcome has no return; found ${json(end)}`
  if (typeof end !== 'number' || !Number.isFinite(end)) return `return is a time; found ${json(end)}`
  return end >= call ? undefined : `it returned at ${end}, before its call at ${call}`
}

function faultOfCall(fields: Fields): string | undefined {
  const { op, input, output } = fields
  const ok = fields['outcome'] === 'ok'
  if (!ok && output !== null) return `only an ok operation has an output; found ${json(output)}`
  switch (op) {
    case 'put':
      if (typeof input !== 'string') return `put takes a string; found ${json(input)}`
      return output === null || isRevision(output) ? undefined : `put returns a revision or null; found ${json(output)}`
    case 'get':
      return faultOfGet(fields)
    case 'delete':
      if (input !== null) return `delete takes null; found ${json(input)}`
      return !ok || isDeleted(output) ? undefined : `delete returns { deleted, revision? }; found ${json(output)}`
    case 'cas':
      if (!isRecord(input) || !isValue(input['expected']) || typeof input['value'] !== 'string')
        return `cas takes { expected, value }; found ${json(input)}`
      return !ok || typeof output === 'boolean' ? undefined : `cas returns a boolean; found ${json(output)}`
    default:
      return `op is put, get, delete or cas; found ${json(op)}`
  }
}

function faultOfGet({ input, output, consistency, server, seen }: Fields): string | undefined {
  if (input !== null) return `get takes null; found ${json(input)}`
  if (!isValue(output)) return `get returns a string or null; found ${json(output)}`
  if (
    consistency !== undefined &&
    consistency !== 'linearizable' &&
    consistency !== 'lease' &&
    consistency !== 'eventual'
  )
    return `consistency is linearizable, lease or eventual; found ${json(consistency)}`
  if (server !== undefined && typeof server !== 'string') return `server is a string; found ${json(server)}`
  return seen === undefined || isRevision(seen) ? undefined : `seen is a revision; found ${json(seen)}`
}

function isDeleted(output: unknown): boolean {
  if (!isRecord(output) || typeof output['deleted'] !== 'boolean') return false
  return output['revision'] === undefined || isRevision(output['revision'])
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isRevision(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function isValue(value: unknown): boolean {
  return value === null || typeof value === 'string'
}

function json(value: unknown): string {
  if (value === undefined) return 'nothing'
  return typeof value === 'number' ? `${value}` : JSON.stringify(value).slice(0, 80)
}
