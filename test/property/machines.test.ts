import fc from 'fast-check'
import { describe, it } from 'vitest'
import { sealRun, type EntryRun } from '../../src/machines/entry-run.js'
import { crc32 } from '../../src/machines/checksum.js'
import { termAt } from '../../src/machines/log.js'
import type { EntriesRequest } from '../../src/machines/effects.js'
import type { Message } from '../../src/machines/messages.js'
import type { Configuration, LogIndex, Term } from '../../src/machines/types.js'
import {
  accepted,
  batch,
  commandBytes,
  configurationRun,
  entries,
  FIVE,
  Machine,
  membershipChange,
  NONCE,
  readsIn,
  snapshotId,
  T,
  THREE,
  type Setup,
} from '../machine-harness.js'

/**
 * One machine among peers that say anything which a frame can carry, in any order. Whatever they say, it throws
 * nothing and stays lawful: the harness checks invariants.ts and "durable before visible" after every event.
 */

/** A number near one that the machine has, so that most of what arrives is nearly right. */
const near = fc.oneof({ arbitrary: fc.constant(0), weight: 2 }, fc.integer({ min: -3, max: 3 }))
const nearTerm = fc.oneof(
  { arbitrary: fc.constant(0), weight: 24 },
  { arbitrary: fc.constant(-1), weight: 3 },
  fc.integer({ min: 1, max: 3 }),
)
const peer = fc.oneof({ arbitrary: fc.constantFrom(2, 3), weight: 3 }, fc.integer({ min: 2, max: 7 }))
const type = <Type extends string>(name: Type) => fc.constant(name)
const position = { index: near, entryTerm: near, isTrue: fc.boolean() }
const runShapes = fc.array(fc.record({ count: fc.integer({ min: 1, max: 3 }), later: fc.nat(1) }), { maxLength: 4 })

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { maxLength: 3 })
const wanted = fc
  .record({ learners: ids, demoted: fc.boolean(), promote: ids, remove: ids, addresses: ids, force: fc.boolean() })
  .map(({ learners, demoted, addresses, ...rest }) => {
    const moved = addresses.map((id) => ({ id, address: `moved ${id}` }))
    const listening = learners.map((id) => ({ id, address: `${id}:1`, ...(!demoted && { promotable: true }) }))
    return { ...rest, addresses: moved, learners: listening }
  })
/** Changes that have a chance: one list, or two. */
const change = fc.oneof(
  wanted,
  wanted.map(({ promote }) => membershipChange({ promote, force: true })),
  wanted.map(({ remove }) => membershipChange({ remove, force: true })),
  wanted.map(({ learners }) => membershipChange({ learners })),
)
const configuration = fc
  .record({ voters: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { minLength: 1 }), outgoing: fc.option(ids) })
  .map(({ voters, outgoing }): Configuration => {
    const joint = outgoing === null || outgoing.length === 0 ? {} : { votersOutgoing: outgoing }
    return { voters, learners: [6], ...joint }
  })

const said = fc.oneof(
  fc.record({ type: type('preVote'), term: nearTerm, ...position }),
  fc.record({ type: type('requestVote'), term: nearTerm, ...position, transfer: fc.boolean() }),
  fc.record({ type: type('preVoteReply'), term: nearTerm, granted: fc.boolean() }),
  fc.record({ type: type('requestVoteReply'), term: nearTerm, granted: fc.boolean() }),
  fc.record({
    type: type('appendEntries'),
    term: nearTerm,
    ...position,
    commit: near,
    runs: runShapes,
    configuration: fc.option(configuration, { freq: 4 }),
  }),
  fc.record({ type: type('accepted'), term: nearTerm, index: near }),
  fc.record({ type: type('rejected'), term: nearTerm, index: near, conflictTerm: near, conflictIndex: near }),
  fc.record({ type: type('heartbeat'), term: nearTerm, round: fc.nat(9), commit: near, promiseMs: fc.nat(2 * T) }),
  fc.record({ type: type('heartbeatReply'), term: nearTerm, round: near, index: near }),
  fc.record({ type: type('timeoutNow'), term: nearTerm }),
  fc.record({ type: type('readIndex'), term: nearTerm, id: fc.nat(9), lease: fc.boolean() }),
  fc.record({ type: type('readIndexReply'), term: nearTerm, id: fc.nat(9), index: fc.option(near) }),
  fc.record({ type: type('propose'), term: nearTerm, batch: fc.nat(9), count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ type: type('proposeReply'), term: nearTerm, batch: fc.nat(9) }),
  fc.record({ type: type('installSnapshot'), term: nearTerm, ...position, offset: fc.nat(9) }),
  fc.record({
    type: type('installSnapshotReply'),
    term: nearTerm,
    ...position,
    outcome: fc.constantFrom('more' as const, 'installed' as const, 'refused' as const),
  }),
  fc.record({ type: type('changeMembership'), term: nearTerm, id: fc.nat(9), wanted }),
  fc.record({ type: type('changeMembershipReply'), term: nearTerm, id: fc.nat(9), index: fc.option(near) }),
  fc.record({ type: type('notMember'), term: nearTerm, index: near }),
)
type Said = typeof said extends fc.Arbitrary<infer Value> ? Value : never

const happening = fc.oneof(
  { arbitrary: fc.record({ type: type('message'), from: peer, said }), weight: 12 },
  { arbitrary: fc.record({ type: type('completeWrite') }), weight: 4 },
  { arbitrary: fc.record({ type: type('advance'), ms: fc.oneof(fc.nat(150), fc.nat(2 * T)) }), weight: 3 },
  { arbitrary: fc.record({ type: type('votes'), granted: fc.boolean() }), weight: 2 },
  { arbitrary: fc.record({ type: type('election') }), weight: 1 },
  {
    arbitrary: fc.record({
      type: type('proposals'),
      counts: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
    }),
    weight: 2,
  },
  { arbitrary: fc.record({ type: type('reads'), lease: fc.boolean() }), weight: 1 },
  { arbitrary: fc.record({ type: type('entriesRead') }), weight: 2 },
  {
    arbitrary: fc.record({ type: type('peerUp'), peer, nonce: fc.nat(2), storeId: fc.constantFrom('a', 'b') }),
    weight: 1,
  },
  { arbitrary: fc.record({ type: type('change'), change }), weight: 3 },
  { arbitrary: fc.record({ type: type('agree') }), weight: 3 },
  { arbitrary: fc.record({ type: type('compact'), place: fc.nat(9), isTrue: fc.boolean() }), weight: 2 },
  { arbitrary: fc.record({ type: type('snapshot'), from: peer, ...position, configuration }), weight: 1 },
  { arbitrary: fc.record({ type: type('snapshotProgress'), to: peer, index: near }), weight: 1 },
  { arbitrary: fc.record({ type: type('peerDown'), peer }), weight: 1 },
  { arbitrary: fc.record({ type: type('peerDropped'), peer }), weight: 1 },
  { arbitrary: fc.record({ type: type('transfer'), to: fc.option(peer, { nil: undefined }) }), weight: 1 },
)
type Happening = typeof happening extends fc.Arbitrary<infer Value> ? Value : never

const configurations: readonly Configuration[] = [
  THREE,
  FIVE,
  { voters: [1], learners: [2] },
  { voters: [2, 3, 4], learners: [1] },
  { voters: [1, 2, 3], votersOutgoing: [3, 4, 5], learners: [6] },
]
const setup: fc.Arbitrary<Setup> = fc
  .record({
    configuration: fc.constantFrom(...configurations),
    terms: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 8 }),
    seed: fc.nat(),
    isTailSmall: fc.boolean(),
  })
  .map(({ terms, isTailSmall, ...rest }) => ({
    ...rest,
    entries: entries(terms.toSorted((a, b) => a - b)),
    settings: isTailSmall ? { logTailBytesMax: 1, inflightAppendsMax: 2, appendBytesMax: 1 } : {},
  }))

class World {
  readonly machine: Machine
  readonly #reads: EntriesRequest[] = []
  #id = 0

  constructor(setup: Setup) {
    this.machine = new Machine(setup)
  }

  happen(happening: Happening): void {
    this.#reads.push(...readsIn(this.#perform(happening)))
  }

  #perform(happening: Happening) {
    const { machine } = this
    switch (happening.type) {
      case 'message':
        return machine.receive(happening.from, messageOf(machine, happening.said))
      case 'completeWrite':
        return machine.writes.length === 0 ? [] : machine.completeWrite()
      case 'advance':
        return machine.advance(happening.ms)
      case 'votes':
        return this.#vote(happening.granted)
      case 'election':
        return this.#elect()
      case 'proposals':
        return machine.propose(...happening.counts.map((count) => batch(this.#id++, count)))
      case 'reads':
        return machine.read(this.#id++, happening.lease)
      case 'entriesRead': {
        const request = this.#reads.shift()
        return request === undefined ? [] : machine.completeRead(request)
      }
      case 'peerUp':
      case 'peerDown':
      case 'peerDropped':
        return machine.send(happening)
      case 'transfer':
        return machine.send({ type: 'transferLeadership', to: happening.to })
      case 'change':
        return machine.ask(happening.change, ++this.#id)
      case 'agree':
        return this.#agree()
      case 'compact': {
        const run = machine.disk[happening.place % Math.max(1, machine.disk.length)]
        if (run === undefined) return []
        const { lastIndex: index, term, checksum, clusterTime } = run
        const end = { index, term: happening.isTrue ? term : term + 1, checksum, clusterTime }
        return machine.send({ type: 'compactLog', end })
      }
      case 'snapshot': {
        const { from, configuration } = happening
        const place = placeIn(machine, happening, machine.term)
        const boundary = { ...place, checksum: 0, clusterTime: 0, configuration }
        const stored = { id: snapshotId(place.index, place.term), boundary }
        return machine.send({ type: 'snapshotReceived', from, stored })
      }
      case 'snapshotProgress': {
        const snapshot = snapshotId(atLeast(1, machine.context.log.lastIndex + happening.index), 1)
        return machine.send({ type: 'snapshotProgress', to: happening.to, snapshot, outcome: 'more', offset: 8 })
      }
    }
  }

  /** Time goes on, and if this server campaigns it is elected, so that machines also come to lead. */
  #elect() {
    const effects = [...this.machine.advance(2 * T)]
    effects.push(...this.#vote(true), ...this.machine.completeWrites(), ...this.#vote(true))
    return effects
  }

  /** All members have all that this server leads them to. */
  #agree() {
    const { machine } = this
    const effects = [...machine.completeWrites()]
    for (const from of machine.context.leadership?.progress.keys() ?? []) {
      if (machine.role !== 'leader') break
      effects.push(...machine.receive(from, accepted(machine.term, machine.context.log.lastIndex)))
    }
    return effects
  }

  /** All peers answer the campaign under way. */
  #vote(granted: boolean) {
    const { machine } = this
    return [2, 3, 4, 5].flatMap((from) => {
      const { role, term } = machine
      if (role === 'preCandidate') return machine.receive(from, { type: 'preVoteReply', term: term + 1, granted })
      return role === 'candidate' ? machine.receive(from, { type: 'requestVoteReply', term, granted }) : []
    })
  }
}

/** An entry that a peer names, relative to the end of the machine's log; `isTrue`: with the term that it has there. */
interface Claimed {
  readonly index: number
  readonly entryTerm: number
  readonly isTrue: boolean
}

const atLeast = (min: number, value: number) => Math.max(min, value)

function placeIn({ context: { log } }: Machine, { index, isTrue, entryTerm }: Claimed, term: Term) {
  const at = atLeast(0, log.lastIndex + index)
  const found = isTrue ? (termAt(log, at) ?? term) : term + entryTerm
  return { index: at, term: at === 0 ? 0 : Math.min(term, atLeast(1, found)) }
}

function messageOf(machine: Machine, one: Said): Message {
  const { log, commitIndex, leadership, hardState } = machine.context
  const term = atLeast(1, hardState.term + one.term)
  const end = (offset: number) => atLeast(0, log.lastIndex + offset)
  const place = (claimed: Claimed) => placeIn(machine, claimed, term)
  const snapshot = (claimed: Claimed) => {
    const at = place(claimed)
    return snapshotId(atLeast(1, at.index), at.term)
  }
  switch (one.type) {
    case 'preVote':
    case 'requestVote': {
      const last = place(one)
      const asked = { term, lastLogIndex: last.index, lastLogTerm: last.term }
      return one.type === 'preVote'
        ? { type: 'preVote', ...asked }
        : { type: 'requestVote', ...asked, leadershipTransfer: one.transfer }
    }
    case 'preVoteReply':
    case 'requestVoteReply':
      return { type: one.type, term, granted: one.granted }
    case 'appendEntries': {
      const prev = place(one)
      const runs = chain(prev, one.runs, term, one.configuration)
      const commit = atLeast(0, commitIndex + one.commit)
      return {
        type: 'appendEntries',
        term,
        prevLogIndex: prev.index,
        prevLogTerm: prev.term,
        commitIndex: commit,
        runs,
      }
    }
    case 'accepted':
      return { type: 'appendEntriesReply', term, success: true, matchIndex: end(one.index) }
    case 'rejected': {
      const conflict = {
        conflictTerm: atLeast(0, term + one.conflictTerm),
        conflictIndex: atLeast(1, end(one.conflictIndex)),
      }
      return { type: 'appendEntriesReply', term, success: false, prevLogIndex: end(one.index), ...conflict }
    }
    case 'heartbeat': {
      const commit = atLeast(0, commitIndex + one.commit)
      return { type: 'heartbeat', term, round: one.round, commitIndex: commit, promiseMs: one.promiseMs }
    }
    case 'heartbeatReply': {
      const round = atLeast(0, (leadership?.round ?? 0) + one.round)
      return { type: 'heartbeatReply', term, round, lastLogIndex: end(one.index) }
    }
    case 'timeoutNow':
      return { type: 'timeoutNow', term }
    case 'readIndex':
      return { type: 'readIndex', term, nonce: NONCE, id: one.id, lease: one.lease }
    case 'readIndexReply':
      return {
        type: 'readIndexReply',
        term,
        nonce: NONCE,
        id: one.id,
        index: one.index === null ? undefined : end(one.index),
      }
    case 'propose': {
      const bytes = commandBytes(one.count)
      return { type: 'propose', term, nonce: NONCE, batch: one.batch, count: one.count, bytes }
    }
    case 'proposeReply':
      return { type: 'proposeReply', term, nonce: NONCE, batch: one.batch, refused: 'busy' }
    case 'installSnapshot':
      return { ...one, term, snapshot: snapshot(one), bytes: new Uint8Array(one.offset) }
    case 'installSnapshotReply':
      return { type: 'installSnapshotReply', term, snapshot: snapshot(one), outcome: one.outcome, offset: 0 }
    case 'changeMembership':
      return { type: 'changeMembership', term, nonce: NONCE, id: one.id, change: one.wanted }
    case 'changeMembershipReply': {
      const index = one.index === null ? undefined : end(one.index)
      return { type: 'changeMembershipReply', term, nonce: NONCE, id: one.id, index, refusal: '' }
    }
    case 'notMember':
      return { type: 'notMember', term, index: end(one.index) }
  }
}

/** Runs as a frame may carry them: contiguous, chained to one another, in terms that rise to the message's at most. */
function chain(
  prev: { readonly index: LogIndex; readonly term: Term },
  shapes: readonly { readonly count: number; readonly later: number }[],
  termMax: Term,
  configuration: Configuration | null,
): readonly EntryRun[] {
  const runs: EntryRun[] = []
  for (const { count, later } of shapes) {
    const before = runs.at(-1)
    const term = Math.min(termMax, atLeast(1, before?.term ?? prev.term) + later)
    const firstIndex = (before?.lastIndex ?? prev.index) + 1
    const spec = { kind: 'command' as const, term, firstIndex, count, previousChecksum: before?.checksum ?? 0 }
    const stamps = { clusterTime: 0, wallTime: 0, origin: { server: 2, nonce: 0, batch: 0 } }
    runs.push(sealRun(commandBytes(count), { ...spec, ...stamps }, crc32))
  }
  const last = runs.at(-1)
  if (last !== undefined && configuration !== null) runs.push(configurationRun(last, last.term, configuration))
  return runs
}

describe('a role machine among peers that say anything', () => {
  it('throws nothing, breaks no invariant and sends nothing that its disk does not hold', () => {
    fc.assert(
      fc.property(setup, fc.array(happening, { maxLength: 80, size: 'max' }), (from, story) => {
        const world = new World(from)
        for (const one of story) world.happen(one)
      }),
      { numRuns: 300 },
    )
  })
})
