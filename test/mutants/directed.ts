import { runsBetween } from '../../src/machines/log.js'
import { Violation } from '../../src/testing/index.js'
import { T, type Story } from '../integration/scenarios/story.js'
import { begin, isSettled, type StoryOptions } from './beginning.js'
import { CHANGES_DIRECTED } from './directed-changes.js'
import { SESSIONS_DIRECTED } from './directed-sessions.js'

/** Simulations of one thing each, for bugs that chance would show only after very many runs. */
export const DIRECTED = {
  'a voter starts again within a lease': voterStartsAgain,
  'a round is answered late': () => readWhenDeposed((round) => ({ term: 1, round })),
  'a round is answered from a newer term': () => readWhenDeposed((round) => ({ term: 2, round: round + 1 })),
  'answers to heartbeats are slow': answersAreSlow,
  'an answer comes two terms late': answerTwoTermsLate,
  'a leader begins far back': leaderBeginsFarBack,
  'an old leader has the longer log': oldLogIsLonger,
  'entries are replaced while they are being written': replacedWhileWritten,
  'entries are replaced while a term is being written': replacedBehindWrite,
  'entries are replaced while those before are read from disk': replacedWhileRead,
  'two servers do not hear each other': twoDoNotHearEachOther,
  'a leader comes back in a later term': leaderComesBack,
  'a leader begins behind where logs differ': leaderBeginsBehind,
  'a machine crashes while it truncates': crashWhileTruncating,
  'a machine crashes and has forgotten what it said it had': crashForgets,
  'a crash loses a truncation and keeps what follows it': truncationLost,
  ...CHANGES_DIRECTED,
  ...SESSIONS_DIRECTED,
} as const

export type DirectedName = keyof typeof DIRECTED

export function isDirected(name: string): name is DirectedName {
  return name in DIRECTED
}

/** Server 3 hears nobody but server 2, which has just confirmed the leader's lease and is started again. */
function voterStartsAgain(): void {
  const story = begin()
  story.cut(1, 3)
  story.until('server 3 asks for pre-votes', () => story.role(3) === 'preCandidate')
  story.advance(story.context(3).chance.electionTimeoutMs - 25)
  story.cut(1, 2)
  story.server(2).kill()
  story.server(2).start()
  story.advance(60)
  story.heals()
}

/** What leader 1 says is lost, but answers to what it said before are still on their way. */
function answersAreSlow(): void {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const story = begin({ seed })
    for (const other of [2, 3]) story.hold(other, 1, 100)
    story.advance(T)
    for (const other of [2, 3]) story.cluster.network.cut(1, other, 'silent')
    story.advance(2 * T)
    story.mendAll()
    for (const other of [2, 3]) story.release(other, 1)
    story.heals()
  }
}

/** Server 1 hands over to server 2 and cannot hear that it has; then one answer reaches it, to a round of its own. */
function readWhenDeposed(answerTo: (answeredRound: number) => { readonly term: number; readonly round: number }): void {
  const story = begin()
  story.done(story.put(1, 'x', 'old'))
  const round = story.context(1).leadership?.round ?? 0
  story.until('the next round is answered', () => story.progress(1, 2).confirmedRound > round)
  for (const other of [2, 3]) story.cluster.network.cut(other, 1, 'silent')
  story.server(1).running?.server.transferLeadership(2)
  story.until('server 2 serves', () => story.leads(2) && story.isServing(2))
  story.done(story.put(2, 'x', 'new'))
  const read = story.get(1, 'x')
  story.advance(1)
  story.deliver(1, 2, { type: 'heartbeatReply', ...answerTo(round + 1), lastLogIndex: story.end(2) })
  story.advance(1)
  if (read.value !== undefined) {
    throw new Violation('clients see one copy, one operation at a time', `a deposed leader read ${read.value}`)
  }
  story.heals()
}

/** Server 2 had three entries of term 1 and has lost them to term 2. Its answer of then reaches the leader of term 3. */
function answerTwoTermsLate(): void {
  const story = begin({ servers: 5 })
  const start = story.end(1)
  for (const here of [1, 2]) for (const there of [3, 4, 5]) story.cut(here, there)
  for (const key of ['a', 'b', 'c']) story.put(1, key, 'of term 1')
  story.until('server 2 has them', () => story.context(2).durable.index > story.context(2).commitIndex)
  const matchIndex = story.end(2)
  story.isolate(1, 2)
  story.elect(3)
  story.mendAll()
  story.until('all have the log of term 2', () =>
    story.running.every(({ id }) => isSettled(story, id) && story.end(id) === start + 1),
  )
  story.isolate(2)
  story.elect(1)
  story.isolate(3, 5)
  while (story.end(1) < matchIndex) {
    story.put(1, 'd', 'of term 3')
    story.advance(1)
  }
  story.until('server 4 has them', () => story.context(4).durable.index >= matchIndex)
  story.advance(5)
  story.deliver(1, 2, { type: 'appendEntriesReply', term: 1, success: true, matchIndex })
  story.advance(5)
  story.mendAll()
  story.heals()
}

/** Server 1 has three entries of term 1 that nobody else has; server 2 leads term 2. */
function deposed(options: StoryOptions = {}): Story {
  const story = begin(options)
  story.isolate(1)
  for (const value of ['1', '2', '3']) {
    story.put(1, 'x', value)
    story.advance(1)
  }
  story.elect(2)
  return story
}

/** Server 1 asks for the vote of server 3, whose log is shorter and newer. */
function oldLogIsLonger(): void {
  const story = deposed()
  story.advance(5)
  story.isolate(2)
  story.mend(1, 3)
  story.advance(6 * T)
  story.heals()
}

/** The leader of term 2 first looks for where the logs agree. */
function leaderBeginsFarBack(): void {
  const story = deposed()
  story.done(story.put(2, 'x', 'committed'))
  const commitIndex = story.context(2).commitIndex
  story.deliver(1, 2, { type: 'appendEntries', term: 2, prevLogIndex: 1, prevLogTerm: 1, commitIndex, runs: [] })
  story.advance(1)
  story.heals()
}

/** Server 3 is still writing an entry of term 1 and has heard of the next, when it hears of others in their place. */
function replacedWhileWritten(): void {
  const story = begin({ servers: 5 })
  const start = story.end(3)
  story.slowDisk(3, 6 * T)
  for (const other of [2, 4, 5]) story.cut(1, other)
  for (const index of [start + 1, start + 2]) {
    story.put(1, 'x', `${index}`)
    story.until(`server 3 has heard of entry ${index}`, () => story.end(3) === index)
  }
  story.isolate(1)
  story.elect(2)
  story.put(2, 'x', 'of term 2')
  story.until('server 3 has both entries of term 2', () => story.term(3) === 2 && story.end(3) === start + 2)
  story.heals()
}

/** Server 1 is still writing that it is in term 2 when that term's leader replaces its last entries. */
function replacedBehindWrite(): void {
  const story = deposed()
  story.slowDisk(1, T)
  story.deliver(1, 2, { type: 'heartbeat', term: 2, round: 1, commitIndex: 1, promiseMs: T })
  story.advance(1)
  const prevLogIndex = story.end(2) - 1
  const runs = runsBetween(story.context(2).log, prevLogIndex, story.end(2))
  story.deliver(1, 2, { type: 'appendEntries', term: 2, prevLogIndex, prevLogTerm: 1, commitIndex: 1, runs })
  story.advance(1)
  story.mendAll()
  story.heals()
}

/** Server 1 has started again with entries that the leader replaces, and reads from disk what it has to apply. */
function replacedWhileRead(): void {
  const story = deposed()
  story.server(1).kill()
  story.server(1).start()
  story.advance(1)
  story.slowDisk(1, 50)
  story.mendAll()
  story.heals()
}

/** Server 1 truncates three entries of term 1, and its machine crashes before that is synced. */
function truncationLost(): void {
  const story = deposed({ durability: 'mem-first' })
  story.advance(T)
  story.mendAll()
  story.until('server 1 has the no-op of term 2', () => story.end(1) === story.end(2))
  story.done(story.put(2, 'x', 'of term 2'))
  story.until('server 1 has it too', () => story.end(1) === story.end(2))
  let steps = 0
  story.server(1).crash({ watermark: 'kept', survives: () => ++steps > 1 })
  story.server(1).start()
  story.heals()
}

/** Server 3 hears nothing of leader 1, whom server 2 hears well. */
function twoDoNotHearEachOther(): void {
  const story = begin()
  story.cut(1, 3)
  story.advance(6 * T)
  story.heals()
}

/** Server 1 leads again and hears that server 3 has an entry of its earlier term, before it hears more. */
function leaderComesBack(): void {
  const story = begin()
  for (const other of [2, 3]) story.cluster.network.cut(other, 1, 'silent')
  story.cut(1, 2)
  story.put(1, 'x', 'of term 1')
  story.until('server 3 has it', () => story.context(3).durable.index > story.context(3).commitIndex)
  const matchIndex = story.end(3)
  story.isolate(1)
  story.until('server 1 no longer leads', () => !story.leads(1))
  story.mendAll()
  story.lead(1)
  story.deliver(1, 3, { type: 'appendEntriesReply', term: story.term(1), success: true, matchIndex })
  story.heals()
}

/** Server 1 has other entries than the leader where that of term 3 begins to replicate. */
function leaderBeginsBehind(): void {
  const story = deposed()
  story.done(story.put(2, 'x', 'of term 2'))
  story.elect(3)
  story.mendAll()
  story.heals()
}

/** Server 1 truncates three entries, and its machine crashes at one moment or another. */
function crashWhileTruncating(): void {
  for (const afterMs of [10, 30, 50]) {
    for (const inFlight of ['lost', 'whole'] as const) {
      const story = deposed()
      story.slowDisk(1, 20)
      story.mendAll()
      story.until('server 1 has the no-op of term 2', () => story.end(1) === story.end(2))
      story.advance(afterMs)
      story.server(1).crash({ inFlight, watermark: 'kept' })
      story.server(1).start()
      story.heals()
    }
  }
}

/** Server 3 has said that it has what its disk did not keep. */
function crashForgets(): void {
  const story = begin({ durability: 'mem-first', syncIntervalMs: 10 * T })
  for (const value of ['1', '2', '3']) story.done(story.put(1, 'x', value))
  story.until('server 3 has said that it has them', () => story.progress(1, 3).matchIndex === story.end(1))
  story.server(3).crash()
  story.server(3).start()
  story.heals()
}
