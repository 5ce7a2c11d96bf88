import type { Coordination, FaultKind } from '../../src/testing/index.js'
import { playStories, type Play } from './simulation-commands.js'

/** Nobody: each test has those that it is about. */
const NOBODY: Coordination = {
  bankers: 0,
  accounts: 4,
  holders: 0,
  sessions: 0,
  watchers: 0,
  travellers: 0,
  thinkMs: [0, 20],
  historyEntriesMax: 100_000,
  isWitnessed: true,
}

/** Logs are compacted after every few entries, so that those that were away get the state as a snapshot. */
export const SNAPSHOTS: Play['snapshotting'] = {
  snapshotEntries: 12,
  snapshotLogBytes: 0,
  snapshotIntervalMs: 0,
  logEntriesKept: 0,
  chunkBytes: 256,
  windowChunks: 4,
  retryMs: 60,
}

/** As `playStories`, with clients that coordinate beside those of the stories. */
export function playCoordination(
  clients: Partial<Coordination>,
  faults: readonly FaultKind[],
  options: Partial<Play> = {},
): void {
  playStories({
    stories: 8,
    clients: 2,
    requestTimeoutMs: 300,
    ...options,
    faults,
    coordination: { ...NOBODY, ...clients },
  })
}
