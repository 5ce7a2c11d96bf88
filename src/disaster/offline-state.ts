import { fromCallback } from '../engine-parts.js'
import type { AppliedEnd } from '../actors/apply-actor.js'
import { forEachCommand, type EntryRun } from '../machines/entry-run.js'
import { KeyValueStore } from '../state-machines/kv/key-value-store.js'
import type { LogStore, Recovered, SnapshotReader, SnapshotStore } from '../storage/ports.js'

/** A server's state with every entry of its log applied, whether known to be committed or not. */
export interface OfflineState {
  readonly stateMachine: KeyValueStore
  readonly end: AppliedEnd
}

const READ_BYTES = 4 * 1024 * 1024

/** Comes to the state as an engine would: the newest snapshot, and then the log after it. */
export async function readState(
  store: LogStore,
  snapshots: SnapshotStore,
  recovered: Recovered,
): Promise<OfflineState> {
  const stateMachine = new KeyValueStore()
  let end: AppliedEnd = { index: 0, term: 0, checksum: 0, clusterTime: 0 }
  const newest = snapshots.stored[0]
  if (newest !== undefined) {
    const reader = await fromCallback<SnapshotReader>((callback) => snapshots.openReader(newest.id, callback))
    await restore(stateMachine, reader).finally(() => reader.close())
    const { index, term, checksum, clusterTime } = newest.boundary
    end = { index, term, checksum, clusterTime }
  }
  while (end.index < recovered.lastIndex) {
    const from = end.index + 1
    const runs = await fromCallback<readonly EntryRun[]>((callback) => store.read(from, READ_BYTES, callback))
    for (const run of runs) end = apply(stateMachine, run, end)
  }
  return { stateMachine, end }
}

async function restore(stateMachine: KeyValueStore, reader: SnapshotReader): Promise<void> {
  const sink = stateMachine.restore()
  for (;;) {
    const chunk = await fromCallback<Uint8Array | undefined>((callback) => reader.next(callback))
    if (chunk === undefined) return sink.end()
    sink.write(chunk)
  }
}

function apply(stateMachine: KeyValueStore, run: EntryRun, before: AppliedEnd): AppliedEnd {
  if (run.kind === 'command') {
    const bounds: number[] = []
    forEachCommand(run, (start, end) => bounds.push(start, end))
    const { firstIndex, term, count, clusterTime, wallTime, bytes } = run
    const of = { firstIndex, term, count, clusterTime, wallTime, bytes }
    stateMachine.apply({ ...of, bounds: Uint32Array.from(bounds), resultsWanted: false })
  }
  const clusterTime = Math.max(before.clusterTime, run.clusterTime)
  return { index: run.lastIndex, term: run.term, checksum: run.checksum, clusterTime }
}
