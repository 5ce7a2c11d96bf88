import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Violation } from '../../src/testing/index.js'
import { freeAddress, QUICK } from '../integration/engine-place.js'
import { undoAtExit } from './clean-up.js'
import { ProxiedNetwork } from './proxied-network.js'
import { ServerProcess, StartRefused } from './server-process.js'
import type { WorkerStatus } from './worker-messages.js'

export interface RealClusterOptions {
  readonly servers: number
  readonly durability: 'disk-first' | 'mem-first'
  /** What the servers' times are counted from, on the machine's monotonic clock. */
  readonly startNs: bigint
  /** Hears what happens, for people. */
  readonly tell: (text: string) => void
}

/** Long enough for two cores with other work. */
const PATIENCE_MS = 60_000
const POLL_MS = 10

export const TIMES = { ...QUICK, requestTimeoutMs: 3000, reconnectDelayMsMax: 200 }

/** Servers in processes of their own, on disks of their own, each behind a proxy. */
export class RealCluster {
  readonly ids: readonly number[]
  readonly network: ProxiedNetwork
  /** Rejects with the first Violation that shows by itself. */
  readonly broken: Promise<never>
  readonly #options: RealClusterOptions
  readonly #root: string
  readonly #release: () => void
  readonly #servers = new Map<number, ServerProcess>()
  readonly #starts = new Map<number, number>()
  readonly #turns = new Map<number, Promise<void>>()
  /** Who led each term. */
  readonly #leaders = new Map<number, number>()
  #break: (violation: Violation) => void = () => undefined
  #leaderId: number | undefined
  #isDisposed = false

  private constructor(options: RealClusterOptions, root: string, network: ProxiedNetwork, ids: readonly number[]) {
    this.#options = options
    this.#root = root
    this.network = network
    this.ids = ids
    this.#release = undoAtExit(() => rmSync(root, { recursive: true, force: true }))
    this.broken = new Promise((_resolve, reject) => (this.#break = reject))
    this.broken.catch(() => undefined)
  }

  static async make(options: RealClusterOptions): Promise<RealCluster> {
    const ids = Array.from({ length: options.servers }, (_, at) => at + 1)
    const network = await ProxiedNetwork.make(ids)
    return new RealCluster(options, await mkdtemp(join(tmpdir(), 'actorum-torture-')), network, ids)
  }

  /** How often somebody was seen to take the lead. */
  get elections(): number {
    return this.#leaders.size
  }

  /** Who was last seen to take the lead. */
  get leaderId(): number | undefined {
    return this.#leaderId
  }

  /** The server's process; undefined while it is down. */
  server(id: number): ServerProcess | undefined {
    return this.#servers.get(id)
  }

  logDirectory(id: number): string {
    return join(this.#root, `server-${id}`, 'log')
  }

  async startAll(): Promise<void> {
    await Promise.all(this.ids.map((id) => this.start(id)))
  }

  /** Starts a server that is down. Throws a Violation when it refuses what is on its own disk. */
  async start(id: number): Promise<void> {
    for (;;) {
      const server = await this.#inTurn(id, () => this.#fork(id))
      const refusal = await server?.started.then(
        () => undefined,
        (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
      )
      // What was killed meanwhile is not expected to start.
      if (server === undefined || refusal === undefined || this.#servers.get(id) !== server) return
      await this.kill(id)
      // Somebody else was quicker to take the port.
      if (refusal instanceof StartRefused && refusal.code === 'TRANSPORT_FAILED') continue
      throw new Violation('a server starts from what it has on disk', refusal.message)
    }
  }

  /** `kill -9`. */
  kill(id: number): Promise<void> {
    return this.#inTurn(id, async () => {
      const server = this.#servers.get(id)
      this.#servers.delete(id)
      await server?.kill()
    })
  }

  async killAll(): Promise<void> {
    await Promise.all(this.ids.map((id) => this.kill(id)))
  }

  /** Waits until every server is up to date: all have applied one and the same log to its end. Returns that end. */
  async converged(): Promise<number> {
    let last: readonly (WorkerStatus | undefined)[] = []
    const isEqual = async (): Promise<boolean> => {
      last = await Promise.all(this.ids.map(async (id) => this.#servers.get(id)?.status()))
      const end = last[0]?.lastLogIndex
      const isAtEnd = (status: WorkerStatus | undefined): boolean =>
        status !== undefined &&
        [status.lastLogIndex, status.commitIndex, status.lastApplied].every((index) => index === end)
      return last.every(isAtEnd)
    }
    await this.until(isEqual, 'healed servers come to the same log', () => JSON.stringify(last))
    return last[0]?.lastLogIndex ?? 0
  }

  /** Waits for what must come true; throws a Violation when it does not. */
  async until(
    condition: () => boolean | Promise<boolean>,
    law: string,
    found = (): string => 'in vain',
  ): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS
    while (!(await Promise.race([Promise.resolve(condition()), this.broken]))) {
      if (performance.now() > deadline) throw new Violation(law, `waited ${PATIENCE_MS} ms: ${found()}`)
      await delay(POLL_MS)
    }
  }

  /** Ends all processes and removes their directories. */
  async dispose(): Promise<void> {
    this.#isDisposed = true
    await this.killAll()
    await this.network.close()
    await rm(this.#root, { recursive: true, force: true })
    this.#release()
  }

  /** The server's new process, unless it has one. */
  async #fork(id: number): Promise<ServerProcess | undefined> {
    if (this.#servers.has(id) || this.#isDisposed) return undefined
    const listen = await freeAddress()
    this.network.leadTo(id, Number(listen.split(':')[1]))
    const incarnation = (this.#starts.get(id) ?? 0) + 1
    this.#starts.set(id, incarnation)
    const members = this.ids.map((member) => ({ id: member, address: this.network.address(member) }))
    const { durability, startNs } = this.#options
    const dataDir = join(this.#root, `server-${id}`)
    const spec = { options: { ...TIMES, id, listen, members, durability, dataDir }, startNs: String(startNs) }
    const server = new ServerProcess(`${id}#${incarnation}`, spec, {
      leads: (term) => this.#leads(id, term),
      failed: (reason) => this.#break(new Violation('a server runs until it is stopped', reason)),
    })
    this.#servers.set(id, server)
    return server
  }

  /** Starts and kills of one server come one after the other, whoever asks for them. */
  #inTurn<Result>(id: number, work: () => Promise<Result>): Promise<Result> {
    const result = (this.#turns.get(id) ?? Promise.resolve()).then(work)
    this.#turns.set(
      id,
      result.then(
        () => undefined,
        () => undefined,
      ),
    )
    return result
  }

  #leads(id: number, term: number): void {
    const other = this.#leaders.get(term)
    if (other !== undefined && other !== id) {
      this.#break(new Violation('election safety', `servers ${other} and ${id} both lead term ${term}`))
    }
    this.#leaders.set(term, id)
    this.#leaderId = id
    this.#options.tell(`server ${id} leads term ${term}`)
  }
}
