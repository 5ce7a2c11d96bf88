import { describe, it } from 'vitest'
import { playCoordination, SNAPSHOTS } from './coordination-stories.js'

const WRITERS = { bankers: 1, holders: 1, sessions: 1, watchers: 4 }

// Judged at every event, against a plain model of the log: no gap, no repeat, no other order, no torn revision; the past
// is gone only when it must be; and once all is healed, everybody is told of everything.
describe('watches', () => {
  it('go on at another server when theirs is gone, without gap or repeat', () => {
    playCoordination(WRITERS, ['kill', 'crash', 'partition', 'leadership transfer'])
  })
  it('are told only of what is committed, on servers that are cut off too', () => {
    playCoordination(WRITERS, ['partition', 'one-way partition', 'partial cut', 'pause'])
  })
  it('miss nothing on servers whose state becomes a snapshot', () => {
    playCoordination(WRITERS, ['partition', 'kill', 'slow snapshot disk'], { snapshotting: SNAPSHOTS })
  })
  it('begin anew, and say so, where the past is gone', () => {
    playCoordination({ ...WRITERS, historyEntriesMax: 6 }, ['partition', 'kill', 'pause'], { snapshotting: SNAPSHOTS })
  })
})
