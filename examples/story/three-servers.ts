import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedEngine, type EngineOptions } from 'actorum'
import { freePorts } from './free-ports.js'

/** Options of three servers on this machine, each with a disk of its own. They need no more than to be started. */
export class ThreeServers implements AsyncDisposable {
  readonly options: readonly EngineOptions[]
  readonly #directory: string
  readonly #engines: EmbeddedEngine[] = []

  private constructor(directory: string, options: readonly EngineOptions[]) {
    this.#directory = directory
    this.options = options
  }

  static async prepare(): Promise<ThreeServers> {
    const directory = await mkdtemp(join(tmpdir(), 'actorum-example-'))
    const members = (await freePorts(3)).map((port, at) => ({ id: at + 1, address: `127.0.0.1:${port}` }))
    const options = members.map(({ id, address }) => {
      return { id, dataDir: join(directory, String(id)), listen: address, members }
    })
    return new ThreeServers(directory, options)
  }

  /** Starts some of them in this process. */
  async start(...ids: readonly number[]): Promise<EmbeddedEngine[]> {
    const wanted = this.options.filter(({ id = 0 }) => ids.includes(id))
    const log: EngineOptions['log'] = ({ level, message }) => level === 'error' && console.error(message)
    const engines = await Promise.all(wanted.map((options) => EmbeddedEngine.start({ ...options, log })))
    this.#engines.push(...engines)
    return engines
  }

  /** Stops what runs here and removes all files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#engines.map((engine) => engine.stop()))
    await rm(this.#directory, { recursive: true, force: true })
  }
}

export function textOf(value: Uint8Array): string {
  return new TextDecoder().decode(value)
}

/** Resolves once a signal has fired. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // One that has fired tells no listener of it.
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
