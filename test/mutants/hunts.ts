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

const CUTS: readonly FaultKind[] = ['partition', 'one-way partition', 'partial cut']

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
