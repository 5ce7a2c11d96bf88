import { expect, it, vi } from 'vitest'
import { drawPlan, runPlan, type PlanOptions } from '../../src/testing/index.js'
import { Story, T } from '../integration/scenarios/story.js'

vi.setConfig({ testTimeout: 120_000 })

/** A run that once broke a law, as it was drawn then: with clients that only know single keys, or with none that travel. */
function claimRun(story: string, options: PlanOptions): void {
  const plan = drawPlan({ coordination: false, ...options })
  const coordination = plan.coordination && { ...plan.coordination, travellers: 0 }
  it(story, () => expect(runPlan({ ...plan, coordination }).violation).toBeUndefined())
}

// A judge was too strict: it did not excuse a server whose machine had crashed.
claimRun('an acknowledgement is counted after its machine crashed, in mem-first', { seed: 368_670_862, changes: false })

// A member that had missed a change refused its new peer, without whom no quorum could elect a leader to tell it.
claimRun('members that do not know each other find a leader through those who know both', { seed: 376_958_166 })

// It looked for others only after a silence that its own vain campaigns kept interrupting.
claimRun('a member that was left out and taken in again is found while it campaigns in vain', { seed: 377_087_588 })

// A judge asked a server for its state that nobody had waited for.
claimRun('a server that runs in spite of a damaged older snapshot catches up', { seed: 378_471_452 })

// Asked for the members, a server that had been wiped named none of their data directories, and was taken for itself.
claimRun('a wiped server elects nobody who lacks what it has forgotten', { seed: 379_431_265 })

// A snapshot that another one followed at once became the state, and was not said to be applied.
claimRun('a server knows what it has applied between two snapshots that it restores', { seed: 380_392_432 })

// A judge gave a watcher that is slow, and asks for the history one change at a time, too little time.
claimRun('a slow watcher is told of everything in the end', { seed: 384_503_171, coordination: true })

// A judge took watchers that had only just lost their servers for ones that stand still.
claimRun('watchers are given the time to find another server', { seed: 388_284_428, coordination: true })

// A judge had forgotten that the disk failed while a surplus snapshot was deleted, which shows in what is asked of it next.
claimRun('a snapshot disk that failed for a while may stop its server later', { seed: 389_565_613 })

// Its connection to the one before had not yet noticed that it was gone, and the leader wrote down that one's directory.
claimRun('a server that comes anew behind a cut is not taken for the one before', { seed: 389_567_590 })

// A log from long ago named none of those whom it came from, and the newcomer hung up on them.
claimRun('a server that is caught up on the past keeps to those who tell it', { seed: 389_570_796, coordination: true })

// Several peers had refused it, and what was read for each of them came to the damage.
claimRun('a damaged snapshot is set aside once, whoever finds that it is', { seed: 400_009_203 })

// What a server behind it told of the members hid what its own log said, until the members changed again.
claimRun('a server believes its log of the members, not one who knows less', { seed: 410_000_665 })

// The disk was whole again by the time its server stopped for it, and nobody started that server again.
claimRun('a server that stops for a disk that is whole again is started', { seed: 420_003_990 })

// A judge gave a newcomer too little time for a snapshot in pieces of 16 bytes.
claimRun('a newcomer has its snapshot in the end, however small the pieces', { seed: 430_010_373, coordination: true })

// A leader that stood still counted what a server had told it that has crashed and come back without it since.
claimRun('an acknowledgement is counted after its machine has come back, in mem-first', { seed: 490_001_096 })

// A server had told its leader of an entry, but not yet its own machine, when it was crashed as if it did not hold it.
claimRun('a machine holds what its server has told others, in mem-first', { seed: 500_002_044 })

// That the last sound snapshot of a server was damaged showed only when it was started for the last time.
claimRun('a server without a sound snapshot is known to be lost when it starts', { seed: 510_040_120 })

// Of two times of slowness that overlapped the later one, in ending, brought back the earlier, and the disk stayed slow.
claimRun('a disk that was slowed twice is healed of both', { seed: 480_007_787 })

// A server that had missed its removal was made a member again. All whom it knew had left since, and it refused the leader.
claimRun('a member that knows nobody who is still there finds the others', { seed: 440_009_292 })

// In mem-first a majority lost an entry, one of them by damage to the end of its log, which was taken to keep it from starting.
claimRun('damage to the end of a log counts as a crash that loses it, in mem-first', { seed: 450_003_579 })

// In mem-first a lone voter whose machine crashed forgot that it had taken in others since, and elected itself without them.
claimRun('a machine that crashes never forgets whom its server had taken in', { seed: 520_002_486 })

// A late answer to what was sent before it was taken for the answer to a probe that was lost, and the entry with it.
claimRun('a peer that has answered what came before a probe is sent what the probe had', { seed: 530_015_554 })

// A snapshot of a later term was durable before the log, whose disk then failed, had been told of that term.
claimRun('a server that has a snapshot of a later term starts in that term', { seed: 570_003_431 })

// The leader wrote down the data directory that it had last seen under the id, and refused the new one for ever.
it('a server that comes anew under its old id is known by its new data directory', () => {
  const story = Story.ledBy(1)
  story.until('the no-op is there', () => story.end(2) === 1)
  story.server(2).wipe()
  story.server(2).start()
  story.advance(5 * T)
  expect(story.end(2)).toBe(0)
  story.done(story.change(1, { remove: [2] }))
  story.server(2).wipe({ voters: [], learners: [] })
  story.server(2).start()
  story.done(story.change(1, { add: [2] }))
  story.until('it has the log', () => story.end(2) === story.end(1))
  story.heals()
})
