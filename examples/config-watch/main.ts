// Two applications follow their configuration, each at another server, while somebody changes it.
// Ends by itself, and leaves no file behind.
import { compare, op, type Change, type ClientApi, type ObserveEvent } from 'actorum'
import { chapter, cyan, dim, line, strong, title } from '../story/terminal.js'
import { textOf, ThreeServers } from '../story/three-servers.js'

const PREFIX = 'config/'

/** An application with its configuration, as of a revision. */
class Application {
  revision = 0
  readonly #name: string
  #next = 0

  constructor(name: string) {
    this.#name = name
  }

  /** The whole configuration first, and then every change. */
  async follow(client: ClientApi, signal: AbortSignal): Promise<void> {
    for await (const event of client.observe(PREFIX, { signal })) this.#take(event)
  }

  /** Goes on where it was: everything that it missed comes in order, as it happened. */
  async goOn(client: ClientApi, signal: AbortSignal): Promise<void> {
    for await (const event of client.watch({ prefix: PREFIX }, { fromRevision: this.#next, signal })) this.#take(event)
  }

  #take(event: ObserveEvent): void {
    this.revision = event.revision
    this.#next = event.revision + 1
    if (event.type === 'state') this.#tell(`starts with ${event.entries.length} settings`)
    if (event.type === 'changes') this.#tell(event.changes.map(shown).join(dim(' and ')))
  }

  #tell(text: string): void {
    line(`${this.#name}   ${dim(`revision ${this.revision}`)}   ${text}`)
  }
}

function shown(change: Change): string {
  if (change.type === 'delete') return `${textOf(change.key).slice(PREFIX.length)} is gone`
  const { key, value } = change.entry
  return `${textOf(key).slice(PREFIX.length)} is ${cyan(textOf(value))}`
}

/** Waits until both know what was written at that revision. */
async function known(applications: readonly Application[], revision: number): Promise<void> {
  while (applications.some((application) => application.revision < revision)) await pause(5)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

title('Configuration that is followed', 'whoever watches hears every change once, in order, at whichever server')
await using servers = await ThreeServers.prepare()
const [first, second, third] = await servers.start(1, 2, 3)
if (first === undefined || second === undefined || third === undefined) throw new Error('three servers were asked for')
const { client } = first
await client.put(`${PREFIX}greeting`, 'hello')
const { revision } = await client.put(`${PREFIX}limit`, '100')

chapter('Two applications start, at servers 2 and 3')
const stop = new AbortController()
const offline = new AbortController()
const [shop, office] = [new Application('shop  '), new Application('office')]
const following = [shop.follow(second.client, stop.signal), office.follow(third.client, offline.signal)]
await known([shop, office], revision)

chapter('One setting changes')
await known([shop, office], (await client.put(`${PREFIX}limit`, '200')).revision)

chapter('Two settings change together: one transaction, one revision, one event')
const together = await client
  .txn()
  .if(compare.value(`${PREFIX}limit`, '=', '200'))
  .then(op.put(`${PREFIX}limit`, '300'), op.put(`${PREFIX}greeting`, 'good morning'))
  .commit()
await known([shop, office], together.revision)

chapter('Somebody who has not seen that tries to change the limit from 200')
const isSwapped = await client.compareAndSwap(`${PREFIX}limit`, '200', '50')
line(isSwapped ? 'the limit was changed' : 'refused: it is not 200 any more, and nothing was written')

chapter('The office goes offline while three changes are made')
offline.abort()
await following[1]
for (const limit of ['400', '500']) await client.put(`${PREFIX}limit`, limit)
const last = await client.delete(`${PREFIX}greeting`)
await known([shop], last.revision)

chapter('The office comes back, at another server, and goes on where it was')
const back = office.goOn(client, stop.signal)
await known([office], last.revision)
line(strong('nothing was missed, nothing came twice'))

stop.abort()
await Promise.all([...following, back])
