import { describe, it } from 'vitest'
import { playCoordination, SNAPSHOTS } from './coordination-stories.js'

// Judged: no lease ends before its time in cluster time, nor sooner by real time than clocks may run apart; whoever holds
// it knows before; every server ends the same keys at the same revision; and all that is over ends once all is healed.
describe('leases and times to live', () => {
  it('end in their time, and on every server alike, whatever leaders are deposed', () => {
    playCoordination({ holders: 3 }, ['partition', 'one-way partition', 'kill', 'leadership transfer'])
  })
  it('end in their time when processes pause and clocks run apart', () => {
    playCoordination({ holders: 3 }, ['pause', 'drift', 'partition', 'delay'])
  })
  it('keep what remains of their time when all servers start again', () => {
    playCoordination({ holders: 3 }, ['all down', 'crash', 'kill'])
  })
  it('keep what remains of their time in a snapshot', () => {
    playCoordination({ holders: 3 }, ['partition', 'kill', 'all down'], { snapshotting: SNAPSHOTS })
  })
})
