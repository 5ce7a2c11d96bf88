import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { fromCallback, randomId, thenClose } from '../engine-parts.js'
import { ActorumError } from '../errors.js'
import type { LogIndex, Member, ServerId, Term } from '../machines/types.js'
import { checkNames, checkReachable, type EngineOptions, validateOptions } from '../options.js'
import { makeDirectory, syncDirectory } from '../storage/file-directories.js'
import type { LogStoreKind } from '../storage/file-or-level.js'
import { raisedTo } from '../state-machines/kv/snapshot.js'
import { FileSnapshotStore } from '../storage/file-snapshot-store.js'
import type { Recovered, SnapshotsFound } from '../storage/ports.js'
import { fitToSnapshot } from '../storage/restore-point.js'
import { type Attempt, giveUp, newAttempt, storageFailed } from './attempt.js'
import {
  adopt,
  failed,
  findLog,
  kindOf,
  moveParts,
  namesIn,
  type NewDirectory,
  openable,
  prepare,
} from './data-directory.js'
import { readState, type OfflineState } from './offline-state.js'
import { checkRevisionsAhead, raisedIndex, type RevisionsAhead } from './revisions-ahead.js'
import { adviceFor } from './unfinished-attempt.js'

/** What `forceNewCluster` takes. */
export interface ForceOptions
  extends Pick<EngineOptions, 'dataDir' | 'id' | 'listen' | 'clusterId' | 'log'>, RevisionsAhead {
  /**
   * Writes that the cluster had acknowledged may be lost, and writes that it had not may be kept: only the lost majority
   * could tell. Must be true.
   */
  readonly iUnderstandThatWritesMayBeLost: true
}

const NAMES = [
  'dataDir',
  'id',
  'listen',
  'clusterId',
  'log',
  'revisionsAhead',
  'iUnderstandThatWritesMayBeLost',
] satisfies (keyof ForceOptions)[]

/** A cluster of one server, made of the survivor of a lost majority. */
export interface ForcedCluster {
  /** Of the new cluster. */
  readonly clusterId: string
  readonly storeId: string
  /** Log index of the last entry that survives. Whatever the former cluster committed after it is lost. */
  readonly lastIndex: LogIndex
  /** Where the new cluster's log begins: every later write has a higher revision. */
  readonly revision: LogIndex
  readonly term: Term
  /**
   * Entries up to here, the end of the newest snapshot, are known here to have been committed. Of those from here to
   * `lastIndex` nobody can tell any more, though most may have been committed, and acknowledged. All are kept.
   */
  readonly committedIndex: LogIndex
  /** The other members of the former cluster. They must never be started again on what they have. */
  readonly formerMembers: readonly Member[]
  /** Where the former log and snapshots are kept. Remove it once it is of no use. */
  readonly keptIn: string
}

type Wanted = Pick<NewDirectory, 'dataDir' | 'logStore' | 'clusterId' | 'self'> & RevisionsAhead

interface Survivor extends OfflineState {
  readonly recovered: Recovered
  readonly committedIndex: LogIndex
}

/**
 * Makes a cluster of one server out of the data directory of a server whose cluster has lost its majority for good: all
 * entries of its log count as committed from now on. It has ids of its own, so that the former members cannot mix in.
 * For when no backup is newer: the last resort. No engine may have the directory open.
 * @throws ActorumError INVALID_ARGUMENT (an option, or no data directory of this server), LOCKED, CORRUPT,
 * UNSUPPORTED_FORMAT, STORAGE_FAILED. Nothing has changed then, but for STORAGE_FAILED, which says what to do.
 */
export async function forceNewCluster(options: ForceOptions): Promise<ForcedCluster> {
  const given: unknown = options
  checkNames(given, "the new cluster's options", NAMES)
  const { iUnderstandThatWritesMayBeLost: isUnderstood, revisionsAhead, ...rest } = options
  if (isUnderstood !== true)
    throw invalid('iUnderstandThatWritesMayBeLost is not true; acknowledged writes may be lost')
  checkRevisionsAhead(revisionsAhead)
  checkReachable(rest.listen, ' there, or none')
  const { dataDir, id, listen = '', clusterId = randomId(), log } = validateOptions(rest)
  await refuseUnfinished(dataDir)
  const logStore = await kindOf(dataDir)
  if (logStore === undefined) throw invalid(`the directory ${dataDir} holds no log`)
  const self = { id, address: listen, storeId: randomId() }
  const survivor = await makeOfSurvivor({ dataDir, logStore, clusterId, self, revisionsAhead })
  const { recovered, end, committedIndex } = survivor
  const formerMembers = membersOf(recovered).filter((member) => member.id !== id)
  const forced = {
    clusterId,
    storeId: self.storeId,
    lastIndex: end.index,
    revision: raisedIndex(end.index, { revisionsAhead }),
    term: recovered.hardState.term,
    committedIndex,
    formerMembers,
    keptIn: keptInFor(dataDir, survivor),
  }
  log({ level: 'warn', message: warningOf(id, forced) })
  return forced
}

/** Whatever fails once something has been made is told with what to do. */
async function makeOfSurvivor(wanted: Wanted): Promise<Survivor> {
  const { dataDir, logStore, self } = wanted
  const attempt = newAttempt()
  try {
    // Under the log's lock until the folder for what is unfinished keeps engines away.
    const survivor = await withSurvivor(dataDir, logStore, self.id, async (survivor) => {
      await refuseUnfit(survivor, wanted)
      const { recovered, end, stateMachine } = survivor
      const index = raisedIndex(end.index, wanted)
      const hardState = { ...recovered.hardState, votedFor: undefined }
      const state = stateMachine.snapshot()
      const chunks = index === end.index ? state : raisedTo(index, state)
      await prepare({ ...wanted, hardState, end: { ...end, index }, chunks }, attempt)
      return survivor
    })
    await replace(dataDir, keptInFor(dataDir, survivor), attempt)
    return survivor
  } catch (error) {
    await giveUp(dataDir, attempt)
    throw attempt.hasBegun ? await withAdvice(dataDir, attempt, error) : failed(dataDir, error)
  }
}

async function refuseUnfit(survivor: Survivor, { dataDir, clusterId }: Wanted): Promise<void> {
  if (survivor.recovered.clusterId === clusterId)
    throw invalid(`the former cluster is ${clusterId}; give the new one another id`)
  const keptIn = keptInFor(dataDir, survivor)
  // An attempt that went back leaves it empty.
  if ((await namesIn(keptIn)).length === 0) return
  throw invalid(`the folder ${keptIn}, where the former log is to be kept, is not empty; move it elsewhere`)
}

/** Hands out all that a directory holds, while its log is locked. */
async function withSurvivor<Result>(
  dataDir: string,
  kind: LogStoreKind,
  id: ServerId,
  use: (survivor: Survivor) => Promise<Result>,
): Promise<Result> {
  const store = openable(join(dataDir, 'log'), kind)
  const found = await findLog(store, id)
  const snapshots = new FileSnapshotStore({ directory: join(dataDir, 'snapshots'), checksum: crc32 })
  return thenClose([snapshots, store], async () => {
    await refuseUnfinished(dataDir)
    if (found === undefined) throw invalid(`the log in ${dataDir} was begun and never written to`)
    const { stored } = await fromCallback<SnapshotsFound>((callback) => snapshots.open(callback))
    const recovered = await fromCallback<Recovered>((callback) => fitToSnapshot(store, found, stored[0], callback))
    const state = await readState(store, snapshots, recovered)
    if (state.end.index === 0) throw invalid(`the log in ${dataDir} is empty, so there is nothing to save`)
    return use({ recovered, committedIndex: stored[0]?.id.index ?? 0, ...state })
  })
}

async function refuseUnfinished(dataDir: string): Promise<void> {
  const advice = await adviceFor(dataDir)
  if (advice !== undefined) throw invalid(`an earlier attempt in ${dataDir} was not finished; ${advice}`)
}

function keptInFor(dataDir: string, { recovered }: Pick<Survivor, 'recovered'>): string {
  return join(dataDir, `former-${recovered.storeId}`)
}

/** While the folder for what is unfinished is there, no engine starts; what was there before is kept. */
async function replace(dataDir: string, keptIn: string, attempt: Attempt): Promise<void> {
  await makeDirectory(keptIn)
  await moveParts(dataDir, keptIn, attempt)
  await syncDirectory(keptIn)
  await adopt(dataDir, attempt)
}

async function withAdvice(dataDir: string, { hasMoved }: Attempt, cause: unknown): Promise<ActorumError> {
  const advice = await adviceFor(dataDir).catch(() => 'call again once it can be read: that says what to do')
  const done = hasMoved
    ? 'all was done but to sync that: verifyDataDir says of which cluster it is'
    : 'nothing was moved: free space or repair the disk, and call again'
  return storageFailed(dataDir, cause, advice ?? done)
}

function membersOf({ boundary, configurations }: Recovered): readonly Member[] {
  const { configuration } = configurations.at(-1) ?? boundary
  const { members = [], voters, learners } = configuration
  const ids = [...voters, ...(configuration.votersOutgoing ?? []), ...learners]
  const unnamed = ids.filter((id, at) => ids.indexOf(id) === at && !members.some((member) => member.id === id))
  return [...members, ...unnamed.map((id) => ({ id, address: '' }))]
}

function warningOf(id: ServerId, { clusterId, lastIndex, committedIndex, formerMembers }: ForcedCluster): string {
  const others = formerMembers.map((member) => `${member.id}@${member.address}`).join(', ')
  const kept =
    committedIndex === lastIndex
      ? `entries up to ${lastIndex} are kept`
      : `entries up to ${lastIndex} are kept; of those after ${committedIndex} it cannot be told which had been committed`
  const lost = `whatever the former cluster acknowledged after entry ${lastIndex} is lost`
  const never = others === '' ? '' : `; never start the former members again on what they have: ${others}`
  return `server ${id} is now a cluster by itself, ${clusterId}: ${kept}; ${lost}${never}`
}

function invalid(text: string): ActorumError {
  return new ActorumError('INVALID_ARGUMENT', `${text}; no new cluster was made`)
}
