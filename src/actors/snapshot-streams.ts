import type { LogIndex, ServerId, SnapshotId } from '../machines/types.js'
import { isSameSnapshot } from '../storage/snapshot-catalogue.js'
import type { SnapshotActorPorts, SnapshotReply } from './snapshot-actor.js'

export interface SnapshotStreamLimits {
  /** Bytes of one message. */
  readonly chunkBytes: number
  /** Chunks that one peer has not yet answered. */
  readonly windowChunks: number
  /** Over all peers. */
  readonly bytesPerSecond: number
  /** Milliseconds without progress until the snapshot is offered anew. */
  readonly retryMs: number
}

/** The newest snapshot on its way to a peer. */
interface Stream {
  readonly peer: ServerId
  /** Undefined while there is none to send. */
  readonly id: SnapshotId | undefined
  readonly release: () => void
  /**
   * `offering`: it has been asked how much it has. `sending`: it answers chunks. `refused`: it found damage, and begins
   * again once this server has looked at its own file.
   */
  state: 'offering' | 'sending' | 'refused'
  /** The peer has everything before this. */
  answered: number
  /** What is read and sent next. */
  next: number
  /** The last place that was sent again because something before it was lost. */
  resentFrom: number
  isReading: boolean
  timer: unknown
}

/**
 * Sends the newest snapshot to peers that are too far behind. A peer says where to go on, so that nothing is sent twice
 * after a break, though another leader began; what is lost on the way is noticed by the lack of progress.
 */
export class SnapshotStreams {
  readonly #ports: SnapshotActorPorts
  readonly #limits: SnapshotStreamLimits
  /** In the order in which they may send: who has sent goes to the end. */
  readonly #streams = new Map<ServerId, Stream>()
  /** When the bandwidth allows another chunk. */
  #sendableAt = -Infinity
  #paceTimer: unknown

  constructor(ports: SnapshotActorPorts, limits: SnapshotStreamLimits) {
    this.#ports = ports
    this.#limits = limits
  }

  /** Idempotent. Without a snapshot the peer waits for the first that is stored. */
  stream(peer: ServerId): void {
    if (!this.#streams.has(peer)) this.#begin(peer)
  }

  /** A snapshot has been stored: whoever waited for one gets it. */
  stored(): void {
    for (const { peer, id } of [...this.#streams.values()]) if (id === undefined) this.#begin(peer)
  }

  /** The end of the snapshot that a peer is being sent; undefined where it is sent none. */
  endFor(peer: ServerId): LogIndex | undefined {
    return this.#streams.get(peer)?.id?.index
  }

  replied(peer: ServerId, { snapshot, outcome, offset }: SnapshotReply): void {
    const stream = this.#streams.get(peer)
    if (stream?.id === undefined || !isSameSnapshot(stream.id, snapshot)) return
    if (outcome === 'installed') this.stopStream(peer)
    else if (outcome === 'refused') this.#refused(stream, stream.id)
    else if (stream.state === 'offering') {
      stream.state = 'sending'
      stream.answered = stream.next = offset
      stream.resentFrom = -1
      this.#progressed(stream)
    } else if (stream.state === 'sending') this.#answered(stream, offset)
  }

  stopStream(peer: ServerId): void {
    const stream = this.#streams.get(peer)
    if (stream === undefined) return
    this.#streams.delete(peer)
    this.#ports.clock.clearTimeout(stream.timer)
    stream.release()
  }

  stopStreams(): void {
    for (const peer of [...this.#streams.keys()]) this.stopStream(peer)
    this.#ports.clock.clearTimeout(this.#paceTimer)
    this.#paceTimer = undefined
  }

  #begin(peer: ServerId): void {
    this.stopStream(peer)
    const [newest] = this.#ports.store.stored
    const release = newest === undefined ? () => undefined : this.#ports.store.retain(newest.id)
    const stream: Stream = {
      peer,
      id: newest?.id,
      release,
      state: 'offering',
      answered: 0,
      next: 0,
      resentFrom: -1,
      isReading: false,
      timer: undefined,
    }
    this.#streams.set(peer, stream)
    this.#offer(stream)
  }

  #offer(stream: Stream): void {
    const { peer, id } = stream
    if (id === undefined) return
    stream.state = 'offering'
    this.#awaitProgress(stream)
    this.#ports.send(peer, { snapshot: id, offset: 0, bytes: new Uint8Array() })
  }

  #answered(stream: Stream, offset: number): void {
    if (offset > stream.answered) {
      stream.answered = offset
      stream.next = Math.max(stream.next, offset)
      this.#progressed(stream)
    } else if (offset === stream.answered && offset < stream.next && offset !== stream.resentFrom) {
      // A chunk came that has nothing to follow: the one before it was lost. Those behind it say the same.
      stream.next = stream.resentFrom = offset
      this.#send(stream)
    }
  }

  #progressed(stream: Stream): void {
    this.#awaitProgress(stream)
    this.#send(stream)
  }

  #awaitProgress(stream: Stream): void {
    const { clock } = this.#ports
    clock.clearTimeout(stream.timer)
    stream.timer = clock.setTimeout(() => {
      if (this.#isCurrent(stream)) this.#offer(stream)
    }, this.#limits.retryMs)
  }

  /** Reads and sends one chunk, if window and bandwidth have room for it. */
  #send(stream: Stream): void {
    const { id, next, answered, peer } = stream
    const { chunkBytes, windowChunks } = this.#limits
    if (id === undefined || !this.#isCurrent(stream) || stream.isReading || stream.state !== 'sending') return
    const length = Math.min(chunkBytes, id.byteLength - next)
    if (length <= 0 || next + length - answered > windowChunks * chunkBytes || !this.#mayPass(length)) return
    stream.isReading = true
    this.#streams.delete(peer)
    this.#streams.set(peer, stream)
    this.#ports.store.read(id, next, length, (error, bytes) => {
      stream.isReading = false
      if (!this.#isCurrent(stream)) return
      if (error !== undefined) this.#unreadable(stream, id, error)
      // The peer may have said meanwhile that it wants another place.
      else if (stream.state === 'sending' && stream.next === next) {
        stream.next = next + bytes.length
        this.#ports.send(peer, { snapshot: id, offset: next, bytes })
      }
      this.#ports.clock.defer(() => this.#send(stream))
    })
  }

  /** Counts the bytes if they may be sent now; otherwise sees to it that all are asked again when they may. */
  #mayPass(length: number): boolean {
    const { clock } = this.#ports
    const now = clock.now()
    if (now >= this.#sendableAt) {
      this.#sendableAt = Math.max(now, this.#sendableAt) + (length / this.#limits.bytesPerSecond) * 1000
      return true
    }
    this.#paceTimer ??= clock.setTimeout(() => {
      this.#paceTimer = undefined
      for (const stream of [...this.#streams.values()]) this.#send(stream)
    }, this.#sendableAt - now)
    return false
  }

  #unreadable(stream: Stream, id: SnapshotId, error: Error): void {
    // Found to be damaged and set aside while it was being sent: another counts now.
    if (this.#ports.store.stored.some((one) => isSameSnapshot(one.id, id))) this.#ports.fail(error)
    else this.#begin(stream.peer)
  }

  /** The damage may be on this server's disk: then sending it again would never end. */
  #refused(stream: Stream, id: SnapshotId): void {
    if (stream.state === 'refused') return
    stream.state = 'refused'
    this.#ports.clock.clearTimeout(stream.timer)
    this.#ports.notice(`Server ${stream.peer} refused the snapshot up to entry ${id.index}; it is sent again.`)
    this.#ports.store.openReader(id, (error, reader) => {
      if (error !== undefined) this.#looked(stream, id, error)
      else this.#lookAt(stream, id, reader)
    })
  }

  #lookAt(
    stream: Stream,
    id: SnapshotId,
    reader: Parameters<Parameters<SnapshotActorPorts['store']['openReader']>[1]>[1],
  ): void {
    reader.next((error, chunk) => {
      const isOver = error !== undefined || chunk === undefined || !this.#isCurrent(stream)
      if (!isOver) {
        this.#ports.clock.defer(() => this.#lookAt(stream, id, reader))
        return
      }
      reader.close()
      this.#looked(stream, id, error)
    })
  }

  #looked(stream: Stream, id: SnapshotId, error: Error | undefined): void {
    if (!this.#isCurrent(stream)) return
    if (error === undefined) {
      // Damaged on the way: offered again, though not at once, for it may be damaged there again.
      this.#awaitProgress(stream)
      return
    }
    if (!this.#ports.store.stored.some((one) => isSameSnapshot(one.id, id))) this.#ports.notice(error.message)
    this.#unreadable(stream, id, error)
  }

  #isCurrent(stream: Stream): boolean {
    return this.#streams.get(stream.peer) === stream
  }
}
