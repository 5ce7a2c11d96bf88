import { crc32 } from 'node:zlib'
import { join } from 'node:path'
import { realClock, realRandom } from './actors/clock.js'
import { ActorumError } from './errors.js'
import type { RaftSettings } from './machines/context.js'
import { peersOf } from './machines/quorum.js'
import type { Configuration, Member } from './machines/types.js'
import type { ResolvedOptions } from './options.js'
import { LevelLogStore } from './storage/level-log-store.js'
import type { LogStore, Recovered } from './storage/ports.js'
import { LoneTransport } from './transport/lone-transport.js'
import type { Peer, Transport, TransportHandler } from './transport/ports.js'
import { WebSocketTransport } from './transport/websocket-transport.js'

/** What an engine is put together from, opened in order. */
export interface EngineParts {
  readonly store: LogStore
  readonly transport: Transport
  readonly recovered: Recovered
  readonly settings: RaftSettings
  readonly nonce: number
  readonly proposedClusterId: string
  /** From here on messages arrive, and `failed` hears of a background sync that failed. */
  listen(handler: TransportHandler, failed: (error: Error) => void): Promise<void>
  /** Closes the transport, then the store. Rejects when the store cannot be closed cleanly. */
  close(): Promise<void>
}

/** Opens the store and makes the transport. Nothing is left open when it rejects. */
export async function openEngineParts(options: ResolvedOptions): Promise<EngineParts> {
  const { dataDir, durability, syncIntervalMs, id, log } = options
  // One directory each for the log and, when they come, snapshots.
  const directory = join(dataDir, 'log')
  const store = new LevelLogStore({ directory, durability, syncIntervalMs, clock: realClock, checksum: crc32 })
  const proposedClusterId = options.clusterId ?? randomId()
  let closing: Promise<void> | undefined
  let reportFailure: ((error: Error) => void) | undefined
  const initial = {
    serverId: id,
    storeId: randomId(),
    clusterId: options.clusterId,
    configuration: configurationFrom(options),
  }
  const recovered = await fromCallback<Recovered>((callback) => {
    store.open(initial, { failed: (error) => reportFailure?.(error) }, callback)
  })
  const transport = makeTransport(options)
  try {
    checkIdentity(options, recovered)
  } catch (error) {
    await fromCallback<void>((callback) => store.close(callback))
    throw error
  }
  for (const message of recovered.notices) log({ level: 'warn', message })
  const nonce = realRandom.uint32()
  return {
    store,
    transport,
    recovered,
    settings: settingsFrom(options),
    nonce,
    proposedClusterId,
    listen: (handler, failed) => {
      reportFailure = failed
      const { clusterId, storeId } = recovered
      transport.setPeers(peersFrom(options, recovered))
      return fromCallback<void>((callback) => {
        transport.start({ id, clusterId, storeId, nonce }, handler, (error) => callback(error))
      })
    },
    close: () => (closing ??= closeBoth(transport, store)),
  }
}

async function closeBoth(transport: Transport, store: LogStore): Promise<void> {
  await new Promise<void>((resolve) => transport.stop(resolve))
  await fromCallback<void>((callback) => store.close(callback))
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
function frameBytesMax({ appendBytesMax, runBytesMax, keyBytesMax, valueBytesMax }: ResolvedOptions): number {
  const headerBytes = 1024 * 1024
  return 2 * appendBytesMax + Math.max(runBytesMax, keyBytesMax + 2 * valueBytesMax) + headerBytes
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
    checksum: crc32,
  }
}

function configurationFrom({ members }: ResolvedOptions): Configuration {
  return { voters: members.map(({ id }) => id), learners: [], members }
}

/** `members` and `clusterId` count for an empty directory only; later the log rules. */
function checkIdentity({ clusterId, members, log, dataDir }: ResolvedOptions, recovered: Recovered): void {
  if (clusterId !== undefined && recovered.clusterId !== undefined && clusterId !== recovered.clusterId) {
    const text = `the data directory ${dataDir} belongs to cluster ${recovered.clusterId}, not ${clusterId}; start it with its own clusterId, or with another dataDir`
    throw new ActorumError('INVALID_ARGUMENT', text)
  }
  if (recovered.fresh) return
  const known = membersOf(recovered)
  if (describe(known) !== describe(members)) {
    const text = `the option members says ${describe(members)}, but the log in ${dataDir} says ${describe(known)}; the log rules`
    log({ level: 'warn', message: text })
  }
}

function describe(members: readonly Member[]): string {
  return members
    .map(({ id, address }) => `${id}@${address}`)
    .sort()
    .join(', ')
}

function membersOf({ boundary, configurations }: Recovered): readonly Member[] {
  return (configurations.at(-1)?.configuration ?? boundary.configuration).members ?? []
}

function peersFrom({ id }: ResolvedOptions, recovered: Recovered): readonly Peer[] {
  const configuration = recovered.configurations.at(-1)?.configuration ?? recovered.boundary.configuration
  const peers = peersOf(configuration, id)
  return membersOf(recovered).filter((member) => peers.includes(member.id))
}

function randomId(): string {
  return Array.from({ length: 4 }, () => realRandom.uint32().toString(16).padStart(8, '0')).join('')
}

function fromCallback<Result>(
  start: (callback: (error: Error | undefined, result: Result) => void) => void,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error === undefined ? resolve(result) : reject(error)))
  })
}
