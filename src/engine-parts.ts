import { stat, statfs } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { join } from 'node:path'
import { markAsUntransferable } from 'node:worker_threads'
import { realClock, realRandom } from './actors/clock.js'
import type { SnapshotActorOptions } from './actors/snapshot-actor.js'
import type { SnapshotPolicyOptions } from './actors/snapshot-policy.js'
import { ActorumError } from './errors.js'
import type { RaftSettings } from './machines/context.js'
import { DiskSpace } from './engine-disk-space.js'
import { checkIdentity, loggedMembers } from './engine-identity.js'
import { Joining, type Joinable } from './engine-join.js'
import { peersOf } from './machines/quorum.js'
import { protectSlabs } from './state-machines/kv/copies.js'
import type { Configuration } from './machines/types.js'
import { commandBytesMax, ownAddress, type ResolvedOptions } from './options.js'
import { FileLogStore } from './storage/file-log-store.js'
import { damaged } from './storage/damage.js'
import { kindAmong, kindFor, namesOf } from './storage/file-or-level.js'
import { FileSnapshotStore } from './storage/file-snapshot-store.js'
import { LevelLogStore } from './storage/level-log-store.js'
import type {
  Callback,
  InitialState,
  LogStore,
  LogStoreHandler,
  Recovered,
  SnapshotsFound,
  SnapshotStore,
} from './storage/ports.js'
import type { RecordLogStore } from './storage/record-log-store.js'
import { fitToSnapshot } from './storage/restore-point.js'
import { isSnapshotName } from './storage/snapshot-catalogue.js'
import { LoneTransport } from './transport/lone-transport.js'
import type { Peer, Transport, TransportHandler } from './transport/ports.js'
import { WebSocketTransport } from './transport/websocket-transport.js'

/** What an engine is put together from, opened in order. */
export interface EngineParts {
  readonly store: LogStore
  readonly snapshots: SnapshotStore
  readonly transport: Transport
  readonly recovered: Recovered
  /** Where peers reach this server; '' where nobody does. */
  readonly address: string
  readonly settings: RaftSettings
  readonly nonce: number
  readonly proposedClusterId: string
  readonly diskSpace: Pick<DiskSpace, 'freeBytes'>
  /** From here on messages arrive, and `failed` hears of a background sync that failed. */
  listen(handler: TransportHandler, failed: (error: Error) => void): Promise<void>
  /** Makes the cluster know this server at its address, in the background; what keeps it can be asked. */
  join(server: Joinable): Pick<Joining, 'obstacle'>
  /** Closes the transport, then the store. Rejects when the store cannot be closed cleanly. */
  close(): Promise<void>
}

/** The folder in a data directory where a restored one is made, until it takes its place. */
export const UNFINISHED = 'unfinished'

/** Opens the store and makes the transport. Nothing is left open when it rejects. */
export async function openEngineParts(options: ResolvedOptions): Promise<EngineParts> {
  const { id, log, dataDir } = options
  protectSlabs(markAsUntransferable)
  const store = await makeStore(options)
  const snapshots = new FileSnapshotStore({ directory: join(dataDir, 'snapshots'), checksum: crc32 })
  const proposedClusterId = options.clusterId ?? randomId()
  let closing: Promise<void> | undefined
  let reportFailure: ((error: Error) => void) | undefined
  const initial = {
    serverId: id,
    storeId: randomId(),
    clusterId: options.clusterId,
    configuration: configurationFrom(options),
  }
  const opened = await openLog(store, dataDir, initial, { failed: (error) => reportFailure?.(error) })
  // The log's lock keeps other processes from the snapshots too.
  const recovered = await orClose([snapshots, store], async () => {
    const { stored, notices } = await fromCallback<SnapshotsFound>((callback) => snapshots.open(callback))
    const fitted = await fromCallback<Recovered>((callback) => fitToSnapshot(store, opened, stored[0], callback))
    checkIdentity(options, fitted)
    for (const message of [...fitted.notices, ...notices]) log({ level: 'warn', message })
    return fitted
  })
  const transport = makeTransport(options)
  const nonce = realRandom.uint32()
  const address = ownAddress(options, loggedMembers(recovered))
  const notice = (message: string): void => log({ level: 'warn', message })
  const diskSpace = new DiskSpace(dataDir, { statfs, clock: realClock, notice })
  if (options.lowDiskBytes > 0) await diskSpace.watch()
  return {
    store,
    snapshots,
    transport,
    recovered,
    address,
    settings: settingsFrom(options),
    nonce,
    proposedClusterId,
    diskSpace,
    listen: (handler, failed) => {
      reportFailure = failed
      const { clusterId, storeId } = recovered
      transport.setPeers(peersFrom(options, recovered))
      return fromCallback<void>((callback) => {
        const identity = { id, clusterId, storeId, nonce, address }
        transport.start(identity, handler, (error) => callback(error))
      })
    },
    join: (server) => {
      const joining = new Joining(options, transport, server, { ...recovered, address })
      joining.begin()
      return joining
    },
    close: () => {
      diskSpace.stop()
      return (closing ??= closeAll(transport, snapshots, store))
    },
  }
}

async function makeStore({ dataDir, durability, syncIntervalMs, logStore }: ResolvedOptions): Promise<RecordLogStore> {
  const directory = join(dataDir, 'log')
  await refuseUnfinished(dataDir)
  const names = await namesOf(directory).catch(unreadable(directory))
  if (kindAmong(directory, names) === undefined) await refuseLostLog(dataDir)
  const kind = await kindFor(directory, logStore).catch(unreadable(directory))
  const storeOptions = { directory, durability, syncIntervalMs, clock: realClock, checksum: crc32 }
  return kind === 'file' ? new FileLogStore(storeOptions) : new LevelLogStore(storeOptions)
}

/** Looks around again once the log is locked, and before one is made: others may have been here meanwhile. */
async function openLog(
  store: RecordLogStore,
  dataDir: string,
  initial: InitialState,
  handler: LogStoreHandler,
): Promise<Recovered> {
  const found = await fromCallback<Recovered | undefined>((callback) => {
    store.find(initial.serverId, handler, callback)
  })
  return orClose([store], async () => {
    await refuseUnfinished(dataDir)
    if (found !== undefined) return found
    await refuseLostLog(dataDir)
    return fromCallback<Recovered>((callback) => store.create(initial, callback))
  })
}

function unreadable(directory: string): (cause: unknown) => never {
  return (cause) => {
    if (cause instanceof ActorumError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    const advice = 'let this process read and write there, or name another dataDir'
    throw new ActorumError('STORAGE_FAILED', `the directory ${directory} cannot be read: ${why}; ${advice}`, { cause })
  }
}

/** Snapshots are made after the log, and never without one: a server that began anew would forget what it had promised. */
async function refuseLostLog(dataDir: string): Promise<void> {
  const names = await namesOf(join(dataDir, 'snapshots')).catch(unreadable(dataDir))
  if (!names.some(isSnapshotName)) return
  throw damaged(`data directory ${dataDir}`, 'it has snapshots, but the log that belongs to them is missing')
}

async function refuseUnfinished(dataDir: string): Promise<void> {
  const found = await stat(join(dataDir, UNFINISHED)).catch(() => undefined)
  if (found === undefined) return
  const text = `in the data directory ${dataDir} a restore, or a forced new cluster, was not finished; do that again: it goes on, or says how`
  throw new ActorumError('INVALID_ARGUMENT', text)
}

async function closeAll(transport: Transport, snapshots: SnapshotStore, store: LogStore): Promise<void> {
  await new Promise<void>((resolve) => transport.stop(resolve))
  await closeInTurn([snapshots, store])
}

function makeTransport(options: ResolvedOptions): Transport {
  if (options.listen === undefined) return new LoneTransport()
  const { reconnectDelayMsMin: reconnectMsMin, reconnectDelayMsMax: reconnectMsMax, outboxBytesMax } = options
  return new WebSocketTransport({
    listen: options.listen,
    clock: realClock,
    random: realRandom,
    checksum: crc32,
    options: { reconnectMsMin, reconnectMsMax, outboxBytesMax },
    limits: { frameBytesMax: frameBytesMax(options), runsMax: 1024 },
  })
}

/** One AppendEntries, or the one run in it that is longer than that. */
function frameBytesMax(options: ResolvedOptions): number {
  const { appendBytesMax, runBytesMax, snapshotChunkBytes } = options
  const headerBytes = 1024 * 1024
  return 2 * appendBytesMax + snapshotChunkBytes + Math.max(runBytesMax, commandBytesMax(options)) + headerBytes
}

export function snapshottingFrom(options: ResolvedOptions): SnapshotPolicyOptions & Partial<SnapshotActorOptions> {
  const { snapshotEntries, snapshotLogBytes, snapshotIntervalMs, logEntriesKept, heartbeatIntervalMs } = options
  const { snapshotChunkBytes, snapshotWindowChunks, snapshotBytesPerSecond } = options
  return {
    snapshotEntries,
    snapshotLogBytes,
    snapshotIntervalMs,
    logEntriesKept,
    chunkBytes: snapshotChunkBytes,
    windowChunks: snapshotWindowChunks,
    bytesPerSecond: snapshotBytesPerSecond === 0 ? Infinity : snapshotBytesPerSecond,
    retryMs: 10 * heartbeatIntervalMs,
  }
}

function settingsFrom(options: ResolvedOptions): RaftSettings {
  const { electionTimeoutMs, clockDriftBoundPercent } = options
  const {
    heartbeatIntervalMs,
    appendBytesMax,
    inflightAppendsMax,
    inflightBytesMax,
    uncommittedBytesMax,
    logTailBytesMax,
    promotionLagEntries,
    promotionAfterMs,
    electionPriority,
  } = options
  return {
    electionTimeoutMs,
    heartbeatIntervalMs,
    leaseMs: electionTimeoutMs * (1 - clockDriftBoundPercent / 100),
    appendBytesMax,
    inflightAppendsMax,
    inflightBytesMax,
    uncommittedBytesMax,
    logTailBytesMax,
    promotionLagEntries,
    promotionAfterMs,
    electionPriority,
    checksum: crc32,
  }
}

/** A server that joins knows of no voters until the log, or a snapshot, reaches it. */
function configurationFrom({ members, join: addresses }: ResolvedOptions): Configuration {
  if (addresses !== undefined) return { voters: [], learners: [] }
  return { voters: members.map(({ id }) => id), learners: [], members }
}

function peersFrom({ id }: ResolvedOptions, recovered: Recovered): readonly Peer[] {
  const configuration = recovered.configurations.at(-1)?.configuration ?? recovered.boundary.configuration
  const peers = peersOf(configuration, id)
  return loggedMembers(recovered).filter((member) => peers.includes(member.id))
}

/** 128 random bits, for a store's id or a cluster's. */
export function randomId(): string {
  return Array.from({ length: 4 }, () => realRandom.uint32().toString(16).padStart(8, '0')).join('')
}

/** What is open, and is let go of through a port's callback. */
export interface Closable {
  close(callback: Callback): void
}

/** Closes each, also after one that could not be closed. Rejects with the first error then. */
export async function closeInTurn(parts: readonly Closable[]): Promise<void> {
  const failures: unknown[] = []
  for (const part of parts) {
    await fromCallback<void>((callback) => part.close(callback)).catch((error: unknown) => failures.push(error))
  }
  if (failures.length > 0) throw failures[0]
}

/** Closes the parts if `use` fails, whose error is the one to hear of: what comes after it comes of it. */
export async function orClose<Result>(parts: readonly Closable[], use: () => Promise<Result>): Promise<Result> {
  try {
    return await use()
  } catch (error) {
    await closeInTurn(parts).catch(() => undefined)
    throw error
  }
}

/** Closes the parts in any case. */
export async function thenClose<Result>(parts: readonly Closable[], use: () => Promise<Result>): Promise<Result> {
  const result = await orClose(parts, use)
  await closeInTurn(parts)
  return result
}

/** From a port's callback to a promise. */
export function fromCallback<Result>(
  start: (callback: (error: Error | undefined, result: Result) => void) => void,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error === undefined ? resolve(result) : reject(error)))
  })
}
