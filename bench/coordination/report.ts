import { count, megabytes, verdict } from '../engine/report.js'
import { median } from '../quantile.js'
import { aligned } from '../report.js'
import type { Memory } from './memory.js'
import type { Phase } from './phase.js'
import type { Calls, Row } from './rows.js'
import type { Outcome } from './trial.js'

export interface RowResult extends Outcome {
  readonly row: Row
}

/** Where others took the leader for dead, the figures are of something else. */
export function isReached(result: RowResult): boolean {
  return result.elections === 0 && ratioOf(result, 'perSecond') >= (result.row.wantedRatio ?? 0)
}

/** A table for each kind of measurement that there is, and what was wanted. */
export function tableLines(results: readonly RowResult[], memories: readonly Memory[]): string[] {
  const of = (kind: Row['measurement']['kind']) => results.filter(({ row }) => row.measurement.kind === kind)
  const tables = [
    callsTable(of('calls')),
    fanOutTable(of('fanOut')),
    handoverTable(of('handover')),
    memoryTable(memories),
  ]
  const lines = tables.filter(({ length }) => length > 1).flatMap((cells) => [...aligned(cells, 1), ''])
  return [...lines, ...results.flatMap(wantedLines)]
}

function callsTable(results: readonly RowResult[]): string[][] {
  const heading = [
    '100 clients on the leader unless said',
    'plain',
    'ops/s',
    'plain',
    'ratio',
    'p50 ms',
    'plain',
    'p99 ms',
    'plain',
  ]
  return [
    [...heading, 'CPU s per M', 'plain', 'ratio', ''],
    ...results.map((result) => [
      result.row.name,
      nameOf(result.row.plain),
      ...pair(result, 'perSecond', 0),
      fixed(ratioOf(result, 'perSecond'), 3),
      ...pair(result, 'p50Ms', 2),
      ...pair(result, 'p99Ms', 2),
      ...pair(result, 'cpuSecondsPerMillion', 0),
      fixed(ratioOf(result, 'cpuSecondsPerMillion'), 2),
      result.note,
    ]),
  ]
}

function fanOutTable(results: readonly RowResult[]): string[][] {
  const heading = ['1 writer on the leader', 'writes/s', 'unwatched', 'ratio', 'put p50 ms', 'unwatched', 'p99 ms']
  return [
    [
      ...heading,
      'unwatched',
      'answer to last watcher p50 ms',
      'p99 ms',
      'events/s',
      'CPU µs per write',
      'unwatched',
      '',
    ],
    ...results.map((result) => {
      const { measurement } = result.row
      const watchers = measurement.kind === 'fanOut' ? measurement.watchers : NaN
      const { measured } = result
      return [
        result.row.name,
        ...pair(result, 'perSecond', 0),
        fixed(ratioOf(result, 'perSecond'), 2),
        ...pair(result, 'p50Ms', 2),
        ...pair(result, 'p99Ms', 2),
        fixed(median(measured.map(({ lag }) => lag?.p50Ms ?? NaN)), 2),
        fixed(median(measured.map(({ lag }) => lag?.p99Ms ?? NaN)), 2),
        fixed(medianOf(measured, 'perSecond') * watchers, 0),
        ...pair(result, 'cpuSecondsPerMillion', 0),
        result.note,
      ]
    }),
  ]
}

function handoverTable(results: readonly RowResult[]): string[][] {
  return [
    ['release to next holder', 'handovers/s', 'p50 ms', 'plain put', 'ratio', 'p99 ms', 'plain put', ''],
    ...results.map((result) => [
      result.row.name,
      fixed(medianOf(result.measured, 'perSecond'), 0),
      ...pair(result, 'p50Ms', 2),
      fixed(ratioOf(result, 'p50Ms'), 2),
      ...pair(result, 'p99Ms', 2),
      result.note,
    ]),
  ]
}

function memoryTable(memories: readonly Memory[]): string[][] {
  return [
    ['a million keys', 'resident', 'highest meanwhile'],
    ...memories.map(({ row, mbPerMillion, maxMbPerMillion }) => {
      return [row.name, megabytes(mbPerMillion), megabytes(maxMbPerMillion)]
    }),
  ]
}

function wantedLines(result: RowResult): string[] {
  const { name, wantedRatio } = result.row
  if (result.elections > 0) return [`${name}: ${result.elections} elections meanwhile; measure it again.`]
  if (wantedRatio === undefined) return []
  const reached = fixed(ratioOf(result, 'perSecond'), 3)
  return [`${name}: ${reached} of plain throughput, ${wantedRatio} wanted, ${verdict(isReached(result))}.`]
}

function nameOf(calls: Calls): string {
  return 'consistency' in calls ? `${calls.kind}, ${calls.consistency}` : calls.kind
}

/** What a phase has in any case. */
type Figure = Exclude<keyof Phase, 'lag'>

function pair({ measured, plain }: RowResult, figure: Figure, digits: number): string[] {
  return [fixed(medianOf(measured, figure), digits), fixed(medianOf(plain, figure), digits)]
}

function medianOf(phases: readonly Phase[], figure: Figure): number {
  return median(phases.map((phase) => phase[figure]))
}

/** The median of what each run came to beside the plain calls of the same run. */
function ratioOf({ measured, plain }: RowResult, figure: Figure): number {
  return median(measured.map((phase, run) => phase[figure] / (plain[run]?.[figure] ?? NaN)))
}

function fixed(value: number, digits: number): string {
  if (Number.isNaN(value)) return '–'
  return digits === 0 ? count(value) : value.toFixed(digits)
}
