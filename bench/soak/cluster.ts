import { join } from 'node:path'
import { Child } from '../child-process.js'
import { SERVERS } from '../cluster.js'
import type { Memory, SoakProtocol } from '../soak-server.js'
import type { LogStoreName, Members } from '../subject.js'
import { Ledger } from './ledger.js'
import type { Broken, Report } from './reporter.js'

/** More than a writer can write between two reports. */
const SEQUENCES_UNREPORTED_MAX = 1_000_000

export interface SoakLoad {
  readonly writers: number
  readonly readers: number
  /** Between a client's calls. */
  readonly pauseMs: number
  readonly logStore: LogStoreName
  /** How much log there may be before a snapshot takes its place. */
  readonly snapshotLogBytes: number
  /** How much of the past can be read and watched. */
  readonly historyBytesMax: number
}

/** The three servers of the soak, and what their clients have been told. */
export class SoakCluster {
  readonly #dir: string
  readonly #members: Members
  readonly #load: SoakLoad
  readonly #ledgers: readonly Ledger[]
  readonly #servers = new Map<number, Child<SoakProtocol>>()
  readonly #startedAt = new Map<number, number>()
  readonly broken: Broken[] = []
  readonly errors = new Map<string, number>()
  acknowledged = 0
  unknown = 0
  reads = 0

  constructor(dir: string, members: Members, load: SoakLoad) {
    this.#dir = dir
    this.#members = members
    this.#load = load
    this.#ledgers = Array.from({ length: load.writers }, (_, writer) => Ledger.empty(writer))
  }

  async start(): Promise<void> {
    await Promise.all(SERVERS.map((id) => this.startServer(id)))
    await Promise.all(SERVERS.map((id) => this.startLoad(id)))
  }

  /** Answered once the server is ready. */
  async startServer(id: number): Promise<void> {
    const module = new URL('../soak-server.js', import.meta.url)
    const server = new Child<SoakProtocol>(module, ['--expose-gc'], (report) => this.#take(report as Report))
    this.#servers.set(id, server)
    const { logStore, snapshotLogBytes, historyBytesMax } = this.#load
    const options = { dataDir: join(this.#dir, String(id)), logStore, snapshotLogBytes, historyBytesMax }
    await server.ask('start', { id, members: this.#members, ...options })
    this.#startedAt.set(id, performance.now())
  }

  startLoad(id: number): Promise<void> {
    const { readers, pauseMs } = this.#load
    const ledgers = this.#ledgersOf(id).map((ledger) => ledger.state())
    return this.#server(id).ask('load', { ledgers, pauseMs, readers: Math.ceil(readers / SERVERS.length) })
  }

  leads(id: number): Promise<boolean> {
    return this.#server(id).ask('leads', undefined)
  }

  async kill(id: number): Promise<void> {
    await this.#server(id).kill()
    // Its clients died with it: what they wrote since their last report may have happened or not.
    for (const ledger of this.#ledgersOf(id)) {
      const from = ledger.last + 1
      ledger.last += SEQUENCES_UNREPORTED_MAX
      ledger.outcomeUnknown([from, ledger.last])
    }
  }

  /** Compares what a server has applied with what was acknowledged before. While clients write, newer values are right. */
  async verify(id: number, isQuiet: boolean): Promise<void> {
    const before = this.#ledgers.map(({ acknowledged }) => acknowledged.slice())
    const found = await this.#server(id).ask('read', { writers: this.#ledgers.length })
    for (const [writer, ledger] of this.#ledgers.entries()) {
      for (const [key, sequence] of found[writer]!.entries()) {
        const verdict = ledger.judge(sequence, before[writer]![key]!)
        if (verdict === 'lost' || (verdict === 'phantom' && isQuiet)) {
          this.broken.push({ verdict, writer, key, found: sequence, term: 0 })
        }
        this.reads++
      }
    }
  }

  memory(id: number): Promise<Memory> {
    return this.#server(id).ask('memory', undefined)
  }

  ageSeconds(id: number): number {
    return (performance.now() - (this.#startedAt.get(id) ?? NaN)) / 1000
  }

  async stopLoad(): Promise<void> {
    await Promise.all(SERVERS.map((id) => this.#server(id).ask('stopLoad', undefined)))
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.kill()))
  }

  #take({ progress, broken, errors, reads }: Report): void {
    for (const part of progress) {
      this.#ledgers[part.writer]!.add(part)
      this.unknown += part.unknown.length
      for (const [from, to] of part.acknowledged) this.acknowledged += to - from + 1
    }
    this.broken.push(...broken)
    this.reads += reads
    for (const [what, count] of Object.entries(errors)) this.errors.set(what, (this.errors.get(what) ?? 0) + count)
  }

  #server(id: number): Child<SoakProtocol> {
    const server = this.#servers.get(id)
    if (server === undefined) throw new Error(`there is no server ${id}`)
    return server
  }

  #ledgersOf(id: number): Ledger[] {
    return this.#ledgers.filter(({ writer }) => writer % SERVERS.length === id - 1)
  }
}
