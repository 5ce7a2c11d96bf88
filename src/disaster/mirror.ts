import { access, constants, copyFile, mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { closeInTurn } from '../engine-parts.js'
import { ActorumError } from '../errors.js'
import { DirectoryLock } from '../storage/file/directory-lock.js'
import { isOfReadOnly } from '../storage/file/lock-refusal.js'
import { FileDisk } from '../storage/file-disk.js'
import { LOG_FOLDERS, type LogStoreKind } from '../storage/file-or-level.js'
import { isOpenHere, LevelDisk } from '../storage/level-disk.js'
import type { RecordDisk } from '../storage/record-disk.js'
import { codeOf, namesIn } from './data-directory.js'

/** A log's files under other names, to be opened without a change to the log itself. */
export interface Mirror {
  readonly disk: RecordDisk
  /** What a person should know of how it was made. */
  readonly notes: readonly string[]
  /** What was said of a file here, with the log's own name for it. */
  ofTheLog(message: string): string
  /** Closes the disk too. */
  close(): Promise<void>
}

/** Files that are written once, and only read later: a link is enough. */
const WRITTEN_ONCE = /\.(ldb|sst|segment)$/

let mirrors = 0

interface Held {
  readonly notes: readonly string[]
  release(): Promise<void>
}

/**
 * Opening a log makes it ready to be written to, which changes its files. So they are copied to a temporary directory,
 * and the large ones linked to, while the log's lock is held. Rejects with LOCKED when an engine has it open.
 */
export async function mirror(directory: string, kind: LogStoreKind): Promise<Mirror> {
  const held = await lock(directory, kind)
  try {
    const place = await mkdtemp(join(tmpdir(), 'actorum-verify-'))
    return await mirrorIn(place, directory, kind, held)
  } catch (error) {
    await held.release()
    throw error
  }
}

async function mirrorIn(place: string, directory: string, kind: LogStoreKind, held: Held): Promise<Mirror> {
  try {
    await fill(place, directory, LOG_FOLDERS[kind])
  } catch (error) {
    await remove(place)
    throw error
  }
  const ofFiles = { directory: place, checksum: crc32, isForReading: true }
  const disk = kind === 'file' ? new FileDisk(ofFiles) : new LevelDisk(place)
  const close = (): Promise<void> => closeInTurn([disk]).finally(() => remove(place).finally(() => held.release()))
  return { disk, notes: held.notes, close, ofTheLog: (message) => message.replaceAll(place, directory) }
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

async function lock(directory: string, kind: LogStoreKind): Promise<Held> {
  const whole = await realpath(directory)
  if (kind === 'level') await checkLevelLock(directory, join(whole, LOG_FOLDERS.level))
  const held = kind === 'level' ? NOT_HELD : await lockOfFiles(directory, whole)
  if (held === undefined) throw locked(directory)
  return held
}

const NOT_HELD: Held = { notes: [], release: () => Promise.resolve() }

/** LevelDB locks its file LOCK, and so the one that is linked to; within a process that would not show. */
async function checkLevelLock(directory: string, folder: string): Promise<void> {
  if (isOpenHere(folder)) throw locked(directory)
  // Not by opening it: who closes it again lets go of a lock that this process has.
  const refusal: unknown = await access(join(folder, 'LOCK'), constants.W_OK).catch((error: unknown) => error)
  if (codeOf(refusal) !== 'EROFS') return
  const advice = 'copy the data directory to a disk that can be written to, and verify the copy'
  const text = `${directory} is on a file system that is read only, where LevelDB cannot lock its log; ${advice}`
  throw new ActorumError('STORAGE_FAILED', text, { cause: refusal })
}

/** Where nothing can be written there can be no lock. Whoever writes there by another mount has one, which can be seen. */
async function lockOfFiles(directory: string, whole: string): Promise<Held | undefined> {
  try {
    const held = await DirectoryLock.take(whole, `${process.pid}-verify-${++mirrors}`)
    return held && { notes: [], release: () => held.release() }
  } catch (error) {
    if (!isOfReadOnly(error)) throw error
    if (await DirectoryLock.isTaken(whole)) return undefined
    const text = `the log could not be locked, since ${directory} is on a file system that is read only`
    return { ...NOT_HELD, notes: [`${text}; start no engine on it elsewhere while it is looked at`] }
  }
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
