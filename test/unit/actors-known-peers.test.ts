import { describe, expect, it } from 'vitest'
import { KnownPeers } from '../../src/actors/known-peers.js'
import type { Configuration, Member } from '../../src/machines/types.js'
import type { Peer } from '../../src/transport/ports.js'
import { append, configurationRun, follower, Machine } from '../machine-harness.js'
import type { EntryRun } from '../../src/machines/entry-run.js'

const memberOf = (id: number, changes: Partial<Member> = {}): Member => ({ id, address: `host:${id}`, ...changes })
const amongst = (...members: readonly Member[]): Configuration => {
  return { voters: members.map(({ id }) => id), learners: [], members }
}
/** Of a server that is yet to join. */
const NONE: Configuration = { voters: [], learners: [] }

const LEADER = 9

/** A server that joins, what it learns from its leader, and the peers that its transport is given. */
class Joiner {
  peers: readonly Peer[] = []
  readonly known: KnownPeers
  readonly #machine = follower({ configuration: NONE })
  #last: EntryRun | undefined

  constructor() {
    this.known = new KnownPeers({ setPeers: (peers) => (this.peers = peers) }, () => this.#machine.context)
    this.known.review()
  }

  get storeId(): string {
    return this.#machine.context.identity.storeId
  }

  get ids(): readonly number[] {
    return this.peers.map(({ id }) => id)
  }

  /** The next entry of the log comes, a configuration. */
  learns(configuration: Configuration): void {
    const { lastIndex = 0, term = 0 } = this.#last ?? {}
    this.#last = configurationRun(this.#last, 1, configuration)
    this.#machine.receive(LEADER, append(1, [lastIndex, term], [this.#last]))
    this.known.review()
  }
}

describe('who is sent to and heard', () => {
  it('are the members of every configuration that the log still has, by their newest address', () => {
    const machine = new Machine({
      configuration: amongst(memberOf(1), memberOf(2), memberOf(3)),
      entries: [configurationRun(undefined, 1, amongst(memberOf(1), memberOf(3, { address: 'moved:3' })))],
    })
    const known = new KnownPeers({ setPeers: () => undefined }, () => machine.context)
    expect(known.members).toEqual([memberOf(2), memberOf(3, { address: 'moved:3' })])
  })

  it('is not known to a server that is yet to join', () => {
    expect(new Joiner().known.members).toBeUndefined()
  })

  it('are those that it was told of, too, until its log has come as far', () => {
    const joiner = new Joiner()
    joiner.known.introduce([memberOf(1), memberOf(LEADER)], { index: 3, term: 1 })
    expect(joiner.ids).toEqual([LEADER])
    joiner.learns(amongst(memberOf(2), memberOf(3)))
    joiner.learns(amongst(memberOf(3), memberOf(4)))
    expect(joiner.ids).toEqual([2, 3, 4, LEADER])
    joiner.learns(amongst(memberOf(1), memberOf(5)))
    expect(joiner.ids).toEqual([2, 3, 4, 5])
  })

  it('are those of a cluster that has never changed, to a server that knows nobody', () => {
    const joiner = new Joiner()
    joiner.known.introduce([memberOf(2), memberOf(LEADER)], { index: 0, term: 0 })
    expect(joiner.ids).toEqual([2, LEADER])
  })

  it('are by the log alone, when who tells of others knows no more than that', () => {
    const joiner = new Joiner()
    joiner.learns(amongst(memberOf(1), memberOf(2)))
    joiner.learns(amongst(memberOf(1), memberOf(2, { storeId: 'new' })))
    joiner.known.introduce([memberOf(2, { storeId: 'old' }), memberOf(3)], { index: 2, term: 1 })
    expect(joiner.peers).toEqual([memberOf(2, { storeId: 'new' })])
  })

  it('are those of a later term, although its own log has a change further on that was never committed', () => {
    const joiner = new Joiner()
    joiner.learns(amongst(memberOf(1), memberOf(2)))
    joiner.learns(amongst(memberOf(1), memberOf(3)))
    joiner.known.introduce([memberOf(1), memberOf(LEADER)], { index: 1, term: 2 })
    expect(joiner.ids).toEqual([2, 3, LEADER])
  })

  it('are so until its log names it on its own data directory, when nobody said how far that is', () => {
    const joiner = new Joiner()
    joiner.known.introduce([memberOf(LEADER)], undefined)
    joiner.learns(amongst(memberOf(1, { storeId: 'the one before' }), memberOf(2)))
    expect(joiner.ids).toEqual([2, LEADER])
    joiner.learns(amongst(memberOf(1, { storeId: joiner.storeId }), memberOf(3)))
    expect(joiner.ids).toEqual([2, 3])
  })

  it('are by what it was told, not by what the log says of the past', () => {
    const joiner = new Joiner()
    joiner.known.introduce([memberOf(LEADER, { storeId: 'new', address: 'moved' })], { index: 3, term: 1 })
    joiner.learns(amongst(memberOf(1), memberOf(LEADER, { storeId: 'old' })))
    expect(joiner.peers).toEqual([memberOf(LEADER, { storeId: 'new', address: 'moved' })])
  })
})
