import { ENTRY_HEADER_BYTES, RUN_HEADER_BYTES } from '../machines/entry-run.js'
import type { Term, ServerId } from '../machines/types.js'
import type { CommandCodec } from '../state-machines/ports.js'

/** One client's proposal and how to tell it what became of it. The callbacks are called at most once, together. */
export interface ProposalRequest<Result> {
  resolve(result: Result): void
  reject(error: Error): void
  /** On the monotonic clock. */
  readonly deadline: number
  /** True once it has been answered: its answer, or its silence, can change nothing more. */
  isSettled: boolean
  /** Where it stands; set by the batch. */
  batch?: ProposalBatch<Result> | undefined
}

/**
 * Proposals that go together: written straight into the bytes of their future run, with room for its header, so that
 * a caller's buffer is copied once and may be changed as soon as the call returns.
 */
export class ProposalBatch<Result> {
  readonly requests: ProposalRequest<Result>[] = []
  /** Where each request's entry begins. */
  readonly #starts: number[] = []
  #bytes: Uint8Array
  #length = RUN_HEADER_BYTES
  /** The earliest deadline in it. */
  deadline = Infinity
  /** To whom it was handed, in which term; undefined while it is certainly not proposed. */
  proposed: { readonly leaderId: ServerId; readonly term: Term } | undefined
  /** When it is sent to that leader again, and after how long (ms). */
  resend = { at: Infinity, afterMs: 0 }

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(Math.max(capacity, RUN_HEADER_BYTES))
  }

  get byteLength(): number {
    return this.#length
  }

  /** The run to be: header room and entries. The log keeps it, so it may not pin much more than its own length. */
  get bytes(): Uint8Array {
    const isRoomy = this.#bytes.length > 2 * this.#length
    return isRoomy ? this.#bytes.slice(0, this.#length) : this.#bytes.subarray(0, this.#length)
  }

  /** Adds a command of `size` bytes, or nothing when the codec throws. */
  add<Command>(codec: CommandCodec<Command>, command: Command, size: number, request: ProposalRequest<Result>): void {
    const start = this.#reserve(ENTRY_HEADER_BYTES + size)
    const bytes = this.#bytes
    bytes[start] = size >>> 24
    bytes[start + 1] = size >>> 16
    bytes[start + 2] = size >>> 8
    bytes[start + 3] = size
    bytes[start + 4] = 0
    try {
      codec.write(command, bytes, start + ENTRY_HEADER_BYTES)
    } catch (error) {
      this.#length = start
      throw error
    }
    this.#admit(request, start)
  }

  #admit(request: ProposalRequest<Result>, start: number): void {
    this.#starts.push(start)
    this.requests.push(request)
    request.batch = this
    if (request.deadline < this.deadline) this.deadline = request.deadline
  }

  #reserve(size: number): number {
    const start = this.#length
    this.#length += size
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2))
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    return start
  }

  /**
   * The same without the requests that were answered before they were proposed: what a client was told is not
   * proposed must never be.
   */
  withoutSettled(): ProposalBatch<Result> {
    const kept = new ProposalBatch<Result>(this.#length)
    this.requests.forEach((request, at) => {
      if (request.isSettled) return
      const entry = this.#bytes.subarray(this.#starts[at], this.#starts[at + 1] ?? this.#length)
      const start = kept.#reserve(entry.length)
      kept.#bytes.set(entry, start)
      kept.#admit(request, start)
    })
    return kept
  }
}
