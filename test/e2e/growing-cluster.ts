import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { EngineOptions } from '../../src/index.js'
import { freeAddress } from '../integration/engine-place.js'
import { undoAtExit } from './clean-up.js'
import { ServerProcess } from './server-process.js'
import type { WorkerStatus } from './worker-messages.js'

const PATIENCE_MS = 60_000
const POLL_MS = 10

/** Servers in processes of their own that join a cluster of one, leave it, and are restarted on what they have. */
export class GrowingCluster {
  readonly #root: string
  readonly #release: () => void
  readonly #options: Partial<EngineOptions>
  readonly #startNs = process.hrtime.bigint()
  readonly #servers = new Map<number, ServerProcess>()
  readonly #addresses = new Map<number, string>()
  readonly #withdrawn = new Set<ServerProcess>()
  #starts = 0
  /** When the newest leader stopped leading, while nobody is known to lead. */
  #leaderlessSinceNs: number | undefined
  #leaderlessNsMax = 0
  #ledTerm = 0

  private constructor(root: string, options: Partial<EngineOptions>) {
    this.#root = root
    this.#options = options
    this.#release = undoAtExit(() => rmSync(root, { recursive: true, force: true }))
  }

  static async make(options: Partial<EngineOptions> = {}): Promise<GrowingCluster> {
    return new GrowingCluster(await mkdtemp(join(tmpdir(), 'actorum-scale-')), options)
  }

  /** Servers that take calls. */
  get running(): readonly ServerProcess[] {
    return [...this.#servers.values()].filter((server) => !this.isWithdrawn(server))
  }

  /** A server that leaves, or has left: once it knows that, it refuses what needs the leader. */
  isWithdrawn(server: ServerProcess): boolean {
    return this.#withdrawn.has(server)
  }

  /** The longest time without a leader since the last call of this. */
  takeLeaderlessMs(): number {
    const longest = this.#leaderlessNsMax / 1e6
    this.#leaderlessNsMax = 0
    return longest
  }

  /** Starts servers and waits until they vote. The first of all is a cluster by itself. */
  async grow(ids: readonly number[]): Promise<void> {
    const before = [...this.#servers.keys()]
    const known = [...this.#addresses.values()]
    await Promise.all(ids.map((id) => this.#start(id, known.length === 0 ? {} : { join: known })))
    await this.until(
      async () => isVotedBy((await this.#leader()).status, [...before, ...ids]),
      `servers ${ids.join(', ')} vote`,
    )
  }

  /** Takes servers out, the leader among them, and stops them. Returns their ids. */
  async shrink(count: number): Promise<readonly number[]> {
    const { id: leader } = await this.#leader()
    const leaving = [leader, ...[...this.#servers.keys()].filter((id) => id !== leader)].slice(0, count)
    const staying = [...this.#servers.keys()].filter((id) => !leaving.includes(id))
    // First, so that no client begins a call where it is bound to be refused.
    for (const id of leaving) this.#withdraw(id)
    await this.#remove(leaving, staying)
    for (const id of leaving) await this.#stop(id)
    await this.until(async () => isVotedBy((await this.#leader()).status, staying), 'the others go on')
    return leaving
  }

  /** Stops one server after another and starts it again, each once the one before has caught up. */
  async restartAll(): Promise<void> {
    for (const id of [...this.#servers.keys()]) {
      await this.#stop(id)
      await this.#start(id, {})
      const { status } = await this.#leader()
      await this.until(async () => {
        const restarted = await this.#servers.get(id)?.status()
        return restarted?.leaderId !== undefined && restarted.lastApplied >= status.commitIndex
      }, `server ${id} has caught up`)
    }
  }

  /** Ends all processes and removes their directories. */
  async dispose(): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.kill()))
    await rm(this.#root, { recursive: true, force: true })
    this.#release()
  }

  async until(condition: () => Promise<boolean>, what: string): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS
    while (!(await condition())) {
      if (performance.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms in vain until ${what}`)
      await delay(POLL_MS)
    }
  }

  #withdraw(id: number): void {
    const server = this.#servers.get(id)
    if (server !== undefined) this.#withdrawn.add(server)
  }

  /** Another change may be under way, or leadership on its way: then it is asked again, unless it was made all the same. */
  async #remove(leaving: readonly number[], staying: readonly number[]): Promise<void> {
    const asked = [...this.#servers].find(([id]) => staying.includes(id))?.[1]
    await this.until(async () => {
      if ((await asked?.change({ remove: leaving })) === 'changed') return true
      return isVotedBy((await this.#leader()).status, staying)
    }, 'the change is made')
  }

  async #leader(): Promise<{ readonly id: number; readonly status: WorkerStatus }> {
    let found: { readonly id: number; readonly status: WorkerStatus } | undefined
    await this.until(async () => {
      for (const [id, server] of this.#servers) {
        const status = await server.status()
        if (status?.leaderId === id) found = { id, status }
      }
      return found !== undefined
    }, 'somebody leads')
    if (found === undefined) throw new Error('nobody leads')
    return found
  }

  async #start(id: number, more: Partial<EngineOptions>): Promise<void> {
    const listen = this.#addresses.get(id) ?? (await freeAddress())
    this.#addresses.set(id, listen)
    const dataDir = join(this.#root, `server-${id}`)
    const options = { ...this.#options, id, dataDir, listen, ...more }
    const server = new ServerProcess(
      `${id}#${++this.#starts}`,
      { options, startNs: String(this.#startNs) },
      {
        leads: (term, atNs) => this.#leads(term, atNs),
        led: (term, atNs) => this.#led(term, atNs),
        failed: (reason) => {
          throw new Error(reason)
        },
      },
    )
    await server.started
    this.#servers.set(id, server)
  }

  async #stop(id: number): Promise<void> {
    const server = this.#servers.get(id)
    // First, so that no client begins a call there any more.
    this.#servers.delete(id)
    await server?.stop()
  }

  #leads(term: number, atNs: number): void {
    if (term <= this.#ledTerm) return
    this.#ledTerm = term
    const since = this.#leaderlessSinceNs
    if (since !== undefined) this.#leaderlessNsMax = Math.max(this.#leaderlessNsMax, atNs - since)
    this.#leaderlessSinceNs = undefined
  }

  /** Told late, when the next leader is known already, it was no time without one. */
  #led(term: number, atNs: number): void {
    if (term === this.#ledTerm) this.#leaderlessSinceNs = atNs
  }
}

function isVotedBy(status: WorkerStatus, ids: readonly number[]): boolean {
  const voters = status.roles.filter(({ role }) => role === 'voter').map(({ id }) => id)
  return voters.length === ids.length && ids.every((id) => voters.includes(id))
}
