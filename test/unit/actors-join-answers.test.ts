import { describe, expect, it } from 'vitest'
import { JoinAnswers, NO_CHANGE } from '../../src/actors/join-answers.js'
import type { ChangeRequest } from '../../src/actors/pending-changes.js'
import type { LeaderView } from '../../src/actors/pending-proposals.js'
import { ActorumError } from '../../src/errors.js'
import type { ConfigurationAt } from '../../src/machines/context.js'
import type { MembershipChange } from '../../src/machines/messages.js'
import type { Configuration, Member } from '../../src/machines/types.js'
import type { JoinAnswer, JoinRequest } from '../../src/transport/ports.js'
import { Machine } from '../machine-harness.js'

const memberOf = (id: number, changes: Partial<Member> = {}): Member => ({ id, address: `host:${id}`, ...changes })
const MEMBERS = [memberOf(1, { storeId: 'a' }), memberOf(2, { storeId: 'b' }), memberOf(3)]
const CONFIGURATION: Configuration = { voters: [1, 2, 3], learners: [], members: MEMBERS }
const ACCEPTED: JoinAnswer = { kind: 'accepted', clusterId: 'c', members: MEMBERS, asOf: { index: 0, term: 0 } }

const ITSELF: LeaderView = { leaderId: 1, term: 1, isSelf: true }
const ANOTHER: LeaderView = { leaderId: 2, term: 1, isSelf: false }
const NOBODY: LeaderView = { leaderId: undefined, term: 1, isSelf: false }

/** Server 1, whom others ask, and the changes of the membership that it asks for. */
class Asked {
  readonly changes: { readonly change: MembershipChange; readonly request: ChangeRequest }[] = []
  readonly answers: JoinAnswer[] = []
  isStopped = false
  clusterId: string | undefined = 'c'
  readonly #joins: JoinAnswers

  constructor(leader: LeaderView, configurations: readonly ConfigurationAt[] = []) {
    const { context: plain } = new Machine({ configuration: CONFIGURATION })
    const context = { ...plain, configurations: [...plain.configurations, ...configurations] }
    this.#joins = new JoinAnswers({
      context: () => context,
      clusterId: () => this.clusterId,
      leader: () => leader,
      changeMembership: (change, request) => void this.changes.push({ change, request }),
      isStopped: () => this.isStopped,
      now: () => 50,
    })
  }

  by(member: Member, request: Partial<JoinRequest> = {}): readonly JoinAnswer[] {
    this.#joins.answer({ member, clusterId: null, ...request }, (answer) => void this.answers.push(answer))
    return this.answers
  }

  /** By a member that only asks who the others are. */
  byMember(member: Member): readonly JoinAnswer[] {
    return this.by(member, { clusterId: 'c', isMember: true })
  }
}

const refused = (reason: string): JoinAnswer => ({ kind: 'refused', reason })

describe('a leader that is asked to let a server in', () => {
  it('lets nobody in who was a member and is none: only its new address is asked for', () => {
    const asked = new Asked(ITSELF)
    const reason = 'server 4 is no member any more'
    expect(asked.by(memberOf(4), { isMoving: true })).toEqual([refused(reason)])
    expect(asked.changes).toEqual([])
    asked.by(memberOf(3, { address: 'elsewhere:3' }), { isMoving: true })
    expect(asked.changes[0]?.change).toEqual({ ...NO_CHANGE, addresses: [{ id: 3, address: 'elsewhere:3' }] })
  })

  it('makes it a learner, and answers once that is committed', () => {
    const asked = new Asked(ITSELF)
    const newcomer = memberOf(4, { storeId: 'd', promotable: true })
    expect(asked.by(newcomer)).toEqual([])
    const [{ change, request } = expect.fail('no change was asked for')] = asked.changes
    expect(change).toEqual({ ...NO_CHANGE, learners: [newcomer] })
    request.resolve(9)
    expect(asked.answers).toEqual([ACCEPTED])
  })

  it('refuses it with the reason that the change was refused for', () => {
    const asked = new Asked(ITSELF)
    asked.by(memberOf(4))
    asked.changes[0]?.request.reject(new ActorumError('REFUSED', 'another change is under way'))
    expect(asked.answers).toEqual([refused('another change is under way')])
  })

  it('keeps it waiting for three seconds at most', () => {
    const asked = new Asked(ITSELF)
    asked.by(memberOf(4))
    expect(asked.changes[0]?.request.deadline).toBe(3050)
  })

  it('accepts a member at the address that is known, and changes nothing', () => {
    const asked = new Asked(ITSELF)
    expect(asked.by(memberOf(2, { storeId: 'b' }))).toEqual([ACCEPTED])
    expect(asked.changes).toEqual([])
  })

  it('accepts one that asks again only once the change that lets it in is committed: it may be lost until then', () => {
    const newcomer = memberOf(4, { storeId: 'd', promotable: true })
    const members = [...MEMBERS, newcomer]
    const asked = new Asked(ITSELF, [{ index: 7, configuration: { ...CONFIGURATION, learners: [4], members } }])
    expect(asked.by(newcomer)).toEqual([refused('a change of the membership is under way; ask again once it is done')])
    expect(asked.changes).toEqual([])
  })

  it('notes the new address of a member that has moved', () => {
    const asked = new Asked(ITSELF)
    expect(asked.by(memberOf(2, { storeId: 'b', address: 'moved:2' }))).toEqual([])
    expect(asked.changes[0]?.change).toEqual({ ...NO_CHANGE, addresses: [{ id: 2, address: 'moved:2' }] })
  })

  it('refuses a member that comes with another data directory, and says what to do', () => {
    const asked = new Asked(ITSELF)
    const [answer] = asked.by(memberOf(2, { storeId: 'wiped' }))
    expect(answer).toMatchObject({ kind: 'refused' })
    expect(answer).toHaveProperty('reason', expect.stringMatching(/server 2 .* wiped or replaced; remove it first/))
    expect(asked.changes).toEqual([])
  })
})

describe('a member that asks a leader who the others are', () => {
  it('is told, without a change, also when it stands at another address', () => {
    const asked = new Asked(ITSELF)
    expect(asked.byMember(memberOf(3, { address: 'elsewhere:3', storeId: 'e' }))).toEqual([ACCEPTED])
    expect(asked.changes).toEqual([])
  })

  it('is told so when it is none any more, and not made one again', () => {
    const asked = new Asked(ITSELF)
    expect(asked.byMember(memberOf(4))).toEqual([refused('server 4 is no member any more')])
    expect(asked.changes).toEqual([])
  })
})

describe('a server that does not lead', () => {
  it('sends whoever asks to the leader', () => {
    expect(new Asked(ANOTHER).by(memberOf(4))).toEqual([{ kind: 'redirect', address: 'host:2' }])
    expect(new Asked(ANOTHER).byMember(memberOf(3))).toEqual([{ kind: 'redirect', address: 'host:2' }])
  })

  it('without a leader tells a member who the others are, so that together they can elect one', () => {
    expect(new Asked(NOBODY).byMember(memberOf(2, { storeId: 'b' }))).toEqual([ACCEPTED])
    expect(new Asked(NOBODY).byMember(memberOf(3, { storeId: 'not yet known' }))).toEqual([ACCEPTED])
  })

  it('without a leader tells nobody else anything, a member on another data directory included', () => {
    const unknown = refused('no leader is known; ask again')
    expect(new Asked(NOBODY).by(memberOf(4))).toEqual([unknown])
    expect(new Asked(NOBODY).byMember(memberOf(4))).toEqual([unknown])
    expect(new Asked(NOBODY).byMember(memberOf(2, { storeId: 'wiped' }))).toEqual([unknown])
  })

  it('refuses where the leader is one that its log does not name', () => {
    const unnamed: LeaderView = { leaderId: 9, term: 1, isSelf: false }
    expect(new Asked(unnamed).by(memberOf(4))).toEqual([refused('no leader is known; ask again')])
  })
})

describe('whoever asks a server', () => {
  it('of another cluster is refused, whether it leads or not', () => {
    const answer = [refused('this is cluster c, not x')]
    for (const leader of [ITSELF, ANOTHER, NOBODY]) {
      expect(new Asked(leader).by(memberOf(4), { clusterId: 'x' })).toEqual(answer)
    }
  })

  it('is not judged by the cluster while that has no name', () => {
    const asked = new Asked(ITSELF)
    asked.clusterId = undefined
    asked.by(memberOf(4), { clusterId: 'x' })
    expect(asked.changes).toHaveLength(1)
  })

  it('that was stopped is refused', () => {
    const asked = new Asked(ITSELF)
    asked.isStopped = true
    expect(asked.by(memberOf(4))).toEqual([refused('this server was stopped')])
  })
})
