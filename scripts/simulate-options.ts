// What `npm run simulate` is asked for: all of it is checked here, before anything is begun.
import { parseArgs } from 'node:util'
import {
  COORDINATING_KINDS,
  FAULT_KINDS,
  type CoordinatingKind,
  type FaultKind,
  type PlanCut,
  type PlanOptions,
} from '../src/testing/index.js'

export const USAGE = `npm run simulate -- [options]
  --seed N          one run, from this seed, with its story
  --runs R          so many runs (default 100, unless --minutes is given)
  --minutes M       as many runs as fit into so many minutes
  --from-seed N     the first run's seed (default: by the time of day)
  --steps S         faults in each run (default 16), and half to twice as many more where its members change
  --servers N       1 to 9 servers (default: 3 or 5, by the seed)
  --mode MODE       disk-first or mem-first (default: by the seed)
  --coordination X  on or off: clients that coordinate, too (default: by the seed)
  --faults A,B      only these kinds (default: by the seed); they are:
                    ${FAULT_KINDS.join(', ')}
  --workers N       processes that share the runs (default: 2, or 1 on one core)
  --out DIR         where a failed run is written (default ./data/simulations)
with --seed, what a shrunk run has left:
  --keep 0,3,4      only these of its faults      --until MS   clients stop then      --clients N   so many clients
  --bankers N --holders N --sessions N --watchers N --travellers N   so many of those who coordinate`

const TEXT = { type: 'string' } as const
const OPTIONS = {
  seed: TEXT,
  runs: TEXT,
  minutes: TEXT,
  'from-seed': TEXT,
  steps: TEXT,
  servers: TEXT,
  mode: TEXT,
  coordination: TEXT,
  faults: TEXT,
  workers: TEXT,
  out: TEXT,
  keep: TEXT,
  until: TEXT,
  clients: TEXT,
  bankers: TEXT,
  holders: TEXT,
  sessions: TEXT,
  watchers: TEXT,
  travellers: TEXT,
  help: { type: 'boolean', short: 'h' },
} as const

type Values = { readonly [name in Exclude<keyof typeof OPTIONS, 'help'>]?: string | undefined }

/** What plans are drawn by, beside their seeds. */
export type PlanWishes = Omit<PlanOptions, 'seed'>

export interface SimulateOptions {
  readonly help: boolean
  /** Set: this run alone. */
  readonly seed: number | undefined
  readonly runs: number | undefined
  readonly minutes: number | undefined
  readonly fromSeed: number | undefined
  readonly workers: number | undefined
  readonly out: string | undefined
  readonly plan: PlanWishes
  readonly cut: PlanCut
  /** The options that draw the same plans again, as they were given. */
  readonly samePlan: readonly string[]
}

/** What was asked for cannot be; its message is one line, for a person. */
export class WrongOption extends Error {}

/** Throws a WrongOption. */
export function parseOptions(args: readonly string[]): SimulateOptions {
  const { help = false, ...values } = parsed(args)
  const options = {
    help,
    seed: numberOf(values, 'seed', 0, 0xffff_ffff),
    runs: numberOf(values, 'runs', 1, 1e9),
    minutes: numberOf(values, 'minutes', 0.01, 100_000, false),
    fromSeed: numberOf(values, 'from-seed', 0, 0xffff_ffff),
    workers: numberOf(values, 'workers', 1, 64),
    out: values.out,
    plan: planOf(values),
    cut: cutOf(values),
    samePlan: samePlanOf(values),
  }
  refuseIdle(values)
  return options
}

const OF_ONE_RUN = ['keep', 'until', 'clients', ...COORDINATING_KINDS] as const
const OF_MANY_RUNS = ['runs', 'minutes', 'from-seed', 'workers'] as const

/** What would be ignored is refused. */
function refuseIdle(values: Values): void {
  const isOne = values.seed !== undefined
  const idle = (isOne ? OF_MANY_RUNS : OF_ONE_RUN).find((name) => values[name] !== undefined)
  if (idle !== undefined) throw new WrongOption(`--${idle} means nothing ${isOne ? 'with' : 'without'} --seed`)
}

function parsed(args: readonly string[]): Values & { readonly help?: boolean } {
  try {
    return parseArgs({ args: withNegatives(args), options: OPTIONS }).values
  } catch (error) {
    // Node's words, which may be several lines.
    throw new WrongOption(error instanceof Error ? error.message.replaceAll('\n', ' ') : String(error))
  }
}

/** Node takes the -1 of `--seed -1` for an option of its own: bound to its name it is a number, and judged as one. */
function withNegatives(args: readonly string[]): string[] {
  const bound: string[] = []
  for (const arg of args) {
    const name = bound.at(-1)
    const isValue = /^-[\d.]/.test(arg) && name !== undefined && /^--[a-z-]+$/.test(name)
    if (isValue) bound[bound.length - 1] = `${name}=${arg}`
    else bound.push(arg)
  }
  return bound
}

type NumberOption =
  'seed' | 'runs' | 'minutes' | 'from-seed' | 'steps' | 'servers' | 'workers' | 'until' | 'clients' | CoordinatingKind

function numberOf(values: Values, name: NumberOption, min: number, max: number, isWhole = true): number | undefined {
  const text = values[name]
  if (text === undefined) return undefined
  const number = Number(text)
  const isFit = number >= min && number <= max && (!isWhole || Number.isInteger(number))
  if (isFit && text.trim() !== '') return number
  throw new WrongOption(
    `--${name} is ${shown(text)}; it must be ${isWhole ? 'an integer' : 'a number'} from ${min} to ${max}`,
  )
}

function oneOf<Word extends string>(values: Values, name: 'mode' | 'coordination', words: readonly Word[]) {
  const text = values[name]
  const word = words.find((known) => known === text)
  if (text === undefined || word !== undefined) return word
  throw new WrongOption(`--${name} is ${shown(text)}; it must be ${words.join(' or ')}`)
}

function planOf(values: Values): PlanWishes {
  const coordination = oneOf(values, 'coordination', ['on', 'off'])
  return {
    servers: numberOf(values, 'servers', 1, 9),
    steps: numberOf(values, 'steps', 0, 100_000),
    durability: oneOf(values, 'mode', ['disk-first', 'mem-first']),
    kinds: values.faults?.split(',').map(kindOf),
    coordination: coordination === undefined ? undefined : coordination === 'on',
  }
}

function kindOf(text: string): FaultKind {
  const kind = FAULT_KINDS.find((known) => known === text.trim())
  if (kind !== undefined) return kind
  throw new WrongOption(`--faults names ${shown(text.trim())}; known are: ${FAULT_KINDS.join(', ')}`)
}

function cutOf(values: Values): PlanCut {
  const coordinating: Partial<Record<CoordinatingKind, number>> = {}
  for (const kind of COORDINATING_KINDS) {
    const count = numberOf(values, kind, 0, 1000)
    if (count !== undefined) coordinating[kind] = count
  }
  return {
    keep: keepOf(values),
    untilMs: numberOf(values, 'until', 1, 1e9, false),
    clients: numberOf(values, 'clients', 1, 1000),
    coordinating,
  }
}

/** Nothing between the commas keeps nothing: a run may fail without any fault. */
function keepOf({ keep }: Values): readonly number[] | undefined {
  const positions = keep?.split(',').map((text) => text.trim())
  const wrong = positions?.find((text) => !/^\d*$/.test(text))
  if (wrong === undefined) return positions?.filter((text) => text !== '').map(Number)
  throw new WrongOption(`--keep names ${shown(wrong)}; it must be positions of faults, counted from 0, such as 0,3,4`)
}

function samePlanOf(values: Values): readonly string[] {
  return (['steps', 'servers', 'mode', 'coordination', 'faults'] as const).flatMap((name) => {
    const value = values[name]
    return value === undefined ? [] : [`--${name} ${value.includes(' ') ? `'${value}'` : value}`]
  })
}

/** So that nothing, and a blank, can be seen. */
function shown(text: string): string {
  return /^\S+$/.test(text) ? text : `'${text}'`
}
