import { describe, it } from 'vitest'
import { playCoordination, SNAPSHOTS } from './coordination-stories.js'

// Judged at every answer: the total of all accounts, whatever read it, and each range against a plain model of the log;
// and real time against the order of the log.
describe('a bank whose money is moved by transactions', () => {
  it('never changes its total, whatever leaders are deposed', () => {
    playCoordination({ bankers: 3 }, ['partition', 'one-way partition', 'pause', 'kill', 'leadership transfer'])
  })
  it('never changes its total when machines crash, all of them at once too', () => {
    playCoordination({ bankers: 3 }, ['crash', 'all down', 'slow disk'])
  })
  it('never changes its total on servers that get it as a snapshot', () => {
    playCoordination({ bankers: 3 }, ['partition', 'kill', 'slow snapshot disk'], { snapshotting: SNAPSHOTS })
  })
  it('can be added up by lease while clocks keep to the bound', () => {
    playCoordination({ bankers: 3 }, ['drift', 'pause', 'partition', 'leadership transfer'], {
      linearizableReads: 'lease',
    })
  })
  it('can be added up as of a revision for as long as the past is kept', () => {
    playCoordination({ bankers: 3, historyEntriesMax: 8 }, ['partition', 'kill', 'duplication'])
  })
})
