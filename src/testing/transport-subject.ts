import { ENTRY_HEADER_BYTES, RUN_HEADER_BYTES, sealRun, type EntryRun } from '../machines/entry-run.js'
import { crc32 } from '../machines/checksum.js'
import type { AppendEntries, Heartbeat, InstallSnapshot, Message, Propose } from '../machines/messages.js'
import type { ServerId, SnapshotId } from '../machines/types.js'
import type {
  JoinAnswer,
  JoinRequest,
  Peer,
  Transport,
  TransportHandler,
  TransportIdentity,
} from '../transport/ports.js'

/** What the suite needs to try a transport: a network of its own, on which servers come and go. */
export interface TransportSubject {
  /** A new transport for server `id`, which will be found where an earlier one of the same id was. */
  create(id: ServerId): Transport
  /** Where the peers find server `id`, whose transport has started. */
  address(id: ServerId): string
  /** Lets time pass until `condition` holds. Rejects with `claim` when it does not within some seconds. */
  until(condition: () => boolean, claim: string): Promise<void>
  /** Lets time pass long enough for anything under way to arrive. */
  settle(): Promise<void>
}

/** One thing that every transport does. `check` rejects when the subject does not. */
export interface TransportClaim {
  readonly name: string
  check(subject: TransportSubject): Promise<void>
}

export type Told = Partial<Omit<TransportIdentity, 'id'>>

/** A server as the suite plays it: a transport, and everything it told. */
export class Server implements TransportHandler {
  readonly id: ServerId
  readonly transport: Transport
  readonly identity: TransportIdentity
  readonly received: { readonly from: ServerId; readonly message: Message }[] = []
  readonly notices: string[] = []
  readonly history: string[] = []
  readonly up = new Map<ServerId, number>()
  readonly storeIds = new Map<ServerId, string>()
  readonly versions = new Map<ServerId, number>()
  readonly asked: { readonly request: JoinRequest; readonly answer: (answer: JoinAnswer) => void }[] = []
  readonly dropped: ServerId[] = []
  readonly strangers: string[] = []
  onMessage: (from: ServerId, message: Message) => void = () => undefined
  calledInsideSend = false
  #sending = false

  constructor(subject: TransportSubject, id: ServerId, told: Told = {}) {
    this.id = id
    this.transport = subject.create(id)
    this.identity = { id, clusterId: 'cluster', storeId: `store of ${id}`, nonce: id * 1000, ...told }
  }

  send(to: ServerId, message: Message): void {
    this.#sending = true
    this.transport.send(to, message)
    this.#sending = false
  }

  message(from: ServerId, message: Message): void {
    this.#called(`message from ${from}`)
    this.received.push({ from, message })
    this.onMessage(from, message)
  }

  peerUp(peer: ServerId, nonce: number, storeId: string, version: number): void {
    this.#called(`up ${peer} ${nonce} ${storeId}`)
    this.up.set(peer, nonce)
    this.storeIds.set(peer, storeId)
    this.versions.set(peer, version)
  }

  peerDown(peer: ServerId): void {
    this.#called(`down ${peer}`)
    this.up.delete(peer)
  }

  peerDropped(peer: ServerId): void {
    this.#called(`dropped ${peer}`)
    this.dropped.push(peer)
  }

  joinAsked(request: JoinRequest, answer: (answer: JoinAnswer) => void): void {
    this.#called(`server ${request.member.id} asks to join`)
    this.asked.push({ request, answer })
  }

  strangerAt(address: string): void {
    this.#called(`a stranger listens at ${address}`)
    this.strangers.push(address)
  }

  notice(text: string): void {
    this.#called(text)
    this.notices.push(text)
  }

  #called(what: string): void {
    this.calledInsideSend ||= this.#sending
    this.history.push(what)
  }
}

export async function started(subject: TransportSubject, ...servers: readonly Server[]): Promise<void> {
  const outcomes: (Error | undefined)[] = []
  for (const server of servers) server.transport.start(server.identity, server, (error) => outcomes.push(error))
  await subject.until(() => outcomes.length === servers.length, 'every transport starts')
  must(
    outcomes.every((error) => error === undefined),
    'no transport fails to start',
    outcomes.map((error) => error?.message),
  )
}

export function introduce(subject: TransportSubject, ...servers: readonly Server[]): void {
  const peers = servers.map(({ id }): Peer => ({ id, address: subject.address(id) }))
  for (const server of servers) server.transport.setPeers(peers)
}

/** Servers that run, know one another, and see one another up. */
export async function connected(subject: TransportSubject, ...servers: readonly Server[]): Promise<void> {
  await started(subject, ...servers)
  introduce(subject, ...servers)
  await subject.until(() => servers.every((server) => server.up.size === servers.length - 1), 'peers come up')
}

export async function stopped(subject: TransportSubject, ...servers: readonly Server[]): Promise<void> {
  let calls = 0
  for (const server of servers) server.transport.stop(() => calls++)
  await subject.until(() => calls === servers.length, 'stop calls back')
}

export async function pair(subject: TransportSubject): Promise<[Server, Server]> {
  const servers: [Server, Server] = [new Server(subject, 1), new Server(subject, 2)]
  await connected(subject, ...servers)
  return servers
}

export function heartbeat(round: number): Heartbeat {
  return { type: 'heartbeat', term: 1, round, commitIndex: 0, promiseMs: 150 }
}

export function append(runs: readonly EntryRun[], prevLogIndex = 0): AppendEntries {
  return { type: 'appendEntries', term: 1, prevLogIndex, prevLogTerm: prevLogIndex && 1, commitIndex: 0, runs }
}

export function commandBytes(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(RUN_HEADER_BYTES + ENTRY_HEADER_BYTES + payload.length)
  new DataView(bytes.buffer).setUint32(RUN_HEADER_BYTES, payload.length)
  bytes.set(payload, RUN_HEADER_BYTES + ENTRY_HEADER_BYTES)
  return bytes
}

export function run(firstIndex: number, payload: Uint8Array): EntryRun {
  const origin = { server: 1, nonce: 7, batch: 1 }
  const spec = {
    kind: 'command',
    term: 1,
    firstIndex,
    count: 1,
    previousChecksum: 5,
    clusterTime: 9,
    wallTime: 9,
    origin,
  }
  return sealRun(commandBytes(payload), { ...spec, kind: 'command' }, crc32)
}

export function propose(batch: number, payload: Uint8Array): Propose {
  return { type: 'propose', term: 1, nonce: 3, batch, count: 1, bytes: commandBytes(payload) }
}

export const SNAPSHOT: SnapshotId = { index: 9, term: 1, byteLength: 5000, checksum: 7 }

export function piece(offset: number, bytes: Uint8Array): InstallSnapshot {
  return { type: 'installSnapshot', term: 1, snapshot: SNAPSHOT, offset, bytes }
}

/** Bytes that a swapped or lost part would show in. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + (at >>> 8)) & 0xff)
}

export function must(holds: boolean, claim: string, found?: unknown): void {
  if (!holds) throw new Error(found === undefined ? claim : `${claim}; found ${JSON.stringify(found)}`)
}

export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at])
}
