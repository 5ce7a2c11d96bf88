import { describe, it } from 'vitest'
import { playCoordination, SNAPSHOTS } from './coordination-stories.js'

// Judged: what is sent again is applied once, with the answer of the first time; what was given up is not applied after a
// later command; a session is gone only once it has ended.
describe('a session', () => {
  it('has each command applied once, however often leaders change meanwhile', () => {
    playCoordination({ sessions: 3 }, ['kill', 'partition', 'one-way partition', 'leadership transfer'])
  })
  it('has each command applied once when frames are lost, repeated and late', () => {
    playCoordination({ sessions: 3 }, ['loss', 'duplication', 'reordering', 'delay'], { requestTimeoutMs: 100 })
  })
  it('has each command applied once when machines crash, all of them at once too', () => {
    playCoordination({ sessions: 3 }, ['crash', 'all down', 'pause'])
  })
  it('remembers its answers in a snapshot', () => {
    playCoordination({ sessions: 3 }, ['partition', 'kill', 'all down'], { snapshotting: SNAPSHOTS })
  })
})
