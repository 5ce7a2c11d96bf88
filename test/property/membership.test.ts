import { describe, it } from 'vitest'
import type { FaultKind } from '../../src/testing/index.js'
import { playStories } from './simulation-commands.js'

const CHANGES: readonly FaultKind[] = ['membership change', 'membership change', 'membership change']

// Judged at every step: one change at a time, quorums that have a server in common, what is committed on a majority of
// the configuration that rules. At the end all members, learners too, come to one log.
describe('a cluster whose members change', () => {
  it('breaks no law while servers join, are promoted, demoted, removed and come back', () => {
    playStories({ faults: CHANGES, spares: 2 })
  })
  it('breaks no law when links are cut and leaders change meanwhile', () => {
    playStories({ faults: [...CHANGES, 'partition', 'one-way partition', 'leadership transfer', 'pause'], spares: 2 })
  })
  it('breaks no law when servers and machines die meanwhile', () => {
    playStories({ faults: [...CHANGES, 'kill', 'crash', 'all down', 'slow disk'], spares: 3 })
  })
  it('hears no server that comes back with an empty disk, until it has been let in anew', () => {
    playStories({ faults: ['wiped disk', 'membership change', 'partition', 'kill'], servers: 5, spares: 1 })
  })
})
