import { tmpdir } from 'node:os'
import { readOptions, wrongOption } from './command-line.js'
import { LOG_STORES } from './subject.js'
import type { LogStoreName } from './subject.js'

export interface Options {
  /** Runs of each row and subject, of which the median counts. Default 5. */
  readonly runs: number
  /** Measured seconds a run. Default 3. */
  readonly seconds: number
  /** Least seconds of load before the measurement, until V8 has compiled what is hot; 20,000 calls at least. Default 5. */
  readonly warmupSeconds: number
  /** Only rows whose name and durability contain this. Default: all. */
  readonly rows: string
  readonly onlyLimit: boolean
  /** The engine's log stores, each in a row of its own beside the one limit, which is on Level. Default: both. */
  readonly logStores: readonly LogStoreName[]
  /** Sizes of the cluster, engine and limit alike. Default: three. */
  readonly servers: readonly number[]
  readonly json: boolean
  /** Where the servers' data goes while they run; a real disk, or the figures mean nothing. Default: the temporary directory. */
  readonly dir: string
}

export function parseOptions(): Options {
  const values = readOptions({
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    warmup: { type: 'string', default: '5' },
    rows: { type: 'string', default: '' },
    'only-limit': { type: 'boolean', default: false },
    'log-store': { type: 'string', default: 'both' },
    servers: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    dir: { type: 'string', default: tmpdir() },
  })
  return {
    runs: whole('--runs', values.runs),
    seconds: positive('--seconds', values.seconds),
    warmupSeconds: positive('--warmup', values.warmup),
    rows: values.rows,
    onlyLimit: values['only-limit'],
    logStores: logStoresOf(values['log-store']),
    servers: serversOf(values.servers),
    json: values.json,
    dir: values.dir,
  }
}

function serversOf(text: string): readonly number[] {
  const counts = text.split(',').map(Number)
  const isOdd = (count: number): boolean => Number.isInteger(count) && count >= 3 && count % 2 === 1
  if (!counts.every(isOdd)) wrongOption(`--servers must be odd numbers from 3 as in 3,5,7, not ${text}`)
  return counts
}

/** `level`, `file` or `both`. */
export function logStoresOf(text: string): readonly LogStoreName[] {
  const chosen = LOG_STORES.filter((name) => text === name || text === 'both')
  if (chosen.length === 0) wrongOption(`--log-store must be level, file or both, not ${JSON.stringify(text)}`)
  return chosen
}

/** Ends the script unless `text` is a number above 0. */
export function positive(option: string, text: string): number {
  const value = Number(text)
  if (!(value > 0 && value < Infinity)) wrongOption(`${option} must be a number above 0, not ${JSON.stringify(text)}`)
  return value
}

/** Ends the script unless `text` is a whole number, of at least `least`. */
export function whole(option: string, text: string, least = 1): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least && text.trim() !== '') return value
  return wrongOption(`${option} must be a whole number from ${least}, not ${JSON.stringify(text)}`)
}
