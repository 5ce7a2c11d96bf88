import type { SnapshotActorOptions } from '../../actors/snapshot-actor.js'
import type { SnapshotPolicyOptions } from '../../actors/snapshot-policy.js'
import type { ServerId } from '../../machines/types.js'
import type { Dice } from './dice.js'
import type { ChangeMembers, Fault, FaultKind, Target } from './faults.js'

/** How servers take snapshots, and how many more of them there are to join. */
export interface Changes {
  readonly snapshotting: SnapshotPolicyOptions & Partial<SnapshotActorOptions>
  readonly spares: number
}

/** Thresholds so low that logs are compacted all the time, and pieces so small that a transfer has many. */
export function drawChanges(dice: Dice): Changes {
  const snapshotting = {
    snapshotEntries: dice.pick([0, 5, 12, 30, 60]),
    snapshotLogBytes: dice.pick([0, 0, 300, 2000]),
    snapshotIntervalMs: dice.pick([0, 0, 70, 400]),
    logEntriesKept: dice.pick([0, 0, 3, 20]),
    chunkBytes: dice.pick([16, 64, 256, 4096]),
    windowChunks: dice.pick([1, 2, 4]),
    retryMs: dice.pick([40, 150, 400]),
    bytesPerSecond: dice.pick([Infinity, Infinity, 50_000]),
  }
  return { snapshotting, spares: dice.pick([0, 1, 2, 3]) }
}

export interface ChangeBounds {
  /** How many servers there are, with those that wait to join. */
  readonly servers: number
  /** How many of them found the cluster. */
  readonly voters: number
  /** Whom it hits. Default: by chance. */
  readonly focus?: Target | undefined
}

const SLOW_MS = [
  [2, 10],
  [10, 60],
  [0, 200],
] as const

/** One fault of those kinds that strike snapshots or the membership. */
export function drawChangeFault(dice: Dice, kind: FaultKind, bounds: ChangeBounds): Fault {
  const ids = idsTo(bounds.servers)
  const drawn = dice.chance(0.4) ? 'leader' : dice.pick(ids)
  const who = bounds.focus ?? drawn
  switch (kind) {
    case 'failing snapshot disk':
      return { kind, who, how: dice.pick(['torn write', 'failed write', 'failed sync', 'full', 'read-only']) }
    case 'slow snapshot disk':
      return { kind, who, latencyMs: dice.pick(SLOW_MS) }
    case 'corrupted snapshot':
      return {
        kind,
        who,
        which: dice.chance(0.7) ? 'newest' : 'oldest',
        place: dice.fraction(),
        restarts: dice.chance(0.5),
      }
    case 'wiped disk':
      return { kind, who, by: dice.chance(0.6) ? 'itself' : dice.pick(ids) }
    default:
      return drawMembership(dice, bounds, who)
  }
}

/** One thing, several at once, or another set of voters altogether. */
function drawMembership(dice: Dice, { servers, voters }: ChangeBounds, via: Target): ChangeMembers {
  const ids = dice.shuffled(idsTo(servers))
  const spares = dice.shuffled(idsTo(servers).slice(voters))
  const nothing = { kind: 'membership change', via, add: [], promote: [], demote: [], remove: [] } as const
  const wish = { ...nothing, promotable: dice.chance(0.7), force: dice.chance(0.15) }
  const some = (): readonly ServerId[] => ids.slice(0, dice.between(1, Math.max(1, servers >> 1)))
  switch (
    dice.pick(['add', 'add', 'add back', 'promote', 'demote', 'remove', 'replace', 'mixed', 'all others'] as const)
  ) {
    case 'add':
      return { ...wish, add: spares.slice(0, dice.between(1, Math.max(1, spares.length))) }
    case 'add back':
      return { ...wish, add: ids }
    case 'promote':
      return { ...wish, promote: ids }
    case 'demote':
      return { ...wish, demote: some().slice(0, 1) }
    case 'remove':
      return { ...wish, remove: dice.chance(0.4) ? ['leader'] : some().slice(0, 1) }
    case 'replace':
      return { ...wish, add: spares.slice(0, 1), remove: [via] }
    case 'mixed': {
      const cut = dice.between(1, ids.length)
      return { ...wish, add: ids, promote: ids.slice(0, cut), remove: ids.slice(cut, cut + 2) }
    }
    case 'all others':
      return { ...wish, promote: spares, remove: idsTo(voters).filter(() => dice.chance(0.8)) }
  }
}

function idsTo(last: number): readonly ServerId[] {
  return Array.from({ length: last }, (_, at) => at + 1)
}
