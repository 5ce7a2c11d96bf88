import type { RaftSettings } from '../../machines/context.js'
import type { ServerId } from '../../machines/types.js'
import type { Durability } from '../../storage/ports.js'
import type { Cut, LinkFaults } from '../../transport/link-faults.js'
import { Dice } from './dice.js'
import { drawCoordination, type Coordination } from './coordination.js'
import { drawChangeFault, drawChanges, type Changes } from './change-plan.js'
import { CHANGE_KINDS, STEADY_KINDS, type Fault, type FaultKind, type Target, type Weather } from './faults.js'

/** A fault and how long it lasts, in milliseconds since the run's start. */
export interface PlannedFault {
  readonly atMs: number
  readonly untilMs: number
  readonly fault: Fault
}

/** Everything about a random run that is decided before it begins. The same plan gives the same run. */
export interface RunPlan {
  readonly seed: number
  readonly servers: number
  readonly durability: Durability
  readonly linearizableReads: 'quorum' | 'lease'
  readonly requestTimeoutMs: number
  /** How clocks run apart: within what leases allow for, or beyond it. */
  readonly drift: 'none' | 'within' | 'beyond'
  /** What links do from the start. */
  readonly weather: Partial<LinkFaults>
  /** How long disks take from the start; undefined: no time. */
  readonly diskMs: readonly [min: number, max: number] | undefined
  /** How busy processes are: how long a turn of a server's loop waits, and takes along what arrives meanwhile. */
  readonly turnMs: number
  /** Limits that make replication work in small pieces, and from disk. */
  readonly settings: Pick<RaftSettings, 'appendBytesMax' | 'inflightAppendsMax' | 'logTailBytesMax'>
  readonly clients: number
  readonly keys: number
  /** How long a client waits between its calls. */
  readonly thinkMs: readonly [min: number, max: number]
  /** Snapshots, and servers that may join. Undefined: the log and the membership stay what they are. */
  readonly changes: Changes | undefined
  /** Clients that use transactions, leases, sessions and watches. Undefined: none. */
  readonly coordination: Coordination | undefined
  readonly faults: readonly PlannedFault[]
  readonly durationMs: number
}

export interface PlanOptions {
  readonly seed: number
  /** Default: 3 or 5, by the seed. */
  readonly servers?: number | undefined
  /** Default: by the seed, `disk-first` in two of three runs. */
  readonly durability?: Durability | undefined
  /** How many faults. Default 16. */
  readonly steps?: number | undefined
  /** Only these kinds. Default: by the seed, one kind alone, a few, or all. */
  readonly kinds?: readonly FaultKind[] | undefined
  /**
   * Whether servers take snapshots and the membership changes, too. Default: by the seed, in two of three runs, or if
   * one of `kinds` is of that.
   */
  readonly changes?: boolean | undefined
  /** Whether clients use transactions, leases, sessions and watches, too. Default: by the seed, in every other run. */
  readonly coordination?: boolean | undefined
}

/** Draws a run from its seed. */
export function drawPlan(options: PlanOptions): RunPlan {
  const { seed, steps = 16 } = options
  const dice = Dice.of(seed, 'plan')
  const drawn = dice.pick([3, 3, 5])
  const durability = dice.pick(['disk-first', 'disk-first', 'mem-first'] as const)
  const servers = options.servers ?? drawn
  const drift = dice.pick(['none', 'within', 'within', 'beyond'] as const)
  const isCalm = dice.chance(0.3)
  const plan = {
    seed,
    servers,
    durability: options.durability ?? durability,
    // Trusting leases is for clocks that keep to their bound.
    linearizableReads: drift !== 'beyond' && dice.chance(0.2) ? 'lease' : 'quorum',
    requestTimeoutMs: dice.pick([100, 300, 1000]),
    drift,
    weather: isCalm ? CALM : drawWeather(dice),
    diskMs: dice.pick([undefined, [0, 1], [0, 4], [1, 12]] as const),
    clients: dice.pick([2, 3, 4, 6, 8]),
    keys: dice.between(1, 4),
    thinkMs: dice.pick([
      [0, 10],
      [0, 30],
      [5, 60],
    ] as const),
  } as const
  const kinds = options.kinds?.filter((kind) => STEADY_KINDS.includes(kind)) ?? drawKinds(dice)
  const steady = drawFaults(dice, { servers, drift, kinds, steps: kinds.length === 0 ? 0 : steps })
  const coordination = coordinationOf(options)
  const quiet = { ...plan, ...drawPace(Dice.of(seed, 'pace')), ...steady, changes: undefined, coordination }
  return withChanges(quiet, Dice.of(seed, 'changes'), options)
}

function coordinationOf({ seed, coordination: wanted }: PlanOptions): Coordination | undefined {
  const dice = Dice.of(seed, 'coordination')
  const byDefault = dice.chance(0.5)
  return (wanted ?? byDefault) ? drawCoordination(dice) : undefined
}

/** The faults of a steady cluster stay as they are; what changes the cluster comes between them. */
function withChanges(plan: RunPlan, dice: Dice, { kinds, changes: wanted, steps = 16 }: PlanOptions): RunPlan {
  const named = kinds?.filter((kind) => CHANGE_KINDS.includes(kind))
  const byDefault = named === undefined ? dice.chance(2 / 3) : named.length > 0
  if (!(wanted ?? byDefault)) return plan
  const changes = drawChanges(dice)
  const bounds = { servers: plan.servers + changes.spares, voters: plan.servers }
  const among = named ?? CHANGE_KINDS
  if (among.length === 0) return { ...plan, changes }
  const durationMs = Math.max(plan.durationMs, SETTLING_MS + 100 * steps)
  const count = dice.between(Math.ceil(steps / 2), 2 * steps)
  const faults = Array.from({ length: count }, (): PlannedFault => {
    const atMs = dice.between(SETTLING_MS >> 1, durationMs - 100)
    // Most of what can be done to a cluster is to change its membership.
    const kind = among.includes('membership change') && dice.chance(0.5) ? 'membership change' : dice.pick(among)
    return { atMs, untilMs: atMs + dice.between(20, 400), fault: drawChangeFault(dice, kind, bounds) }
  })
  return { ...plan, changes, faults: [...plan.faults, ...faults], durationMs }
}

function drawPace(dice: Dice): Pick<RunPlan, 'turnMs' | 'settings'> {
  const settings = {
    appendBytesMax: dice.pick([64, 64, 1] as const) * 1024,
    inflightAppendsMax: dice.pick([8, 8, 2]),
    logTailBytesMax: dice.pick([16, 16, 2]) * 1024,
  }
  return { turnMs: dice.pick([0, 0, 0.5, 4]), settings }
}

const CALM: Partial<LinkFaults> = { delayMs: [0, 2] }

function drawWeather(dice: Dice): Partial<LinkFaults> {
  return {
    delayMs: dice.pick([0, [0, 2], [1, 8], [0, 25]] as const),
    loss: dice.pick([0, 0.005, 0.03]),
    duplication: dice.pick([0, 0.02]),
    reordering: dice.pick([0, 0.05]),
    corruption: dice.pick([0, 0, 0.002]),
  }
}

/** A run of one kind alone shows what a mixture hides; a mixture shows what no kind alone does. */
function drawKinds(dice: Dice): readonly FaultKind[] {
  const mixture = dice.pick(['one', 'few', 'all', 'all'] as const)
  if (mixture === 'one') return [dice.pick(STEADY_KINDS)]
  if (mixture === 'few') return dice.shuffled(STEADY_KINDS).slice(0, dice.between(2, 6))
  return STEADY_KINDS
}

interface Draw {
  readonly servers: number
  readonly drift: RunPlan['drift']
  readonly kinds: readonly FaultKind[]
  readonly steps: number
}

const SETTLING_MS = 400

/**
 * Swizzled: the faults of one episode begin one by one and end in another order; the next episode begins when some of
 * them still last, or after a calm.
 */
function drawFaults(dice: Dice, draw: Draw): Pick<RunPlan, 'faults' | 'durationMs'> {
  const rates = draw.kinds.map((kind) => ({ kind, rate: dice.fraction() }))
  const total = rates.reduce((sum, { rate }) => sum + rate, 0)
  const drawKind = (): FaultKind => {
    let at = dice.fraction() * total
    for (const { kind, rate } of rates) if ((at -= rate) < 0) return kind
    return rates[0]?.kind ?? 'kill'
  }
  const faults: PlannedFault[] = []
  const gapMs = dice.pick([15, 60, 150])
  let now = SETTLING_MS
  while (faults.length < draw.steps) {
    const begun: { atMs: number; fault: Fault }[] = []
    // Some laws only give way when several things happen to the same server.
    const focus = dice.chance(0.5) ? drawTarget(dice, draw.servers) : undefined
    for (let left = dice.between(1, Math.min(5, draw.steps - faults.length)); left > 0; left--) {
      now += dice.between(1, gapMs)
      begun.push({ atMs: now, fault: drawFault(dice, drawKind(), { ...draw, focus }) })
    }
    let end = now + dice.between(0, 300)
    for (const one of dice.shuffled(begun)) {
      faults.push({ ...one, untilMs: end })
      end += dice.between(1, 2 * gapMs)
    }
    now = dice.chance(0.4) ? now + dice.between(0, gapMs) : end + dice.pick([0, 50, SETTLING_MS])
  }
  const durationMs = faults.reduce((latest, { untilMs }) => Math.max(latest, untilMs), now) + 100
  return { faults, durationMs }
}

function drawTarget(dice: Dice, servers: number): Target {
  return dice.chance(0.5) ? 'leader' : dice.between(1, servers)
}

const WEATHERS: Readonly<Record<Weather['kind'], readonly Partial<LinkFaults>[]>> = {
  loss: [{ loss: 0.05 }, { loss: 0.2 }, { loss: 0.6 }],
  delay: [{ delayMs: [0, 20] }, { delayMs: [10, 60] }, { delayMs: 80 }, { delayMs: [0, 200] }],
  duplication: [{ duplication: 0.1 }, { duplication: 0.5 }],
  reordering: [
    { reordering: 0.1, reorderMs: 40 },
    { reordering: 0.5, reorderMs: 5 },
    { reordering: 0.5, reorderMs: 200 },
  ],
  corruption: [{ corruption: 0.01 }, { corruption: 0.1 }],
}

const SLOW_MS = [
  [5, 20],
  [20, 120],
  [0, 300],
] as const

export interface FaultBounds extends Pick<Draw, 'servers' | 'drift'> {
  /** Whom it hits. Default: by chance. */
  readonly focus?: Target | undefined
}

/** One fault of a kind. */
export function drawFault(dice: Dice, kind: FaultKind, { servers, drift, focus }: FaultBounds): Fault {
  const ids = Array.from({ length: servers }, (_, at): ServerId => at + 1)
  const who = focus ?? drawTarget(dice, servers)
  const how: Cut = dice.pick(['silent', 'noticed'])
  const inFlight = dice.pick(['lost', 'torn', 'whole'] as const)
  const between = (): readonly [Target, Target] => [who, dice.pick(ids)]
  switch (kind) {
    case 'partition':
    case 'one-way partition': {
      const side = dice.chance(0.5) ? [who] : dice.shuffled(ids).slice(0, dice.between(1, servers - 1))
      return { kind, side, lost: kind === 'partition' ? 'both' : dice.pick(['said', 'heard']), how }
    }
    case 'partial cut':
      return { kind, between: between(), how }
    case 'bridge':
      return { kind, over: who, side: dice.shuffled(ids).slice(0, servers >> 1), how }
    case 'flapping link':
      return { kind, between: between(), periodMs: dice.pick([7, 40, 130]), how }
    case 'loss':
    case 'delay':
    case 'duplication':
    case 'reordering':
    case 'corruption': {
      const at = dice.chance(0.4) ? 'all' : who
      return { kind, links: dice.pick(WEATHERS[kind]), at, ways: dice.pick(['both', 'said', 'heard']) }
    }
    case 'kill':
      return { kind, who, inFlight }
    case 'crash':
      return { kind, who, inFlight, watermark: dice.pick(['kept', 'stale', 'lost']), survival: dice.pick([0, 0.5, 1]) }
    case 'all down':
      return { kind, how: dice.pick(['kill', 'crash']), inFlight, staggerMs: dice.pick([0, 10, 90]) }
    case 'slow disk':
      return { kind, who, latencyMs: dice.pick(SLOW_MS) }
    case 'corrupted record':
    case 'removed record':
      return {
        kind,
        who,
        record: dice.chance(0.2) ? -1 : dice.chance(0.4) ? 1 : dice.fraction(),
        place: dice.fraction(),
      }
    case 'pause':
      return { kind, who }
    case 'drift':
      return { kind, who, rate: drawRate(dice, drift) }
    case 'leadership transfer':
      return { kind, to: dice.chance(0.5) ? undefined : dice.pick(ids) }
    case 'failing snapshot disk':
    case 'slow snapshot disk':
    case 'corrupted snapshot':
    case 'wiped disk':
    case 'membership change':
      return drawChangeFault(dice, kind, { servers, voters: servers, focus })
    default:
      return { kind, who }
  }
}

/** The simulated lease allows for 10 %: two clocks at 0.955 and 1.045 of true time are within it. */
function drawRate(dice: Dice, drift: RunPlan['drift']): number {
  if (drift === 'none') return 1
  return drift === 'within' ? 0.955 + 0.09 * dice.fraction() : dice.pick([0.4, 0.7, 1.4, 2.5])
}
