import {
  append,
  connected,
  heartbeat,
  introduce,
  must,
  pair,
  pattern,
  piece,
  propose,
  run,
  sameBytes,
  started,
  stopped,
  Server,
  SNAPSHOT,
} from './transport-subject.js'
import type { InstallSnapshot } from '../machines/messages.js'
import { joining } from './transport-joining.js'
import type { TransportClaim, TransportSubject } from './transport-subject.js'

export type { TransportClaim, TransportSubject } from './transport-subject.js'

const connections: readonly TransportClaim[] = [
  {
    name: 'reports a peer up, with the nonce of its start, its data directory and the version spoken',
    async check(subject) {
      const [one, two] = await pair(subject)
      must(one.up.get(2) === two.identity.nonce, 'one knows the nonce of two', one.history)
      must(two.up.get(1) === one.identity.nonce, 'two knows the nonce of one', two.history)
      must(one.storeIds.get(2) === 'store of 2', 'one knows the data directory of two', one.history)
      must(Number.isInteger(one.versions.get(2)), 'one knows the version spoken with two', one.history)
      must(one.versions.get(2) === two.versions.get(1), 'both name the same version', two.history)
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
    name: 'takes a peer in and lets one go while messages pass between the others',
    async check(subject) {
      const [one, two, three] = [new Server(subject, 1), new Server(subject, 2), new Server(subject, 3)]
      await connected(subject, one, two)
      await started(subject, three)
      let round = 0
      const passes = async (claim: string): Promise<void> => {
        for (let at = 0; at < 20; at++) one.send(2, heartbeat(round++))
        await subject.until(() => two.received.length === round, claim)
      }
      one.send(2, heartbeat(round++))
      introduce(subject, one, two, three)
      await passes('messages pass while a peer comes')
      await subject.until(() => [one, two, three].every(({ up }) => up.size === 2), 'the new peer is up everywhere')
      three.send(1, heartbeat(1))
      await subject.until(() => one.received.length === 1, 'the new peer is heard')
      one.send(2, heartbeat(round++))
      introduce(subject, one, two)
      await passes('messages pass while a peer goes')
      await subject.until(() => three.up.size === 0 && !one.up.has(3) && !two.up.has(3), 'it is cut off both ways')
      three.send(1, heartbeat(2))
      await passes('messages pass when it is gone')
      const rounds = two.received.flatMap(({ message }) => (message.type === 'heartbeat' ? [message.round] : []))
      must(rounds.length === round && rounds.every((one, at) => one === at), 'nothing between the two was lost', rounds)
      must(one.received.length === 1, 'the one that went is heard no more', one.received)
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
    name: 'delivers a snapshot piece by piece, in order, and what is said about it',
    async check(subject) {
      const [one, two] = await pair(subject)
      const bytes = pattern(3000)
      await subject.until(() => {
        one.send(2, piece(0, new Uint8Array()))
        return two.received.length > 0
      }, 'an offer arrives')
      for (let at = 0; at < 3000; at += 1000) one.send(2, piece(at, bytes.subarray(at, at + 1000)))
      const pieces: InstallSnapshot[] = []
      await subject.until(() => {
        for (const { message } of two.received.splice(0)) {
          if (message.type === 'installSnapshot' && message.bytes.length > 0) pieces.push(message)
        }
        return pieces.length === 3
      }, 'all pieces arrive')
      must(
        pieces.every(
          (one, at) => one.offset === at * 1000 && sameBytes(one.bytes, bytes.subarray(at * 1000, at * 1000 + 1000)),
        ),
        'each as it was sent',
      )
      two.send(1, { type: 'installSnapshotReply', term: 1, snapshot: SNAPSHOT, outcome: 'more', offset: 3000 })
      await subject.until(() => one.received[0]?.message.type === 'installSnapshotReply', 'the reply arrives')
    },
  },
  {
    name: 'does not report a peer dropped for a piece of a snapshot: whoever streams it sends it again',
    async check(subject) {
      const [one, two] = await pair(subject)
      await stopped(subject, two)
      await subject.until(() => !one.up.has(2), 'the peer is down')
      one.dropped.length = 0
      one.send(2, piece(0, pattern(10)))
      one.send(9, piece(0, pattern(10)))
      await subject.settle()
      must(one.dropped.length === 0, 'nothing is reported', one.dropped)
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
    name: 'tells of a server of its own cluster that it refuses, and of no other, where that one listens',
    async check(subject) {
      const [one, two] = [new Server(subject, 1), new Server(subject, 2, { address: 'host:2' })]
      const others = [
        new Server(subject, 3, { address: 'host:3', clusterId: 'another' }),
        new Server(subject, 4, { address: 'host:4', clusterId: undefined }),
        new Server(subject, 5),
      ]
      await started(subject, one, two, ...others)
      for (const server of [...others, two]) server.transport.setPeers([{ id: 1, address: subject.address(1) }])
      await subject.until(() => one.strangers.includes('host:2'), 'the address is told')
      await subject.settle()
      must(new Set(one.strangers).size === 1, 'nobody else is told of', one.strangers)
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
export const transportSuite: readonly TransportClaim[] = [...connections, ...delivery, ...strangers, ...joining]
