import { ActorumError } from '../errors.js'
import type { EntryRun } from '../machines/entry-run.js'
import type { Boundary, LogIndex } from '../machines/types.js'
import type { Callback, LogStore, SnapshotStore, StoredSnapshot } from '../storage/ports.js'
import { refuse } from '../storage/record-disk.js'
import type { AppliedEnd } from './apply-actor.js'

/** When a snapshot is taken by itself: as soon as one of these has passed since the newest. */
export interface SnapshotPolicyOptions {
  /** Entries applied. 0: never for this reason. */
  readonly snapshotEntries: number
  /** Bytes of entries applied; and four times as many as the newest snapshot has. 0: never for this reason. */
  readonly snapshotLogBytes: number
  /** Milliseconds, if anything was applied. 0: never for this reason. */
  readonly snapshotIntervalMs: number
  /** Entries before a snapshot that are kept for followers that are a little behind. */
  readonly logEntriesKept: number
}

export interface SnapshotPolicyPorts {
  readonly log: LogStore
  readonly snapshots: Pick<SnapshotStore, 'stored'>
  /** Takes a snapshot of the state as it is now. */
  readonly take: (callback: Callback<StoredSnapshot>) => void
  /** Snapshots cover the log up to here. */
  readonly compact: (end: Omit<Boundary, 'configuration'>) => void
  readonly fail: (error: Error) => void
}

/** Bytes of log for each byte of a snapshot: taking it then costs little beside the writes that make it due. */
const GROWTH = 4

/** What has been applied, and whether the state can be taken at all. */
export interface Applied {
  readonly end: AppliedEnd
  readonly appliedBytes: number
  /** True while it is being replaced by a snapshot's, or before the log has told who the members are. */
  readonly isIncomplete: boolean
  /** Where the log begins. */
  readonly boundaryIndex: LogIndex
}

/**
 * Decides when the log has grown enough for a snapshot, and how much of it goes then: what lies before the older of the
 * two snapshots that are kept, so that a damaged one costs nothing but time.
 */
export class SnapshotPolicy {
  readonly #ports: SnapshotPolicyPorts
  readonly #options: SnapshotPolicyOptions
  #isTaking = false
  #bytesBefore = 0
  #takenAt: number

  constructor(ports: SnapshotPolicyPorts, options: SnapshotPolicyOptions, now: number) {
    this.#ports = ports
    this.#options = options
    this.#takenAt = now
  }

  /** After a turn of the loop: takes a snapshot when one is due. */
  review(applied: Applied, now: number): void {
    if (this.#isTaking || applied.isIncomplete || !this.#isDue(applied, now)) return
    this.take(applied, now, (error) => {
      if (error !== undefined) this.#ports.fail(error)
    })
  }

  #isDue({ end, appliedBytes, boundaryIndex }: Applied, now: number): boolean {
    const { snapshotEntries, snapshotLogBytes, snapshotIntervalMs } = this.#options
    const newest = this.#ports.snapshots.stored[0]?.id
    // All were damaged: a peer that is behind the log could not be helped.
    if (newest === undefined && boundaryIndex > 0) return true
    const entries = end.index - (newest?.index ?? 0)
    if (entries <= 0) return false
    const bytes = appliedBytes - this.#bytesBefore
    const isLarge = snapshotLogBytes > 0 && bytes >= Math.max(snapshotLogBytes, GROWTH * (newest?.byteLength ?? 0))
    const isLong = snapshotEntries > 0 && entries >= snapshotEntries
    return isLarge || isLong || (snapshotIntervalMs > 0 && now - this.#takenAt >= snapshotIntervalMs)
  }

  /** Takes one now. The newest is enough when nothing was applied since. */
  take({ end, appliedBytes, isIncomplete }: Applied, now: number, callback: Callback<StoredSnapshot>): void {
    if (isIncomplete) {
      const text = 'this server is still being brought up to date; ask again once it is'
      return refuse(callback, new ActorumError('BUSY', text))
    }
    const newest = this.#ports.snapshots.stored[0]
    if (newest?.id.index === end.index) return callback(undefined, newest)
    this.#isTaking = true
    this.#bytesBefore = appliedBytes
    this.#takenAt = now
    this.#ports.take((error, stored) => {
      this.#isTaking = false
      if (error === undefined) this.#compact()
      callback(error, stored)
    })
  }

  #compact(): void {
    const [newest, previous] = this.#ports.snapshots.stored
    if (newest === undefined || previous === undefined) return
    const target = Math.min(newest.id.index - this.#options.logEntriesKept, previous.id.index)
    if (target <= 0) return
    this.#ports.log.read(target, 1, (error, runs) => {
      if (error !== undefined) this.#ports.fail(error)
      else this.#compactTo(runs[0], previous.id.index)
    })
  }

  #compactTo(run: EntryRun | undefined, indexMax: LogIndex): void {
    if (run === undefined || run.lastIndex > indexMax) return
    const { lastIndex: index, term, checksum, clusterTime } = run
    this.#ports.compact({ index, term, checksum, clusterTime })
  }
}
