import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ActorumError } from '../errors.js'
import { makeDirectory, syncDirectory } from './file-directories.js'
import { LOG_FOLDERS, type LogStoreKind } from './file-or-level.js'

/**
 * Makes a log's directory with the folder of that kind in it, where there is none. The locks of the two kinds know
 * nothing of each other; but of two engines that begin a log at the same time, one of each kind, only one gets the
 * directory its name: it has its folder by then. Rejects with LOCKED where the other one did.
 */
export async function makeLogFolder(directory: string, kind: LogStoreKind): Promise<void> {
  // Whoever gave it its name keeps it: another that comes too late looks in for a moment, and takes itself out again.
  if (!existsSync(directory) && (await beginWith(directory, LOG_FOLDERS[kind]))) {
    await syncDirectory(directory)
    return syncDirectory(dirname(directory))
  }
  const own = join(directory, LOG_FOLDERS[kind])
  const isNew = !existsSync(own)
  await makeDirectory(own)
  // After its own is there: in a directory that was there before and empty, at least one of the two sees the other's.
  const other = kind === 'file' ? 'level' : 'file'
  if (!existsSync(join(directory, LOG_FOLDERS[other]))) return
  if (isNew) await rmdir(own)
  throw taken(directory, other)
}

/** Rename takes no directory's place that has something in it. Where all this fails, making the folder says why. */
async function beginWith(directory: string, folder: string): Promise<boolean> {
  let begun: string | undefined
  try {
    await makeDirectory(dirname(directory))
    begun = await mkdtemp(`${directory}.begun-`)
    await mkdir(join(begun, folder))
    // A temporary directory is its owner's alone.
    await chmod(begun, (await stat(join(begun, folder))).mode)
    await rename(begun, directory)
    return true
  } catch {
    if (begun !== undefined) await rm(begun, { recursive: true, force: true })
    return false
  }
}

function taken(directory: string, kind: LogStoreKind): ActorumError {
  const advice = 'Stop that one first, or give this one a data directory of its own'
  return new ActorumError('LOCKED', `Another engine has begun a log of kind '${kind}' in ${directory}. ${advice}.`)
}
