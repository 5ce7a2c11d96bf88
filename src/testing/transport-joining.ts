import type { JoinAnswer, JoinRequest } from '../transport/ports.js'
import { connected, heartbeat, introduce, must, Server, started, stopped } from './transport-subject.js'
import type { TransportClaim, TransportSubject } from './transport-subject.js'

/** More than may wait at a time. */
const MANY = 64

/** What became of a question: 'pending', the answer's kind, or the error's code. */
class Asked {
  calls = 0
  answer: JoinAnswer | undefined
  error: (Error & { readonly code?: string }) | undefined

  constructor(asker: Server, address: string, request: JoinRequest = requestOf(asker, address)) {
    asker.transport.ask(address, request, (error, answer) => {
      this.calls++
      this.error = error
      this.answer = answer
    })
  }

  get now(): string {
    if (this.calls === 0) return 'pending'
    if (this.calls > 1) return `called back ${this.calls} times`
    return this.error === undefined ? (this.answer?.kind ?? 'nothing') : (this.error.code ?? this.error.message)
  }
}

function requestOf({ id, identity }: Server, address: string): JoinRequest {
  return { clusterId: null, member: { id, address, storeId: identity.storeId, promotable: true } }
}

/** A member, and a server that knows nobody and belongs to no cluster yet. */
async function memberAndNewcomer(subject: TransportSubject): Promise<[Server, Server]> {
  const [member, newcomer] = [new Server(subject, 1), new Server(subject, 4, { clusterId: undefined })]
  await started(subject, member, newcomer)
  return [member, newcomer]
}

async function answered(subject: TransportSubject, member: Server, answer: JoinAnswer): Promise<void> {
  await subject.until(() => member.asked.length > 0, 'the question arrives')
  member.asked.shift()?.answer(answer)
}

export const joining: readonly TransportClaim[] = [
  {
    name: 'carries a wish to join to a server that does not know the asker, and the answer back',
    async check(subject) {
      const [member, newcomer] = await memberAndNewcomer(subject)
      const asked = new Asked(newcomer, subject.address(1))
      await subject.until(() => member.asked.length === 1, 'the question arrives')
      const said = JSON.stringify(member.asked[0]?.request)
      must(said === JSON.stringify(requestOf(newcomer, subject.address(1))), 'as it was asked', said)
      const members = [1, 2].map((id) => ({ id, address: subject.address(id), storeId: `store of ${id}` }))
      const answer: JoinAnswer = { kind: 'accepted', clusterId: 'cluster', members, asOf: { index: 7, term: 3 } }
      await answered(subject, member, answer)
      await subject.until(() => asked.now === 'accepted', 'the answer arrives')
      const heard = JSON.stringify(asked.answer)
      must(heard === JSON.stringify(answer), 'as it was given', heard)
    },
  },
  {
    name: 'carries a redirect and a refusal back as they were given, and no second answer',
    async check(subject) {
      const [member, newcomer] = await memberAndNewcomer(subject)
      const answers: readonly JoinAnswer[] = [
        { kind: 'redirect', address: 'elsewhere:1' },
        { kind: 'refused', reason: 'there is another change under way' },
      ]
      for (const answer of answers) {
        const asked = new Asked(newcomer, subject.address(1))
        await subject.until(() => member.asked.length > 0, 'the question arrives')
        const question = member.asked.shift()
        question?.answer(answer)
        question?.answer({ kind: 'refused', reason: 'a second answer' })
        await subject.until(() => asked.now === answer.kind, `the answer arrives: ${answer.kind}`)
        await subject.settle()
        must(JSON.stringify(asked.answer) === JSON.stringify(answer) && asked.calls === 1, 'as given', asked.answer)
      }
    },
  },
  {
    name: 'connects a newcomer with the members it was told, and with nobody else',
    async check(subject) {
      const [one, two] = [new Server(subject, 1), new Server(subject, 2)]
      await connected(subject, one, two)
      const newcomer = new Server(subject, 4, { clusterId: undefined })
      await started(subject, newcomer)
      const asked = new Asked(newcomer, subject.address(1))
      introduce(subject, one, newcomer)
      newcomer.transport.setPeers([])
      await subject.settle()
      must(newcomer.up.size === 0 && one.up.size === 0, 'before the answer it accepts nobody', newcomer.history)
      const members = [1, 4].map((id) => ({ id, address: subject.address(id) }))
      await answered(subject, one, { kind: 'accepted', clusterId: 'cluster', members })
      await subject.until(() => asked.now === 'accepted', 'the answer arrives')
      newcomer.transport.setClusterId('cluster')
      newcomer.transport.setPeers(members)
      two.transport.setPeers([{ id: 4, address: subject.address(4) }])
      await subject.until(() => newcomer.up.has(1) && one.up.has(4), 'it is connected with the member it was told of')
      newcomer.send(1, heartbeat(1))
      one.send(4, heartbeat(2))
      await subject.until(() => one.received.length === 1 && newcomer.received.length === 1, 'messages pass both ways')
      await subject.settle()
      must(!two.up.has(4) && !newcomer.up.has(2), 'and not with the other', newcomer.history)
    },
  },
  {
    name: 'refuses a wish to join of a server of another cluster, asking nobody',
    async check(subject) {
      const [member, newcomer] = await memberAndNewcomer(subject)
      const request = { ...requestOf(newcomer, subject.address(4)), clusterId: 'another' }
      const asked = new Asked(newcomer, subject.address(1), request)
      await subject.until(() => asked.now === 'refused', 'it is refused')
      must(
        asked.answer?.kind === 'refused' && /cluster another/.test(asked.answer.reason),
        'and told why',
        asked.answer,
      )
      must(member.asked.length === 0, 'nobody was asked')
    },
  },
  {
    name: 'refuses a wish to join that says no valid member, asking nobody',
    async check(subject) {
      const [member, newcomer] = await memberAndNewcomer(subject)
      for (const wrong of [{ id: 0 }, { address: '' }, { address: 'a\nb' }, { storeId: 'x'.repeat(257) }]) {
        const request = requestOf(newcomer, subject.address(4))
        const asked = new Asked(newcomer, subject.address(1), { ...request, member: { ...request.member, ...wrong } })
        await subject.until(() => asked.now === 'refused', 'it is refused')
      }
      must(member.asked.length === 0, 'nobody was asked')
    },
  },
  {
    name: 'says that nobody can be asked at an address where nobody is',
    async check(subject) {
      const [, newcomer] = await memberAndNewcomer(subject)
      for (const address of ['127.0.0.1:1', 'not an address']) {
        const asked = new Asked(newcomer, address)
        await subject.until(() => asked.now === 'TRANSPORT_FAILED', 'it says so')
        must(asked.error?.message.includes(address) === true, 'and names the address', asked.error?.message)
      }
    },
  },
  {
    name: 'fails a question when the server asked stops, and when the asker does',
    async check(subject) {
      const [member, newcomer] = await memberAndNewcomer(subject)
      const first = new Asked(newcomer, subject.address(1))
      await subject.until(() => member.asked.length === 1, 'the question arrives')
      await stopped(subject, member)
      await subject.until(() => first.now === 'TRANSPORT_FAILED', 'the asker is told')
      member.asked[0]?.answer({ kind: 'refused', reason: 'too late' })
      const again = new Server(subject, 1, { nonce: 1001 })
      await started(subject, again)
      const second = new Asked(newcomer, subject.address(1))
      await subject.until(() => again.asked.length === 1, 'the question arrives')
      await stopped(subject, newcomer)
      must(second.now === 'STOPPED', 'the asker stopped', second.now)
      const third = new Asked(newcomer, subject.address(1))
      must(third.now === 'STOPPED', 'and asks nothing more', third.now)
    },
  },
  {
    name: `refuses a wish to join while ${MANY} others wait for an answer`,
    async check(subject) {
      const [member, newcomer] = await memberAndNewcomer(subject)
      const asks: Asked[] = []
      for (let at = 1; at <= MANY; at++) {
        asks.push(new Asked(newcomer, subject.address(1)))
        await subject.until(() => member.asked.length === at, 'the question arrives')
      }
      const over = new Asked(newcomer, subject.address(1))
      await subject.until(() => over.now === 'refused', 'one more is refused')
      must(member.asked.length === MANY, 'it was not passed on')
      member.asked[0]?.answer({ kind: 'redirect', address: 'elsewhere:1' })
      await subject.until(() => asks[0]?.now === 'redirect', 'one is answered')
      const next = new Asked(newcomer, subject.address(1))
      await subject.until(() => member.asked.length === MANY + 1, 'which leaves room for another')
      for (const { answer } of member.asked) answer({ kind: 'refused', reason: 'enough' })
      await subject.until(() => next.now === 'refused', 'all are answered')
    },
  },
]
