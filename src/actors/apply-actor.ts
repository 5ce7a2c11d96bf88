import { ActorumError } from '../errors.js'
import type { Commit } from '../machines/effects.js'
import { clusterIdOf, forEachCommand, type EntryRun } from '../machines/entry-run.js'
import { invariant } from '../machines/invariant.js'
import type { Boundary, LogIndex } from '../machines/types.js'
import type { CommittedBatch, StateMachine } from '../state-machines/ports.js'
import type { LogStore } from '../storage/ports.js'

export interface ApplyActorPorts<Command, Result> {
  readonly stateMachine: StateMachine<Command, Result>
  readonly store: LogStore
  /** Whether this server's own clients wait for a run's results. */
  readonly isAwaited: (run: EntryRun) => boolean
  /** After every run; with results when its commands are awaited. */
  readonly applied: (run: EntryRun, results: readonly Result[] | undefined) => void
  /** A no-op named the cluster. */
  readonly named: (clusterId: string) => void
  readonly fail: (error: Error) => void
  /** More of the backlog has come from disk: apply it in a turn of the loop. */
  readonly wake: () => void
}

/** The end of the last run applied: where a snapshot of the state is taken. */
export type AppliedEnd = Omit<Boundary, 'configuration'>

const BACKLOG_READ_BYTES = 1024 * 1024
const QUEUE_BYTES_MAX = 8 * 1024 * 1024

/**
 * Applies committed runs in log order, each once a start. Runs come with the commit; those from before this start, or
 * no longer in memory, are read from disk, a piece at a time, so that a long backlog does not hold up the loop.
 */
export class ApplyActor<Command, Result> {
  readonly #ports: ApplyActorPorts<Command, Result>
  #end: AppliedEnd
  #appliedBytes = 0
  /** The state is being replaced by a snapshot's: nothing is applied meanwhile. */
  #isRestoring = false
  #commitIndex: LogIndex
  /** Committed and not yet applied, in order, perhaps with a gap before the first. */
  #queue: EntryRun[] = []
  #queuedBytes = 0
  #isReading = false

  constructor(ports: ApplyActorPorts<Command, Result>, end: AppliedEnd) {
    this.#ports = ports
    this.#end = end
    this.#commitIndex = end.index
  }

  get lastApplied(): LogIndex {
    return this.#end.index
  }

  /** What the state has come to, as a snapshot of it would say. */
  get end(): AppliedEnd {
    return this.#end
  }

  get isRestoring(): boolean {
    return this.#isRestoring
  }

  /** Bytes of all runs applied since this start. */
  get appliedBytes(): number {
    return this.#appliedBytes
  }

  /** The state is about to become that of a snapshot; `restored` says when it is. */
  restoring(index: LogIndex): void {
    this.#isRestoring = true
    this.#commitIndex = Math.max(this.#commitIndex, index)
    this.#queue = this.#queue.filter((run) => run.firstIndex > index)
    this.#queuedBytes = this.#queue.reduce((sum, run) => sum + run.bytes.length, 0)
  }

  restored(end: AppliedEnd): void {
    this.#isRestoring = false
    this.#end = end
    this.#ports.wake()
  }

  commit({ index, runs }: Commit): void {
    this.#commitIndex = index
    for (const run of runs) {
      // Behind a long backlog new runs are not kept in memory as well: they will be on disk when their turn comes.
      if (this.isBehind && this.#queuedBytes > QUEUE_BYTES_MAX) return
      this.#queue.push(run)
      this.#queuedBytes += run.bytes.length
    }
  }

  /** Entries up to here need not be kept in memory to be applied: they are, or will be read from disk. */
  get releasedIndex(): LogIndex {
    return this.isBehind ? this.#commitIndex : this.lastApplied
  }

  /** True while entries are missing in memory that must be applied before those that follow. */
  get isBehind(): boolean {
    return this.lastApplied < (this.#queue[0]?.firstIndex ?? this.#commitIndex + 1) - 1
  }

  /**
   * Applies what is at hand, and asks the disk for what is missing: only entries up to `durableIndex` are surely there,
   * and surely not ones that have been truncated since.
   */
  advance(durableIndex: LogIndex): void {
    if (this.#isRestoring) return
    const queue = this.#queue
    let done = 0
    for (; done < queue.length; done++) {
      const run = queue[done]
      if (run === undefined || run.firstIndex > this.lastApplied + 1) break
      if (run.lastIndex > this.lastApplied) this.#apply(run)
    }
    if (done > 0) {
      for (let at = 0; at < done; at++) this.#queuedBytes -= queue[at]?.bytes.length ?? 0
      this.#queue = done === queue.length ? [] : queue.slice(done)
    }
    const isOnDisk = durableIndex > this.lastApplied
    if (this.isBehind && isOnDisk && !this.#isReading) this.#fetch(durableIndex)
  }

  #fetch(durableIndex: LogIndex): void {
    this.#isReading = true
    this.#ports.store.read(this.lastApplied + 1, BACKLOG_READ_BYTES, (error, runs) => {
      this.#isReading = false
      if (error !== undefined) {
        this.#ports.fail(error)
        return
      }
      // A snapshot may have taken the place of what was being read.
      if (this.#isRestoring) return
      const end = Math.min(this.#commitIndex, durableIndex, (this.#queue[0]?.firstIndex ?? Infinity) - 1)
      const committed = runs.filter((run) => run.lastIndex <= end && run.lastIndex > this.lastApplied)
      if (committed.length === 0) return
      this.#queue = [...committed, ...this.#queue]
      for (const run of committed) this.#queuedBytes += run.bytes.length
      this.#ports.wake()
    })
  }

  #apply(run: EntryRun): void {
    invariant(run.firstIndex === this.lastApplied + 1, 'entries are applied in order', [
      run.firstIndex,
      this.lastApplied,
    ])
    const results = run.kind === 'command' ? this.#applyCommands(run) : this.#note(run)
    const clusterTime = Math.max(this.#end.clusterTime, run.clusterTime)
    this.#end = { index: run.lastIndex, term: run.term, checksum: run.checksum, clusterTime }
    this.#appliedBytes += run.bytes.length
    this.#ports.applied(run, results)
  }

  #applyCommands(run: EntryRun): readonly Result[] | undefined {
    const bounds = new Uint32Array(run.count * 2)
    let at = 0
    forEachCommand(run, (start, end) => {
      bounds[at++] = start
      bounds[at++] = end
    })
    const resultsWanted = this.#ports.isAwaited(run)
    const { firstIndex, term, count, clusterTime, wallTime, bytes } = run
    const batch: CommittedBatch = { firstIndex, term, count, clusterTime, wallTime, bytes, bounds, resultsWanted }
    const results = this.#ports.stateMachine.apply(batch)
    if (!resultsWanted) return undefined
    if (results.length !== count) {
      const text = `the state machine returned ${results.length} results for ${count} commands; it must return one each`
      throw new ActorumError('INVALID_ARGUMENT', text)
    }
    return results
  }

  #note(run: EntryRun): undefined {
    if (run.kind === 'noop') this.#ports.named(clusterIdOf(run))
    return undefined
  }
}
