import { ActorumError } from '../errors.js'
import type { Boundary } from '../machines/types.js'
import type { Callback, SnapshotWriter, StoredSnapshot } from '../storage/ports.js'
import { refuse } from '../storage/record-disk.js'
import type { SnapshotActorPorts } from './snapshot-actor.js'

/**
 * How long it rests after each piece, for every millisecond that making the piece took: what else a busy server does goes
 * on meanwhile, at two thirds of its pace.
 */
const REST_RATIO = 2

/** A snapshot under way, and who waits for it. */
interface Taking {
  readonly writer: SnapshotWriter
  readonly chunks: Iterator<Uint8Array>
  readonly waiting: Callback<StoredSnapshot>[]
  /** What is left of a chunk longer than a piece may be. */
  rest: Uint8Array
}

/** Writes this server's own state to disk, a piece at a time, while the state machine goes on. */
export class SnapshotTaking {
  readonly #ports: SnapshotActorPorts
  readonly #pieceBytes: number
  #taking: Taking | undefined

  constructor(ports: SnapshotActorPorts, pieceBytes: number) {
    this.#ports = ports
    this.#pieceBytes = pieceBytes
  }

  get isTaking(): boolean {
    return this.#taking !== undefined
  }

  /** Of the state as it is now. While one is being taken, its end is what a further caller waits for. */
  take(boundary: Boundary, clusterId: string | undefined, callback: Callback<StoredSnapshot>): void {
    if (this.#taking !== undefined) {
      this.#taking.waiting.push(callback)
      return
    }
    let chunks: Iterator<Uint8Array>
    try {
      chunks = this.#ports.stateMachine.snapshot()[Symbol.iterator]()
    } catch (error) {
      refuse(callback, this.#unmade(error))
      return
    }
    const writer = this.#ports.store.create(boundary, clusterId)
    const taking = { writer, chunks, waiting: [callback], rest: new Uint8Array() }
    this.#taking = taking
    this.#go(taking)
  }

  stop(): void {
    const taking = this.#taking
    if (taking === undefined) return
    taking.chunks.return?.()
    const error = new ActorumError('STOPPED', 'The server stopped before its snapshot was complete.')
    for (const callback of this.#leave(taking)) refuse(callback, error)
  }

  #go(taking: Taking): void {
    if (this.#taking !== taking) return
    const { clock } = this.#ports
    const begunAt = clock.now()
    let piece: Uint8Array | undefined
    try {
      piece = nextPiece(taking, this.#pieceBytes)
    } catch (error) {
      this.#abandon(taking, this.#unmade(error))
      return
    }
    if (piece === undefined) {
      taking.writer.commit((error, stored) => {
        if (error !== undefined) this.#fail(taking, error)
        else for (const callback of this.#leave(taking)) callback(undefined, stored)
      })
      return
    }
    const restMs = REST_RATIO * (clock.now() - begunAt)
    taking.writer.write(piece, (error) => {
      if (error !== undefined) this.#fail(taking, error)
      else if (restMs > 0) clock.setTimeout(() => this.#go(taking), restMs)
      else clock.defer(() => this.#go(taking))
    })
  }

  /** The state machine could not say what its state is: it goes on, and so does the server. */
  #abandon(taking: Taking, reason: ActorumError): void {
    taking.writer.abandon((error) => {
      if (error !== undefined) this.#fail(taking, error)
      else for (const callback of this.#leave(taking)) refuse(callback, reason)
    })
  }

  #unmade(cause: unknown): ActorumError {
    const why = cause instanceof Error ? cause.message : String(cause)
    const text = `No snapshot was taken: the state machine failed to make one (${why}).`
    this.#ports.notice(text)
    return new ActorumError('INVALID_ARGUMENT', text, { cause })
  }

  #fail(taking: Taking, error: Error): void {
    const waiting = this.#leave(taking)
    if (waiting.length === 0) return
    taking.chunks.return?.()
    this.#ports.fail(error)
    for (const callback of waiting) refuse(callback, error)
  }

  /** Those who waited; nobody when all was stopped meanwhile. */
  #leave(taking: Taking): readonly Callback<StoredSnapshot>[] {
    if (this.#taking !== taking) return []
    this.#taking = undefined
    return taking.waiting
  }
}

function nextPiece(taking: Taking, bytesMax: number): Uint8Array | undefined {
  while (taking.rest.length === 0) {
    const next = taking.chunks.next()
    if (next.done === true) return undefined
    taking.rest = next.value
  }
  const piece = taking.rest.subarray(0, bytesMax)
  taking.rest = taking.rest.subarray(bytesMax)
  return piece
}
