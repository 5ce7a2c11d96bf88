import { ENTRY_HEADER_BYTES, RUN_HEADER_BYTES, sealRun, type EntryRun } from '../machines/entry-run.js'
import { crc32 } from '../machines/checksum.js'
import type { AppendEntries, Heartbeat, Message, Propose } from '../machines/messages.js'
import type { ServerId } from '../machines/types.js'
import type { Peer, Transport, TransportHandler, TransportIdentity } from '../transport/ports.js'

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

type Told = Partial<Omit<TransportIdentity, 'id'>>

/** A server as the suite plays it: a transport, and everything it told. */
class Server implements TransportHandler {
  readonly id: ServerId
  readonly transport: Transport
  readonly identity: TransportIdentity
  readonly received: { readonly from: ServerId; readonly message: Message }[] = []
  readonly notices: string[] = []
  readonly history: string[] = []
  readonly up = new Map<ServerId, number>()
  readonly dropped: ServerId[] = []
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

  peerUp(peer: ServerId, nonce: number): void {
    this.#called(`up ${peer} ${nonce}`)
    this.up.set(peer, nonce)
  }

  peerDown(peer: ServerId): void {
    this.#called(`down ${peer}`)
    this.up.delete(peer)
  }

  peerDropped(peer: ServerId): void {
    this.#called(`dropped ${peer}`)
    this.dropped.push(peer)
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

async function started(subject: TransportSubject, ...servers: readonly Server[]): Promise<void> {
  const outcomes: (Error | undefined)[] = []
  for (const server of servers) server.transport.start(server.identity, server, (error) => outcomes.push(error))
  await subject.until(() => outcomes.length === servers.length, 'every transport starts')
  must(
    outcomes.every((error) => error === undefined),
    'no transport fails to start',
    outcomes.map((error) => error?.message),
  )
}

function introduce(subject: TransportSubject, ...servers: readonly Server[]): void {
  const peers = servers.map(({ id }): Peer => ({ id, address: subject.address(id) }))
  for (const server of servers) server.transport.setPeers(peers)
}

/** Servers that run, know one another, and see one another up. */
async function connected(subject: TransportSubject, ...servers: readonly Server[]): Promise<void> {
  await started(subject, ...servers)
  introduce(subject, ...servers)
  await subject.until(() => servers.every((server) => server.up.size === servers.length - 1), 'peers come up')
}

async function stopped(subject: TransportSubject, ...servers: readonly Server[]): Promise<void> {
  let calls = 0
  for (const server of servers) server.transport.stop(() => calls++)
  await subject.until(() => calls === servers.length, 'stop calls back')
}

async function pair(subject: TransportSubject): Promise<[Server, Server]> {
  const servers: [Server, Server] = [new Server(subject, 1), new Server(subject, 2)]
  await connected(subject, ...servers)
  return servers
}

function heartbeat(round: number): Heartbeat {
  return { type: 'heartbeat', term: 1, round, commitIndex: 0, promiseMs: 150 }
}

function append(runs: readonly EntryRun[], prevLogIndex = 0): AppendEntries {
  return { type: 'appendEntries', term: 1, prevLogIndex, prevLogTerm: prevLogIndex && 1, commitIndex: 0, runs }
}

function commandBytes(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(RUN_HEADER_BYTES + ENTRY_HEADER_BYTES + payload.length)
  new DataView(bytes.buffer).setUint32(RUN_HEADER_BYTES, payload.length)
  bytes.set(payload, RUN_HEADER_BYTES + ENTRY_HEADER_BYTES)
  return bytes
}

function run(firstIndex: number, payload: Uint8Array): EntryRun {
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

function propose(batch: number, payload: Uint8Array): Propose {
  return { type: 'propose', term: 1, nonce: 3, batch, count: 1, bytes: commandBytes(payload) }
}

/** Bytes that a swapped or lost part would show in. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + (at >>> 8)) & 0xff)
}

function must(holds: boolean, claim: string, found?: unknown): void {
  if (!holds) throw new Error(found === undefined ? claim : `${claim}; found ${JSON.stringify(found)}`)
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at])
}

const connections: readonly TransportClaim[] = [
  {
    name: 'reports a peer up, with the nonce of its start',
    async check(subject) {
      const [one, two] = await pair(subject)
      must(one.up.get(2) === two.identity.nonce, 'one knows the nonce of two', one.history)
      must(two.up.get(1) === one.identity.nonce, 'two knows the nonce of one', two.history)
    },
  },
  {
    name: 'reports a stopped peer down, and up with a new nonce when it starts again',
    async check(subject) {
      const [one, two] = await pair(subject)
      await stopped(subject, two)
      await subject.until(() => !one.up.has(2), 'a stopped peer is reported down')
      const again = new Server(subject, 2, { nonce: 2001 })
      await started(subject, again)
      introduce(subject, one, again)
      await subject.until(() => one.up.get(2) === 2001 && again.up.has(1), 'the peer comes up with its new nonce')
      one.send(2, heartbeat(1))
      again.send(1, heartbeat(2))
      await subject.until(
        () => again.received.length === 1 && one.received.length === 1,
        'messages pass both ways again',
      )
      must(two.received.length === 0, 'the stopped one hears nothing', two.received)
    },
  },
  {
    name: 'connects three servers to one another',
    async check(subject) {
      const servers = [1, 2, 3].map((id) => new Server(subject, id))
      await connected(subject, ...servers)
      for (const from of servers) for (const to of servers) if (from !== to) from.send(to.id, heartbeat(from.id))
      await subject.until(() => servers.every(({ received }) => received.length === 2), 'each hears of both others')
    },
  },
  {
    name: 'closes the connections of a peer that is no longer one',
    async check(subject) {
      const [one, two] = await pair(subject)
      one.transport.setPeers([])
      await subject.until(() => !one.up.has(2) && !two.up.has(1), 'both see the other down')
      two.send(1, heartbeat(1))
      one.send(2, heartbeat(2))
      await subject.settle()
      must(one.received.length === 0 && two.received.length === 0, 'nothing passes', [one.received, two.received])
    },
  },
  {
    name: 'stops without a word to the handler, and calls back also when it never started',
    async check(subject) {
      const [one, two] = await pair(subject)
      two.send(1, heartbeat(1))
      const before = one.history.length
      await stopped(subject, one, new Server(subject, 3))
      const heard = one.history.length
      await subject.settle()
      must(one.history.length === heard, 'nothing is told after stop', one.history.slice(before))
    },
  },
]

const delivery: readonly TransportClaim[] = [
  {
    name: 'delivers heartbeats in the order they were sent, and proposals too',
    async check(subject) {
      const [one, two] = await pair(subject)
      for (let at = 0; at < 200; at++) one.send(2, at % 2 === 0 ? heartbeat(at) : propose(at, pattern(at)))
      await subject.until(() => two.received.length === 200, 'all of it arrives')
      const rounds = two.received.flatMap(({ message }) => (message.type === 'heartbeat' ? [message.round] : []))
      const batches = two.received.flatMap(({ message }) => (message.type === 'propose' ? [message.batch] : []))
      must(rounds.length === 100 && rounds.every((round, at) => round === 2 * at), 'heartbeats in order', rounds)
      must(batches.length === 100 && batches.every((batch, at) => batch === 2 * at + 1), 'proposals in order', batches)
    },
  },
  {
    name: 'delivers what is sent from inside the handler',
    async check(subject) {
      const [one, two] = await pair(subject)
      two.onMessage = (from) => two.send(from, { type: 'heartbeatReply', term: 1, round: 7, lastLogIndex: 0 })
      one.send(2, heartbeat(7))
      await subject.until(() => one.received[0]?.message.type === 'heartbeatReply', 'the reply arrives')
    },
  },
  {
    name: 'delivers an append of 1 MiB whole',
    async check(subject) {
      const [one, two] = await pair(subject)
      const runs = [run(1, pattern(1024 * 1024))]
      one.send(2, append(runs))
      one.send(2, append([run(2, pattern(3))], 1))
      await subject.until(() => two.received.length === 2, 'both appends arrive')
      const [first, second] = two.received.map(({ message }) => (message.type === 'appendEntries' ? message.runs : []))
      must(sameBytes(first![0]!.bytes, runs[0]!.bytes), 'the bytes are the same')
      must(first![0]!.bytes.buffer !== runs[0]!.bytes.buffer, "the receiver's bytes are its own")
      must(second![0]!.firstIndex === 2, 'the second append follows', second)
    },
  },
  {
    name: 'delivers a proposal as it was made',
    async check(subject) {
      const [one, two] = await pair(subject)
      const sent = propose(4, pattern(300))
      one.send(2, sent)
      await subject.until(() => two.received.length === 1, 'the proposal arrives')
      const { message } = two.received[0]!
      must(
        message.type === 'propose' && message.batch === 4 && message.count === 1,
        'its fields are the same',
        message.type,
      )
      must(message.type === 'propose' && sameBytes(message.bytes, sent.bytes), 'its bytes are the same')
    },
  },
  {
    name: 'never calls the handler from inside send',
    async check(subject) {
      const [one, two] = await pair(subject)
      for (let round = 0; round < 10; round++) {
        one.send(2, heartbeat(round))
        one.send(9, heartbeat(round))
      }
      await subject.until(() => two.received.length === 10 && one.dropped.length > 0, 'all is delivered or dropped')
      must(!one.calledInsideSend && !two.calledInsideSend, 'the handler was called inside send', one.history)
    },
  },
  {
    name: 'drops what is sent to a peer that is down, says so once a turn, and never delivers it later',
    async check(subject) {
      const [one, two] = await pair(subject)
      await stopped(subject, two)
      await subject.until(() => !one.up.has(2), 'the peer is down')
      one.dropped.length = 0
      for (let round = 0; round < 10; round++) one.send(2, heartbeat(round))
      must(one.dropped.length === 0, 'nothing is told before the end of the turn')
      await subject.until(() => one.dropped.length > 0, 'the drop is reported')
      must(one.dropped.length === 1 && one.dropped[0] === 2, 'one report for the turn', one.dropped)
      const again = new Server(subject, 2, { nonce: 2001 })
      await started(subject, again)
      introduce(subject, one, again)
      await subject.until(() => one.up.has(2) && again.up.has(1), 'the peer is up again')
      one.send(2, heartbeat(99))
      await subject.until(() => again.received.length > 0, 'what is sent now arrives')
      const [first] = again.received
      must(first?.message.type === 'heartbeat' && first.message.round === 99, 'and nothing before it', first)
    },
  },
  {
    name: 'drops what is sent to a server it does not know, and says so',
    async check(subject) {
      const one = new Server(subject, 1)
      await started(subject, one)
      one.send(9, heartbeat(1))
      await subject.until(() => one.dropped.includes(9), 'the drop is reported')
    },
  },
]

/** Tries to connect two servers that must not be, the other way round too. */
async function keepsApart(subject: TransportSubject, one: Server, two: Server, reason: RegExp): Promise<void> {
  await started(subject, one, two)
  introduce(subject, one, two)
  await refused(subject, one, two, reason)
}

async function refused(subject: TransportSubject, one: Server, two: Server, reason: RegExp): Promise<void> {
  await subject.until(
    () => [one, two].some(({ notices }) => notices.some((text) => reason.test(text))),
    `${reason} is said`,
  )
  await subject.settle()
  one.send(2, heartbeat(1))
  two.send(1, heartbeat(1))
  await subject.settle()
  must(one.received.length === 0 && two.received.length === 0, 'nothing is delivered', [one.received, two.received])
}

const strangers: readonly TransportClaim[] = [
  {
    name: 'refuses a server that is not among its peers, with a reason',
    async check(subject) {
      const [one, two] = [new Server(subject, 1), new Server(subject, 2)]
      await started(subject, one, two)
      two.transport.setPeers([{ id: 1, address: subject.address(1) }])
      await refused(subject, one, two, /server 2 is not a member/)
      must(!two.up.has(1), 'the stranger is not let in', two.history)
    },
  },
  {
    name: 'refuses a server of another cluster, with a reason',
    async check(subject) {
      const two = new Server(subject, 2, { clusterId: 'another' })
      await keepsApart(subject, new Server(subject, 1), two, /cluster another/)
    },
  },
  {
    name: 'lets a server in that does not know its cluster yet, and out when it turns out to be another',
    async check(subject) {
      const [one, two] = [new Server(subject, 1), new Server(subject, 2, { clusterId: undefined })]
      await connected(subject, one, two)
      two.transport.setClusterId('another')
      await subject.until(() => !two.up.has(1), 'the connection to another cluster ends')
    },
  },
  {
    name: 'refuses another data directory under the id of a known peer, with a reason',
    async check(subject) {
      const [one, two] = [new Server(subject, 1), new Server(subject, 2, { storeId: 'wiped' })]
      await started(subject, one, two)
      two.transport.setPeers([{ id: 1, address: subject.address(1) }])
      one.transport.setPeers([{ id: 2, address: subject.address(2), storeId: 'store of 2' }])
      await refused(subject, one, two, /data directory wiped, not store of 2/)
      must(!one.up.has(2) && !two.up.has(1), 'neither sees the other up', [one.history, two.history])
    },
  },
  {
    name: 'ends the connections of a peer whose data directory turns out to be another',
    async check(subject) {
      const [one] = await pair(subject)
      one.transport.setPeers([{ id: 2, address: subject.address(2), storeId: 'the one before' }])
      await subject.until(() => !one.up.has(2), 'the peer is down')
    },
  },
]

/** Every claim of the transport port. A transport passes when each `check`, on a subject of its own, resolves. */
export const transportSuite: readonly TransportClaim[] = [...connections, ...delivery, ...strangers]
