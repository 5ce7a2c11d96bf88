import type { Boundary, HardState, LogIndex, Term } from '../machines/types.js'
import { damaged } from './damage.js'
import type { Callback, LogStore, LogWrite, Recovered, StoredSnapshot } from './ports.js'

/**
 * Fits a recovered log to the newest snapshot. They differ after a crash between the two steps of an installation: the
 * snapshot is durable first, and then the log begins anew after it. Calls back with the log as it is from here on;
 * CORRUPT when the log begins after what any snapshot covers, or is a new one: it was there before any snapshot.
 */
export function fitToSnapshot(
  store: Pick<LogStore, 'write'>,
  recovered: Recovered,
  newest: StoredSnapshot | undefined,
  callback: Callback<Recovered>,
): void {
  if (recovered.fresh && newest !== undefined) {
    const what = `the log is missing, though there is a snapshot of entries up to ${newest.id.index}`
    return callback(damaged("server's directory", what), recovered)
  }
  const covered = newest?.id.index ?? 0
  if (covered < recovered.boundary.index) {
    const begin = `the log begins after entry ${recovered.boundary.index}`
    const what = `${begin}, but the newest sound snapshot covers entries up to ${covered} only`
    return callback(damaged("server's directory", what), recovered)
  }
  if (newest === undefined || holds(recovered, newest.boundary)) return callback(undefined, recovered)
  const { boundary } = newest
  const oldest = recovered.boundary.index + 1
  const hardState = hardStateAfter(recovered, boundary)
  const write: LogWrite = {
    runs: [],
    boundary,
    ...(hardState === recovered.hardState ? {} : { hardState }),
    ...(recovered.lastIndex >= oldest ? { truncateFrom: oldest } : {}),
    ...(newest.clusterId === undefined ? {} : { clusterId: newest.clusterId }),
  }
  store.write(write, (error) => {
    if (error !== undefined) callback(error, recovered)
    else callback(undefined, begunAnew({ ...recovered, hardState }, newest))
  })
}

/** The snapshot came in a term of which the log was never told: nobody can have had a vote from here in it. */
function hardStateAfter({ hardState }: Recovered, { term }: Boundary): HardState {
  return term > hardState.term ? { ...hardState, term, votedFor: undefined } : hardState
}

function holds(recovered: Recovered, { index, term }: Boundary): boolean {
  return termAt(recovered, index) === term
}

function termAt({ boundary, lastIndex, termStarts }: Recovered, index: LogIndex): Term | undefined {
  if (index === boundary.index) return boundary.term
  if (index > lastIndex) return undefined
  return termStarts.findLast((start) => start.index <= index)?.term
}

function begunAnew(recovered: Recovered, { boundary, clusterId }: StoredSnapshot): Recovered {
  return {
    ...recovered,
    clusterId: clusterId ?? recovered.clusterId,
    boundary,
    lastIndex: boundary.index,
    lastChecksum: boundary.checksum,
    lastClusterTime: boundary.clusterTime,
    termStarts: [],
    configurations: [],
  }
}
