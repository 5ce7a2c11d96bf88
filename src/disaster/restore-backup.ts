import { join } from 'node:path'
import { randomId, UNFINISHED } from '../engine-parts.js'
import { ActorumError } from '../errors.js'
import type { LogIndex } from '../machines/types.js'
import { checkNames, checkReachable, type EngineOptions, validateOptions } from '../options.js'
import { raisedTo } from '../state-machines/kv/snapshot.js'
import { kindFor, type LogStoreKind } from '../storage/file-or-level.js'
import { type Attempt, giveUp, newAttempt, storageFailed } from './attempt.js'
import {
  adopt,
  codeOf,
  failed,
  isPerhapsRestored,
  markRestored,
  namesBesideLocks,
  namesIn,
  type NewDirectory,
  PARTS,
  prepare,
  takeBack,
} from './data-directory.js'
import { withRestoreLock } from './restore-lock.js'
import { checkRevisionsAhead, raisedIndex, type RevisionsAhead } from './revisions-ahead.js'
import { chunksOf, refusalOf, type SnapshotEnds, verifySnapshot } from './snapshot-file.js'

/** What `restoreBackup` takes. */
export interface RestoreOptions
  extends Pick<EngineOptions, 'dataDir' | 'id' | 'listen' | 'clusterId' | 'logStore'>, RevisionsAhead {
  /** The backup's file. */
  readonly from: string
}

const NAMES = [
  'from',
  'dataDir',
  'id',
  'listen',
  'clusterId',
  'logStore',
  'revisionsAhead',
] satisfies (keyof RestoreOptions)[]

/** A data directory that was made from a backup. */
export interface Restored {
  /** Of the new cluster. */
  readonly clusterId: string
  readonly storeId: string
  /** Log index of the last entry that the backup covers. */
  readonly index: LogIndex
  /** Where the new cluster's log begins: every later write has a higher revision. */
  readonly revision: LogIndex
  /** Of the cluster that the backup was taken from. */
  readonly formerClusterId: string | undefined
}

/**
 * Makes the data directory of a new cluster of one server from a backup: with ids of its own, so that servers of the
 * cluster that the backup is of cannot mix in. Start an engine on it, and let others join. All of the backup is checked
 * before anything is made.
 * @throws ActorumError INVALID_ARGUMENT (an option, or a directory that is not empty), CORRUPT or UNSUPPORTED_FORMAT (the
 * backup), LOCKED (another restore is at work there), STORAGE_FAILED
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const given: unknown = options
  checkNames(given, "the restore's options", NAMES)
  const { from, revisionsAhead, ...rest } = options
  checkRevisionsAhead(revisionsAhead)
  if (typeof from !== 'string' || from === '') throw invalid('the option from must be the path of a backup')
  checkReachable(rest.listen, ' there, or none')
  const { dataDir, id, listen = '', clusterId = randomId(), logStore } = validateOptions(rest)
  const backup = await read(from)
  if (backup.clusterId === clusterId) {
    throw invalid(`the backup is of cluster ${clusterId}; give the new cluster an id of its own, or none`)
  }
  const storeId = randomId()
  const { index, term, checksum, clusterTime } = backup.boundary
  const revision = raisedIndex(index, { revisionsAhead })
  const next = {
    dataDir,
    clusterId,
    self: { id, address: listen, storeId },
    // The new cluster's first election raises it.
    hardState: { term, votedFor: undefined, promiseMs: 0 },
    end: { index: revision, term, checksum, clusterTime },
    chunks: revision === index ? soundChunks(from) : raisedTo(revision, soundChunks(from)),
  }
  const attempt = newAttempt()
  try {
    // Before anything is put there, and be it a lock. Where there is what is unfinished, only who has the lock can tell.
    if (!(await isPerhapsRestored(dataDir))) await refuseOccupied(dataDir)
    await withRestoreLock(dataDir, logStore, () => make(next, logStore, attempt))
  } catch (error) {
    const failure = failed(dataDir, error)
    if (!attempt.hasBegun || failure.code !== 'STORAGE_FAILED') throw failure
    throw storageFailed(dataDir, error, 'free space or repair the disk, and call again')
  }
  return { clusterId, storeId, index, revision, formerClusterId: backup.clusterId }
}

async function make(
  next: Omit<NewDirectory, 'logStore'>,
  logStore: LogStoreKind | undefined,
  attempt: Attempt,
): Promise<void> {
  const { dataDir } = next
  await takeBack(dataDir)
  await refuseOccupied(dataDir)
  try {
    await prepare({ ...next, logStore: await kindFor(join(dataDir, 'log'), logStore) }, attempt)
    // An engine looks for what is unfinished after it has made its log's folder: one that has seen nothing shows here.
    await refuseOccupied(dataDir)
    await markRestored(dataDir)
    await adopt(dataDir, attempt)
  } catch (error) {
    // While others are still locked out.
    await giveUp(dataDir, attempt)
    throw error
  }
}

async function read(from: string): Promise<SnapshotEnds> {
  let found: Awaited<ReturnType<typeof verifySnapshot>>
  try {
    found = await verifySnapshot(from)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw invalid(`there is no backup ${from}`)
    throw failed(from, error)
  }
  if ('malformed' in found) throw refusalOf(`the backup ${from}`, found)
  return found
}

/** What an earlier attempt left unfinished is no reason. */
async function refuseOccupied(dataDir: string): Promise<void> {
  const found = await namesBesideLocks(dataDir)
  const names = found.filter((name) => name !== UNFINISHED)
  if (names.length === 0) return
  const what = `the directory ${dataDir} is not empty (${names.slice(0, 3).join(', ')})`
  const isWhole = PARTS.every((part) => names.includes(part)) && (await namesIn(join(dataDir, UNFINISHED))).length === 0
  const advice = `in it, the folder ${UNFINISHED} is empty: all was done but to delete it; do that, or name a new one`
  throw invalid(found.includes(UNFINISHED) && isWhole ? `${what}; ${advice}` : `${what}; name a new one`)
}

async function* soundChunks(from: string): AsyncGenerator<Uint8Array, void, void> {
  const fault = yield* chunksOf(from)
  if (fault !== undefined) throw refusalOf(`the backup ${from}`, fault)
}

function invalid(text: string): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', `${text}; nothing was restored`)
}
