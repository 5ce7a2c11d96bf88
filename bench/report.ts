import type { Run } from './cluster.js'
import { machineLine } from './machine.js'
import type { Machine } from './machine.js'
import { median } from './quantile.js'
import type { Row } from './rows.js'

export interface RowResult {
  readonly row: Row
  readonly limit: readonly Run[]
  readonly engine: readonly Run[]
}

const HEADINGS = [
  [
    '',
    'durability',
    'limit',
    'engine',
    'of limit',
    'p50 ms',
    '',
    'p99 ms',
    '',
    'of limit',
    'CPU s per M',
    '',
    'RSS MB',
    '',
  ],
  ['', '', 'ops/s', 'ops/s', '', 'limit', 'engine', 'limit', 'engine', '', 'limit', 'engine', 'limit', 'engine'],
]

export function machineLines(machine: Machine, args: readonly string[]): string[] {
  return [
    `npm run bench -- ${args.join(' ')}`.trim(),
    machineLine(machine),
    'Three processes on loopback; keys of 8 bytes, values of 256; medians. CPU is the three processes’ sum, RSS the leader’s highest.',
    ...(machine.fileSystem === 'tmpfs'
      ? ['Warning: tmpfs is no disk, so the disk-first figures mean nothing; choose another with --dir.']
      : []),
  ]
}

/** Says how quiet the machine was. */
export function quietLine(results: readonly RowResult[]): string {
  const shares = results.flatMap(({ limit, engine }) => [...limit, ...engine]).map((run) => run.othersShare * 100)
  return `Other processes took ${format(median(shares), 0)} % of the machine (median of runs), ${format(Math.max(...shares), 0)} % at most.`
}

/** An aligned table: the medians of both, and the engine's as ratios to the limit's. */
export function tableLines(results: readonly RowResult[]): string[] {
  const cells = [...HEADINGS, ...results.map(cellsOf)]
  const widths = HEADINGS[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  return cells.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  )
}

function cellsOf({ row, limit, engine }: RowResult): string[] {
  const pair = (of: (run: Run) => number, digits: number): string[] => [
    format(median(limit.map(of)), digits),
    format(median(engine.map(of)), digits),
  ]
  const ratio = (of: (run: Run) => number): string => format(median(engine.map(of)) / median(limit.map(of)), 2)
  const durability = row.load.kind === 'write' ? row.durability : ''
  return [
    row.name,
    durability,
    ...pair((run) => run.throughput, 0),
    ratio((run) => run.throughput),
    ...pair((run) => run.p50Ms, 3),
    ...pair((run) => run.p99Ms, 3),
    ratio((run) => run.p99Ms),
    ...pair((run) => run.cpuSecondsPerMillion, 2),
    ...pair((run) => run.rssMaxMb, 0),
  ]
}

function format(value: number, digits: number): string {
  if (Number.isNaN(value)) return '–'
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
