import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePorts } from './free-ports.js'
import { ServerFailure, ServerProcess, type ServerOptions } from './server-process.js'

const IDS = [1, 2, 3]
const STARTS_MAX = 5
const WAIT_MS = 30_000

/** Three servers, each a process of its own with a disk of its own under `directory`. */
export class Cluster {
  readonly #directory: string
  readonly #servers = new Map<number, ServerProcess>()
  readonly #watchers = new Set<() => void>()
  #isClosed = false

  constructor(directory: string) {
    this.#directory = directory
  }

  get servers(): readonly ServerProcess[] {
    return IDS.map((id) => this.server(id))
  }

  server(id: number): ServerProcess {
    const server = this.#servers.get(id)
    if (server === undefined) throw new Error(`server ${id} was not started`)
    return server
  }

  /** Starts all three. Another program may take a port before its server does: then all begin again on other ports. */
  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const members = (await freePorts(IDS.length)).map((port, at) => ({ id: at + 1, address: `127.0.0.1:${port}` }))
      try {
        for (const { id, address } of members) this.#fork({ id, listen: address, members, dataDir: this.#dataDir(id) })
        await Promise.all(this.servers.map(({ started }) => started))
        return
      } catch (error) {
        if (attempt === STARTS_MAX || !isPortTaken(error)) throw error
        await this.#killAll()
        await Promise.all(IDS.map((id) => rm(this.#dataDir(id), { recursive: true, force: true })))
      }
    }
  }

  /** Starts a server again that was killed, on the disk that it left. */
  async restart(id: number): Promise<void> {
    const { options } = this.server(id)
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#fork(options).started
        return
      } catch (error) {
        if (attempt === STARTS_MAX || !isPortTaken(error)) throw error
        await this.server(id).kill()
        await pause(200 * attempt)
      }
    }
  }

  /** Waits until `condition` gives something; `what` says in an error what never came. */
  until<Found>(what: string, condition: () => Found | undefined): Promise<Found> {
    return new Promise((resolve, reject) => {
      const stopWatching = (): void => {
        clearTimeout(timer)
        this.#watchers.delete(look)
      }
      const look = (): void => {
        const fault = this.#fault()
        const found = fault === undefined ? condition() : undefined
        if (fault === undefined && found === undefined) return
        stopWatching()
        if (found === undefined) reject(fault ?? new Error(what))
        else resolve(found)
      }
      const timer = setTimeout(() => {
        stopWatching()
        reject(new Error(`${what} within ${WAIT_MS / 1000} seconds`))
      }, WAIT_MS)
      this.#watchers.add(look)
      look()
    })
  }

  /** Ends every process. None can be started afterwards. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#killAll()
    this.#look()
  }

  #fork(options: ServerOptions): ServerProcess {
    if (this.#isClosed) throw new Error('the servers were stopped')
    const server = new ServerProcess(options, () => this.#look())
    // Of several that fail to start, the first one's reason is told.
    server.started.catch(() => undefined)
    this.#servers.set(options.id, server)
    return server
  }

  /** Why there is nothing more to wait for. */
  #fault(): Error | undefined {
    if (this.#isClosed) return new Error('the servers were stopped')
    return [...this.#servers.values()].find(({ failure }) => failure !== undefined)?.failure
  }

  #look(): void {
    for (const look of [...this.#watchers]) look()
  }

  async #killAll(): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.kill()))
  }

  #dataDir(id: number): string {
    return join(this.#directory, `server-${id}`)
  }
}

function isPortTaken(error: unknown): boolean {
  return error instanceof ServerFailure && error.code === 'TRANSPORT_FAILED'
}
