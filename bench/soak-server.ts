/** One server of the soak in a process of its own, with the clients that are embedded in it. */
import { EmbeddedEngine } from '../src/index.js'
import { answerParent } from './ipc.js'
import { memoryNow } from './soak/breakdown.js'
import type { Breakdown } from './soak/breakdown.js'
import { readServer } from './soak/client.js'
import { Ledger } from './soak/ledger.js'
import type { LedgerState } from './soak/ledger.js'
import { Reader } from './soak/reader.js'
import { Reporter } from './soak/reporter.js'
import { Writer } from './soak/writer.js'
import { listenOf } from './subject.js'
import type { LogStoreName, Members } from './subject.js'

export interface SoakProtocol {
  start: { ask: SoakPlan; reply: { leads: boolean } }
  load: { ask: { ledgers: LedgerState[]; readers: number; pauseMs: number }; reply: void }
  leads: { ask: void; reply: boolean }
  /** Answered once every call has been answered and reported. */
  stopLoad: { ask: void; reply: void }
  /** What this server has applied, once it is as far as the leader was when asked. */
  read: { ask: { writers: number }; reply: number[][] }
  memory: { ask: void; reply: Memory }
}

export interface SoakPlan {
  readonly id: number
  readonly dataDir: string
  readonly members: Members
  readonly logStore: LogStoreName
  readonly snapshotLogBytes: number
  readonly historyBytesMax: number
}

export interface Memory extends Breakdown {
  /** Entries up to here are in snapshots alone. */
  readonly compactedIndex: number
}

const READY_TIMEOUT_MS = 60_000

let engine: EmbeddedEngine | undefined
let reporter: Reporter | undefined
let clients: (Writer | Reader)[] = []
let running: Promise<unknown> = Promise.resolve()

function started(): EmbeddedEngine {
  if (engine === undefined) throw new Error('this server was asked for something before it was started')
  return engine
}

answerParent<SoakProtocol>({
  start: async (plan) => {
    engine = await EmbeddedEngine.start({ ...plan, listen: listenOf(plan.members, plan.id) })
    await engine.ready({ timeoutMs: READY_TIMEOUT_MS })
    return { leads: engine.isLeader }
  },
  load: (ask) => {
    const server = started()
    const gathered = (reporter = new Reporter())
    const ledgers = ask.ledgers.map((state) => new Ledger(state))
    const writers = ledgers.map((ledger) => new Writer(server, ledger, gathered, ask.pauseMs))
    const readers = Array.from({ length: ask.readers }, () => new Reader(server, ledgers, gathered, ask.pauseMs))
    clients = [...writers, ...readers]
    // A client that fails for any other reason than a refused call ends this process, and so the soak.
    running = Promise.all(clients.map((client) => client.run()))
  },
  leads: () => started().isLeader,
  stopLoad: async () => {
    for (const client of clients) client.stop()
    await running
    reporter?.flush()
  },
  read: ({ writers }) => readServer(started().client, writers),
  memory: () => {
    const compactedIndex = started().roleActor.getSnapshot().context.log.boundary.index
    return { ...memoryNow(), compactedIndex }
  },
})
