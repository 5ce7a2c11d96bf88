import { describe, it } from 'vitest'
import { playCoordination, SNAPSHOTS } from './coordination-stories.js'

// Judged at every answer, by what the client was told before and the order of the log; nothing is asked of the view.
describe('a causal view of a client that goes from server to server', () => {
  it('never goes back, whichever servers are cut off or behind', () => {
    playCoordination({ travellers: 3 }, ['partition', 'one-way partition', 'pause', 'leadership transfer'])
  })
  it('never goes back on servers that were started anew, or have got a snapshot', () => {
    playCoordination({ travellers: 3 }, ['kill', 'crash', 'slow snapshot disk'], { snapshotting: SNAPSHOTS })
  })
  it('never goes back when its calls end with an unknown outcome', () => {
    playCoordination({ travellers: 3 }, ['loss', 'delay', 'kill'], { requestTimeoutMs: 100 })
  })
})
