import type { Dirent } from 'node:fs'
import { open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { realClock } from '../actors/clock.js'
import { fromCallback, thenClose, UNFINISHED } from '../engine-parts.js'
import { ActorumError } from '../errors.js'
import type { Boundary, HardState, Member, ServerId } from '../machines/types.js'
import { isLockName } from '../storage/file/directory-lock.js'
import { makeDirectory, syncDirectory } from '../storage/file-directories.js'
import { FileLogStore } from '../storage/file-log-store.js'
import { kindAmong, type LogStoreKind } from '../storage/file-or-level.js'
import { patiently } from '../storage/file-patience.js'
import { FileSnapshotStore } from '../storage/file-snapshot-store.js'
import { LevelLogStore } from '../storage/level-log-store.js'
import type { LogStoreHandler, Recovered } from '../storage/ports.js'
import type { RecordLogStore } from '../storage/record-log-store.js'
import type { Attempt } from './attempt.js'

/** A server's data directory as it is to be: the log of a cluster of one, which begins after a snapshot. */
export interface NewDirectory {
  readonly dataDir: string
  readonly logStore: LogStoreKind
  readonly clusterId: string
  /** The cluster's one voter. */
  readonly self: Required<Pick<Member, 'id' | 'address' | 'storeId'>>
  readonly hardState: HardState
  /** Where the log goes on. */
  readonly end: Omit<Boundary, 'configuration'>
  /** The state as of there. */
  readonly chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>
}

/** The parts of a data directory that move together. */
export const PARTS = ['log', 'snapshots'] as const
const PIECE_BYTES = 1024 * 1024
/** Every write is awaited, so nothing is left to a sync in the background. */
const AWAITED: LogStoreHandler = { failed: () => undefined }

/** Makes all of it durable in a folder within `dataDir`. No engine starts there before `adopt`. */
export async function prepare(next: NewDirectory, attempt: Attempt): Promise<void> {
  const { clusterId, self, end } = next
  const folder = join(next.dataDir, UNFINISHED)
  attempt.hasBegun = true
  await rm(folder, { recursive: true, force: true })
  await makeDirectory(folder)
  const { id, storeId } = self
  const boundary = { ...end, configuration: { voters: [id], learners: [], members: [self] } }
  await writeSnapshot(join(folder, 'snapshots'), boundary, next)
  const store = openable(join(folder, 'log'), next.logStore)
  const configuration = { voters: [id], learners: [] }
  await fromCallback<Recovered>((callback) => {
    store.open({ serverId: id, storeId, clusterId, configuration }, AWAITED, callback)
  })
  await thenClose([store], () => {
    const write = { runs: [], hardState: next.hardState, boundary, clusterId }
    return fromCallback<void>((callback) => store.write(write, callback))
  })
}

/** Of a restore: all in `dataDir` is its own, and was whole when this was written. */
const RESTORED = 'restored'

/** Says that a directory was empty before, so that a restore which was cut short can be told from a forced cluster. */
export async function markRestored(dataDir: string): Promise<void> {
  const folder = join(dataDir, UNFINISHED)
  const file = await open(join(folder, RESTORED), 'w')
  await file.sync().finally(() => file.close())
  await syncDirectory(folder)
}

/** Takes back what a restore that was cut short has adopted. Leaves alone what is another's. */
export async function takeBack(dataDir: string): Promise<void> {
  const folder = join(dataDir, UNFINISHED)
  const left = await namesIn(folder)
  if (!left.includes(RESTORED)) return
  // Beside anything else of anybody's it is refused: nothing is undone for that.
  if (!(await isPerhapsRestored(dataDir))) return
  const names = await namesIn(dataDir)
  const adopted = PARTS.filter((part) => names.includes(part))
  // One that has both is not this restore's.
  if (adopted.some((part) => left.includes(part))) return
  for (const part of adopted) await patiently(() => rename(join(dataDir, part), join(folder, part)))
}

/** Whether a restore may be at work there, or have been cut short: there is what is unfinished, and parts at most. */
export async function isPerhapsRestored(dataDir: string): Promise<boolean> {
  const names = await namesBesideLocks(dataDir)
  const isOfRestore = (name: string): boolean => name === UNFINISHED || PARTS.some((part) => part === name)
  return names.includes(UNFINISHED) && names.every(isOfRestore)
}

/** Gives what `prepare` made its place, the log first: without it a snapshot alone would look like a new server's. */
export async function adopt(dataDir: string, attempt: Attempt): Promise<void> {
  const folder = join(dataDir, UNFINISHED)
  await moveParts(folder, dataDir, attempt)
  await syncDirectory(dataDir)
  await rm(folder, { recursive: true })
  await syncDirectory(dataDir)
}

/** The log first, and one by one: what is where tells how far it came. */
export async function moveParts(from: string, to: string, attempt: Attempt): Promise<void> {
  for (const part of PARTS) {
    await patiently(() => rename(join(from, part), join(to, part)))
    attempt.hasMoved = true
  }
}

/** What a directory holds; nothing where there is none. */
export async function namesIn(directory: string): Promise<readonly string[]> {
  return (await entriesIn(directory)).map(({ name }) => name)
}

/** But for the locks of restores. A file that only has such a name may be anybody's. */
export async function namesBesideLocks(dataDir: string): Promise<readonly string[]> {
  const entries = await entriesIn(dataDir)
  return entries.filter((entry) => !(isLockName(entry.name) && entry.isSocket())).map(({ name }) => name)
}

async function entriesIn(directory: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true })
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw failed(directory, error)
  }
}

/** Which kind of log a data directory holds; undefined where it holds none. Rejects with INVALID_ARGUMENT for two. */
export async function kindOf(dataDir: string): Promise<LogStoreKind | undefined> {
  const directory = join(dataDir, 'log')
  return kindAmong(directory, await namesIn(directory))
}

export function openable(directory: string, logStore: LogStoreKind): RecordLogStore {
  const options = {
    directory,
    durability: 'disk-first',
    syncIntervalMs: 100,
    clock: realClock,
    checksum: crc32,
  } as const
  return logStore === 'file' ? new FileLogStore(options) : new LevelLogStore(options)
}

/** Opens the log that is there; undefined for none. Until it is closed, its place is locked in both cases. */
export function findLog(store: RecordLogStore, serverId: ServerId): Promise<Recovered | undefined> {
  return fromCallback<Recovered | undefined>((callback) => store.find(serverId, AWAITED, callback))
}

/** What a directory's file system reported, as an error of ours. */
export function failed(path: string, cause: unknown): ActorumError {
  if (cause instanceof ActorumError) return cause
  const why = cause instanceof Error ? cause.message : String(cause)
  return new ActorumError('STORAGE_FAILED', `${path} cannot be read or written: ${why}`, { cause })
}

export function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}

async function writeSnapshot(directory: string, boundary: Boundary, next: NewDirectory): Promise<void> {
  const store = new FileSnapshotStore({ directory, checksum: crc32 })
  await fromCallback((callback) => store.open(callback))
  await thenClose([store], async () => {
    const writer = store.create(boundary, next.clusterId)
    for await (const chunk of next.chunks) {
      for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
        const piece = chunk.subarray(at, at + PIECE_BYTES)
        await fromCallback<void>((callback) => writer.write(piece, callback))
      }
    }
    await fromCallback((callback) => writer.commit(callback))
  })
}
