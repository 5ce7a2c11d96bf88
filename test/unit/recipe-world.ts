import type { ClientApi } from '../../src/client/client-api.js'
import { ActorumError } from '../../src/errors.js'
import type { ServerId } from '../../src/machines/types.js'
import { clientOf } from './memory-clients.js'
import { MemoryServers } from './memory-servers.js'

const PATIENCE_MS = 60_000

/** Three servers in memory with a client on each, and time that goes on only while something is waited for. */
export class RecipeWorld {
  readonly servers: MemoryServers
  readonly #clients = new Map<ServerId, ClientApi>()

  private constructor(servers: MemoryServers) {
    this.servers = servers
    for (const server of servers.all) this.#clients.set(server.id, clientOf(servers, server))
  }

  static make(): RecipeWorld {
    const servers = new MemoryServers(3)
    servers.elect()
    return new RecipeWorld(servers)
  }

  get now(): number {
    return this.servers.clock.now()
  }

  client(id: ServerId): ClientApi {
    return this.#clients.get(id)!
  }

  /** The client of the server that leads. */
  get leading(): ClientApi {
    return this.client(this.servers.all.find(({ leads }) => leads)!.id)
  }

  /** Clients of the servers that do not lead. */
  get following(): readonly ClientApi[] {
    return this.servers.all.filter(({ leads }) => !leads).map(({ id }) => this.client(id))
  }

  /** Time goes on by so much, with all that comes of it. */
  async pass(ms: number): Promise<void> {
    for (let at = 0; at < ms; at += 5) {
      this.servers.advance(5)
      await settled()
    }
  }

  /** Time goes on until the call is answered. */
  async done<Value>(call: Promise<Value>): Promise<Value> {
    let isAnswered = false
    const note = (): void => void (isAnswered = true)
    call.then(note, note)
    await this.until(() => isAnswered, 'the call is answered')
    return call
  }

  async until(condition: () => boolean, claim: string): Promise<void> {
    const end = this.now + PATIENCE_MS
    for (;;) {
      this.servers.turn()
      await settled()
      if (condition()) return
      if (this.now >= end) throw new Error(`within ${PATIENCE_MS} ms it never came true that ${claim}`)
      this.servers.advance(1)
    }
  }

  /** The error's code, or `done`. */
  async codeOf(call: Promise<unknown>): Promise<string> {
    try {
      await this.done(call)
      return 'done'
    } catch (error) {
      return error instanceof ActorumError ? error.code : String(error)
    }
  }

  async valueOf(client: ClientApi, key: string): Promise<string | undefined> {
    const value = await this.done(client.get(key))
    return value && new TextDecoder().decode(value)
  }

  /** How many keys there are that begin so. */
  async count(prefix: string): Promise<number> {
    return (await this.done(this.leading.range({ prefix, countOnly: true }))).count
  }
}

/** What promises have become due are settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** What has become of a call so far. */
export class Followed<Value> {
  value: Value | undefined
  error: unknown
  isAnswered = false

  constructor(call: Promise<Value>) {
    call.then(
      (value) => {
        this.value = value
        this.isAnswered = true
      },
      (error: unknown) => {
        this.error = error
        this.isAnswered = true
      },
    )
  }
}
