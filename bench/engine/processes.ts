import { cpus } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { Child } from '../child-process.js'
import type { EnginePlan, EngineServerProtocol } from '../engine-server.js'
import { machineBusySeconds } from '../machine.js'

export type EngineProcess = Child<EngineServerProtocol>

const LOOK_MS = 20

/** Engines in processes of their own, by their ids; and what of the machine others took meanwhile. */
export class EngineProcesses {
  readonly #running = new Map<number, EngineProcess>()
  readonly #beganAt = performance.now()
  readonly #busyAtBegin = machineBusySeconds()
  #cpuSeconds = 0

  /** A process without an engine, once it answers. */
  async spawn(id: number): Promise<EngineProcess> {
    const server: EngineProcess = new Child(new URL('../engine-server.js', import.meta.url), ['--expose-gc'])
    this.#running.set(id, server)
    await server.ask('hello', undefined)
    return server
  }

  async start(plan: EnginePlan & { readonly id: number }): Promise<EngineProcess> {
    const server = await this.spawn(plan.id)
    await server.ask('start', plan)
    return server
  }

  server(id: number): EngineProcess {
    const server = this.#running.get(id)
    if (server === undefined) throw new Error(`server ${id} does not run`)
    return server
  }

  /** Stops the engine in good order, then ends its process. */
  async stop(id: number): Promise<void> {
    await this.server(id).ask('stop', undefined)
    await this.kill(id)
  }

  /** `kill -9`. */
  async kill(id: number): Promise<void> {
    const server = this.server(id)
    this.#cpuSeconds += await server.ask('cpuSeconds', undefined)
    this.#running.delete(id)
    await server.kill()
  }

  /** The id of the server that leads, once one does. */
  async leaderId(): Promise<number> {
    for (;;) {
      for (const [id, server] of this.#running) {
        if ((await server.ask('position', undefined)).leads) return id
      }
      await delay(LOOK_MS)
    }
  }

  /** The share (0 to 1) of the machine that was busy for anybody else since the first process was started. */
  async othersShare(): Promise<number> {
    const running = await Promise.all([...this.#running.values()].map((server) => server.ask('cpuSeconds', undefined)))
    const { user, system } = process.cpuUsage()
    const ours = running.reduce((sum, seconds) => sum + seconds, this.#cpuSeconds) + (user + system) / 1e6
    const elapsed = (performance.now() - this.#beganAt) / 1000
    return Math.max(0, machineBusySeconds() - this.#busyAtBegin - ours) / (elapsed * cpus().length)
  }

  /** `kill -9` for all that run. */
  async killAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.kill(id)))
  }

  /** Ends whatever still runs. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.values()].map((server) => server.kill()))
    this.#running.clear()
  }
}
