import { Violation } from '../../src/testing/index.js'
import { Story, T } from '../integration/scenarios/story.js'

/** Simulations of one thing each, for bugs that chance would show only after very many runs. */
export const DIRECTED = {
  'a voter starts again within a lease': voterStartsAgain,
  'a round is answered late': () => readWhenDeposed((round) => ({ term: 1, round })),
  'a round is answered from a newer term': () => readWhenDeposed((round) => ({ term: 2, round: round + 1 })),
  'answers to heartbeats are slow': answersAreSlow,
  'an answer comes two terms late': answerTwoTermsLate,
  'a leader begins far back': leaderBeginsFarBack,
  'an old leader has the longer log': oldLogIsLonger,
} as const

export type DirectedName = keyof typeof DIRECTED

export function isDirected(name: string): name is DirectedName {
  return name in DIRECTED
}

/** Server 3 hears nobody but server 2, which has just confirmed the leader's lease and is started again. */
function voterStartsAgain(): void {
  const story = Story.ledBy(1)
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
    const story = Story.ledBy(1, { seed })
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
  const story = Story.ledBy(1)
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
  const story = Story.ledBy(1, { servers: 5 })
  for (const here of [1, 2]) for (const there of [3, 4, 5]) story.cut(here, there)
  for (const key of ['a', 'b', 'c']) story.put(1, key, 'of term 1')
  story.until('server 2 has them', () => story.context(2).durable.index > story.context(2).commitIndex)
  const matchIndex = story.end(2)
  story.isolate(1, 2)
  story.elect(3)
  story.mendAll()
  story.until('all have the log of term 2', () =>
    story.running.every(({ id }) => story.context(id).commitIndex === 2 && story.end(id) === 2),
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
function deposed(): Story {
  const story = Story.ledBy(1)
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
