import type { LogIndex, Term } from '../machines/types.js'

/**
 * What the cluster replicates. Deterministic: the same batches give the same state and results on every server, so
 * no clock, chance or I/O. It is called from one place, in log order, each batch once per start.
 */
export interface StateMachine<Command, Result> {
  readonly commands: CommandCodec<Command>
  /**
   * Applies the batch's commands in order, a later one seeing the earlier ones' writes. Returns one result a command,
   * or an empty array when `resultsWanted` is false. The bytes are a view that the next batch overwrites: copy what is
   * kept. A throw stops the server; a command that fails by its own rules returns a result that says so.
   */
  apply(batch: CommittedBatch): readonly Result[]
  /** The whole state as of the last batch, in chunks. Later `apply` calls must not change what the iterator yields. */
  snapshot(): Iterable<Uint8Array>
  /** Begins to replace the whole state by that of a snapshot, whose bytes go into the sink. */
  restore(): SnapshotSink
  /**
   * For a state in which things end by themselves: the cluster time (ms) at which the next of them is due, undefined when
   * none is. The leader asks in every turn of its loop, so it must cost next to nothing, and must change nothing that
   * `apply` or `snapshot` show.
   */
  nextExpiry?(): number | undefined
  /**
   * What the leader proposes once that time has come; when it is applied, it asks again. Commands that end things must
   * look at the cluster time of their own batch: something may have been given more time before them in the log.
   */
  expiredAt?(clusterTime: number): readonly Command[]
}

/**
 * Takes in a snapshot, a chunk at a time and however its bytes are cut. Until `end` the machine goes on with the state
 * it has. A throw says that no snapshot of this kind could hold such bytes: the sink is done, the old state stays.
 */
export interface SnapshotSink {
  /** The next bytes: the caller's again as soon as this returns. */
  write(chunk: Uint8Array): void
  /** Replaces the state, at once and whole. Throws when the snapshot is not complete. */
  end(): void
  /** Lets go of what was written. Nothing has changed. May be called after `end` or a throw, and does nothing then. */
  abandon(): void
}

/** How a command becomes the bytes of an entry. */
export interface CommandCodec<Command> {
  /**
   * The protocol version with which servers came to know this command; it is refused while a member speaks an older one.
   * Default 1.
   */
  versionOf?(command: Command): number
  /** Bytes that `write` will fill. */
  sizeOf(command: Command): number
  /** Writes the command at `at`; it has `sizeOf(command)` bytes of room. The command's own buffers are copied here. */
  write(command: Command, target: Uint8Array, at: number): void
}

/** Committed commands of one run. */
export interface CommittedBatch {
  readonly firstIndex: LogIndex
  readonly term: Term
  readonly count: number
  /** Cluster time (ms) of every command in it: the only time that may decide anything. */
  readonly clusterTime: number
  /** Milliseconds since 1970 at the leader, for people to read. */
  readonly wallTime: number
  readonly bytes: Uint8Array
  /** Command i is bytes[bounds[2i], bounds[2i+1]). */
  readonly bounds: Uint32Array
  readonly resultsWanted: boolean
}
