import { describe, expect, it } from 'vitest'
import { type Configuration, type Member, MEMBERS_MAX } from '../../src/machines/types.js'
import type { MembershipChange, Message } from '../../src/machines/messages.js'
import {
  accepted,
  answersIn,
  batch,
  candidate,
  elected,
  entries,
  heartbeat,
  HEARTBEAT_MS,
  heartbeatReply,
  led,
  Machine,
  membershipChange,
  messagesIn,
  NONCE,
  sends,
  serving,
  SETTINGS,
  stepsIn,
  T,
} from '../machine-harness.js'

const four: Member = { id: 4, address: 'four:1', promotable: false }
const named = (id: number, storeId?: string): Member =>
  storeId === undefined ? { id, address: `${id}:1` } : { id, address: `${id}:1`, storeId }
const learner = (id: number): Member => ({ ...named(id), promotable: true })
const asked = (term: number, change: Partial<MembershipChange>, id = 1, nonce = 5): Message => {
  return { type: 'changeMembership', term, nonce, id, change: membershipChange(change) }
}
const replied = (index: number | undefined, refusal = '', term = 1, nonce = 5): Message => {
  return { type: 'changeMembershipReply', term, nonce, id: 1, index, refusal }
}
const answered = (index: number | undefined, refusal: unknown = '', reason?: 'refused' | 'noLeader' | 'unknown') => {
  return { type: 'membershipAnswered', nonce: NONCE, id: 1, index, reason, refusal }
}
let lastId = 1
/** Asks for a change that is refused at once, and gives the reason. */
const refusalOf = (machine: Machine, change: Partial<MembershipChange>): string => {
  const [answer] = answersIn(machine.ask(change, ++lastId))
  return answer?.type === 'membershipAnswered' ? answer.refusal : ''
}

describe('A change of the membership', () => {
  it('is answered with the index of its configuration, once that is committed', () => {
    const machine = serving()
    expect(answersIn(machine.ask({ learners: [four] }))).toEqual([])
    machine.completeWrites()
    expect(answersIn(machine.receive(2, accepted(1, 2)))).toEqual([answered(2)])
    expect(answersIn(machine.receive(3, accepted(1, 2)))).toEqual([])
  })

  it('that changes nothing is answered at once', () => {
    const machine = serving({ configuration: { voters: [1, 2, 3], learners: [4], members: [four] } })
    expect(machine.ask({ learners: [four] })).toEqual([{ type: 'answerRequests', answers: [answered(0)] }])
  })

  it('goes from a follower to its leader, and the answer back', () => {
    const follower = led({ id: 3 })
    const message = asked(1, { learners: [four] }, 1, NONCE)
    expect(follower.ask({ learners: [four] })).toEqual([sends([2, message])])
    const leader = serving()
    leader.receive(3, asked(1, { learners: [four] }))
    leader.completeWrites()
    expect(messagesIn(leader.receive(2, accepted(1, 2)))).toContainEqual({ to: 3, message: replied(2) })
    expect(answersIn(follower.receive(2, replied(2, '', 1, NONCE)))).toEqual([answered(2)])
    expect(answersIn(follower.receive(2, replied(undefined, 'no', 1, NONCE)))).toEqual([
      answered(undefined, 'no', 'refused'),
    ])
  })

  it('is refused where no leader is known, and by a server that does not lead, or no longer', () => {
    expect(answersIn(new Machine().ask({}))).toEqual([answered(undefined, 'no leader is known', 'noLeader')])
    const refusal = 'this server no longer leads; ask again'
    expect(led().receive(3, asked(1, {}))).toEqual([sends([3, replied(undefined, refusal)])])
    const leader = serving({ term: 4 })
    expect(leader.receive(3, asked(4, {}))).toEqual([sends([3, replied(undefined, refusal, 5)])])
  })

  it('delivered twice counts once', () => {
    const machine = serving()
    machine.receive(3, asked(1, { learners: [four] }))
    machine.completeWrites()
    machine.receive(2, accepted(1, 2))
    const removal = asked(1, { remove: [4] }, 2)
    machine.receive(3, removal)
    machine.completeWrites()
    machine.receive(2, accepted(1, 3))
    for (const late of [asked(1, { learners: [four] }), removal]) expect(machine.receive(3, late)).toEqual([])
    expect(machine.configurations.map(({ index }) => index)).toEqual([0, 2, 3])
    // A server that was restarted counts from one again.
    machine.receive(3, asked(1, { learners: [four] }, 1, 6))
    expect(machine.configurations).toHaveLength(4)
  })

  it('is unknown in its outcome when leadership is lost before it is committed', () => {
    const machine = serving()
    machine.ask({ learners: [four] })
    expect(answersIn(machine.receive(2, heartbeat(2, 1)))).toMatchObject([
      answered(undefined, expect.any(String), 'unknown'),
    ])
    expect(answersIn(machine.completeWrites())).toEqual([])
  })

  it('waits for the one before it: one at a time', () => {
    const machine = serving()
    machine.ask({ learners: [four] })
    expect(refusalOf(machine, { learners: [learner(5)] })).toContain('another change of the membership is under way')
    machine.completeWrites()
    machine.receive(2, accepted(1, 2))
    machine.receive(4, accepted(1, 2))
    machine.ask({ promote: [4] }, ++lastId)
    machine.completeWrites()
    for (const peer of [2, 3, 4]) machine.receive(peer, accepted(1, 3))
    expect(refusalOf(machine, { learners: [learner(5)] })).toContain('another change of the membership is under way')
    machine.completeWrites()
    for (const peer of [2, 3, 4]) machine.receive(peer, accepted(1, 4))
    machine.ask({ learners: [learner(5)] }, ++lastId)
    expect(machine.configurations.at(-1)?.configuration).toMatchObject({ voters: [1, 2, 3, 4], learners: [5] })
  })

  it('waits until an entry of the leader’s own term is committed, and while leadership is handed over', () => {
    const fresh = elected({ entries: entries([1]) })
    fresh.completeWrites()
    expect(refusalOf(fresh, { learners: [four] })).toContain('only just been elected')
    const leaving = serving()
    leaving.propose()
    leaving.send({ type: 'transferLeadership', to: 2 })
    expect(refusalOf(leaving, { learners: [four] })).toContain('leadership is being handed over')
  })
})

describe('A change of the membership is refused, with the reason,', () => {
  const members = [named(1), named(2, 'two'), named(3), named(4)]
  const configuration: Configuration = { voters: [1, 2, 3], learners: [4], members }

  it.each<[string, Partial<MembershipChange>, string]>([
    ['naming a server twice', { promote: [4], remove: [4] }, 'server 4 is named twice'],
    ['removing a stranger', { remove: [9] }, 'server 9 is no member, so it cannot be removed'],
    ['promoting a voter', { promote: [2] }, 'server 2 is no learner'],
    ['promoting a stranger', { promote: [9] }, 'server 9 is no learner'],
    ['moving a stranger', { addresses: [{ id: 9, address: 'x:1' }] }, 'server 9 is no member'],
    ['moving to another’s address', { addresses: [{ id: 2, address: '3:1' }] }, 'server 3 has the address 3:1 already'],
    [
      'taking another’s address',
      { learners: [{ ...learner(5), address: '3:1' }] },
      'server 3 has the address 3:1 already',
    ],
    [
      'adding a voter as a learner',
      { learners: [learner(2)] },
      'server 2 is a voter already; to make it a learner, demote',
    ],
    ['demoting a learner', { learners: [named(4)] }, 'server 4 is no voter, so it cannot be demoted'],
    ['demoting a stranger', { learners: [named(9)] }, 'server 9 is no voter, so it cannot be demoted'],
    ['bringing another data directory', { learners: [named(2, 'wiped')] }, 'another data directory (two, not wiped)'],
    ['leaving no voter', { remove: [1, 2, 3] }, 'a cluster without a voter'],
  ])('%s', (_, change, reason) => {
    const machine = serving({ configuration })
    const effects = machine.ask(change)
    expect(stepsIn(effects)).toEqual([])
    expect(answersIn(effects)).toMatchObject([answered(undefined, expect.stringContaining(reason), 'refused')])
    expect(machine.configurations).toHaveLength(1)
  })

  it('when a quorum of the new configuration is out of reach, unless it is forced', () => {
    const machine = serving({ configuration })
    machine.send({ type: 'peerDown', peer: 3 })
    expect(refusalOf(machine, { remove: [2] })).toContain('servers 3 cannot be reached')
    machine.ask({ remove: [2], force: true }, ++lastId)
    expect(machine.configurations.at(-1)?.configuration).toMatchObject({ voters: [1, 3], votersOutgoing: [1, 2, 3] })
  })

  it('a peer that has been silent for two election timeouts being out of reach', () => {
    const machine = serving({ configuration })
    for (let round = 2; round < 24; round++) {
      machine.advance(HEARTBEAT_MS)
      machine.receive(2, heartbeatReply(1, round, 1))
    }
    expect(refusalOf(machine, { remove: [2] })).toContain('servers 3 cannot be reached')
  })
})

describe('A cluster has no more members than others can be told of:', () => {
  const members = Array.from({ length: MEMBERS_MAX }, (_, at) => named(at + 1))
  const learners = members.slice(3).map(({ id }) => id)
  const largest: Configuration = { voters: [1, 2, 3], learners, members }

  it('one more is refused, forced or not, also where another leaves a joint configuration by it', () => {
    const machine = serving({ configuration: largest })
    const refusal = `there would be ${MEMBERS_MAX + 1} members, those included that leave; at most ${MEMBERS_MAX} are allowed`
    expect(refusalOf(machine, { learners: [learner(2000)], force: true })).toBe(refusal)
    expect(refusalOf(machine, { learners: [learner(2000)], remove: [3] })).toBe(refusal)
    machine.ask({ learners: [learner(2000)], remove: [4] }, ++lastId)
    expect(machine.configurations.at(-1)?.configuration.members).toHaveLength(MEMBERS_MAX)
  })

  it('one that has more may become smaller', () => {
    const configuration = {
      ...largest,
      learners: [...learners, 2000, 2001],
      members: [...members, ...[2000, 2001].map((id) => named(id))],
    }
    const machine = serving({ configuration })
    machine.ask({ remove: [2000] }, ++lastId)
    expect(machine.configurations.at(-1)?.configuration.members).toHaveLength(MEMBERS_MAX + 1)
  })
})

describe('A change that needs a server which has yet to catch up', () => {
  /** A lone voter leads servers 2 and 3, which listen only, and of which server 2 has received nothing for long. */
  const behind = (): Machine => {
    const machine = new Machine({ configuration: { voters: [1], learners: [2, 3] } })
    machine.advanceUntil(() => machine.role === 'candidate')
    machine.completeWrites()
    machine.completeWrites()
    for (const peer of [2, 3]) machine.receive(peer, accepted(1, 1))
    machine.propose(batch(1, SETTINGS.promotionLagEntries + 1))
    machine.completeWrites()
    machine.receive(3, accepted(1, machine.context.log.lastIndex))
    return machine
  }
  const refusal = `servers 2 are more than ${SETTINGS.promotionLagEntries} entries behind`

  it('is refused unless forced, for nothing would be committed until then', () => {
    const machine = behind()
    expect(refusalOf(machine, { promote: [2] })).toContain(refusal)
    expect(refusalOf(machine, { promote: [2, 3], remove: [1] })).toContain(refusal)
    expect(machine.configurations).toHaveLength(1)
    machine.ask({ promote: [2], force: true }, ++lastId)
    expect(machine.configurations.at(-1)?.configuration).toMatchObject({ voters: [1, 2], votersOutgoing: [1] })
  })

  it('is made where the others are a majority, and once it has caught up', () => {
    const among = behind()
    among.ask({ promote: [2, 3] })
    expect(among.configurations.at(-1)?.configuration).toMatchObject({ voters: [1, 2, 3], votersOutgoing: [1] })
    const caughtUp = behind()
    caughtUp.receive(2, accepted(1, 2))
    caughtUp.ask({ promote: [2] })
    expect(caughtUp.configurations.at(-1)?.configuration).toMatchObject({ voters: [1, 2], votersOutgoing: [1] })
  })
})

describe('What a configuration says of its members', () => {
  it('an address changes by an entry of its own', () => {
    for (const members of [[named(1), named(2, 'two'), named(3)], undefined]) {
      const configuration = { voters: [1, 2, 3], learners: [], ...(members === undefined ? {} : { members }) }
      const machine = serving({ configuration })
      machine.ask({ addresses: [{ id: 2, address: 'new:1' }] })
      const changed = machine.configurations.at(-1)
      expect(changed).toMatchObject({ index: 2, configuration: { voters: [1, 2, 3] } })
      const { members: after = [] } = changed?.configuration ?? {}
      expect(after.find(({ id }) => id === 2)).toEqual({ ...members?.[1], id: 2, address: 'new:1' })
    }
  })

  it('those who are in neither half any more are forgotten with the joint configuration', () => {
    const machine = serving({
      configuration: { voters: [1, 2, 3], learners: [4], members: [named(1), named(2), named(3), named(4)] },
    })
    machine.ask({ remove: [3], promote: [4] })
    const ids = () => machine.configurations.at(-1)?.configuration.members?.map(({ id }) => id)
    expect(ids()).toEqual([1, 2, 3, 4])
    machine.completeWrites()
    for (const peer of [2, 4]) machine.receive(peer, accepted(1, 2))
    expect(ids()).toEqual([1, 2, 4])
  })

  /** Leads servers 2 and 3, whose data directories are not written down yet. */
  function unrecorded(machine: Machine): Machine {
    machine.send({ type: 'peerUp', peer: 2, nonce: 1, storeId: 'two' })
    machine.receive(2, accepted(1, 1))
    machine.advance(HEARTBEAT_MS)
    expect(machine.configurations).toHaveLength(1)
    machine.send({ type: 'peerUp', peer: 3, nonce: 1, storeId: 'three' })
    for (const peer of [2, 3]) machine.receive(peer, accepted(1, 1))
    machine.advance(HEARTBEAT_MS)
    return machine
  }
  const plain = { configuration: { voters: [1, 2, 3], learners: [], members: [named(1), named(2), named(3)] } }

  it('data directories are written down once those of all members were seen', () => {
    const machine = unrecorded(serving({ ...plain, storeId: 'one' }))
    const members = [named(1, 'one'), named(2, 'two'), named(3, 'three')]
    expect(machine.configurations.at(-1)).toEqual({ index: 2, configuration: { ...plain.configuration, members } })
    machine.completeWrites()
    machine.receive(2, accepted(1, 2))
    machine.advance(HEARTBEAT_MS)
    expect(machine.configurations).toHaveLength(2)
    expect(refusalOf(machine, { learners: [named(3, 'wiped')] })).toContain('another data directory (three, not wiped)')
  })

  it('a member that stays away keeps no other unknown: after two election timeouts those seen are written down', () => {
    const machine = serving({ ...plain, storeId: 'one' })
    machine.send({ type: 'peerUp', peer: 2, nonce: 1, storeId: 'two' })
    const stores = () => machine.configurations.at(-1)?.configuration.members?.map(({ storeId }) => storeId)
    const elapse = (ms: number): void => {
      for (let at = 0; at < ms; at += HEARTBEAT_MS) {
        machine.advance(HEARTBEAT_MS)
        machine.receive(2, heartbeatReply(1, machine.context.leadership?.round ?? 0, machine.context.log.lastIndex))
      }
    }
    elapse(2 * T - HEARTBEAT_MS)
    expect(stores()).toEqual([undefined, undefined, undefined])
    elapse(2 * HEARTBEAT_MS)
    expect(stores()).toEqual(['one', 'two', undefined])
    machine.completeWrites()
    machine.receive(2, accepted(1, machine.context.log.lastIndex))
    elapse(3 * T)
    expect(machine.configurations).toHaveLength(2)
    machine.send({ type: 'peerUp', peer: 3, nonce: 1, storeId: 'three' })
    machine.receive(3, accepted(1, 1))
    elapse(HEARTBEAT_MS)
    expect(stores()).toEqual(['one', 'two', 'three'])
  })

  it('also when this server saw them before it led', () => {
    const machine = new Machine({ ...plain, storeId: 'one' })
    for (const peer of [2, 3]) machine.send({ type: 'peerUp', peer, nonce: 1, storeId: `store ${peer}` })
    machine.advanceUntil(() => machine.role === 'preCandidate')
    for (const peer of [2, 3]) machine.receive(peer, { type: 'preVoteReply', term: 1, granted: true })
    machine.completeWrites()
    machine.receive(2, { type: 'requestVoteReply', term: 1, granted: true })
    machine.completeWrites()
    machine.receive(2, accepted(1, 1))
    machine.advance(HEARTBEAT_MS)
    const stores = () => machine.configurations.at(-1)?.configuration.members?.map(({ storeId }) => storeId)
    // A connection may not have noticed yet that the server at its other end is gone: each counts once it has answered.
    expect(stores()).toEqual([undefined, undefined, undefined])
    machine.receive(3, accepted(1, 1))
    machine.advance(HEARTBEAT_MS)
    expect(stores()).toEqual(['one', 'store 2', 'store 3'])
  })

  it('not that of the one before, when a server was left out and another comes under its id', () => {
    const machine = unrecorded(serving({ ...plain, storeId: 'one' }))
    const commit = (index: number): void => {
      machine.completeWrites()
      machine.receive(2, accepted(1, index))
    }
    const storeOfThird = () => machine.configurations.at(-1)?.configuration.members?.at(-1)?.storeId
    commit(2)
    machine.receive(3, accepted(1, 2))
    machine.ask({ remove: [3] })
    commit(3)
    commit(4)
    machine.ask({ learners: [learner(3)] }, 2)
    commit(5)
    machine.advance(HEARTBEAT_MS)
    expect(storeOfThird()).toBeUndefined()
    machine.send({ type: 'peerDown', peer: 3 })
    machine.send({ type: 'peerUp', peer: 3, nonce: 2, storeId: 'another' })
    machine.receive(3, heartbeatReply(1, machine.context.leadership?.round ?? 0, 0))
    machine.advance(HEARTBEAT_MS)
    expect(storeOfThird()).toBe('another')
  })

  it('not while leadership is handed over, nor by a server that has none itself', () => {
    const leaving = serving({ ...plain, storeId: 'one' })
    leaving.send({ type: 'transferLeadership', to: 2 })
    expect(unrecorded(leaving).configurations).toHaveLength(1)
    expect(unrecorded(serving(plain)).configurations).toHaveLength(1)
  })

  it('a member keeps its data directory through promotion, demotion and a move', () => {
    const members = [named(1, 'one'), named(2, 'two'), { ...named(4, 'four'), promotable: true }]
    const machine = serving({ configuration: { voters: [1, 2], learners: [4], members } })
    machine.ask({ promote: [4], learners: [{ id: 2, address: '2:1' }], addresses: [{ id: 1, address: 'new:1' }] })
    expect(machine.configurations.at(-1)?.configuration).toEqual({
      voters: [1, 4],
      votersOutgoing: [1, 2],
      learners: [2],
      members: [{ ...named(1, 'one'), address: 'new:1' }, named(2, 'two'), named(4, 'four')],
    })
  })

  it('a voter that is demoted keeps its address, whatever one who is behind takes for it', () => {
    const members = [named(1, 'one'), named(2, 'two'), named(3, 'three')]
    const machine = serving({ configuration: { voters: [1, 2, 3], learners: [], members } })
    machine.ask({ learners: [{ id: 2, address: '3:1' }] })
    expect(machine.configurations.at(-1)?.configuration).toMatchObject({ voters: [1, 3], learners: [2], members })
  })

  it('a vote counts only from the data directory that the configuration names: a wiped one has forgotten its own', () => {
    const members = [named(1, 'one'), named(2, 'two'), named(3, 'three')]
    const machine = candidate({ configuration: { voters: [1, 2, 3], learners: [], members } })
    machine.send({ type: 'peerUp', peer: 2, nonce: 2, storeId: 'another' })
    machine.receive(2, { type: 'requestVoteReply', term: machine.term, granted: true })
    expect(machine.role).toBe('candidate')
    machine.receive(3, { type: 'requestVoteReply', term: machine.term, granted: true })
    expect(machine.role).toBe('leader')
  })
})
