import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedEngine, type EngineOptions, type Notice } from '../../src/index.js'

/** Quick enough for tests, with the same proportions as the defaults. */
export const QUICK = {
  electionTimeoutMs: 400,
  heartbeatIntervalMs: 40,
  requestTimeoutMs: 15_000,
  reconnectDelayMsMax: 100,
}

/** Temporary directories and loopback ports for engines, and the engines started there. */
export class EnginePlace {
  readonly root: string
  readonly notices: Notice[] = []
  readonly #engines: EmbeddedEngine[] = []

  private constructor(root: string) {
    this.root = root
  }

  static async make(): Promise<EnginePlace> {
    return new EnginePlace(await mkdtemp(join(tmpdir(), 'actorum-engine-')))
  }

  directory(name: string | number): string {
    return join(this.root, `server-${name}`)
  }

  readonly log = (notice: Notice): void => void this.notices.push(notice)

  /** A server by itself unless `more` says otherwise. */
  async start(more: Partial<EngineOptions> = {}): Promise<EmbeddedEngine> {
    const engine = await EmbeddedEngine.start({ ...QUICK, dataDir: this.directory(1), log: this.log, ...more })
    this.#engines.push(engine)
    return engine
  }

  async dispose(): Promise<void> {
    await Promise.allSettled(this.#engines.map((engine) => engine.stop()))
    await rm(this.root, { recursive: true, force: true })
  }
}

/** Options of the members of a cluster, each with its own directory. */
export async function optionsOfThree(place: EnginePlace): Promise<EngineOptions[]> {
  const members: { readonly id: number; readonly address: string }[] = []
  for (const id of [1, 2, 3]) members.push({ id, address: await freeAddress() })
  return members.map(({ id, address }) => ({ id, dataDir: place.directory(id), listen: address, members, ...QUICK }))
}

const taken = new Set<number>()

/** Below the ports that the system gives to outgoing connections, which could take it meanwhile. */
export async function freeAddress(): Promise<string> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    if (taken.has(port) || !(await isFree(port))) continue
    taken.add(port)
    return `127.0.0.1:${port}`
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

export function text(value: Uint8Array | undefined): string | undefined {
  return value && new TextDecoder().decode(value)
}
