// One server becomes three while a client writes all the while: no restart, no pause, no failed write.
// Ends by itself, and leaves no file behind.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedEngine, type Membership } from 'actorum'
import { distinctUntilKeyChanged } from 'rxjs'
import { freePorts } from '../story/free-ports.js'
import { chapter, line, milliseconds, title } from '../story/terminal.js'

const directory = await mkdtemp(join(tmpdir(), 'actorum-expansion-'))
const addresses = (await freePorts(3)).map((port) => `127.0.0.1:${port}`)
const engines: EmbeddedEngine[] = []

/** The first server starts a cluster; the others ask it to be let in. */
async function start(id: number): Promise<EmbeddedEngine> {
  const engine = await EmbeddedEngine.start({
    id,
    dataDir: join(directory, String(id)),
    listen: addresses[id - 1],
    join: id === 1 ? undefined : addresses.slice(0, 1),
    promotionAfterMs: 200,
    // While a newcomer is being let in, connections with it are refused for a moment: nothing to tell here.
    log: ({ level, message }) => level === 'error' && line(message),
  })
  engines.push(engine)
  return engine
}

/** Writes one after another until it is told to stop. */
class Writer {
  written = 0
  longestMs = 0
  #isStopped = false
  readonly #done: Promise<void>

  constructor(engine: EmbeddedEngine) {
    this.#done = this.#write(engine)
    this.#done.catch(() => undefined)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#done
  }

  async #write({ client }: EmbeddedEngine): Promise<void> {
    while (!this.#isStopped) {
      const began = performance.now()
      await client.put(`order-${this.written}`, 'taken')
      this.longestMs = Math.max(this.longestMs, performance.now() - began)
      this.written++
    }
  }
}

/** Resolves once the servers `ids` vote, as `engine` knows them. */
function vote(engine: EmbeddedEngine, ids: readonly number[]): Promise<void> {
  return new Promise((resolve) => {
    const watching = engine.watchMembership().subscribe(({ voters }) => {
      if (ids.some((id) => !voters.includes(id))) return
      resolve()
      queueMicrotask(() => watching.unsubscribe())
    })
  })
}

function show({ voters, learners }: Membership): void {
  line(`voters ${voters.join(', ')}${learners.length === 0 ? '' : `, learners ${learners.join(', ')}`}`)
}

try {
  title('From one server to three', 'with a client that writes all the while')
  chapter('One server, a cluster by itself')
  const one = await start(1)
  await one.ready()
  const writer = new Writer(one)
  one.watchMembership().pipe(distinctUntilKeyChanged('index')).subscribe(show)

  for (const id of [2, 3]) {
    chapter(`Server ${id} asks to be let in: it listens, catches up, and is made a voter`)
    await start(id)
    await vote(one, [id])
    line(`${writer.written} writes so far, the longest took ${milliseconds(writer.longestMs)}`)
  }

  chapter('The first server stops: the two others have everything')
  await writer.stop()
  await one.stop()
  const three = engines[2]
  await three?.ready()
  const last = await three?.client.get(`order-${writer.written - 1}`)
  if (last === undefined) throw new Error('the last write is lost')
  line(`server ${three?.leaderId} leads; all ${writer.written} writes are there, and none had failed`)
} finally {
  await Promise.all(engines.map((engine) => engine.stop()))
  await rm(directory, { recursive: true, force: true })
}
