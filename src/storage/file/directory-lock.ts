import { closeSync, constants, openSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { crc32 } from '../../machines/checksum.js'

const PREFIX = 'lock-'
/** The longest path that every system takes for a socket. */
const SOCKET_PATH_BYTES_MAX = 103

/**
 * A lock on a directory that dies with its process: a socket in it that listens. A socket's file outlives its process,
 * but nobody answers there any more.
 *
 * Each who wants the lock first listens under a name of its own, and only then looks at the others' names. Of two who
 * come at the same time, at least one thus finds the other; perhaps both do, and neither gets it. Names that nobody
 * answers are taken away by who holds the lock alone. One whose own name was taken away has come too early to be
 * answered for, and does not get it.
 */
export class DirectoryLock {
  readonly #server: Server
  readonly #descriptor: number | undefined

  private constructor(server: Server, descriptor: number | undefined) {
    this.#server = server
    this.#descriptor = descriptor
  }

  /** Undefined when another has it, in this process or in another. `nonce` differs at each call. */
  static async take(directory: string, nonce: string): Promise<DirectoryLock | undefined> {
    if (process.platform === 'win32') return takePipe(directory, (server) => new DirectoryLock(server, undefined))
    const own = `${PREFIX}${nonce}`
    const descriptor = openSync(directory, constants.O_RDONLY)
    const place = socketDirectory(directory, descriptor, own)
    let server: Server
    try {
      server = await listen(join(place, own))
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
    const lock = new DirectoryLock(server, descriptor)
    try {
      if (await isAlone(directory, place, own)) return lock
    } catch (error) {
      await lock.release()
      throw error
    }
    await lock.release()
    return undefined
  }

  async release(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
  }
}

/** Whether a name in a directory is a lock's. */
export function isLockName(name: string): boolean {
  return name.startsWith(PREFIX)
}

async function isAlone(directory: string, place: string, own: string): Promise<boolean> {
  const others = readdirSync(directory).filter((name) => isLockName(name) && name !== own)
  const answers = await Promise.all(others.map((name) => isAnswered(join(place, name))))
  if (answers.includes(true) || !readdirSync(directory).includes(own)) return false
  for (const name of others) rmSync(join(directory, name), { force: true })
  return true
}

/** Linux knows a directory by its descriptor too, so that a long path is none. */
function socketDirectory(directory: string, descriptor: number, own: string): string {
  const short = new TextEncoder().encode(join(directory, own)).length <= SOCKET_PATH_BYTES_MAX
  return short || process.platform !== 'linux' ? directory : `/proc/self/fd/${descriptor}`
}

function listen(path: string): Promise<Server> {
  const server = createServer((connection) => connection.destroy())
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // Exclusive: the workers of a Node cluster would share the socket. Unref: a lock keeps no process alive.
    server.listen({ path, exclusive: true }, () => resolve(server.unref()))
  })
}

/** Only a refusal, or no name at all, means that nobody listens: a busy process may be slow to answer. */
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

const DEAD: readonly unknown[] = ['ECONNREFUSED', 'ENOENT']

/** A pipe's name on Windows is the whole machine's, and goes with its process. */
async function takePipe<Lock>(directory: string, lockOf: (server: Server) => Lock): Promise<Lock | undefined> {
  const name = crc32(new TextEncoder().encode(directory.toLowerCase())).toString(16)
  try {
    return lockOf(await listen(`\\\\.\\pipe\\actorum-${name}`))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return undefined
    throw error
  }
}
