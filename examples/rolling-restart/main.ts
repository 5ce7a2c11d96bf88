// Three servers are restarted one by one, as for an upgrade, while a client writes all the while.
// Ends by itself, and leaves no file behind.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ActorumError, EmbeddedEngine } from 'actorum'
import { freePorts } from '../story/free-ports.js'
import { chapter, line, milliseconds, title } from '../story/terminal.js'

const directory = await mkdtemp(join(tmpdir(), 'actorum-rolling-'))
const members = (await freePorts(3)).map((port, at) => ({ id: at + 1, address: `127.0.0.1:${port}` }))
const engines = new Map<number, EmbeddedEngine>()

async function start(id: number): Promise<EmbeddedEngine> {
  const dataDir = join(directory, String(id))
  const listen = members.find((member) => member.id === id)?.address
  const engine = await EmbeddedEngine.start({ id, dataDir, listen, members })
  engines.set(id, engine)
  return engine
}

async function stop(id: number): Promise<void> {
  const engine = engines.get(id)
  // First, so that the client turns to another.
  engines.delete(id)
  await engine?.stop()
}

const tally = { written: 0, repeated: 0, longestMs: 0 }
let isWriting = true

/** Writes at any server that runs. A call that its server could not finish is made again: the same key and value. */
async function write(): Promise<void> {
  while (isWriting) {
    const began = performance.now()
    while (!(await isPut(`order-${tally.written}`))) tally.repeated++
    tally.longestMs = Math.max(tally.longestMs, performance.now() - began)
    tally.written++
  }
}

async function isPut(key: string): Promise<boolean> {
  const [engine] = engines.values()
  try {
    await engine?.client.put(key, 'taken')
    return engine !== undefined
  } catch (error) {
    if (error instanceof ActorumError && ['STOPPED', 'OUTCOME_UNKNOWN', 'NO_LEADER'].includes(error.code)) return false
    throw error
  }
}

try {
  title('A rolling restart', 'three servers, one by one, with a client that writes all the while')
  chapter('Three servers start')
  await Promise.all(members.map(({ id }) => start(id)))
  await Promise.all([...engines.values()].map((engine) => engine.ready()))
  const writing = write()
  writing.catch(() => undefined)

  for (const { id } of members) {
    const led = engines.get(id)?.isLeader === true
    chapter(`Server ${id} stops${led ? ': it leads, and hands leadership on first' : ''}`)
    const began = performance.now()
    await stop(id)
    line(`stopped in ${milliseconds(performance.now() - began)}`)
    const engine = await start(id)
    // A linearizable read waits until this server has everything that was acknowledged: only then may the next one stop.
    await engine.client.get('order-0')
    line(`back, and up to date with entry ${engine.status().lastApplied}; server ${engine.leaderId} leads`)
  }

  chapter('All are restarted')
  isWriting = false
  await writing
  line(`${tally.written} writes, the longest took ${milliseconds(tally.longestMs)}; ${tally.repeated} calls made again`)
} finally {
  isWriting = false
  await Promise.all([...engines.keys()].map(stop))
  await rm(directory, { recursive: true, force: true })
}
