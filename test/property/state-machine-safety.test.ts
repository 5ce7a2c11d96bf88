import { expect, describe, it } from 'vitest'
import { playStories } from './simulation-commands.js'

describe('State Machine Safety (§5.4.3)', () => {
  it('applies the same entries in the same order on every server, across restarts', () => {
    playStories({ faults: ['kill', 'all down', 'slow disk', 'partition'] })
  })
  it('applies the same entries when the log in memory is too short for those that are behind', () => {
    playStories({ faults: ['partition', 'kill', 'loss', 'pause'], settings: { logTailBytesMax: 0 } })
  })
  it('leaves all servers with as many entries applied as committed', () => {
    playStories({
      faults: ['kill', 'pause'],
      stories: 10,
      claim: ({ cluster }) => {
        const applied = cluster.servers.map(({ running }) => running?.server.lastApplied)
        expect(applied).toEqual(applied.map(() => cluster.safety.committedIndex))
      },
    })
  })
})
