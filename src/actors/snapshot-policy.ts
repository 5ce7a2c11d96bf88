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
  /** The last index that each peer within reach has, or will have from the snapshot that it is being sent. */
  readonly peersAt: () => readonly LogIndex[]
  readonly fail: (error: Error) => void
}

/**
 * Bytes of log for each byte of a snapshot: taking it then costs little beside the writes that make it due. And as long as
 * there are no more, the log after a snapshot is kept for a peer that has just got that snapshot: else it would need the
 * next one, and so on, for as long as clients write.
 */
const GROWTH = 4
/** Of how many snapshots it is remembered how much had been applied. */
const MARKS_MAX = 64

/** What has been applied, and whether the state can be taken at all. */
export interface Applied {
  readonly end: AppliedEnd
  readonly appliedBytes: number
  /** True while it is being replaced by a snapshot's, or before the log has told who the members are. */
  readonly isIncomplete: boolean
  /** Where the log begins. */
  readonly boundaryIndex: LogIndex
}

interface Mark {
  readonly index: LogIndex
  readonly bytes: number
}

/**
 * Decides when the log has grown enough for a snapshot, and how much of it goes then: what lies before the older of the
 * two snapshots that are kept, so that a damaged one costs nothing but time.
 */
export class SnapshotPolicy {
  readonly #ports: SnapshotPolicyPorts
  readonly #options: SnapshotPolicyOptions
  /** The end of the one that is being taken. */
  #taking: LogIndex | undefined
  readonly #whenTaken: (() => void)[] = []
  #bytesBefore = 0
  #takenAt: number
  /** The log goes on from before what snapshots allow, since a peer may need it. */
  #isHeldBack = false
  /** Up to where the log was last to go. */
  #compactedTo: LogIndex = 0
  /** How many bytes had been applied at the ends of snapshots taken here, oldest first, and at the start. */
  #marks: readonly Mark[] = []

  constructor(ports: SnapshotPolicyPorts, options: SnapshotPolicyOptions, now: number) {
    this.#ports = ports
    this.#options = options
    this.#takenAt = now
  }

  /** After a turn of the loop: takes a snapshot when one is due. */
  review(applied: Applied, now: number): void {
    const { end, appliedBytes, isIncomplete } = applied
    if (this.#marks.length === 0 && !isIncomplete) this.#mark(end.index, appliedBytes)
    if (this.#isHeldBack) this.#compact(appliedBytes)
    if (this.#taking !== undefined || isIncomplete || !this.#isDue(applied, now)) return
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

  /** Takes one now. The newest is enough when nothing was applied since; so is the one under way. */
  take({ end, appliedBytes, isIncomplete }: Applied, now: number, callback: Callback<StoredSnapshot>): void {
    if (isIncomplete) {
      const text = 'this server is still being brought up to date; ask again once it is'
      return refuse(callback, new ActorumError('BUSY', text))
    }
    const newest = this.#ports.snapshots.stored[0]
    if (newest?.id.index === end.index) return callback(undefined, newest)
    // Whoever shares the one under way has no part in it.
    if (this.#taking !== undefined) return this.#ports.take(callback)
    this.#taking = end.index
    this.#bytesBefore = appliedBytes
    this.#takenAt = now
    this.#mark(end.index, appliedBytes)
    this.#ports.take((error, stored) => {
      this.#taking = undefined
      if (error === undefined) this.#compact(appliedBytes)
      callback(error, stored)
      for (const again of this.#whenTaken.splice(0)) again()
    })
  }

  /** The end of the snapshot that is being taken; undefined while none is. */
  get taking(): LogIndex | undefined {
    return this.#taking
  }

  /** Calls back once the snapshot under way is taken, or has failed. */
  whenTaken(callback: () => void): void {
    this.#whenTaken.push(callback)
  }

  #mark(index: LogIndex, bytes: number): void {
    this.#marks = [...this.#marks, { index, bytes }].slice(-MARKS_MAX)
  }

  #compact(appliedBytes: number): void {
    const [newest, previous] = this.#ports.snapshots.stored
    if (newest === undefined || previous === undefined) return
    const covered = Math.min(newest.id.index - this.#options.logEntriesKept, previous.id.index)
    const bytesMax = Math.max(this.#options.snapshotLogBytes, GROWTH * newest.id.byteLength)
    const needed = this.#ports
      .peersAt()
      .map((index) => this.#markAt(index))
      .filter((mark) => mark.index < covered && appliedBytes - mark.bytes <= bytesMax)
      .map(({ index }) => index)
    this.#isHeldBack = needed.length > 0
    const target = Math.min(covered, ...needed)
    if (target <= this.#compactedTo) return
    this.#compactedTo = target
    this.#ports.log.read(target, 1, (error, runs) => {
      if (error !== undefined) this.#ports.fail(error)
      else this.#compactTo(runs[0], Math.min(previous.id.index, ...needed))
    })
  }

  /**
   * The last mark at or before `index`. What peers need is counted in these steps, so that the log of a leader that is held
   * back goes on once for each snapshot, and not with each answer of a peer.
   */
  #markAt(index: LogIndex): Mark {
    return this.#marks.findLast((mark) => mark.index <= index) ?? { index: 0, bytes: -Infinity }
  }

  #compactTo(run: EntryRun | undefined, indexMax: LogIndex): void {
    if (run === undefined || run.lastIndex > indexMax) return
    const { lastIndex: index, term, checksum, clusterTime } = run
    this.#ports.compact({ index, term, checksum, clusterTime })
  }
}
