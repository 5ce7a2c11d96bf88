import { describe, it } from 'vitest'
import type { FaultKind, KvScenarioOptions } from '../../src/testing/index.js'
import { playStories } from './simulation-commands.js'

/** Logs are compacted after every few entries, and sent in pieces of a few bytes. */
const OFTEN: KvScenarioOptions['snapshotting'] = {
  snapshotEntries: 4,
  snapshotLogBytes: 0,
  snapshotIntervalMs: 0,
  logEntriesKept: 0,
  chunkBytes: 48,
  windowChunks: 2,
  retryMs: 60,
}
const DISKS: readonly FaultKind[] = ['failing snapshot disk', 'slow snapshot disk', 'corrupted snapshot']

// Judged whenever a state is restored: it is the one that the log gives. What is compacted is committed.
describe('a cluster that compacts its logs', () => {
  it('comes to one state when those that were away need a snapshot', () => {
    playStories({ faults: ['partition', 'kill', 'pause', 'slow snapshot disk'], snapshotting: OFTEN })
  })
  it('comes to one state when pieces of snapshots are lost, repeated, damaged and late', () => {
    playStories({
      faults: ['loss', 'delay', 'duplication', 'reordering', 'corruption', 'partition'],
      snapshotting: OFTEN,
    })
  })
  it('loses nothing when machines crash in the middle of taking or installing one', () => {
    playStories({ faults: ['crash', 'all down', 'partition', 'slow snapshot disk', 'slow disk'], snapshotting: OFTEN })
  })
  it('loses nothing when the disks of snapshots fail or damage them', () => {
    playStories({ faults: [...DISKS, 'kill', 'partition'], snapshotting: OFTEN, servers: 5 })
  })
  it('brings new servers up while the membership changes', () => {
    playStories({ faults: ['membership change', 'partition', 'kill', 'crash'], snapshotting: OFTEN, spares: 2 })
  })
})
