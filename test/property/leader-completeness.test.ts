import { describe, it } from 'vitest'
import { playStories } from './simulation-commands.js'

describe('Leader Completeness (§5.4)', () => {
  it('elects only leaders that hold every committed entry, leader after leader', () => {
    playStories({ faults: ['kill', 'leadership transfer', 'partition', 'delay'] })
  })
  it('elects only leaders that hold every committed entry when entries of old terms linger (Figure 8)', () => {
    playStories({ faults: ['crash', 'one-way partition', 'slow disk', 'loss'], servers: 5 })
  })
})
