import type { ServerId } from '../../machines/types.js'
import type { InFlight } from '../../storage/memory-disk.js'
import type { Cut, LinkFaults } from '../../transport/link-faults.js'

/** Whom a fault hits: a server, or whoever leads when it strikes. */
export type Target = ServerId | 'leader'

/**
 * What can go wrong in a simulated cluster, as data: a fault can be drawn, listed, shrunk and told. What a fault leaves
 * behind is undone when it heals; a fault that strikes once heals by the restart of what it stopped.
 */
export type Fault =
  | Partition
  | PartialCut
  | Bridge
  | FlappingLink
  | Weather
  | Kill
  | Crash
  | AllDown
  | FailingDisk
  | SlowDisk
  | Damage
  | Pause
  | Drift
  | TransferLeadership
  | FailingSnapshots
  | SlowSnapshots
  | DamagedSnapshot
  | Wipe
  | ChangeMembers

export type FaultKind = Fault['kind']

/** Those that hit one server. */
export type ServerFault = Extract<Fault, { readonly who: Target }>

/** Ends a fault. */
export type Heal = () => void

/** `side` against all others; one-way when only what the side says, or hears, is lost. */
export interface Partition {
  readonly kind: 'partition' | 'one-way partition'
  readonly side: readonly Target[]
  readonly lost: 'both' | 'said' | 'heard'
  readonly how: Cut
}

/** Two servers that cannot talk to each other while everyone else can talk to both. */
export interface PartialCut {
  readonly kind: 'partial cut'
  readonly between: readonly [Target, Target]
  readonly how: Cut
}

/** Two halves that only one server can talk to. */
export interface Bridge {
  readonly kind: 'bridge'
  readonly over: Target
  readonly side: readonly ServerId[]
  readonly how: Cut
}

/** A link that is cut and mended again and again. */
export interface FlappingLink {
  readonly kind: 'flapping link'
  readonly between: readonly [Target, Target]
  readonly periodMs: number
  readonly how: Cut
}

/** What links do to what they carry: all links, or those of one server, in one direction or both. */
export interface Weather {
  readonly kind: 'loss' | 'delay' | 'duplication' | 'reordering' | 'corruption'
  readonly links: Partial<LinkFaults>
  readonly at: Target | 'all'
  /** Of one server: all of that, only what it says, or only what it hears. */
  readonly ways: 'both' | 'said' | 'heard'
}

/** The process dies. */
export interface Kill {
  readonly kind: 'kill'
  readonly who: Target
  readonly inFlight: InFlight
}

/** The machine dies. */
export interface Crash {
  readonly kind: 'crash'
  readonly who: Target
  readonly inFlight: InFlight
  readonly watermark: 'kept' | 'stale' | 'lost'
  /** Chance that an unsynced step is on the disk after all. */
  readonly survival: number
}

/** Every server at once, by kill or by crash. */
export interface AllDown {
  readonly kind: 'all down'
  readonly how: 'kill' | 'crash'
  readonly inFlight: InFlight
  /** Between the starts of one server and the next. */
  readonly staggerMs: number
}

/** A disk on which the next write, or every write until it heals, fails. The server stops. */
export interface FailingDisk {
  readonly kind: 'torn write' | 'failed write' | 'failed sync' | 'full disk' | 'read-only disk'
  readonly who: Target
}

export interface SlowDisk {
  readonly kind: 'slow disk'
  readonly who: Target
  readonly latencyMs: readonly [min: number, max: number]
}

/**
 * A record of a stopped server's disk is flipped in one bit, or is gone. The server must refuse to start, and is lost
 * then, or have lost nothing that it had acknowledged.
 */
export interface Damage {
  readonly kind: 'corrupted record' | 'removed record'
  readonly who: Target
  /** Which record, from the oldest (0) to the newest (1); below 0: the server's own. */
  readonly record: number
  /** Where in it, from 0 to 1. */
  readonly place: number
}

/** The process stands still, and finds later that its clock has gone on. */
export interface Pause {
  readonly kind: 'pause'
  readonly who: Target
}

export interface Drift {
  readonly kind: 'drift'
  readonly who: Target
  /** 1.05: the server's clock gains 5 %. */
  readonly rate: number
}

export interface TransferLeadership {
  readonly kind: 'leadership transfer'
  /** Undefined: to whoever matches most. */
  readonly to: ServerId | undefined
}

/** The disk for snapshots fails, at the next write, sync or until it heals. The server stops. */
export interface FailingSnapshots {
  readonly kind: 'failing snapshot disk'
  readonly who: Target
  readonly how: 'torn write' | 'failed write' | 'failed sync' | 'full' | 'read-only'
}

export interface SlowSnapshots {
  readonly kind: 'slow snapshot disk'
  readonly who: Target
  readonly latencyMs: readonly [min: number, max: number]
}

/**
 * A complete snapshot is flipped in one bit, while its server runs or before it starts again. It must be noticed, and
 * the server go on from the one before it, or refuse to start and be lost.
 */
export interface DamagedSnapshot {
  readonly kind: 'corrupted snapshot'
  readonly who: Target
  readonly which: 'newest' | 'oldest'
  /** Where in its file, from 0 to 1. */
  readonly place: number
  readonly restarts: boolean
}

/**
 * A machine comes back under its old id with empty disks. Nobody may hear it, for it has forgotten its votes; as it
 * heals an operator removes it, and adds it or another server anew.
 */
export interface Wipe {
  readonly kind: 'wiped disk'
  readonly who: Target
  /** Who is added in its stead: itself, with a disk that is empty again, or a spare server. */
  readonly by: ServerId | 'itself'
}

/** A request for another membership. What of it makes no sense any more when it is made is left out. */
export interface ChangeMembers {
  readonly kind: 'membership change'
  /** Whom it is asked of. */
  readonly via: Target
  readonly add: readonly ServerId[]
  /** Whether those are promoted by themselves. */
  readonly promotable: boolean
  readonly promote: readonly ServerId[]
  readonly demote: readonly ServerId[]
  readonly remove: readonly Target[]
  readonly force: boolean
}

/** What strikes a cluster whose members and log stay what they are. */
export const STEADY_KINDS: readonly FaultKind[] = [
  'partition',
  'one-way partition',
  'partial cut',
  'bridge',
  'flapping link',
  'loss',
  'delay',
  'duplication',
  'reordering',
  'corruption',
  'kill',
  'crash',
  'all down',
  'torn write',
  'failed write',
  'failed sync',
  'full disk',
  'read-only disk',
  'slow disk',
  'corrupted record',
  'removed record',
  'pause',
  'drift',
  'leadership transfer',
]

/** What strikes snapshots, and the membership. */
export const CHANGE_KINDS: readonly FaultKind[] = [
  'failing snapshot disk',
  'slow snapshot disk',
  'corrupted snapshot',
  'wiped disk',
  'membership change',
]

export const FAULT_KINDS: readonly FaultKind[] = [...STEADY_KINDS, ...CHANGE_KINDS]

/** A fault in a few words, as a person would tell it. */
export function describeFault(fault: Fault): string {
  switch (fault.kind) {
    case 'partition':
      return `${fault.kind} (${fault.how}): ${names(fault.side)} | the others`
    case 'one-way partition':
      return `${fault.kind} (${fault.how}): what ${names(fault.side)} ${fault.lost === 'said' ? 'says' : 'should hear'} is lost`
    case 'partial cut':
      return `${fault.kind} (${fault.how}) between ${fault.between.join(' and ')}`
    case 'bridge':
      return `${fault.kind} (${fault.how}): ${names(fault.side)} | the others, and only ${fault.over} talks to both`
    case 'flapping link':
      return `${fault.kind} (${fault.how}) between ${fault.between.join(' and ')}, every ${fault.periodMs} ms`
    case 'loss':
    case 'delay':
    case 'duplication':
    case 'reordering':
    case 'corruption':
      return `${fault.kind} ${describeReach(fault)}: ${numbers(fault.links)}`
    case 'crash':
      return `crash of ${fault.who}: write in flight ${fault.inFlight}, watermark ${fault.watermark}`
    case 'all down':
      return `all down by ${fault.how}: writes in flight ${fault.inFlight}`
    case 'kill':
      return `kill of ${fault.who}: write in flight ${fault.inFlight}`
    case 'slow disk':
      return `slow disk at ${fault.who}: ${fault.latencyMs.join(' to ')} ms`
    case 'drift':
      return `drift: the clock of ${fault.who} runs at ${fault.rate.toFixed(3)}`
    case 'leadership transfer':
      return `leadership transfer to ${fault.to ?? 'whoever matches most'}`
    case 'failing snapshot disk':
      return `${fault.kind} at ${fault.who}: ${fault.how}`
    case 'slow snapshot disk':
      return `${fault.kind} at ${fault.who}: ${fault.latencyMs.join(' to ')} ms`
    case 'corrupted snapshot':
      return `corrupted snapshot at ${fault.who}, the ${fault.which}, ${fault.restarts ? 'before it starts again' : 'while it runs'}`
    case 'wiped disk':
      return `${fault.who} comes back with empty disks, to be replaced by ${fault.by}`
    case 'membership change':
      return describeChange(fault)
    default:
      return `${fault.kind} at ${fault.who}`
  }
}

function describeChange({ via, add, promotable, promote, demote, remove, force }: ChangeMembers): string {
  const parts = [
    ...(add.length === 0 ? [] : [`add ${names(add)} to ${promotable ? 'vote once caught up' : 'listen'}`]),
    ...(promote.length === 0 ? [] : [`promote ${names(promote)}`]),
    ...(demote.length === 0 ? [] : [`demote ${names(demote)}`]),
    ...(remove.length === 0 ? [] : [`remove ${names(remove)}`]),
  ]
  return `membership change asked of ${via}: ${parts.join(', ') || 'nothing'}${force ? ', by force' : ''}`
}

function describeReach({ at, ways }: Weather): string {
  if (at === 'all') return 'on all links'
  return ways === 'both' ? `on the links of ${at}` : `of what ${at} ${ways === 'said' ? 'says' : 'hears'}`
}

function names(side: readonly Target[]): string {
  return side.join(', ')
}

function numbers(links: Partial<LinkFaults>): string {
  return Object.entries(links)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toFixed(4)) : value.join(' to ')}`)
    .join(', ')
}
