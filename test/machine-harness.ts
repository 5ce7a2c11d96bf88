import { createActor, type Actor } from 'xstate'
import { crc32 } from '../src/machines/checksum.js'
import type { ConfigurationAt, RaftContext, RaftSettings } from '../src/machines/context.js'
import type { Answer, Commit, Effect, EntriesRequest, Persist, SnapshotWork } from '../src/machines/effects.js'
import {
  configurationOf,
  encodeConfiguration,
  ENTRY_HEADER_BYTES,
  RUN_HEADER_BYTES,
  sealRun,
  type EntryRun,
} from '../src/machines/entry-run.js'
import type { Instant, LocalEvent, MessageEvent, ProposalBatch, RaftEvent } from '../src/machines/events.js'
import { invariant } from '../src/machines/invariant.js'
import { checkInvariants } from '../src/machines/invariants.js'
import type { Envelope, MembershipChange, Message } from '../src/machines/messages.js'
import { raftMachine } from '../src/machines/raft.machine.js'
import { step } from '../src/machines/step.js'
import type { Boundary, Configuration, HardState, LogIndex, ServerId, SnapshotId, Term } from '../src/machines/types.js'
import { VirtualTime } from './unit/virtual-time.js'

/** The paper's election timeout: one is drawn in [T, 2T). */
export const T = 1000
export const HEARTBEAT_MS = 100
export const LEASE_MS = 900

export const THREE: Configuration = { voters: [1, 2, 3], learners: [] }
export const FIVE: Configuration = { voters: [1, 2, 3, 4, 5], learners: [] }

export const SETTINGS: RaftSettings = {
  electionTimeoutMs: T,
  heartbeatIntervalMs: HEARTBEAT_MS,
  leaseMs: LEASE_MS,
  appendBytesMax: 64 * 1024,
  inflightAppendsMax: 8,
  inflightBytesMax: 1024 * 1024,
  uncommittedBytesMax: 1024 * 1024,
  logTailBytesMax: 1024 * 1024,
  promotionLagEntries: 10,
  promotionAfterMs: 2 * T,
  electionPriority: 0,
  checksum: crc32,
}

/** XState's assign costs three times as much from about twenty top-level fields on. */
const CONTEXT_FIELDS = 16

export interface Setup {
  /** Default 1. */
  readonly id?: ServerId
  /** Default THREE. */
  readonly configuration?: Configuration
  /** Default: the last entry's. */
  readonly term?: Term
  readonly votedFor?: ServerId
  readonly promiseMs?: number
  /** What the disk holds at the start. */
  readonly entries?: readonly EntryRun[]
  readonly settings?: Partial<RaftSettings>
  readonly seed?: number
  /** Timers fire this much before their time, as real ones may. Default 0. */
  readonly earlyMs?: number
  /** The newest snapshot, which the log follows. */
  readonly boundary?: Boundary
  /** Default ''. */
  readonly storeId?: string
}

/**
 * One role machine, driven by hand: time moves when it is told to, writes complete when they are told to, and every
 * event goes through `step` and is followed by the laws of invariants.ts.
 */
export class Machine {
  readonly actor: Actor<typeof raftMachine>
  readonly #time = new VirtualTime()
  /** Steps of the log store that have not completed, oldest first. */
  readonly writes: Persist[] = []
  /** The runs that completed writes have left on the disk. */
  disk: readonly EntryRun[]
  #effects: Effect[] = []
  #error: unknown

  constructor(setup: Setup = {}) {
    const { id = 1, configuration = THREE, entries = [], seed = 1, votedFor, promiseMs = 0 } = setup
    const { boundary = { index: 0, term: 0, checksum: 0, clusterTime: 0, configuration } } = setup
    const { term = entries.at(-1)?.term ?? boundary.term, earlyMs = 0 } = setup
    this.disk = entries
    this.actor = createActor(raftMachine, {
      clock: {
        setTimeout: (callback: () => void, delayMs: number) =>
          this.#time.setTimeout(() => this.#expire(callback), delayMs > earlyMs ? delayMs - earlyMs : delayMs),
        clearTimeout: this.#time.clearTimeout,
      },
      input: {
        id,
        settings: { ...SETTINGS, ...setup.settings },
        seed,
        ...this.#instant(),
        hardState: { term, votedFor, promiseMs },
        log: recovered(entries, boundary),
        configurations: configurationsIn(entries),
        clusterId: 'test',
        storeId: setup.storeId ?? '',
      },
    })
    this.actor.on('*', (effect) => {
      this.#effects.push(effect)
      if (effect.type === 'persist') this.writes.push(...effect.steps)
    })
    this.actor.subscribe({ error: (error) => (this.#error = error) })
    this.actor.start()
    this.#afterEvent(undefined)
    this.#effects = []
  }

  get context(): RaftContext {
    return this.actor.getSnapshot().context
  }

  /** The top-level state: `follower`, `preCandidate`, `candidate`, `leader` or `failed`. */
  get role(): string {
    const { value } = this.actor.getSnapshot()
    return typeof value === 'string' ? value : (Object.keys(value)[0] ?? '')
  }

  get term(): Term {
    return this.context.hardState.term
  }

  /** The configuration that rules, where it stands in the log, and those before it that are kept. */
  get configurations(): readonly ConfigurationAt[] {
    return this.context.configurations
  }

  get now(): number {
    return this.#time.now()
  }

  /** The term of each entry, from the first. */
  get terms(): readonly Term[] {
    const { termStarts, lastIndex } = this.context.log
    return termStarts.flatMap(({ index, term }, at) =>
      Array.from({ length: (termStarts[at + 1]?.index ?? lastIndex + 1) - index }, () => term),
    )
  }

  /** The effects of one event, those with nothing in them left out. */
  send(event: LocalEvent | MessageEvent): readonly Effect[] {
    this.#effects = []
    const before = this.context
    for (const settled of step(before, { ...event, ...this.#instant() })) this.#send(settled)
    return this.#taken()
  }

  receive(from: ServerId, message: Message): readonly Effect[] {
    return this.send(messageEvent(from, message))
  }

  propose(...batches: readonly ProposalBatch[]): readonly Effect[] {
    return this.send({ type: 'proposals', batches })
  }

  read(id: number, lease = false): readonly Effect[] {
    return this.send({ type: 'reads', requests: [{ id, nonce: NONCE, lease }] })
  }

  /** Asks this server for another membership, as a caller on it does. */
  ask(change: Partial<MembershipChange>, id = 1): readonly Effect[] {
    return this.send({ type: 'changeRequested', nonce: NONCE, id, change: membershipChange(change) })
  }

  /** Completes the oldest write: what waited for it is sent, then the machine hears of it. */
  completeWrite(): readonly Effect[] {
    const write = this.writes.shift()
    invariant(write !== undefined, 'a write is under way')
    const { truncateFrom = Infinity, boundary } = write
    const kept = this.disk.filter((run) => run.lastIndex < truncateFrom && run.firstIndex > (boundary?.index ?? 0))
    this.disk = [...kept, ...write.runs]
    const released: Effect[] = write.messages.length === 0 ? [] : [{ type: 'sendMessages', messages: write.messages }]
    const { hardState, lastIndex: index, truncations } = write
    const after = this.send({ type: 'persisted', hardState, index, truncations, lastApplied: this.context.commitIndex })
    return [...released, ...after]
  }

  /** Completes all writes. */
  completeWrites(): readonly Effect[] {
    const effects: Effect[] = []
    while (this.writes.length > 0) effects.push(...this.completeWrite())
    return effects
  }

  /** Answers a read of the disk. */
  completeRead({ from, bytesMax, ...asked }: EntriesRequest): readonly Effect[] {
    const runs: EntryRun[] = []
    let byteLength = 0
    for (const run of this.disk) {
      if (run.lastIndex < from || byteLength >= bytesMax) continue
      runs.push(run)
      byteLength += run.bytes.length
    }
    return this.send({ ...asked, type: 'entriesRead', runs })
  }

  /** Time goes on; what is due fires, each at its own moment. */
  advance(ms: number): readonly Effect[] {
    this.#effects = []
    this.#time.advance(ms)
    return this.#taken()
  }

  /** Time goes on as far as the condition, at most ten election timeouts. Gives the effects of the last millisecond. */
  advanceUntil(condition: () => boolean): readonly Effect[] {
    const end = this.now + 10 * T
    let effects: readonly Effect[] = []
    while (!condition()) {
      invariant(this.now < end, 'what is waited for comes within ten election timeouts')
      effects = this.advance(1)
    }
    return effects
  }

  #instant(): Instant {
    return { now: this.#time.now(), wallTime: 0 }
  }

  #expire(callback: () => void): void {
    this.#send({ type: 'clock', ...this.#instant() })
    const before = this.context
    callback()
    this.#afterEvent(before)
  }

  #send(event: RaftEvent): void {
    const before = this.context
    this.actor.send(event)
    this.#afterEvent(before)
  }

  #afterEvent(before: RaftContext | undefined): void {
    if (this.#error instanceof Error) throw this.#error
    checkInvariants(this.context, before)
    invariant(
      Object.keys(this.context).length === CONTEXT_FIELDS,
      'the context has no stray fields',
      Object.keys(this.context),
    )
    for (const effect of this.#effects) {
      if (effect.type === 'sendMessages') checkDurable(this.context, effect.messages)
    }
  }

  #taken(): readonly Effect[] {
    const effects = this.#effects.filter((effect) => sizeOf(effect) > 0)
    this.#effects = []
    return effects
  }
}

/** Thesis §3.8: nothing is sent that reveals a term, a vote, a promise or an entry which the disk does not hold. */
function checkDurable({ durable, hardState }: RaftContext, messages: readonly Envelope[]): void {
  for (const { to, message } of messages) {
    const isForTermToCome = message.type === 'preVote' || (message.type === 'preVoteReply' && message.granted)
    invariant(isForTermToCome || message.term <= durable.hardState.term, 'a term is durable before it is sent', message)
    if (message.type === 'requestVoteReply' && message.granted) {
      invariant(durable.hardState.votedFor === to, 'a vote is durable before it is sent', message)
    }
    if (message.type === 'heartbeatReply') {
      invariant(durable.hardState.promiseMs === hardState.promiseMs, 'a promise is durable before it is confirmed')
    }
    if (message.type === 'appendEntriesReply' && message.success) {
      invariant(message.matchIndex <= durable.index, 'entries are durable before they are confirmed', message)
    }
    if (message.type === 'installSnapshotReply' && message.outcome === 'installed') {
      invariant(message.snapshot.index <= durable.index, 'entries are durable before they are confirmed', message)
    }
  }
}

function sizeOf(effect: Effect): number {
  switch (effect.type) {
    case 'sendMessages':
      return effect.messages.length
    case 'persist':
      return effect.steps.length
    case 'commit':
      return effect.commits.length
    case 'answerRequests':
      return effect.answers.length
    case 'readEntries':
      return effect.requests.length
    case 'workOnSnapshots':
      return effect.works.length
    case 'notices':
      return effect.texts.length
  }
}

function recovered(entries: readonly EntryRun[], boundary: Boundary) {
  const last = entries.at(-1)
  return {
    boundary,
    lastIndex: last?.lastIndex ?? boundary.index,
    lastChecksum: last?.checksum ?? boundary.checksum,
    lastClusterTime: last?.clusterTime ?? boundary.clusterTime,
    termStarts: entries
      .filter(({ term }, at) => term !== entries[at - 1]?.term)
      .map(({ firstIndex, term }) => ({ index: firstIndex, term })),
  }
}

function configurationsIn(entries: readonly EntryRun[]): readonly ConfigurationAt[] {
  return entries.flatMap((run) => {
    if (run.kind !== 'configuration') return []
    const configuration = configurationOf(run)
    return 'malformed' in configuration ? [] : [{ index: run.firstIndex, configuration }]
  })
}

function messageEvent(from: ServerId, message: Message): MessageEvent {
  return { type: message.type, from, message } as MessageEvent
}

/** Nonce of everything that the machine's own clients ask. */
export const NONCE = 77

/** Entries of these terms, one a run, from the first index or following `before`. The same terms give the same log. */
export function entries(terms: readonly Term[], before: readonly EntryRun[] = []): readonly EntryRun[] {
  const added: EntryRun[] = []
  for (const term of terms) {
    added.push(runAfter(added.at(-1) ?? before.at(-1), term, 1))
  }
  return added
}

/** One run of `count` entries. */
export function runAfter(previous: EntryRun | undefined, term: Term, count: number): EntryRun {
  const place = { firstIndex: (previous?.lastIndex ?? 0) + 1, previousChecksum: previous?.checksum ?? 0 }
  const stamps = { clusterTime: 0, wallTime: 0, origin: { server: 0, nonce: 0, batch: 0 } }
  return sealRun(commandBytes(count), { kind: 'command', term, count, ...place, ...stamps }, crc32)
}

/** A configuration's entry. */
export function configurationRun(previous: EntryRun | undefined, term: Term, configuration: Configuration): EntryRun {
  const place = { firstIndex: (previous?.lastIndex ?? 0) + 1, previousChecksum: previous?.checksum ?? 0 }
  const stamps = { clusterTime: 0, wallTime: 0, origin: { server: 0, nonce: 0, batch: 0 } }
  const spec = { kind: 'configuration' as const, term, count: 1, ...place, ...stamps }
  return sealRun(encodeConfiguration(configuration), spec, crc32)
}

/** The end of `run`, as a snapshot that covers the log up to it has it. */
export function boundaryAfter(run: EntryRun, configuration: Configuration = THREE): Boundary {
  const { lastIndex: index, term, checksum, clusterTime } = run
  return { index, term, checksum, clusterTime, configuration }
}

export const membershipChange = (change: Partial<MembershipChange>): MembershipChange => ({
  learners: [],
  promote: [],
  remove: [],
  addresses: [],
  force: false,
  ...change,
})

/** Room for a run's header, then `count` empty commands. */
export function commandBytes(count: number, payloadBytes = 0): Uint8Array {
  const entryBytes = ENTRY_HEADER_BYTES + payloadBytes
  const bytes = new Uint8Array(RUN_HEADER_BYTES + count * entryBytes)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < count; at++) view.setUint32(RUN_HEADER_BYTES + at * entryBytes, payloadBytes)
  return bytes
}

export function batch(id: number, count = 1, payloadBytes = 0): ProposalBatch {
  return { batch: id, nonce: NONCE, count, bytes: commandBytes(count, payloadBytes) }
}

// Messages, short. Positions are [index, term].
type Position = readonly [LogIndex, Term]
const START: Position = [0, 0]

export const preVote = (term: Term, [lastLogIndex, lastLogTerm] = START): Message => ({
  type: 'preVote',
  term,
  lastLogIndex,
  lastLogTerm,
})
export const preVoteReply = (term: Term, granted: boolean): Message => ({ type: 'preVoteReply', term, granted })
export const requestVote = (term: Term, [lastLogIndex, lastLogTerm] = START, leadershipTransfer = false): Message => ({
  type: 'requestVote',
  term,
  lastLogIndex,
  lastLogTerm,
  leadershipTransfer,
})
export const voteReply = (term: Term, granted: boolean): Message => ({ type: 'requestVoteReply', term, granted })
export const append = (
  term: Term,
  [prevLogIndex, prevLogTerm]: Position,
  runs: readonly EntryRun[] = [],
  commitIndex = 0,
): Message => ({ type: 'appendEntries', term, prevLogIndex, prevLogTerm, commitIndex, runs })
export const accepted = (term: Term, matchIndex: LogIndex): Message => ({
  type: 'appendEntriesReply',
  term,
  success: true,
  matchIndex,
})
export const rejected = (term: Term, prevLogIndex: LogIndex, conflictTerm: Term, conflictIndex: LogIndex): Message => ({
  type: 'appendEntriesReply',
  term,
  success: false,
  prevLogIndex,
  conflictTerm,
  conflictIndex,
})
export const heartbeat = (term: Term, round: number, commitIndex = 0, promiseMs = T): Message => ({
  type: 'heartbeat',
  term,
  round,
  commitIndex,
  promiseMs,
})
export const heartbeatReply = (term: Term, round: number, lastLogIndex: LogIndex): Message => ({
  type: 'heartbeatReply',
  term,
  round,
  lastLogIndex,
})

export const snapshotId = (index: LogIndex, term: Term): SnapshotId => ({ index, term, byteLength: 1000, checksum: 9 })
export const piece = (term: Term, snapshot: SnapshotId, offset = 0): Message => ({
  type: 'installSnapshot',
  term,
  snapshot,
  offset,
  bytes: new Uint8Array(offset === 0 ? 0 : 8),
})
export const installed = (term: Term, snapshot: SnapshotId): Message => ({
  type: 'installSnapshotReply',
  term,
  snapshot,
  outcome: 'installed',
  offset: 0,
})

// Effects, short.
export const sends = (...messages: readonly (readonly [ServerId, Message])[]): Effect => ({
  type: 'sendMessages',
  messages: messages.map(([to, message]) => ({ to, message })),
})
export const messagesIn = (effects: readonly Effect[]): readonly Envelope[] =>
  effects.flatMap((effect) => (effect.type === 'sendMessages' ? effect.messages : []))
export const stepsIn = (effects: readonly Effect[]): readonly Persist[] =>
  effects.flatMap((effect) => (effect.type === 'persist' ? effect.steps : []))
export const commitsIn = (effects: readonly Effect[]): readonly Commit[] =>
  effects.flatMap((effect) => (effect.type === 'commit' ? effect.commits : []))
export const answersIn = (effects: readonly Effect[]): readonly Answer[] =>
  effects.flatMap((effect) => (effect.type === 'answerRequests' ? effect.answers : []))
export const worksIn = (effects: readonly Effect[]): readonly SnapshotWork[] =>
  effects.flatMap((effect) => (effect.type === 'workOnSnapshots' ? effect.works : []))
export const readsIn = (effects: readonly Effect[]): readonly EntriesRequest[] =>
  effects.flatMap((effect) => (effect.type === 'readEntries' ? effect.requests : []))
export const noticesIn = (effects: readonly Effect[]): readonly string[] =>
  effects.flatMap((effect) => (effect.type === 'notices' ? effect.texts : []))
/** The messages of a type, whoever they go to. */
export function ofType<Type extends Message['type']>(
  type: Type,
  effects: readonly Effect[],
): readonly (Envelope & { readonly message: Extract<Message, { readonly type: Type }> })[] {
  return messagesIn(effects).filter(
    (envelope): envelope is Envelope & { readonly message: Extract<Message, { readonly type: Type }> } =>
      envelope.message.type === type,
  )
}

/** One step of the log store as a follower asks for it, with the replies that wait for it. */
export const persists = (step: Partial<Persist> & Pick<Persist, 'lastIndex'>): Effect => ({
  type: 'persist',
  steps: [{ runs: [], truncations: 0, messages: [], ...step }],
})
export const hardState = (term: Term, votedFor?: ServerId, promiseMs = 0): HardState => ({ term, votedFor, promiseMs })

// Machines that have come some way.

/** A follower that has been up for an election timeout and has heard of no leader: it may vote, and soon campaigns. */
export function follower(setup: Setup = {}): Machine {
  const machine = new Machine(setup)
  machine.advance(T - 1)
  machine.advance(1)
  invariant(machine.role === 'follower', 'no election timeout is shorter than T')
  return machine
}

/** A follower that has heard from leader 2 of its term. */
export function led(setup: Setup = {}): Machine {
  const machine = follower({ term: 1, ...setup })
  machine.receive(2, heartbeat(machine.term, 1))
  machine.completeWrites()
  return machine
}

export function preCandidate(setup: Setup = {}): Machine {
  const machine = follower(setup)
  for (const { id, storeId } of setup.configuration?.members ?? []) {
    if (storeId !== undefined) machine.send({ type: 'peerUp', peer: id, nonce: 1, storeId })
  }
  machine.advanceUntil(() => machine.role === 'preCandidate')
  return machine
}

/** A candidate whose own vote is durable, so that its requests are out. */
export function candidate(setup: Setup = {}): Machine {
  const machine = preCandidate(setup)
  for (const voter of others(machine)) machine.receive(voter, preVoteReply(machine.term + 1, true))
  machine.completeWrites()
  return machine
}

/** A leader just elected; its no-op is being written. */
export function elected(setup: Setup = {}): Machine {
  const machine = candidate(setup)
  for (const voter of others(machine)) {
    if (machine.role === 'candidate') machine.receive(voter, voteReply(machine.term, true))
  }
  invariant(machine.role === 'leader', 'a candidate that all vote for is elected')
  return machine
}

/** A leader whose no-op is committed and known to everyone. */
export function serving(setup: Setup = {}): Machine {
  const machine = elected(setup)
  machine.completeWrites()
  for (const peer of machine.context.leadership?.progress.keys() ?? []) {
    machine.receive(peer, accepted(machine.term, machine.context.log.lastIndex))
  }
  return machine
}

/**
 * A leader in a joint configuration that is appended, at index 2, and not committed: voters 1, 2 and 3, outgoing 1, 4
 * and 5, and learner 6.
 */
export function changing(): Machine {
  const machine = serving({ configuration: { voters: [1, 4, 5], learners: [2, 3, 6] } })
  machine.ask({ promote: [2, 3], remove: [4, 5] })
  machine.completeWrites()
  return machine
}

function others({ context }: Machine): readonly ServerId[] {
  const { voters = [], votersOutgoing = [] } = context.configurations.at(-1)?.configuration ?? {}
  return [...new Set([...voters, ...votersOutgoing])].filter((voter) => voter !== context.id)
}

/**
 * Delivers what a leader and a follower say to each other until both are silent, beginning with the leader's `opening`;
 * their disks answer at once. Gives all that the leader said.
 */
export function converse(leader: Machine, follower: Machine, opening: readonly Effect[]): readonly Message[] {
  const said: Message[] = []
  let effects = [...opening]
  for (let turn = 0; effects.length > 0; turn++) {
    invariant(turn < 100, 'a conversation comes to its end')
    const answers: Effect[] = []
    for (const { to, message } of messagesIn(effects)) {
      if (to !== follower.context.id) continue
      said.push(message)
      answers.push(...follower.receive(leader.context.id, message), ...follower.completeWrites())
    }
    const reads = readsIn(effects).filter(({ peer }) => peer === follower.context.id)
    effects = reads.flatMap((request) => [...leader.completeRead(request)])
    for (const { to, message } of messagesIn(answers)) {
      if (to === leader.context.id) effects.push(...leader.receive(follower.context.id, message))
    }
  }
  return said
}
