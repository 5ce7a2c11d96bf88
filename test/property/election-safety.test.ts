import { describe, it } from 'vitest'
import { playStories } from './simulation-commands.js'

// Judged at every election and every vote: test/property/simulation-commands.ts plays, the safety checker watches.
describe('Election Safety (§5.2)', () => {
  it('elects at most one leader a term while servers die and come back', () => {
    playStories({ faults: ['kill', 'crash', 'partition', 'all down'] })
  })
  it('elects at most one leader a term while servers stand still and are cut off', () => {
    playStories({ faults: ['pause', 'partition', 'one-way partition', 'slow disk'], servers: 5 })
  })
  it('elects at most one leader a term when leadership is handed over', () => {
    playStories({ faults: ['leadership transfer', 'kill', 'delay', 'slow disk', 'duplication'] })
  })
  it('lets no server vote twice in a term, however its disk fails', () => {
    playStories({ faults: ['failed write', 'torn write', 'failed sync', 'crash', 'partition'] })
  })
})
