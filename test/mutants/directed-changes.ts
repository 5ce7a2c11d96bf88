import type { RaftContext } from '../../src/machines/context.js'
import type { ServerId } from '../../src/machines/types.js'
import { memberOf } from '../../src/testing/simulation/simulated-cluster.js'
import { Violation } from '../../src/testing/index.js'
import { Story, T } from '../integration/scenarios/story.js'
import { begin, NO_FAILURES, type StoryOptions } from './beginning.js'

/** Simulations of one thing each: of changes of the membership, and of snapshots. */
export const CHANGES_DIRECTED = {
  'an appended configuration is replaced': configurationReplaced,
  'only a server that is being left out can lead': leftOutIsNeeded,
  'a server with empty disks votes': emptyDisksVote,
  'a learner hears no leader': learnerHearsNobody,
  'a learner stays behind': learnerStaysBehind,
  'a lone voter gets company': loneVoterGetsCompany,
  'a machine crashes once it has taken others in': crashesAfterTakingIn,
  'the last two do not know each other': lastTwoAreStrangers,
  'a server comes anew behind a cut': comesAnewBehindCut,
  'a newcomer learns of the past': newcomerLearnsOfPast,
  'the newest snapshot is damaged': newestSnapshotDamaged,
  'a server dies while it takes a snapshot': diesTakingSnapshot,
  'a machine crashes once it has the snapshot that it was sent': crashesAfterInstalling,
  'pieces of a snapshot come twice': piecesComeTwice,
  'a state that is being replaced is read': readWhileRestoring,
  'a snapshot ends within the log': snapshotWithinLog,
} as const

/** Server 1 leads; those that wait to join are running, and the data directories of the members are written down. */
function beginWithSpares(spares: number, options: StoryOptions = {}): Story {
  const story = Story.ledBy(1, { ...NO_FAILURES, spares, ...options })
  story.until('the data directories are written down', () => story.end(1) === 2)
  story.until('the members know', () => story.cluster.members.every(({ context }) => context.commitIndex === 2))
  return story
}

/** Waits until all members have all entries, and know that they are committed. */
function settles(story: Story): void {
  story.until('all members know that all is committed', () =>
    story.cluster.members.every(({ context }) => context.commitIndex === story.end(1)),
  )
}

function adds(story: Story, ...ids: readonly ServerId[]): void {
  story.done(story.change(1, { add: ids }))
  story.until('their data directories are written down', () =>
    (story.configuration(1)?.members ?? []).every(({ storeId }) => storeId !== undefined),
  )
  settles(story)
}

/** Server 1 leads nobody when it adds server 4, and finds others in the place of its entries. */
function configurationReplaced(): void {
  const story = beginWithSpares(1)
  story.isolate(1)
  story.change(1, { add: [4], force: true })
  story.until('server 1 has appended it', () => story.end(1) === 3)
  story.elect(2)
  story.done(story.put(2, 'x', 'of term 2'))
  story.mendAll()
  story.heals()
}

/** The leader's last word before it dies reaches only server 4: that this one is left out. */
function leftOutIsNeeded(): void {
  const story = begin({ servers: 4 })
  story.cut(1, 3)
  story.hold(1, 2, 20)
  story.change(1, { remove: [4] })
  const isLeftOut = (): boolean => story.configuration(4)?.voters.includes(4) === false
  story.until(
    'server 4 hears that it is left out',
    () => isLeftOut() && story.context(4).durable.index === story.end(4),
  )
  story.cut(1, 2)
  story.server(1).kill()
  story.heals([1])
}

/** Server 2 has acknowledged what server 3 lacks. With other disks it votes for server 3, by a connection of before. */
function emptyDisksVote(): void {
  const story = begin()
  story.isolate(3)
  story.done(story.put(1, 'x', 'of term 1'))
  story.isolate(1)
  story.server(2).wipe()
  story.server(2).start()
  story.leaseEnds()
  story.server(3).running?.server.transportHandler.peerUp(2, 1, 'empty disks', 1)
  story.campaign(3)
  story.advance(1)
  story.deliver(3, 2, { type: 'requestVoteReply', term: story.term(3), granted: true })
  story.advance(1)
}

/** A learner is alone for many election timeouts. */
function learnerHearsNobody(): void {
  const story = beginWithSpares(1)
  adds(story, 4)
  story.isolate(4)
  const end = story.now + 6 * T
  while (story.now < end) {
    story.advance(5)
    if (story.role(4) === 'follower') continue
    throw new Violation('a learner never campaigns', `server 4 is ${story.role(4)}`)
  }
  story.heals()
}

/** A learner's disk is so slow that it is always far behind. It votes once there is less to do. */
function learnerStaysBehind(): void {
  const story = beginWithSpares(1)
  const isVoter = ({ configurations }: RaftContext): boolean =>
    configurations.at(-1)?.configuration.voters.includes(4) === true
  story.slowDisk(4, 2 * T)
  const change = { promote: [], remove: [], addresses: [], force: false }
  story
    .server(1)
    .running?.server.changeMembership(
      { ...change, learners: [{ ...memberOf(4), promotable: true }] },
      { resolve: () => undefined, reject: () => undefined, deadline: Infinity },
    )
  const end = story.now + 10 * T
  while (story.now < end) {
    story.put(1, 'x', `at ${story.now}`)
    story.advance(2)
    const behind = story.end(1) - story.end(4)
    if (!isVoter(story.context(1))) continue
    throw new Violation('a learner votes only once it has caught up', `server 4 is ${behind} entries behind`)
  }
  story.until('it votes', () => isVoter(story.context(1)))
  story.heals()
}

/** Server 1, alone until now, stands still as soon as servers 2 and 3 vote. */
function loneVoterGetsCompany(): void {
  const story = new Story({ ...NO_FAILURES, servers: 1, spares: 2 })
  story.until('server 1 leads', () => story.leads(1) && story.isServing(1))
  adds(story, 2, 3)
  const round = story.context(1).leadership?.round ?? 0
  story.until('a round is answered', () => [2, 3].every((id) => story.progress(1, id).confirmedRound > round))
  story.change(1, { promote: [2, 3] })
  const isSimple = (id: ServerId): boolean => {
    const { voters = [], votersOutgoing } = story.configuration(id) ?? {}
    return voters.length === 3 && votersOutgoing === undefined
  }
  story.until('they vote', () => isSimple(2) && isSimple(3))
  story.server(1).pause()
  story.advance(6 * T)
  story.server(1).resume()
  story.heals()
}

/** In mem-first the machine of the first server crashes long before its next sync, and nobody but it hears from it. */
function crashesAfterTakingIn(): void {
  const lazy = { durability: 'mem-first', syncIntervalMs: 100 * T } as const
  const story = new Story({ ...NO_FAILURES, ...lazy, servers: 1, spares: 2 })
  story.until('server 1 leads', () => story.leads(1) && story.isServing(1))
  adds(story, 2, 3)
  story.done(story.change(1, { promote: [2, 3] }))
  story.done(story.put(1, 'x', 'once they vote'))
  settles(story)
  story.isolate(1)
  story.server(1).crash()
  story.server(1).start()
  story.advance(6 * T)
  story.mendAll()
  story.heals()
}

/** Server 3 has missed that server 4 votes in the place of server 2, and then server 1 is gone for good. */
function lastTwoAreStrangers(): void {
  const story = beginWithSpares(1)
  story.isolate(3)
  story.done(story.change(1, { add: [4] }))
  story.until('server 4 has caught up', () => story.progress(1, 4).matchIndex === story.end(1))
  const change = { promote: [4], remove: [2] }
  story.until('server 4 has answered', () => story.progress(1, 4).confirmedRound > 0)
  story.done(story.change(1, change))
  story.until('server 4 has all', () => story.context(4).commitIndex === story.end(1))
  story.server(1).kill()
  story.server(2).kill()
  story.mendAll()
  story.heals([1])
}

/** Server 3 is left out and comes with other disks, and server 1 has not noticed yet that nobody is behind its connection. */
function comesAnewBehindCut(): void {
  const story = beginWithSpares(1)
  story.cut(1, 3)
  story.done(story.change(1, { remove: [3] }))
  story.server(3).wipe({ voters: [], learners: [] })
  story.server(3).start()
  story.done(story.change(1, { add: [3] }))
  story.advance(T)
  story.mendAll()
  story.heals()
}

/** Server 7 is sent the log an entry at a time; those whom the first of them name are all gone. */
function newcomerLearnsOfPast(): void {
  const story = beginWithSpares(4, { settings: { appendBytesMax: 1 } })
  adds(story, 4, 5, 6)
  story.done(story.change(1, { promote: [4, 5, 6], remove: [2, 3] }))
  story.done(story.change(1, { remove: [1] }))
  for (const id of [1, 2, 3]) story.server(id).kill()
  story.until('one of those who came leads', () => [4, 5, 6].some((id) => story.leads(id) && story.isServing(id)))
  const leader = [4, 5, 6].find((id) => story.leads(id)) ?? 4
  story.done(story.change(leader, { add: [7] }))
  story.advance(T)
  if (story.end(7) !== story.end(leader)) {
    const text = `server 7 has ${story.end(7)} of ${story.end(leader)} entries`
    throw new Violation('a newcomer hears its leader until it has the log', text)
  }
  story.heals([1, 2, 3])
}

/** Server 2 finds that the newest of its two snapshots is damaged in the middle. */
function newestSnapshotDamaged(): void {
  const story = begin()
  story.done(story.put(1, 'x', 'before the snapshots'))
  story.compact(2)
  const { snapshotDisk } = story.server(2)
  const newest = newestSnapshot(story, 2)
  story.server(2).kill()
  snapshotDisk.corruptFile(newest, snapshotDisk.fileLength(newest) >> 1)
  story.server(2).start()
  story.heals()
}

/** Server 2, whose log begins after a snapshot, dies at one moment or another while it takes the next. */
function diesTakingSnapshot(): void {
  for (let afterMs = 5; afterMs < 200; afterMs += 10) {
    const story = begin()
    story.compact(2)
    story.done(story.put(1, 'x', 'behind'))
    story.until('server 2 has applied it', () => story.stored(2, 'x') === 'behind')
    const { snapshotDisk } = story.server(2)
    snapshotDisk.latencyMs = () => 10
    story.snapshot(2)
    story.advance(afterMs)
    story.server(2).kill()
    story.server(2).start()
    story.heals()
  }
}

/** Server 3 begins with a snapshot that it was sent, and its machine loses power. */
function crashesAfterInstalling(): void {
  const story = begin()
  story.isolate(3)
  story.done(story.put(1, 'x', 'in the snapshot'))
  story.compact(1)
  story.mendAll()
  story.until('server 3 has the snapshot', () => story.context(3).commitIndex === story.end(1))
  story.advance(T)
  story.server(3).crash()
  story.server(3).start()
  story.heals()
}

/** Server 3 is sent a snapshot, each piece of it twice. */
function piecesComeTwice(): void {
  const story = begin({ snapshotting: SMALL_PIECES })
  story.isolate(3)
  story.done(story.put(1, 'x', 'in the snapshot'))
  story.compact(1)
  story.mendAll()
  story.cluster.network.setFaults({ delayMs: 1, duplication: 1 })
  story.cluster.advanceUntil(() => story.context(3).commitIndex === story.end(1), 10 * T)
  const damage = story.notices.find((text) => text.includes('refused'))
  if (damage !== undefined) throw new Violation('no damage is found where there is none', damage)
  story.heals()
}

/** Server 3 reads, a little at a time, the snapshot by which its state is replaced. */
function readWhileRestoring(): void {
  const story = begin({ snapshotting: SMALL_PIECES })
  story.done(story.put(1, 'x', 'from the first'))
  story.until('server 3 has it', () => story.stored(3, 'x') !== undefined)
  story.isolate(3)
  story.done(story.put(1, 'y', 'in the snapshot'))
  story.compact(1)
  story.server(3).snapshotDisk.latencyMs = () => 1
  story.mendAll()
  const isThere = (): boolean => story.stored(3, 'between') !== undefined
  for (const end = story.now + 20 * T; !isThere() && story.now < end; story.advance(0.5)) {
    if (story.stored(3, 'x') !== undefined) continue
    throw new Violation(
      'an eventual read sees a prefix, and never an older one',
      'server 3 has lost what it had applied',
    )
  }
  story.heals()
}

const SMALL_PIECES = {
  snapshotEntries: 0,
  snapshotLogBytes: 0,
  snapshotIntervalMs: 0,
  logEntriesKept: 0,
  chunkBytes: 16,
}

/** Server 3, started again, has an entry behind the end of a snapshot that it is sent; server 2 has not. */
function snapshotWithinLog(): void {
  const story = begin()
  story.isolate(2)
  story.done(story.put(1, 'x', 'in the snapshot'))
  story.compact(1)
  story.mendAll()
  story.until('server 2 has the snapshot', () => story.context(2).commitIndex === story.end(1))
  const pieces = story.heardBy(2, 'installSnapshot').map(({ message }) => message)
  story.until('server 3 knows that all is committed', () => story.context(3).commitIndex === story.end(1))
  story.isolate(2)
  story.done(story.put(1, 'x', 'behind the snapshot'))
  story.isolate(1)
  story.server(3).kill()
  story.server(3).start()
  story.advance(0)
  for (const piece of pieces) story.deliver(3, 1, piece)
  story.advance(1)
  story.mend(2, 3)
  story.until('one of them leads', () => story.leads(2) || story.leads(3))
  story.heals()
}

function newestSnapshot(story: Story, id: ServerId): string {
  const indexOf = (name: string): number => Number(name.split('-')[1])
  const [newest = ''] = [...story.server(id).snapshotDisk.fileNames()].sort((a, b) => indexOf(b) - indexOf(a))
  return newest
}
