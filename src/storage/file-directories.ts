import type { Stats } from 'node:fs'
import { mkdir, open, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { ActorumError } from '../errors.js'

/** What this asks of the operating system. */
export interface DirectorySystem {
  readonly platform: string
  /** Opens a directory for reading. */
  open(path: string): Promise<{ sync(): Promise<void>; close(): Promise<void> }>
}

const REAL_SYSTEM: DirectorySystem = { platform: process.platform, open: (path) => open(path, 'r') }

/** One that may be written to and not read. */
const NOT_OPENED: readonly unknown[] = ['EACCES', 'EPERM', 'EISDIR']
/** Of file systems that have no such call for directories: some network and shared ones. */
const NOT_KNOWN: readonly unknown[] = ['EINVAL', 'EBADF', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']

/**
 * Makes the names in a directory durable: a new one, or that one is gone. Windows cannot sync a directory, and need not.
 * Where it cannot be done, for lack of permission or in a file system without it, there is nothing that could be done
 * in its stead (PostgreSQL and SQLite go on too). Any other failure rejects.
 */
export async function syncDirectory(path: string, system = REAL_SYSTEM): Promise<void> {
  if (system.platform === 'win32') return
  const directory = await system.open(path).catch((error: unknown) => passOver(error, NOT_OPENED))
  if (directory === undefined) return
  try {
    await directory.sync().catch((error: unknown) => passOver(error, NOT_KNOWN))
  } finally {
    await directory.close()
  }
}

/**
 * Makes a directory, and what is missing on the way to it, durably.
 * @throws ActorumError STORAGE_FAILED
 */
export async function makeDirectory(path: string, system = REAL_SYSTEM): Promise<void> {
  const directory = resolve(path)
  try {
    for (const missing of await missingOnTheWayTo(directory)) {
      await makeOne(missing)
      await syncDirectory(dirname(missing), system)
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const advice = 'Name one that this process may create and write to'
    throw new ActorumError('STORAGE_FAILED', `The directory ${directory} cannot be created: ${why}. ${advice}.`, {
      cause,
    })
  }
}

/**
 * From the top down. Node's own recursive mkdir is of no use: where a parent is there and takes no directories, as in
 * /proc, it asks again for ever (Node 20).
 */
async function missingOnTheWayTo(directory: string): Promise<readonly string[]> {
  if (await isDirectory(directory)) return []
  const missing = [directory]
  for (let at = dirname(directory); at !== dirname(at) && !(await isThere(at)); at = dirname(at)) missing.unshift(at)
  return missing
}

/** Another one may make it meanwhile. */
async function makeOne(directory: string): Promise<void> {
  try {
    await mkdir(directory)
  } catch (error) {
    if (!(await isDirectory(directory))) throw error
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await found(path))?.isDirectory() === true
}

async function isThere(path: string): Promise<boolean> {
  return (await found(path)) !== undefined
}

/** What cannot be looked at counts as missing: making it says why. */
function found(path: string): Promise<Stats | undefined> {
  return stat(path).catch(() => undefined)
}

function passOver(error: unknown, codes: readonly unknown[]): undefined {
  if (!(error instanceof Error && 'code' in error && codes.includes(error.code))) throw error
}
