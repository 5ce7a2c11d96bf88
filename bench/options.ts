import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'

export interface Options {
  /** Runs of each row and subject, of which the median counts. Default 5. */
  readonly runs: number
  /** Measured seconds a run. Default 3. */
  readonly seconds: number
  /** Seconds of load before the measurement, until V8 has compiled what is hot. Default 5. */
  readonly warmupSeconds: number
  /** Only rows whose name and durability contain this. Default: all. */
  readonly rows: string
  readonly onlyLimit: boolean
  readonly json: boolean
  /** Where the servers' data goes while they run; a real disk, or the figures mean nothing. Default: the temporary directory. */
  readonly dir: string
}

export function parseOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      runs: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      warmup: { type: 'string', default: '5' },
      rows: { type: 'string', default: '' },
      'only-limit': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      dir: { type: 'string', default: tmpdir() },
    },
  })
  return {
    runs: positive('--runs', values.runs),
    seconds: positive('--seconds', values.seconds),
    warmupSeconds: positive('--warmup', values.warmup),
    rows: values.rows,
    onlyLimit: values['only-limit'],
    json: values.json,
    dir: values.dir,
  }
}

/** Throws unless `text` is a number above 0. */
export function positive(option: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`${option} must be a number above 0, not ${JSON.stringify(text)}`)
  return value
}
