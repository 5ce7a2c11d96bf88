import {
  drawPlan,
  runPlan,
  Violation,
  type FaultKind,
  type PlanOptions,
  type RunPlan,
} from '../../src/testing/index.js'
import { DIRECTED, isDirected, type DirectedName } from './directed.js'

interface RandomHunt extends Omit<PlanOptions, 'seed'> {
  /** What is the same in all runs, whatever their seeds say. */
  readonly always?: Partial<RunPlan>
}

type Coordination = NonNullable<RunPlan['coordination']>

const CUTS: readonly FaultKind[] = ['partition', 'one-way partition', 'partial cut']

/** Faults enough for commands to be sent again, and for clients to go elsewhere. */
const TROUBLE: readonly FaultKind[] = [...CUTS, 'kill', 'delay', 'loss', 'leadership transfer', 'pause']

/** Clients of some kinds that coordinate, at servers that forget the past soon. */
function among(some: Partial<Coordination>): { readonly coordination: Coordination } {
  const none = { bankers: 0, accounts: 4, holders: 0, sessions: 0, watchers: 0, travellers: 0 }
  return { coordination: { ...none, thinkMs: [0, 20], historyEntriesMax: 30, isWitnessed: true, ...some } }
}

/** Random runs, seeds 1, 2, 3 …: of everything, or of what a bug shows in sooner. */
const HUNTS = {
  everything: {},
  elections: { kinds: [...CUTS, 'kill', 'pause', 'delay', 'slow disk'] },
  crashes: {
    kinds: ['crash', 'kill', 'all down', 'slow disk', ...CUTS],
    durability: 'disk-first',
    always: { diskMs: [1, 12] },
  },
  'crashes in mem-first mode': { kinds: ['crash', 'slow disk', 'partition'], durability: 'mem-first', servers: 5 },
  damage: {
    kinds: ['corrupted record', 'removed record', 'kill', 'partition'],
    durability: 'disk-first',
    // Bits are flipped on disks alone.
    always: { weather: { delayMs: [0, 2] } },
  },
  'busy processes': {
    always: {
      turnMs: 4,
      requestTimeoutMs: 300,
      diskMs: [0, 4],
      weather: { delayMs: [0, 2] },
      clients: 6,
      thinkMs: [0, 10],
    },
  },
  forwarding: {
    kinds: ['duplication', 'reordering', 'loss', 'delay', 'leadership transfer', 'pause', 'partition'],
    always: { requestTimeoutMs: 100 },
  },
  membership: {
    kinds: ['membership change', ...CUTS, 'kill', 'leadership transfer', 'delay'],
    coordination: false,
  },
  'replaced disks': { kinds: ['wiped disk', 'membership change', ...CUTS, 'kill'], coordination: false },
  snapshots: {
    kinds: ['corrupted snapshot', 'slow snapshot disk', 'membership change', ...CUTS, 'kill', 'crash', 'loss'],
    coordination: false,
    durability: 'disk-first',
  },
  leases: { kinds: TROUBLE, changes: false, always: { drift: 'within', ...among({ holders: 2 }) } },
  'leases and snapshots': { kinds: TROUBLE, changes: true, always: among({ holders: 2 }) },
  sessions: { kinds: TROUBLE, changes: false, always: { requestTimeoutMs: 100, ...among({ sessions: 2 }) } },
  travellers: { kinds: TROUBLE, changes: false, always: among({ travellers: 3 }) },
  'a bank': { kinds: TROUBLE, changes: false, always: among({ bankers: 2 }) },
  watches: { kinds: TROUBLE, changes: false, always: among({ bankers: 1, holders: 1, watchers: 4 }) },
  'watches and snapshots': { kinds: TROUBLE, changes: true, always: among({ bankers: 1, holders: 1, watchers: 4 }) },
} as const satisfies Record<string, RandomHunt>

export type HuntName = keyof typeof HUNTS | DirectedName

export const HUNT_NAMES: readonly string[] = [...Object.keys(HUNTS), ...Object.keys(DIRECTED)]

/** The law that was broken, or what else broke the run. */
export interface Kill {
  readonly law: string
  readonly message: string
}

/** One run of a hunt; undefined when every law held. A directed simulation is the same whatever the seed. */
export function runHunt(name: HuntName, seed: number): Kill | undefined {
  try {
    if (isDirected(name)) {
      DIRECTED[name]()
      return undefined
    }
    const { always = {}, ...options }: RandomHunt = HUNTS[name]
    const { violation } = runPlan({ ...drawPlan({ ...options, seed }), ...always })
    return violation && { law: violation.law, message: violation.message }
  } catch (error) {
    if (error instanceof Violation) return { law: error.law, message: error.message }
    return { law: 'a run ends', message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}
