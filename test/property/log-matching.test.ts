import { describe, it } from 'vitest'
import { playStories } from './simulation-commands.js'

describe('Log Matching (§5.3)', () => {
  it('keeps logs equal wherever they share an entry, whatever links do to messages', () => {
    playStories({ faults: ['loss', 'delay', 'duplication', 'reordering', 'corruption'] })
  })
  it('keeps logs equal wherever they share an entry when deposed leaders come back with entries of their own', () => {
    playStories({ faults: ['partition', 'kill', 'reordering', 'pause'], servers: 5 })
  })
})
