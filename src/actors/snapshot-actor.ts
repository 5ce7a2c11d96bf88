import type { SnapshotProgress, SnapshotReceived } from '../machines/events.js'
import type { InstallSnapshot, InstallSnapshotReply } from '../machines/messages.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { Boundary, LogIndex, ServerId, SnapshotId } from '../machines/types.js'
import type { SnapshotSink } from '../state-machines/ports.js'
import type { Callback, SnapshotStore, StoredSnapshot } from '../storage/ports.js'
import { SnapshotReceiving } from './snapshot-receiving.js'
import { SnapshotRestoring } from './snapshot-restoring.js'
import { SnapshotStreams, type SnapshotStreamLimits } from './snapshot-streams.js'
import { SnapshotTaking } from './snapshot-taking.js'

/** A piece of a snapshot's file; without bytes, the question how much of it is there. */
export type SnapshotChunk = Pick<InstallSnapshot, 'snapshot' | 'offset' | 'bytes'>
export type SnapshotReply = Pick<InstallSnapshotReply, 'snapshot' | 'outcome' | 'offset'>

export interface SnapshotActorPorts {
  readonly store: SnapshotStore
  readonly stateMachine: {
    snapshot(): Iterable<Uint8Array>
    restore(): SnapshotSink
  }
  readonly clock: Clock
  /** In the term that is the sender's by then. */
  readonly send: (to: ServerId, chunk: SnapshotChunk) => void
  /** Into the loop. */
  readonly post: (event: SnapshotProgress | SnapshotReceived) => void
  readonly notice: (text: string) => void
  /** The disk failed: the server must stop. */
  readonly fail: (error: Error) => void
}

export interface SnapshotActorOptions extends SnapshotStreamLimits {
  /** Bytes of received chunks that wait for the disk; beyond it they are dropped, and sent again. */
  readonly queueBytesMax: number
}

/** 256 KiB a chunk, 4 unanswered a peer, any bandwidth, a new offer after 1 s without progress, 4 MiB waiting. */
export const DEFAULT_SNAPSHOT_OPTIONS: SnapshotActorOptions = {
  chunkBytes: 256 * 1024,
  windowChunks: 4,
  bytesPerSecond: Infinity,
  retryMs: 1000,
  queueBytesMax: 4 * 1024 * 1024,
}

/**
 * Takes, sends, receives and restores snapshots (§7). None of it holds a whole snapshot or holds up the loop: a turn
 * has one chunk of each.
 */
export class SnapshotActor {
  readonly #taking: SnapshotTaking
  readonly #streams: SnapshotStreams
  readonly #receiving: SnapshotReceiving
  readonly #restoring: SnapshotRestoring

  constructor(ports: SnapshotActorPorts, options: Partial<SnapshotActorOptions> = {}) {
    const limits = { ...DEFAULT_SNAPSHOT_OPTIONS, ...options }
    this.#taking = new SnapshotTaking(ports, limits.chunkBytes)
    this.#streams = new SnapshotStreams(ports, limits)
    this.#receiving = new SnapshotReceiving(ports, limits.queueBytesMax)
    this.#restoring = new SnapshotRestoring(ports)
  }

  get isTaking(): boolean {
    return this.#taking.isTaking
  }

  /**
   * Takes a snapshot of the state as it is now, which is that at `boundary`; the callback comes when it is durable.
   * While one is being taken a further caller gets that one. INVALID_ARGUMENT: the state machine failed to make it.
   */
  take(boundary: Boundary, clusterId: string | undefined, callback: Callback<StoredSnapshot>): void {
    this.#taking.take(boundary, clusterId, (error, stored) => {
      if (error === undefined) this.#streams.stored()
      callback(error, stored)
    })
  }

  /** Offers the newest snapshot to a peer and sends what it lacks. Idempotent. */
  stream(peer: ServerId): void {
    this.#streams.stream(peer)
  }

  /** The end of the snapshot that a peer is being sent; undefined where it is sent none. */
  endFor(peer: ServerId): LogIndex | undefined {
    return this.#streams.endFor(peer)
  }

  /** What a peer said of the snapshot that it is sent. */
  replied(peer: ServerId, reply: SnapshotReply): void {
    this.#streams.replied(peer, reply)
  }

  stopStream(peer: ServerId): void {
    this.#streams.stopStream(peer)
  }

  /** This server leads no more. */
  stopStreams(): void {
    this.#streams.stopStreams()
  }

  /** Keeps a piece of a leader's snapshot, and posts how far it has come. */
  receive(from: ServerId, chunk: SnapshotChunk): void {
    this.#receiving.receive(from, chunk)
  }

  /**
   * Replaces the state by that of a stored snapshot; one at a time. With an error the state is the old one. CORRUPT: the
   * snapshot was damaged, and is set aside.
   */
  restore(id: SnapshotId, callback: Callback): void {
    this.#restoring.restore(id, callback)
  }

  /** Whoever waits is refused with STOPPED. The store may be closed afterwards. */
  stop(): void {
    this.#taking.stop()
    this.#streams.stopStreams()
    this.#receiving.stop()
    this.#restoring.stop()
  }
}
