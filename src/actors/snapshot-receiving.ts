import type { ServerId } from '../machines/types.js'
import type { ReceiveOutcome } from '../storage/ports.js'
import { isSameSnapshot } from '../storage/snapshot-catalogue.js'
import type { SnapshotActorPorts, SnapshotChunk } from './snapshot-actor.js'

/** Offers have no bytes, and yet must not pile up. */
const QUEUE_CHUNKS_MAX = 256

interface Arrived {
  readonly from: ServerId
  readonly chunk: SnapshotChunk
}

/** Puts what a leader sends into the store, one chunk at a time and in order, and says how far it has come. */
export class SnapshotReceiving {
  readonly #ports: SnapshotActorPorts
  readonly #queueBytesMax: number
  #queue: Arrived[] = []
  #queuedBytes = 0
  #isBusy = false
  #isStopped = false

  constructor(ports: SnapshotActorPorts, queueBytesMax: number) {
    this.#ports = ports
    this.#queueBytesMax = queueBytesMax
  }

  /** What the queue has no room for is dropped: the leader sends it again. */
  receive(from: ServerId, chunk: SnapshotChunk): void {
    const isFull =
      this.#queuedBytes + chunk.bytes.length > this.#queueBytesMax || this.#queue.length >= QUEUE_CHUNKS_MAX
    if (this.#isStopped || (isFull && this.#queue.length > 0)) return
    this.#queue.push({ from, chunk })
    this.#queuedBytes += chunk.bytes.length
    this.#go()
  }

  stop(): void {
    this.#isStopped = true
    this.#forget(() => true)
  }

  #go(): void {
    const [next] = this.#queue
    if (this.#isBusy || this.#isStopped || next === undefined) return
    this.#isBusy = true
    this.#queue.shift()
    const { snapshot, offset, bytes } = next.chunk
    this.#queuedBytes -= bytes.length
    this.#ports.store.receive(snapshot, offset, bytes, (error, outcome) => {
      if (this.#isStopped) return
      if (error !== undefined) {
        this.stop()
        this.#ports.fail(error)
        return
      }
      this.#tell(next, outcome)
      this.#ports.clock.defer(() => {
        this.#isBusy = false
        this.#go()
      })
    })
  }

  #tell({ from, chunk: { snapshot } }: Arrived, outcome: ReceiveOutcome): void {
    switch (outcome.outcome) {
      case 'more':
        this.#ports.post({ type: 'snapshotProgress', to: from, snapshot, outcome: 'more', offset: outcome.offset })
        return
      case 'complete':
        this.#ports.post({ type: 'snapshotReceived', from, stored: outcome.stored })
        return
      case 'refused':
        this.#ports.notice(outcome.reason)
        // What follows the damage is of no use: the transfer begins again.
        this.#forget(({ chunk }) => isSameSnapshot(chunk.snapshot, snapshot))
        this.#ports.post({ type: 'snapshotProgress', to: from, snapshot, outcome: 'refused', offset: 0 })
    }
  }

  #forget(isUseless: (arrived: Arrived) => boolean): void {
    this.#queue = this.#queue.filter((arrived) => !isUseless(arrived))
    this.#queuedBytes = this.#queue.reduce((sum, { chunk }) => sum + chunk.bytes.length, 0)
  }
}
