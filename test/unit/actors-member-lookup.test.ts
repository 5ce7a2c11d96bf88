import { describe, expect, it } from 'vitest'
import { MemberLookup } from '../../src/actors/member-lookup.js'
import { ActorumError } from '../../src/errors.js'
import type { Configuration, Member } from '../../src/machines/types.js'
import type { JoinAnswer, JoinCallback, JoinRequest, Peer } from '../../src/transport/ports.js'
import { follower, heartbeat, led, Machine, T } from '../machine-harness.js'

const memberOf = (id: number, changes: Partial<Member> = {}): Member => ({ id, address: `host:${id}`, ...changes })
const MEMBERS: Configuration = { voters: [1, 2, 3], learners: [], members: [memberOf(1), memberOf(2), memberOf(3)] }
/** Names server 1 by its data directory, which has no name in these tests. */
const NAMED: Configuration = { ...MEMBERS, members: [memberOf(1, { storeId: '' }), memberOf(2), memberOf(3)] }
/** Of a server that is yet to join. */
const NONE: Configuration = { voters: [], learners: [] }
const SILENCE_MS = 2 * T

interface Asked {
  readonly address: string
  readonly request: JoinRequest
  readonly callback: JoinCallback
}

/** The lookup of a server, what it asks, and the peers that it has found. */
class Seeker {
  readonly asked: Asked[] = []
  readonly notices: string[] = []
  peers: readonly Peer[] | undefined
  readonly #machine: Machine
  readonly #lookup: MemberLookup

  constructor(machine: Machine, self = memberOf(1), acquaintances: readonly string[] = []) {
    this.#machine = machine
    this.#lookup = new MemberLookup({
      transport: {
        ask: (address, request, callback) => void this.asked.push({ address, request, callback }),
        setPeers: (peers) => (this.peers = peers),
      },
      context: () => machine.context,
      acquaintances,
      clusterId: () => 'c',
      self,
      notice: (text) => void this.notices.push(text),
    })
  }

  /** Where it has asked so far, oldest first. */
  get addresses(): readonly string[] {
    return this.asked.map(({ address }) => address)
  }

  get removedAt(): number | undefined {
    return this.#lookup.removedAt
  }

  strangerAt(address: string): void {
    this.#lookup.strangerAt(address)
  }

  review(): void {
    this.#lookup.review(this.#machine.now)
  }

  /** The latest question is answered so. */
  answer(answer: JoinAnswer): void {
    this.asked.at(-1)?.callback(undefined, answer)
  }

  fail(): void {
    this.asked.at(-1)?.callback(new ActorumError('TRANSPORT_FAILED', 'nobody there'), undefined)
  }
}

const accepted = (...members: readonly Member[]): JoinAnswer => ({ kind: 'accepted', clusterId: 'c', members })

/** A follower that knows of no leader. */
const lost = (configuration = MEMBERS) => new Seeker(follower({ configuration }))

describe('a server that has heard of no leader', () => {
  it('was removed when a leader says so, but not while it has yet to be let in', () => {
    const said: JoinAnswer = { kind: 'refused', reason: 'server 1 is no member any more', removedBy: 7 }
    const member = lost(NAMED)
    const newcomer = new Seeker(follower({ configuration: NONE }), memberOf(1), ['host:2'])
    for (const seeker of [member, newcomer]) {
      seeker.review()
      expect(seeker.removedAt).toBe(undefined)
      seeker.answer(said)
    }
    expect([member.removedAt, newcomer.removedAt]).toEqual([7, undefined])
    expect(newcomer.notices).toEqual([])
  })

  it('tells a person why it is not told who leads, once for each reason', () => {
    const seeker = lost(NAMED)
    for (const reason of ['server 1 is no member any more', 'server 1 is no member any more', 'another']) {
      seeker.review()
      seeker.answer({ kind: 'refused', reason })
    }
    const said = 'server 1 hears from no leader:'
    expect(seeker.notices).toEqual([`${said} server 1 is no member any more`, `${said} another`])
  })

  it('asks a member that it knows who the others are by now', () => {
    const seeker = lost()
    seeker.review()
    const request = { clusterId: 'c', member: memberOf(1), isMember: true }
    expect(seeker.asked.map(({ address, request }) => ({ address, request }))).toEqual([{ address: 'host:2', request }])
  })

  it('asks nobody while its leader is heard, and begins once that has been silent for two election timeouts', () => {
    const machine = led({ configuration: MEMBERS })
    const seeker = new Seeker(machine)
    for (let round = 2; round < 6; round++) {
      machine.advance(T / 2)
      machine.receive(2, heartbeat(machine.term, round))
      seeker.review()
    }
    expect(seeker.addresses).toEqual([])
    machine.advance(SILENCE_MS)
    seeker.review()
    expect(seeker.addresses).toEqual(['host:2'])
  })

  it('asks at once when it campaigns, however often that makes it wait anew', () => {
    const machine = follower({ configuration: MEMBERS })
    machine.advanceUntil(() => machine.role === 'preCandidate')
    const seeker = new Seeker(machine)
    seeker.review()
    expect(seeker.addresses).toEqual(['host:2'])
  })

  it('asks nobody when it leads itself, although nobody has spoken to it', () => {
    const machine = new Machine({ configuration: { ...MEMBERS, voters: [1] } })
    for (; machine.role !== 'leader'; machine.advance(1)) machine.completeWrites()
    machine.advance(SILENCE_MS)
    const seeker = new Seeker(machine)
    seeker.review()
    expect(seeker.addresses).toEqual([])
  })

  it('asks one at a time, and after each answer another one, in turn', () => {
    const seeker = lost()
    seeker.review()
    seeker.review()
    expect(seeker.addresses).toEqual(['host:2'])
    seeker.fail()
    seeker.review()
    seeker.answer({ kind: 'refused', reason: 'no leader is known; ask again' })
    seeker.review()
    expect(seeker.addresses).toEqual(['host:2', 'host:3', 'host:2'])
  })

  it('asks nobody whose address it does not know, nor anybody without an address of its own', () => {
    const members = [memberOf(1), memberOf(2, { address: '' }), memberOf(3)]
    const seeker = lost({ ...MEMBERS, members })
    seeker.review()
    expect(seeker.addresses).toEqual(['host:3'])
    const nowhere = new Seeker(follower({ configuration: MEMBERS }), memberOf(1, { address: '' }))
    nowhere.review()
    expect(nowhere.addresses).toEqual([])
  })

  it('asks nobody before it has been let in, when it knows of no member', () => {
    const seeker = lost(NONE)
    seeker.review()
    expect(seeker.addresses).toEqual([])
  })

  it('asks its acquaintances too, until the log names it on its own data directory', () => {
    const members = [memberOf(1, { storeId: 'the one before' }), memberOf(2)]
    const behind = new Seeker(follower({ configuration: { ...MEMBERS, members } }), memberOf(1), ['host:7'])
    behind.review()
    behind.fail()
    behind.review()
    expect(behind.addresses).toEqual(['host:2', 'host:7'])
    const { storeId } = follower({ configuration: MEMBERS }).context.identity
    const named = { ...MEMBERS, members: [memberOf(1, { storeId }), memberOf(2)] }
    const seeker = new Seeker(follower({ configuration: named }), memberOf(1), ['host:7'])
    seeker.review()
    seeker.fail()
    seeker.review()
    expect(seeker.addresses).toEqual(['host:2', 'host:2'])
  })
})

describe('a stranger of the same cluster', () => {
  const askedInTurn = (seeker: Seeker, times: number) => {
    for (let time = 0; time < times; time++) {
      seeker.review()
      seeker.fail()
    }
    return seeker.addresses
  }

  it('is asked after all who are known', () => {
    const seeker = lost()
    seeker.strangerAt('host:7')
    expect(askedInTurn(seeker, 4)).toEqual(['host:2', 'host:3', 'host:7', 'host:2'])
  })

  it('is asked at one address but once a turn, however often it has come', () => {
    const seeker = lost()
    for (const address of ['host:7', 'host:2', 'host:7']) seeker.strangerAt(address)
    expect(askedInTurn(seeker, 4)).toEqual(['host:2', 'host:3', 'host:7', 'host:2'])
  })

  it('is forgotten when sixteen others have come after it', () => {
    const seeker = lost(NONE)
    for (let id = 1; id <= 17; id++) seeker.strangerAt(`host:${id}`)
    const asked = askedInTurn(seeker, 16)
    expect(new Set(asked).size).toBe(16)
    expect(asked).not.toContain('host:1')
  })

  it('names the members of today, if it is one of them', () => {
    const seeker = lost()
    seeker.strangerAt('host:7')
    askedInTurn(seeker, 2)
    seeker.review()
    seeker.answer(accepted(memberOf(1), memberOf(7)))
    expect(seeker.peers).toEqual([memberOf(2), memberOf(3), memberOf(7)])
  })
})

describe('whoever is asked', () => {
  it('sends it on to the leader, three times at most', () => {
    const seeker = lost()
    seeker.review()
    for (const id of [7, 8, 9, 10]) seeker.answer({ kind: 'redirect', address: `host:${id}` })
    expect(seeker.addresses).toEqual(['host:2', 'host:7', 'host:8', 'host:9'])
    // The next time it begins anew.
    seeker.review()
    expect(seeker.addresses.at(-1)).toBe('host:3')
  })

  it('names members that it connects with, beside those it knew', () => {
    const seeker = lost()
    seeker.review()
    seeker.answer(accepted(memberOf(1), memberOf(3, { address: 'moved:3' }), memberOf(4)))
    expect(seeker.peers).toEqual([memberOf(2), memberOf(3, { address: 'moved:3' }), memberOf(4)])
  })

  it('cannot make it forget which data directory a member has', () => {
    const members = [memberOf(1), memberOf(2, { storeId: 'b' }), memberOf(3, { storeId: 'c' })]
    const seeker = lost({ ...MEMBERS, members })
    seeker.review()
    seeker.answer(accepted(memberOf(2), memberOf(3, { storeId: 'new' })))
    expect(seeker.peers).toEqual([memberOf(2, { storeId: 'b' }), memberOf(3, { storeId: 'new' })])
  })

  it('changes no peers by a refusal, a redirect or a failure', () => {
    const seeker = lost()
    seeker.review()
    seeker.answer({ kind: 'redirect', address: 'host:3' })
    seeker.answer({ kind: 'refused', reason: 'server 1 is no member any more' })
    seeker.review()
    seeker.fail()
    expect(seeker.peers).toBeUndefined()
  })
})
