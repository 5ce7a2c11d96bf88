import { describeMachine, machineLine } from '../machine.js'

/** What every report of a script begins and ends with. */
export interface Outcome {
  /** The name of the script in package.json. */
  readonly script: string
  /** Where the data was. */
  readonly dir: string
  readonly isJson: boolean
  readonly othersShare: number
  readonly figures: unknown
  readonly lines: readonly string[]
  /** Whether all was reached that is wanted; else the script ends with status 1. */
  readonly isReached: boolean
}

export function printOutcome({ script, dir, isJson, othersShare, figures, lines, isReached }: Outcome): void {
  const machine = describeMachine(dir)
  const command = `npm run ${script} -- ${process.argv.slice(2).join(' ')}`.trim().replace(/ --$/, '')
  const others = `Other processes took ${(othersShare * 100).toFixed(0)} % of the machine meanwhile.`
  if (isJson) console.log(JSON.stringify({ command, machine, othersShare, isReached, figures }, null, 2))
  else console.log([command, machineLine(machine), '', ...lines, '', others].join('\n'))
  if (!isReached) process.exitCode = 1
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

export function seconds(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 1)} s`
}

export function megabytes(value: number): string {
  return `${value.toFixed(0)} MB`
}

export function verdict(isReached: boolean): string {
  return isReached ? 'reached' : 'NOT reached'
}
