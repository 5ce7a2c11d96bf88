/** An engine in a process of its own, and what the benchmarks have it do. */
import { EmbeddedEngine } from '../src/index.js'
import type { EngineOptions } from '../src/index.js'
import { KeyValueStore } from '../src/state-machines/kv/key-value-store.js'
import { coordinationAnswers } from './coordination/answers.js'
import type { CoordinationProtocol } from './coordination/answers.js'
import { writeAll } from './engine/bulk-write.js'
import type { Writes, Written } from './engine/bulk-write.js'
import { fillStore } from './engine/fill-store.js'
import { MemoryWatch } from './engine/memory-watch.js'
import type { MemorySeen } from './engine/memory-watch.js'
import { PacedLoad } from './engine/paced-load.js'
import type { Offer, Offered } from './engine/paced-load.js'
import { answerParent } from './ipc.js'

/** Plain data, for the way between processes. */
export type EnginePlan = Omit<EngineOptions, 'log'>

/** How far a server has come. */
export interface Position {
  readonly leads: boolean
  readonly term: number
  /** Entries up to here are no longer in its log. */
  readonly compactedIndex: number
  readonly commitIndex: number
  readonly lastApplied: number
}

export interface EngineServerProtocol extends CoordinationProtocol {
  /** Answered as soon as this process can be asked. */
  hello: { ask: void; reply: void }
  start: { ask: EnginePlan; reply: void }
  /** Answered once a leader is known and its no-op is committed. */
  ready: { ask: void; reply: void }
  stop: { ask: void; reply: void }
  position: { ask: void; reply: Position }
  write: { ask: Writes; reply: Written }
  /** Whether there is such a key: a linearizable read, after all that was committed before. */
  has: { ask: { key: string }; reply: boolean }
  /** A paced load: from its begin on, what came of it since it was last asked, and at its end. */
  offerBegin: { ask: Offer; reply: void }
  offered: { ask: void; reply: Offered }
  offerEnd: { ask: void; reply: Offered }
  snapshot: { ask: void; reply: { index: number; byteLength: number } }
  /** Without an engine: the state that these writes make, and nothing else. */
  fillStore: { ask: Writes; reply: void }
  watchMemory: { ask: void; reply: number }
  memorySeen: { ask: void; reply: MemorySeen }
  cpuSeconds: { ask: void; reply: number }
}

/** Recovering a million entries is what is measured; it should not fail for taking its time. */
const TIMEOUT_MS = 300_000

let engine: EmbeddedEngine | undefined
let load: PacedLoad | undefined
const memory = new MemoryWatch()
/** Held for as long as its memory is looked at. */
let store: KeyValueStore | undefined

function started(): EmbeddedEngine {
  if (engine === undefined) throw new Error('this server was asked for something before it was started')
  return engine
}

function offering(): PacedLoad {
  if (load === undefined) throw new Error('this server was asked for the outcome of a load that was not begun')
  return load
}

function positionOf(server: EmbeddedEngine): Position {
  const { commitIndex, lastApplied, term } = server.status()
  const compactedIndex = server.roleActor.getSnapshot().context.log.boundary.index
  return { leads: server.isLeader, term, compactedIndex, commitIndex, lastApplied }
}

answerParent<EngineServerProtocol>({
  ...coordinationAnswers(() => started().client),
  hello: () => undefined,
  start: async (plan) => {
    engine = await EmbeddedEngine.start(plan)
  },
  ready: () => started().ready({ timeoutMs: TIMEOUT_MS }),
  stop: () => started().stop(),
  position: () => positionOf(started()),
  write: (writes) => writeAll(started().client, writes),
  has: async ({ key }) => (await started().client.getLinearizable(key, { timeoutMs: TIMEOUT_MS })) !== undefined,
  offerBegin: (offer) => {
    load = new PacedLoad(started().client, offer)
    load.begin()
  },
  offered: () => offering().offered(),
  offerEnd: () => offering().end(),
  snapshot: () => started().snapshot(),
  fillStore: (writes) => {
    store ??= new KeyValueStore()
    fillStore(store, writes)
  },
  watchMemory: () => memory.begin(),
  memorySeen: () => memory.seen(),
  cpuSeconds: () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  },
})
