import { describe, it } from 'vitest'
import { FAULT_KINDS } from '../../src/testing/index.js'
import { playStories } from './simulation-commands.js'

// Every story ends so: all faults heal, and then a leader is elected, all servers come to one log, and all answer.
describe('a healed cluster', () => {
  it('elects a leader, comes to one log and answers, whatever happened to three servers', () => {
    playStories({ faults: FAULT_KINDS, stories: 40 })
  })
  it('elects a leader, comes to one log and answers, whatever happened to five servers', () => {
    playStories({ faults: FAULT_KINDS, servers: 5 })
  })
})
