import fc from 'fast-check'
import { crc32 } from '../../src/machines/checksum.js'
import {
  encodeConfiguration,
  encodeNoop,
  ENTRY_HEADER_BYTES,
  RUN_HEADER_BYTES,
  sealRun,
  type EntryRun,
  type RunKind,
} from '../../src/machines/entry-run.js'
import type { Message, MessageType } from '../../src/machines/messages.js'
import type { Member } from '../../src/machines/types.js'

const SESSION_BYTES = 16
const TERM_MAX = Number.MAX_SAFE_INTEGER
const uint32 = fc.maxSafeNat().map((value) => value % 2 ** 32)
const index = fc.oneof(fc.nat(1000), fc.integer({ min: 0, max: 2 ** 52 }))
const term = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: TERM_MAX }))
const replyTerm = fc.oneof(fc.nat(20), fc.maxSafeNat())

interface Command {
  readonly payload: Uint8Array
  readonly session: boolean
}

const command: fc.Arbitrary<Command> = fc.record({ payload: fc.uint8Array({ maxLength: 40 }), session: fc.boolean() })
const commands = fc.array(command, { minLength: 1, maxLength: 5 })

/** Room for a header, then the body of commands. */
function commandBytes(list: readonly Command[]): Uint8Array {
  const entryBytes = (one: Command) => ENTRY_HEADER_BYTES + (one.session ? SESSION_BYTES : 0) + one.payload.length
  const bytes = new Uint8Array(RUN_HEADER_BYTES + list.reduce((sum, one) => sum + entryBytes(one), 0))
  const view = new DataView(bytes.buffer)
  let at = RUN_HEADER_BYTES
  for (const one of list) {
    view.setUint32(at, one.payload.length)
    view.setUint8(at + 4, one.session ? 1 : 0)
    bytes.set(one.payload, at + entryBytes(one) - one.payload.length)
    at += entryBytes(one)
  }
  return bytes
}

interface Body {
  readonly kind: RunKind
  readonly count: number
  readonly bytes: Uint8Array
}

const body: fc.Arbitrary<Body> = fc.oneof(
  commands.map((list): Body => ({ kind: 'command', count: list.length, bytes: commandBytes(list) })),
  fc.string().map((id): Body => ({ kind: 'noop', count: 1, bytes: encodeNoop(id) })),
  fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 32 - 1 }), { minLength: 1, maxLength: 5 }).map((voters): Body => {
    return { kind: 'configuration', count: 1, bytes: encodeConfiguration({ voters, learners: [] }) }
  }),
)

const origin = fc.record({ server: uint32, nonce: uint32, batch: fc.maxSafeNat() })
const runShape = fc.record({
  body,
  origin,
  /** By how much its term is above the one before. */
  termStep: fc.nat(2),
  clusterTime: fc.nat(),
  wallTime: fc.nat(),
})

/** Runs that follow one another from `prevLogIndex` on, in terms from `prevLogTerm`. */
function chain(
  shapes: readonly (typeof runShape extends fc.Arbitrary<infer T> ? T : never)[],
  prev: number,
  from: number,
) {
  const runs: EntryRun[] = []
  for (const {
    body: { kind, count, bytes },
    termStep,
    ...rest
  } of shapes) {
    const before = runs.at(-1)
    const spec = {
      ...rest,
      kind,
      count,
      term: Math.max(1, before?.term ?? from) + termStep,
      firstIndex: (before?.lastIndex ?? prev) + 1,
      previousChecksum: before?.checksum ?? 0,
    }
    runs.push(sealRun(Uint8Array.from(bytes), spec, crc32))
  }
  return runs
}

const appendEntries: fc.Arbitrary<Message> = fc
  .record({
    prevLogIndex: index,
    prevTerm: fc.integer({ min: 1, max: 20 }),
    later: fc.nat(3),
    commitIndex: index,
    shapes: fc.array(runShape, { maxLength: 4 }),
  })
  .map(({ prevLogIndex, prevTerm, later, commitIndex, shapes }): Message => {
    const prevLogTerm = prevLogIndex === 0 ? 0 : prevTerm
    const runs = chain(shapes, prevLogIndex, prevLogTerm)
    const lastTerm = runs.at(-1)?.term ?? Math.max(1, prevLogTerm)
    return { type: 'appendEntries', term: lastTerm + later, prevLogIndex, prevLogTerm, commitIndex, runs }
  })

/** The end of a candidate's log and the term it campaigns in. */
const campaign = fc
  .record({ term, lastLogIndex: index, part: fc.double({ min: 0, max: 1, noNaN: true }) })
  .map((one) => {
    const lastLogTerm = one.lastLogIndex === 0 ? 0 : Math.max(1, Math.floor(one.term * one.part))
    return { term: one.term, lastLogIndex: one.lastLogIndex, lastLogTerm }
  })
const granted = fc.record({ term: replyTerm, granted: fc.boolean() })
const round = fc.maxSafeNat()
const typed = <Type extends MessageType>(type: Type) => fc.constant(type)
const asked = { term, nonce: uint32, id: fc.maxSafeNat() }

const snapshotOf = (termMax: number) =>
  fc.record({
    index: index.map((value) => value + 1),
    term: fc.integer({ min: 1, max: termMax }),
    byteLength: fc.integer({ min: 1, max: 2 ** 52 }),
    checksum: uint32,
  })

const installSnapshot: fc.Arbitrary<Message> = term.chain((inTerm) =>
  fc
    .record({ snapshot: snapshotOf(inTerm), bytes: fc.uint8Array({ maxLength: 300 }), place: fc.maxSafeNat() })
    .map(({ snapshot, bytes, place }): Message => {
      const byteLength = Math.max(snapshot.byteLength, bytes.length)
      const offset = place % (byteLength - bytes.length + 1)
      return { type: 'installSnapshot', term: inTerm, snapshot: { ...snapshot, byteLength }, offset, bytes }
    }),
)

const installSnapshotReply: fc.Arbitrary<Message> = fc
  .record({
    term: replyTerm,
    snapshot: snapshotOf(TERM_MAX),
    outcome: fc.constantFrom('more' as const, 'installed' as const, 'refused' as const),
    place: fc.maxSafeNat(),
  })
  .map(({ place, ...one }): Message => {
    return { type: 'installSnapshotReply', ...one, offset: place % (one.snapshot.byteLength + 1) }
  })

const serverId = fc.integer({ min: 1, max: 2 ** 32 - 1 })
/** What may stand in a line of a log. */
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).filter((text) => /^\P{C}{1,256}$/u.test(text))
const place = fc.record({ id: serverId, address: name })

export const member: fc.Arbitrary<Member> = fc.record(
  { id: serverId, address: name, storeId: name, promotable: fc.boolean() },
  { requiredKeys: ['id', 'address'] },
)

const changeMembership: fc.Arbitrary<Message> = fc.record({
  type: typed('changeMembership'),
  ...asked,
  change: fc.record({
    learners: fc.array(member, { maxLength: 5 }),
    promote: fc.array(serverId, { maxLength: 5 }),
    remove: fc.array(serverId, { maxLength: 5 }),
    addresses: fc.array(place, { maxLength: 5 }),
    force: fc.boolean(),
  }),
})

/** Every kind of message, every field over its whole range. */
export const messages: Readonly<Record<MessageType, fc.Arbitrary<Message>>> = {
  preVote: campaign.map((one): Message => ({ type: 'preVote', ...one })),
  requestVote: fc
    .tuple(campaign, fc.boolean())
    .map(([one, leadershipTransfer]): Message => ({ type: 'requestVote', ...one, leadershipTransfer })),
  preVoteReply: granted.map((one): Message => ({ type: 'preVoteReply', ...one })),
  requestVoteReply: granted.map((one): Message => ({ type: 'requestVoteReply', ...one })),
  appendEntries,
  appendEntriesReply: fc.oneof(
    fc.record({
      type: typed('appendEntriesReply'),
      term: replyTerm,
      success: fc.constant(true as const),
      matchIndex: index,
    }),
    fc.record({
      type: typed('appendEntriesReply'),
      term: replyTerm,
      success: fc.constant(false as const),
      prevLogIndex: index,
      conflictTerm: replyTerm,
      conflictIndex: index.map((value) => value + 1),
    }),
  ),
  heartbeat: fc.record({
    type: typed('heartbeat'),
    term,
    round,
    commitIndex: index,
    promiseMs: fc.double({ min: 0, max: 2 ** 31 - 1, noNaN: true }).map((ms) => ms + 0),
  }),
  heartbeatReply: fc.record({ type: typed('heartbeatReply'), term: replyTerm, round, lastLogIndex: index }),
  timeoutNow: fc.record({ type: typed('timeoutNow'), term }),
  readIndex: fc.record({ type: typed('readIndex'), ...asked, lease: fc.boolean() }),
  readIndexReply: fc.record({ type: typed('readIndexReply'), ...asked, index: fc.option(index, { nil: undefined }) }),
  propose: fc.tuple(commands, term, uint32, fc.maxSafeNat()).map(([list, inTerm, nonce, batch]): Message => {
    return { type: 'propose', term: inTerm, nonce, batch, count: list.length, bytes: commandBytes(list) }
  }),
  proposeReply: fc.record({
    type: typed('proposeReply'),
    term: replyTerm,
    nonce: uint32,
    batch: fc.maxSafeNat(),
    refused: fc.constantFrom('notLeader' as const, 'busy' as const),
  }),
  installSnapshot,
  installSnapshotReply,
  changeMembership,
  changeMembershipReply: fc.record({
    type: typed('changeMembershipReply'),
    ...asked,
    term: replyTerm,
    index: fc.option(index, { nil: undefined }),
    refusal: fc.oneof(fc.constant(''), name),
  }),
  notMember: fc.record({ type: typed('notMember'), term, index }),
}

export const anyMessage: fc.Arbitrary<Message> = fc.oneof(...Object.values(messages))
