import type { Run } from './cluster.js'
import { machineLine } from './machine.js'
import type { Machine } from './machine.js'
import { median } from './quantile.js'
import type { Row } from './rows.js'
import type { LogStoreName } from './subject.js'

export interface RowResult {
  readonly row: Row
  readonly servers: number
  /** The engine's. */
  readonly logStore: LogStoreName
  readonly limit: readonly Run[]
  readonly engine: readonly Run[]
}

const HEADINGS = [
  [
    '',
    'durability',
    'log store',
    'servers',
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
  [
    '',
    '',
    '',
    '',
    'ops/s',
    'ops/s',
    '',
    'limit',
    'engine',
    'limit',
    'engine',
    '',
    'limit',
    'engine',
    'limit',
    'engine',
  ],
]

export function machineLines(machine: Machine, args: readonly string[]): string[] {
  return [
    `npm run bench -- ${args.join(' ')}`.trim(),
    machineLine(machine),
    'A process a server, on loopback; keys of 8 bytes, values of 256; medians. CPU is the processes’ sum, RSS the leader’s highest.',
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
  return aligned([...HEADINGS, ...results.map(cellsOf)])
}

/** What clusters of other sizes keep of the throughput of three servers; nothing where three were not measured. */
export function scaleLines(results: readonly RowResult[]): string[] {
  const cells = results.flatMap((result) => {
    const three = results.find(({ row, logStore, servers }) => {
      return row === result.row && logStore === result.logStore && servers === 3
    })
    if (three === undefined || result === three) return []
    const limit = throughput(result.limit) / throughput(three.limit)
    const engine = throughput(result.engine) / throughput(three.engine)
    const { row, logStore, servers } = result
    const shares = [format(limit, 2), format(engine, 2), format(engine / limit, 2)]
    return [[row.name, durabilityOf(row), logStore, String(servers), ...shares]]
  })
  const heading = ['throughput relative to three', 'durability', 'log store', 'servers', 'limit', 'engine', 'of limit']
  return cells.length === 0 ? [] : aligned([heading, ...cells])
}

/** The rows that are to reach a figure of their own. */
export function wantedLines(results: readonly RowResult[]): string[] {
  return results.flatMap(({ row, logStore, servers, engine }) => {
    const { name, wantedPerSecond: wanted } = row
    if (wanted === undefined || engine.length === 0) return []
    const reached = throughput(engine)
    const verdict = reached >= wanted ? 'reached' : 'NOT reached'
    const setting = `${name} (${logStore}, ${servers} servers)`
    return [`${setting}: ${format(reached, 0)} ops/s of ${format(wanted, 0)} wanted, ${verdict}.`]
  })
}

/** Columns of equal width: the first `words` are words, the others figures. */
export function aligned(cells: readonly (readonly string[])[], words = 3): string[] {
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  return cells.map((row) =>
    row
      .map((cell, column) => (column < words ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  )
}

function cellsOf({ row, servers, logStore, limit, engine }: RowResult): string[] {
  const pair = (of: (run: Run) => number, digits: number): string[] => [
    format(median(limit.map(of)), digits),
    format(median(engine.map(of)), digits),
  ]
  const ratio = (of: (run: Run) => number): string => format(median(engine.map(of)) / median(limit.map(of)), 2)
  return [
    row.name,
    durabilityOf(row),
    logStore,
    String(servers),
    ...pair((run) => run.throughput, 0),
    ratio((run) => run.throughput),
    ...pair((run) => run.p50Ms, 3),
    ...pair((run) => run.p99Ms, 3),
    ratio((run) => run.p99Ms),
    ...pair((run) => run.cpuSecondsPerMillion, 2),
    ...pair((run) => run.rssMaxMb, 0),
  ]
}

function throughput(runs: readonly Run[]): number {
  return median(runs.map((run) => run.throughput))
}

/** Reads write nothing. */
function durabilityOf({ load, durability }: Row): string {
  return load.kind === 'write' ? durability : ''
}

function format(value: number, digits: number): string {
  if (Number.isNaN(value)) return '–'
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
