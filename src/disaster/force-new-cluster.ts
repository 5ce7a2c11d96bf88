import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { fromCallback, randomId, thenClose, UNFINISHED } from '../engine-parts.js'
import { ActorumError } from '../errors.js'
import type { LogIndex, Member, ServerId, Term } from '../machines/types.js'
import { checkNames, type EngineOptions, validateOptions } from '../options.js'
import { syncDirectory } from '../storage/file-directories.js'
import type { LogStoreKind } from '../storage/file-or-level.js'
import { patiently } from '../storage/file-patience.js'
import { FileSnapshotStore } from '../storage/file-snapshot-store.js'
import type { Recovered, SnapshotsFound } from '../storage/ports.js'
import { fitToSnapshot } from '../storage/restore-point.js'
import { adopt, failed, findLog, kindOf, namesIn, openable, PARTS, prepare } from './data-directory.js'
import { readState, type OfflineState } from './offline-state.js'

/** What `forceNewCluster` takes. */
export interface ForceOptions extends Pick<EngineOptions, 'dataDir' | 'id' | 'listen' | 'clusterId' | 'log'> {
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
  'iUnderstandThatWritesMayBeLost',
] satisfies (keyof ForceOptions)[]

/** A cluster of one server, made of the survivor of a lost majority. */
export interface ForcedCluster {
  /** Of the new cluster. */
  readonly clusterId: string
  readonly storeId: string
  /** Log index of the last entry that survives. Whatever the former cluster committed after it is lost. */
  readonly lastIndex: LogIndex
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
  const { iUnderstandThatWritesMayBeLost: isUnderstood, ...rest } = options
  if (isUnderstood !== true)
    throw invalid('iUnderstandThatWritesMayBeLost is not true; acknowledged writes may be lost')
  const { dataDir, id, listen = '', clusterId = randomId(), log } = validateOptions(rest)
  await refuseUnfinished(dataDir)
  const logStore = await kindOf(dataDir)
  if (logStore === undefined) throw invalid(`the directory ${dataDir} holds no log`)
  const storeId = randomId()
  // Under the log's lock until the folder for what is unfinished keeps engines away.
  const { recovered, end, committedIndex } = await withSurvivor(dataDir, logStore, id, async (survivor) => {
    const { recovered, end } = survivor
    if (recovered.clusterId === clusterId)
      throw invalid(`the former cluster is ${clusterId}; give the new one another id`)
    const self = { id, address: listen, storeId }
    const hardState = { ...recovered.hardState, votedFor: undefined }
    const chunks = survivor.stateMachine.snapshot()
    const next = { dataDir, logStore, clusterId, self, hardState, end, chunks }
    await withAdvice(dataDir, keptInFor(dataDir, survivor), () => prepare(next))
    return survivor
  })
  const keptIn = keptInFor(dataDir, { recovered })
  await withAdvice(dataDir, keptIn, () => replace(dataDir, keptIn))
  const { term } = recovered.hardState
  const formerMembers = membersOf(recovered).filter((member) => member.id !== id)
  const forced = { clusterId, storeId, lastIndex: end.index, term, committedIndex, formerMembers, keptIn }
  log({ level: 'warn', message: warningOf(id, forced) })
  return forced
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

/** Where it stopped can be told by what is where. */
async function refuseUnfinished(dataDir: string): Promise<void> {
  if (!(await namesIn(dataDir)).includes(UNFINISHED)) return
  const [log, snapshots] = PARTS
  const found = `an earlier attempt in ${dataDir} was not finished`
  const advice = [
    `if ${log} and ${snapshots} are there, delete the folder ${UNFINISHED}`,
    `or else, if ${UNFINISHED} has ${log} in it, move ${log} and ${snapshots} back from the newest former-… and delete it`,
    `or else move ${snapshots} out of it, and delete it`,
  ]
  throw invalid(`${found}: ${advice.join('; ')}`)
}

function keptInFor(dataDir: string, { recovered }: Pick<Survivor, 'recovered'>): string {
  return join(dataDir, `former-${recovered.storeId}`)
}

/** While the folder for what is unfinished is there, no engine starts; what was there before is kept. */
async function replace(dataDir: string, keptIn: string): Promise<void> {
  await mkdir(keptIn)
  for (const part of PARTS) await patiently(() => rename(join(dataDir, part), join(keptIn, part)))
  await syncDirectory(keptIn)
  await adopt(dataDir)
}

async function withAdvice(dataDir: string, keptIn: string, act: () => Promise<void>): Promise<void> {
  try {
    await act()
  } catch (cause) {
    const { message } = failed(dataDir, cause)
    const advice = `to go back, move ${PARTS.join(' and ')} from ${keptIn} to ${dataDir} if they are there, and delete the folder ${UNFINISHED}`
    throw new ActorumError('STORAGE_FAILED', `${message}; ${advice}`, { cause })
  }
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
