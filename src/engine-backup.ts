import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import { type BackupStream, HeardStream } from './engine-backup-stream.js'
import { fromCallback, randomId } from './engine-parts.js'
import { ActorumError } from './errors.js'
import type { LogIndex, Term } from './machines/types.js'
import { syncDirectory } from './storage/file-directories.js'
import { patiently } from './storage/file-patience.js'
import type { SnapshotReader, SnapshotStore, StoredSnapshot } from './storage/ports.js'
import { SnapshotScanner } from './storage/snapshot-scanner.js'

/** What a backup holds. */
export interface Backup {
  /** Log index of the last entry that it covers, and so no lower than any revision in it. */
  readonly index: LogIndex
  readonly term: Term
  /** Of the cluster that it was taken from. */
  readonly clusterId: string | undefined
  /** Of the whole file. */
  readonly byteLength: number
}

const PIECE_BYTES = 1024 * 1024
/** Of a backup that is still being written: it changes at least so often. */
const UNFINISHED_MS = 600_000
const UNFINISHED = /\.unfinished-[0-9a-f]{32}$/

/** Copies a stored snapshot out, checking it on the way. A file has its name once all of it is durable. */
export async function writeBackup(
  snapshots: SnapshotStore,
  stored: StoredSnapshot,
  target: BackupTarget,
): Promise<Backup> {
  const release = snapshots.retain(stored.id)
  try {
    if ('path' in target) await writeFile(snapshots, stored, target.path)
    else await copy(snapshots, stored, (bytes) => target.write(bytes))
  } catch (error) {
    if (error instanceof ActorumError && error.code === 'CORRUPT') await readThrough(snapshots, stored)
    throw error
  } finally {
    release()
  }
  const { index, term, byteLength } = stored.id
  return { index, term, clusterId: stored.clusterId, byteLength }
}

/** Where a backup goes. Whoever opened it releases it. */
export type BackupTarget = FileTarget | HeardStream

interface FileTarget {
  readonly path: string
  release(): void
}

/** A path means the file that it names now; a stream is listened to from now on. */
export function openTarget(target: string | BackupStream): BackupTarget {
  return typeof target === 'string' ? { path: resolve(target), release: () => undefined } : new HeardStream(target)
}

/** Checks what a caller gave as a backup's target. Throws INVALID_ARGUMENT. */
export function checkTarget(target: unknown): void {
  if (typeof target === 'string' && target !== '' && !target.includes('\0')) return
  if (typeof target === 'object' && target !== null && 'write' in target && typeof target.write === 'function') return
  const text = 'a backup goes to the path of a file, or to a stream that can be written to; nothing was backed up'
  throw new ActorumError('INVALID_ARGUMENT', text)
}

async function writeFile(snapshots: SnapshotStore, stored: StoredSnapshot, path: string): Promise<void> {
  const unfinished = `${path}.unfinished-${randomId()}`
  let beganAtMs = 0
  try {
    const file = await open(unfinished, 'wx')
    try {
      const { mtimeMs } = await file.stat()
      await copy(snapshots, stored, async (bytes) => {
        // Unlike write, this goes on where the operating system took only a part.
        await file.appendFile(bytes)
      })
      beganAtMs = mtimeMs
      await file.sync()
    } finally {
      await file.close()
    }
    await patiently(() => rename(unfinished, path))
    await syncDirectory(dirname(path))
    await clearUnfinished(path, beganAtMs - UNFINISHED_MS)
  } catch (cause) {
    await rm(unfinished, { force: true })
    if (cause instanceof ActorumError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ActorumError('STORAGE_FAILED', `the backup ${path} was not written: ${why}`, { cause })
  }
}

/**
 * What earlier backups of that name have left behind, and have not changed since `beforeMs`: another one may be on its way.
 * The backup is made by now: what cannot be listed or taken away, such as somebody else's, stays.
 */
async function clearUnfinished(path: string, beforeMs: number): Promise<void> {
  const names = await readdir(dirname(path)).catch(() => [])
  for (const name of names) {
    if (!name.startsWith(`${basename(path)}.unfinished-`) || !UNFINISHED.test(name)) continue
    const left = join(dirname(path), name)
    const found = await stat(left).catch(() => undefined)
    if (found !== undefined && found.mtimeMs < beforeMs) await rm(left, { force: true }).catch(() => undefined)
  }
}

async function copy(
  snapshots: SnapshotStore,
  { id }: StoredSnapshot,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const scanner = new SnapshotScanner(crc32)
  for (let offset = 0; offset < id.byteLength;) {
    const from = offset
    const bytes = await fromCallback<Uint8Array>((callback) => snapshots.read(id, from, PIECE_BYTES, callback))
    const fault = bytes.length === 0 ? { malformed: `it ends after ${offset} bytes` } : scanner.push(bytes)
    if (fault !== undefined) throw damaged(fault.malformed)
    await write(bytes)
    offset += bytes.length
  }
  if (scanner.trailer?.checksum !== id.checksum) throw damaged('it is not the one that its name says')
}

/** Whoever reads the state in a damaged snapshot sets it aside: the next one is taken anew. */
async function readThrough(snapshots: SnapshotStore, { id }: StoredSnapshot): Promise<void> {
  try {
    const reader = await fromCallback<SnapshotReader>((callback) => snapshots.openReader(id, callback))
    const next = (): Promise<unknown> => fromCallback<unknown>((callback) => reader.next(callback))
    try {
      while ((await next()) !== undefined);
    } finally {
      reader.close()
    }
  } catch {
    // What is wrong with it is known already.
  }
}

function damaged(why: string): ActorumError {
  const advice = 'Nothing was backed up, and it counts no more: ask again, or back up another server'
  return new ActorumError('CORRUPT', `The snapshot to be backed up is damaged on disk: ${why}. ${advice}.`)
}
