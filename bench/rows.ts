import type { Consistency } from '../src/options.js'
import type { Durability } from '../src/storage/ports.js'
import type { LinearizableReads } from './subject.js'

/** What is measured in one row of the table. */
export interface Row {
  readonly name: string
  readonly durability: Durability
  readonly load: Load
  readonly linearizableReads: LinearizableReads
  /** Operations a second that the engine should reach, where that is not a share of the limit's. */
  readonly wantedPerSecond?: number
}

/** A closed loop: each client awaits its call, then makes the next. */
export interface Load {
  readonly kind: 'write' | Consistency
  readonly clients: number
  readonly keys: number
}

/** Few enough for their values to stay in a core's cache: ten times as many halve what a `Map` itself can read. */
const KEYS = 1000

export const ROWS: readonly Row[] = [
  ...writes('1 writer', 1, KEYS),
  ...writes('100 writers', 100, KEYS),
  ...writes('1,000 writers', 1000, KEYS),
  ...writes('100 writers, ten hot keys', 100, 10),
  reads('100 readers, linearizable', 'linearizable'),
  {
    ...reads('100 readers, linearizable, leases trusted', 'linearizable'),
    linearizableReads: 'lease',
    wantedPerSecond: 700_000,
  },
  reads('100 readers, lease', 'lease'),
  reads('100 readers, eventual', 'eventual'),
]

function writes(name: string, clients: number, keys: number): Row[] {
  const load: Load = { kind: 'write', clients, keys }
  return [
    { name, durability: 'disk-first', load, linearizableReads: 'quorum' },
    { name, durability: 'mem-first', load, linearizableReads: 'quorum' },
  ]
}

function reads(name: string, kind: Consistency): Row {
  return { name, durability: 'disk-first', load: { kind, clients: 100, keys: KEYS }, linearizableReads: 'quorum' }
}
