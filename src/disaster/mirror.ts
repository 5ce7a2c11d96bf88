import { copyFile, mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { closeInTurn } from '../engine-parts.js'
import { ActorumError } from '../errors.js'
import { DirectoryLock } from '../storage/file/directory-lock.js'
import { FileDisk } from '../storage/file-disk.js'
import { LOG_FOLDERS, type LogStoreKind } from '../storage/file-or-level.js'
import { isOpenHere, LevelDisk } from '../storage/level-disk.js'
import type { RecordDisk } from '../storage/record-disk.js'
import { codeOf, namesIn } from './data-directory.js'

/** A log's files under other names, to be opened without a change to the log itself. */
export interface Mirror {
  readonly disk: RecordDisk
  /** What was said of a file here, with the log's own name for it. */
  ofTheLog(message: string): string
  /** Closes the disk too. */
  close(): Promise<void>
}

/** Files that are written once, and only read later: a link is enough. */
const WRITTEN_ONCE = /\.(ldb|sst|segment)$/

let mirrors = 0

/**
 * Opening a log makes it ready to be written to, which changes its files. So they are copied to a temporary directory,
 * and the large ones linked to, while the log's lock is held. Rejects with LOCKED when an engine has it open.
 */
export async function mirror(directory: string, kind: LogStoreKind): Promise<Mirror> {
  const release = await lock(directory, kind)
  try {
    const place = await mkdtemp(join(tmpdir(), 'actorum-verify-'))
    return await mirrorIn(place, directory, kind, release)
  } catch (error) {
    await release()
    throw error
  }
}

async function mirrorIn(
  place: string,
  directory: string,
  kind: LogStoreKind,
  release: () => Promise<void>,
): Promise<Mirror> {
  try {
    await fill(place, directory, LOG_FOLDERS[kind])
  } catch (error) {
    await remove(place)
    throw error
  }
  const ofFiles = { directory: place, checksum: crc32, isForReading: true }
  const disk = kind === 'file' ? new FileDisk(ofFiles) : new LevelDisk(place)
  const close = (): Promise<void> => closeInTurn([disk]).finally(() => remove(place).finally(release))
  return { disk, close, ofTheLog: (message) => message.replaceAll(place, directory) }
}

async function fill(place: string, directory: string, folder: string): Promise<void> {
  await mkdir(join(place, folder))
  for (const name of await namesIn(join(directory, folder))) {
    const isLink = WRITTEN_ONCE.test(name) || name === 'LOCK'
    await (isLink ? link : copyFile)(join(directory, folder, name), join(place, folder, name))
  }
  if ((await namesIn(directory)).includes('watermark')) {
    await copyFile(join(directory, 'watermark'), join(place, 'watermark'))
  }
}

function remove(place: string): Promise<void> {
  return rm(place, { recursive: true, force: true })
}

/** LevelDB locks its file LOCK, and so the one that is linked to; within a process that would not show. */
async function lock(directory: string, kind: LogStoreKind): Promise<() => Promise<void>> {
  const whole = await realpath(directory)
  if (kind === 'level') {
    if (isOpenHere(join(whole, LOG_FOLDERS.level))) throw locked(directory)
    return () => Promise.resolve()
  }
  const held = await DirectoryLock.take(whole, `${process.pid}-verify-${++mirrors}`)
  if (held === undefined) throw locked(directory)
  return () => held.release()
}

/** Where the system allows no links, a copy. */
async function link(from: string, to: string): Promise<void> {
  try {
    await symlink(await realpath(from), to)
  } catch (error) {
    if (codeOf(error) !== 'EPERM') throw error
    await copyFile(from, to)
  }
}

function locked(directory: string): ActorumError {
  return new ActorumError('LOCKED', `The data directory ${directory} is in use by an engine; stop that one first.`)
}
