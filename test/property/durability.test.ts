import { describe, it } from 'vitest'
import type { FaultKind } from '../../src/testing/index.js'
import { playStories } from './simulation-commands.js'

const FAILING: readonly FaultKind[] = ['torn write', 'failed write', 'failed sync', 'full disk', 'read-only disk']

describe('what was acknowledged is kept', () => {
  it('when machines crash, all of them at once too', () => playStories({ faults: ['crash', 'all down', 'slow disk'] }))
  it('when disks fail', () => playStories({ faults: [...FAILING, 'kill'] }))
  it('when a minority of disks is damaged for good', () => {
    playStories({ faults: ['corrupted record', 'removed record', 'crash', 'partition'], servers: 5 })
  })
  it('in mem-first mode when processes die, all of them at once too', () => {
    playStories({ faults: ['kill', 'all down', 'partition'], durability: 'mem-first' })
  })
  it('in mem-first mode when machines crash that cannot elect a leader without the others', () => {
    playStories({ faults: ['crash', 'partition', 'slow disk'], durability: 'mem-first', servers: 5 })
  })
})
