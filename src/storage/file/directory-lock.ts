import { createHash } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lockRefusal } from './lock-refusal.js'
import { wayTo } from './socket-way.js'

const PREFIX = 'lock-'

/** What a lock asks of the operating system. */
export interface LockSystem {
  readonly platform: string
  /** Where there may be room for a link to a directory with a long path. */
  readonly temporaryDirectory: string
  listen(path: string): Promise<Server>
}

const REAL_SYSTEM: LockSystem = { platform: process.platform, temporaryDirectory: tmpdir(), listen }

/**
 * A lock on a directory that dies with its process: a socket in it that listens. A socket's file outlives its process,
 * but nobody answers there any more. It holds among all processes of one machine, in containers too, and not beyond.
 *
 * Each who wants the lock first listens under a name of its own, and only then looks at the others' names. Of two who
 * come at the same time, at least one thus finds the other; perhaps both do, and neither gets it. Names that nobody
 * answers are taken away by who holds the lock alone. One whose own name was taken away has come too early to be
 * answered for, and does not get it.
 */
export class DirectoryLock {
  readonly #server: Server
  readonly #path: string | undefined

  private constructor(server: Server, path: string | undefined) {
    this.#server = server
    this.#path = path
    // A connection that could not be accepted, for lack of descriptors or memory, takes nothing from the lock: to be
    // connected is all the answer there is, and that is the operating system's. Unheard, it would end the process.
    server.on('error', () => undefined)
  }

  /**
   * Undefined when another has it, in this process or in another. `nonce` differs at each call.
   * @throws ActorumError STORAGE_FAILED where there can be no socket
   */
  static async take(directory: string, nonce: string, system = REAL_SYSTEM): Promise<DirectoryLock | undefined> {
    if (system.platform === 'win32')
      return takePipe(directory, system, (server) => new DirectoryLock(server, undefined))
    const own = `${PREFIX}${nonce}`
    const way = wayTo(directory, own, system)
    try {
      const server = await system.listen(join(way.path, own)).catch((cause: unknown) => {
        throw lockRefusal(directory, cause)
      })
      return await keepIfAlone(new DirectoryLock(server, join(directory, own)), directory, way.path, own)
    } finally {
      way.close()
    }
  }

  /** Whether anybody has it, for who cannot take it. Elsewhere than in the directory itself nothing can be seen of it. */
  static async isTaken(directory: string, system = REAL_SYSTEM): Promise<boolean> {
    const names = readdirSync(directory).filter(isLockName)
    const answers = names.map(async (name) => {
      const way = wayTo(directory, name, system)
      return isAnswered(join(way.path, name)).finally(() => way.close())
    })
    return (await Promise.all(answers)).includes(true)
  }

  async release(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
    // The server knows its socket by a way that may be gone.
    if (this.#path !== undefined) rmSync(this.#path, { force: true })
  }
}

/** Whether a name in a directory is a lock's. */
export function isLockName(name: string): boolean {
  return name.startsWith(PREFIX)
}

async function keepIfAlone(
  lock: DirectoryLock,
  directory: string,
  way: string,
  own: string,
): Promise<DirectoryLock | undefined> {
  try {
    if (await isAlone(directory, way, own)) return lock
  } catch (error) {
    await lock.release()
    throw error
  }
  await lock.release()
  return undefined
}

async function isAlone(directory: string, way: string, own: string): Promise<boolean> {
  const others = readdirSync(directory).filter((name) => isLockName(name) && name !== own)
  const answers = await Promise.all(others.map((name) => isAnswered(join(way, name))))
  if (answers.includes(true) || !readdirSync(directory).includes(own)) return false
  for (const name of others) rmSync(join(directory, name), { force: true })
  return true
}

function listen(path: string): Promise<Server> {
  const server = createServer((connection) => connection.destroy())
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // Exclusive: the workers of a Node cluster would share the socket. Unref: a lock keeps no process alive.
    server.listen({ path, exclusive: true }, () => resolve(server.unref()))
  })
}

/** Only a refusal, or no socket at all, means that nobody listens: a busy process may be slow to answer. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect({ path })
    const settle = (answered: boolean): void => {
      connection.destroy()
      resolve(answered)
    }
    connection.once('connect', () => settle(true))
    connection.once('error', (error) => settle(!('code' in error && DEAD.includes(error.code))))
  })
}

/** The last is a copy's, where it became a plain file. */
const DEAD: readonly unknown[] = ['ECONNREFUSED', 'ENOENT', 'ENOTSOCK']

/** A pipe's name on Windows is the whole machine's, and goes with its process. */
async function takePipe<Lock>(
  directory: string,
  system: LockSystem,
  lockOf: (server: Server) => Lock,
): Promise<Lock | undefined> {
  const name = createHash('sha256').update(directory.toLowerCase()).digest('hex')
  try {
    return lockOf(await system.listen(`\\\\.\\pipe\\actorum-${name}`))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return undefined
    throw lockRefusal(directory, error)
  }
}
