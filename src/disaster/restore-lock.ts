import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { realRandom } from '../actors/clock.js'
import { randomId } from '../engine-parts.js'
import { ActorumError } from '../errors.js'
import { DirectoryLock } from '../storage/file/directory-lock.js'
import { takesNoSockets } from '../storage/file/lock-refusal.js'
import { makeDirectory } from '../storage/file-directories.js'
import type { LogStoreKind } from '../storage/file-or-level.js'
import { isPerhapsRestored, namesBesideLocks } from './data-directory.js'

/** Of two processes that come at the same time perhaps neither gets a lock: each tries again after a while of its own. */
const PAUSES_MS_MAX = [5, 10, 20, 40]

/** Directories that this process restores into. */
const underWay = new Set<string>()

/**
 * Makes the data directory, and keeps other restores from it for as long as `restore` takes. Engines are kept away by
 * the folder for what is unfinished. Dies with its process.
 * @throws ActorumError LOCKED when another restore is at work there, STORAGE_FAILED
 */
export async function withRestoreLock<Result>(
  dataDir: string,
  logStore: LogStoreKind | undefined,
  restore: () => Promise<Result>,
): Promise<Result> {
  await makeDirectory(dataDir)
  const place = await realpath(dataDir)
  if (underWay.has(place)) throw locked(dataDir)
  underWay.add(place)
  try {
    const lock = await takePatiently(place, logStore)
    if (lock === undefined) throw locked(dataDir)
    return await restore().finally(() => lock.release())
  } finally {
    underWay.delete(place)
  }
}

async function takePatiently(place: string, logStore: LogStoreKind | undefined): Promise<DirectoryLock | undefined> {
  for (const pauseMsMax of PAUSES_MS_MAX) {
    const lock = await take(place, logStore)
    if (lock !== undefined) return lock
    await pause(realRandom.uint32() % pauseMsMax)
    // Who had it has done by now what this one came for: it was at work, and that is what there is to say.
    if (!(await isPerhapsRestored(place)) && (await namesBesideLocks(place)).length > 0) return undefined
  }
  return take(place, logStore)
}

/** A log on Level needs no sockets where it is; the lock then is where temporary files are, under the directory's name. */
async function take(place: string, logStore: LogStoreKind | undefined): Promise<DirectoryLock | undefined> {
  try {
    return await DirectoryLock.take(place, randomId())
  } catch (error) {
    if (logStore !== 'level' || !takesNoSockets(error)) throw error
    const name = createHash('sha256').update(place).digest('hex').slice(0, 32)
    const inItsStead = join(tmpdir(), `actorum-restore-${name}`)
    await makeDirectory(inItsStead)
    return DirectoryLock.take(inItsStead, randomId())
  }
}

function locked(dataDir: string): ActorumError {
  const advice = 'let it end, or name another directory; nothing was restored'
  return new ActorumError('LOCKED', `another restore is at work in ${dataDir}: ${advice}`)
}
