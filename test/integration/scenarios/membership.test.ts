import { describe, expect, it } from 'vitest'
import { Story, T } from './story.js'

/** Server 1 leads, and everyone has what came with its first term. */
function settled(spares: number): Story {
  const story = Story.ledBy(1, { spares })
  story.until('the data directories are written down', () =>
    [1, 2, 3].every((id) => story.context(id).commitIndex === (spares === 0 ? 1 : 2)),
  )
  return story
}

describe('SCENARIO 26: a new leader changes no configuration before an entry of its own term is committed', () => {
  it('it refuses, and takes the change once its no-op is committed', () => {
    const story = settled(1)
    story.lead(2)
    const early = story.settle(story.change(2, { add: [4] }))
    expect(early.error?.code).toBe('REFUSED')
    expect(early.error?.message).toMatch(/only just been elected/)
    story.until('its no-op is committed', () => story.isServing(2))
    story.done(story.change(2, { add: [4] }))
    expect(story.configuration(2)?.learners).toEqual([4])
    story.heals()
  })
})

describe('SCENARIO 27: a configuration whose entry is truncated is rolled back', () => {
  it('the one before it rules again', () => {
    const story = settled(1)
    story.isolate(1)
    const lost = story.change(1, { add: [4], force: true })
    story.until('it is appended', () => story.end(1) === 3)
    expect(story.configuration(1)?.learners).toEqual([4])
    story.elect(2)
    story.mendAll()
    story.until('server 1 follows', () => story.context(1).commitIndex === story.end(2))
    expect(story.configuration(1)?.learners).toEqual([])
    expect(story.settle(lost).error?.code).toBe('OUTCOME_UNKNOWN')
    story.heals()
  })
})

describe('SCENARIO 28: a leadership transfer ends within an election timeout', () => {
  it('when the target does not answer: the leader goes on', () => {
    const story = settled(0)
    story.isolate(3)
    story.server(1).running?.server.transferLeadership(3)
    const begun = story.now
    const put = story.put(1, 'x', 'waited')
    story.done(put)
    expect(story.now - begun).toBeLessThanOrEqual(T + 60)
    expect(story.leads(1)).toBe(true)
    story.heals()
  })

  it('when the target is far behind: it leads once it has caught up, or the leader goes on', () => {
    const story = settled(0)
    story.isolate(3)
    for (let entry = 0; entry < 50; entry++) story.done(story.put(1, `key ${entry}`, 'x'))
    story.mendAll()
    story.server(1).running?.server.transferLeadership(3)
    const begun = story.now
    story.done(story.put(1, 'x', 'waited'))
    expect(story.now - begun).toBeLessThanOrEqual(2 * T)
    story.heals()
  })
})

describe('SCENARIO 29: from {1,2,3} to {4,5,6} in one joint change', () => {
  /** Servers 4, 5 and 6 listen, and have everything. */
  function prepared(): Story {
    const story = settled(3)
    story.done(story.change(1, { add: [4, 5, 6] }))
    story.until('their data directories are written down', () => story.end(1) === 4)
    story.until('everyone knows', () => story.running.every(({ context }) => context.commitIndex === 4))
    return story
  }

  it('neither half decides without the other', () => {
    const story = prepared()
    for (const old of [1, 2, 3]) for (const next of [4, 5, 6]) story.cut(old, next)
    const before = story.cluster.safety.committedIndex
    story.change(1, { promote: [4, 5, 6], remove: [1, 2, 3] })
    story.put(1, 'x', 'decided by nobody')
    story.advance(10 * T)
    expect(story.cluster.safety.committedIndex).toBe(before)
    story.heals()
  })

  it('with all of them the new ones go on alone, and the old ones are gone', () => {
    const story = prepared()
    story.done(story.change(1, { promote: [4, 5, 6], remove: [1, 2, 3] }))
    story.until('a new one leads', () => [4, 5, 6].some((id) => story.leads(id)))
    for (const old of [1, 2, 3]) story.server(old).kill()
    const leader = [4, 5, 6].find((id) => story.leads(id)) ?? 4
    story.done(story.put(leader, 'x', 'decided by the new ones'))
    expect(story.configuration(leader)?.voters).toEqual([4, 5, 6])
    story.heals()
  })
})

describe('a member all of whose acquaintances have left', () => {
  /** Server 4 leads alone, and those who made it a member are gone. Server `away` was not there. */
  function handedOverTo4(story: Story, away: number, founder: number): void {
    const others = [1, 2, 3].filter((id) => id !== away)
    story.done(story.change(founder, { add: [4] }))
    story.until('server 4 has caught up', () => story.end(4) === story.end(founder))
    story.done(story.change(founder, { promote: [4], remove: [1, 2, 3], force: true }))
    story.until('server 4 leads', () => story.isServing(4))
    for (const id of others) story.server(id).kill()
    story.done(story.change(4, { add: [away], force: true }))
  }

  it('asks the leader that it had to refuse, and follows it', () => {
    const story = settled(1)
    story.isolate(3)
    handedOverTo4(story, 3, 1)
    story.mendAll()
    story.until('server 3 has the log', () => story.end(3) === story.end(4))
    expect(story.configuration(3)?.learners).toEqual([3])
    story.heals([1, 2])
  })

  it('does so too when its own log has a change further on that was never committed', () => {
    const story = settled(2)
    story.isolate(1)
    for (let at = 0; at < 20; at++) {
      story.put(1, `k${at}`, 'of nobody')
      story.advance(0)
    }
    story.change(1, { add: [5], force: true })
    story.advance(0)
    const undecided = story.context(1).configurations.at(-1)?.index ?? 0
    story.elect(2)
    handedOverTo4(story, 1, 2)
    expect(undecided).toBeGreaterThan(story.end(4))
    story.mendAll()
    story.until('server 1 has the log', () => story.end(1) === story.end(4))
    expect(story.configuration(1)?.learners).toEqual([1])
    story.heals([2, 3])
  })
})
