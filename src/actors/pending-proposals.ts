import { ActorumError } from '../errors.js'
import type { Answer } from '../machines/effects.js'
import { ENTRY_HEADER_BYTES, type EntryRun } from '../machines/entry-run.js'
import type { ProposalBatch as ProposalEventBatch } from '../machines/events.js'
import type { ServerId, Term } from '../machines/types.js'
import type { CommandCodec } from '../state-machines/ports.js'
import { ProposalBatch, type ProposalRequest } from './proposal-batch.js'

/** Whom this server takes for the leader at the moment. */
export interface LeaderView {
  readonly leaderId: ServerId | undefined
  readonly term: Term
  readonly isSelf: boolean
}

export interface ProposalLimits {
  readonly runBytesMax: number
  /** Longer commands are TOO_LARGE. Default: none is. */
  readonly commandBytesMax?: number | undefined
  readonly pendingProposalsMax: number
  readonly pendingBytesMax: number
  readonly forwardToLeader: boolean
  /**
   * How long a refused batch waits before it is offered to the same leader again, and a forwarded one for its results
   * before it is sent again; then twice as long each time.
   */
  readonly retryMs: number
}

type Refusal = Extract<Answer, { readonly type: 'proposalsRefused' }>

const FIRST_CAPACITY = 4096

/**
 * Proposals from the moment they are called until their outcome is known. Those of one turn go out as one batch. A batch
 * that was refused, or has no leader to go to, waits for one; a batch that was proposed and whose leader is gone has an
 * unknown outcome.
 */
export class PendingProposals<Command, Result> {
  readonly #codec: CommandCodec<Command>
  readonly #limits: ProposalLimits
  readonly #nonce: number
  #nextId = 1
  #open: ProposalBatch<Result> | undefined
  /** Not proposed, in order of arrival. */
  #waiting: ProposalBatch<Result>[] = []
  readonly #proposed = new Map<number, ProposalBatch<Result>>()
  #count = 0
  #byteLength = 0
  /** At most so many of those that are not proposed have been given up, and count as pending still. */
  #abandoned = 0
  #capacity = FIRST_CAPACITY
  /** Not before: a leader that has just refused is not asked again at once. */
  #retryAt = -Infinity
  #refusedBy: LeaderView | undefined
  /** Not before: none of the proposed batches is due to be sent again. */
  #resendAt = Infinity

  constructor(codec: CommandCodec<Command>, limits: ProposalLimits, nonce: number) {
    this.#codec = codec
    this.#limits = limits
    this.#nonce = nonce
  }

  get size(): number {
    return this.#count
  }

  /** Share of what may be pending that is, in number or in bytes: at 1 more are BUSY. */
  get share(): number {
    const { pendingProposalsMax, pendingBytesMax } = this.#limits
    return Math.max(this.#count / pendingProposalsMax, this.#byteLength / pendingBytesMax)
  }

  /** Takes a proposal, or refuses it with BUSY or TOO_LARGE. The command's bytes are copied here. */
  add(command: Command, request: ProposalRequest<Result>): void {
    const { pendingProposalsMax, pendingBytesMax, runBytesMax, commandBytesMax = Infinity } = this.#limits
    const size = this.#codec.sizeOf(command)
    if (size > commandBytesMax) throw tooLarge(size, commandBytesMax)
    const entryBytes = ENTRY_HEADER_BYTES + size
    const isFull = (): boolean => this.#count >= pendingProposalsMax || this.#byteLength + entryBytes > pendingBytesMax
    // Not for each one: callers that give up and call again would have all of them looked at every time.
    if (16 * this.#abandoned >= this.#count && isFull()) this.#letGoOfAbandoned()
    if (isFull()) {
      const load = `${this.#count} proposals of ${this.#byteLength} bytes wait for their outcome`
      throw new ActorumError(
        'BUSY',
        `${load}; this one was not proposed: try again later (pendingProposalsMax, pendingBytesMax)`,
      )
    }
    if (this.#open !== undefined && this.#open.byteLength + entryBytes > runBytesMax) this.#close()
    this.#open ??= new ProposalBatch(this.#capacity)
    this.#open.add(this.#codec, command, size, request)
    this.#count++
    this.#byteLength += entryBytes
  }

  #close(): void {
    if (this.#open === undefined) return
    // The next batch is probably about as large as this one.
    this.#capacity = Math.max(FIRST_CAPACITY, Math.min(this.#open.byteLength + 1024, this.#limits.runBytesMax))
    this.#waiting.push(this.#open)
    this.#open = undefined
  }

  /** What to propose now, and to whom it goes. */
  drain(leader: LeaderView, now: number): readonly ProposalEventBatch[] {
    this.#close()
    const batches = leader.isSelf || leader.leaderId === undefined ? [] : this.#overdue(now)
    if (this.#waiting.length === 0) return batches
    if (!this.#limits.forwardToLeader && !leader.isSelf) {
      this.#rejectWaiting(leader)
      return batches
    }
    const { leaderId, term } = leader
    if (leaderId === undefined || this.#mustWait(leader, now)) return batches
    for (const waiting of this.#waiting) {
      const batch = this.#withoutSettled(waiting)
      if (batch.requests.length === 0) continue
      batch.proposed = { leaderId, term }
      this.#resendAfter(batch, this.#limits.retryMs, now)
      // In the order of proposing: a leader takes one that is far behind the others for a duplicate.
      const id = this.#nextId++
      this.#proposed.set(id, batch)
      batches.push(this.#eventOf(id, batch))
    }
    this.#waiting = []
    return batches
  }

  /**
   * Batches whose results have been awaited for long: the message may have been lost. All that are proposed are with the
   * present leader in the present term, which takes each but once, so the same bytes may go there again.
   */
  #overdue(now: number): ProposalEventBatch[] {
    const batches: ProposalEventBatch[] = []
    if (now < this.#resendAt) return batches
    this.#resendAt = Infinity
    for (const [id, batch] of this.#proposed) {
      const { at, afterMs } = batch.resend
      if (now >= at) {
        batches.push(this.#eventOf(id, batch))
        // A leader that is only slow is not buried under copies.
        this.#resendAfter(batch, 2 * afterMs, now)
      } else this.#resendAt = Math.min(this.#resendAt, at)
    }
    return batches
  }

  #resendAfter(batch: ProposalBatch<Result>, afterMs: number, now: number): void {
    batch.resend = { at: now + afterMs, afterMs }
    this.#resendAt = Math.min(this.#resendAt, now + afterMs)
  }

  #eventOf(id: number, { requests, bytes }: ProposalBatch<Result>): ProposalEventBatch {
    return { batch: id, nonce: this.#nonce, count: requests.length, bytes }
  }

  #mustWait(leader: LeaderView, now: number): boolean {
    const isSame = this.#refusedBy?.leaderId === leader.leaderId && this.#refusedBy?.term === leader.term
    return isSame && now < this.#retryAt
  }

  #withoutSettled(batch: ProposalBatch<Result>): ProposalBatch<Result> {
    if (!batch.requests.some((request) => request.isSettled)) return batch
    return this.#rebuilt(batch)
  }

  /** Without the requests that have been answered, which are pending no longer. */
  #rebuilt(batch: ProposalBatch<Result>): ProposalBatch<Result> {
    const kept = batch.withoutSettled()
    this.#count -= batch.requests.length - kept.requests.length
    this.#byteLength -= batch.byteLength - kept.byteLength
    return kept
  }

  #rejectWaiting({ leaderId }: LeaderView): void {
    // Whoever hears of it may propose again at once.
    const waiting = this.#waiting
    this.#waiting = []
    for (const batch of waiting) this.#rejectAll(batch, () => notLeader(leaderId))
  }

  /** A leader refused a batch: it is certainly not proposed. */
  refused({ nonce, batch: id, reason }: Refusal, leader: LeaderView, now: number): void {
    const batch = nonce === this.#nonce ? this.#proposed.get(id) : undefined
    if (batch === undefined) return
    this.#proposed.delete(id)
    const refusedBy = batch.proposed
    batch.proposed = undefined
    if (reason === 'busy') {
      this.#rejectAll(
        batch,
        () =>
          new ActorumError(
            'BUSY',
            'the leader has too many uncommitted entries; this one was not proposed: try again later',
          ),
      )
      return
    }
    // In bytes of its own: those that were sent may not change, and a leader writes its header into what it appends.
    const again = this.#rebuilt(batch)
    if (again.requests.length > 0) this.#waiting.push(again)
    const isLate = refusedBy?.leaderId !== leader.leaderId || refusedBy?.term !== leader.term
    if (isLate) return
    this.#refusedBy = leader
    this.#retryAt = now + this.#limits.retryMs
  }

  /** True when this server's own clients wait for the run's results. */
  isAwaited({ origin }: EntryRun): boolean {
    return origin.nonce === this.#nonce && this.#proposed.has(origin.batch)
  }

  /** A run proposed by this server has been applied by it. */
  applied({ origin }: EntryRun, results: readonly Result[]): void {
    const batch = this.#proposed.get(origin.batch)
    if (batch === undefined) return
    this.#proposed.delete(origin.batch)
    const { requests } = batch
    this.#release(batch)
    for (let at = 0; at < requests.length; at++) {
      const request = requests[at]
      if (request === undefined || request.isSettled) continue
      request.isSettled = true
      // One result a request: the apply actor has checked it.
      request.resolve(results[at] as Result)
    }
  }

  /** Leadership has changed: what was handed to another leader, or in another term, may or may not be applied. */
  leaderChanged({ leaderId, term }: LeaderView): void {
    for (const [id, batch] of this.#proposed) {
      if (batch.proposed?.leaderId === leaderId && batch.proposed?.term === term) continue
      this.#proposed.delete(id)
      const server = batch.proposed?.leaderId
      this.#rejectAll(batch, () =>
        unknownOutcome(`server ${server} lost leadership before it was known to be committed`),
      )
    }
  }

  /** Answers what has waited too long. */
  expire(now: number, leader: LeaderView): void {
    // A leader keeps it open as long as its disk is busy.
    if (this.#open !== undefined && this.#open.deadline <= now) this.#close()
    for (const [id, batch] of this.#proposed) {
      if (this.#expireBatch(batch, now, leader)) this.#proposed.delete(id)
    }
    const waiting = this.#waiting
    this.#waiting = []
    const kept = waiting.filter((batch) => !this.#expireBatch(batch, now, leader))
    this.#waiting = [...kept, ...this.#waiting]
  }

  /** True when nobody waits for the batch any more: a forwarded one may be lost, and would count as pending for ever. */
  #expireBatch(batch: ProposalBatch<Result>, now: number, leader: LeaderView): boolean {
    if (batch.deadline > now) return false
    batch.deadline = Infinity
    let isAwaited = false
    for (const request of batch.requests) {
      if (request.isSettled) continue
      if (request.deadline > now) {
        isAwaited = true
        batch.deadline = Math.min(batch.deadline, request.deadline)
        continue
      }
      request.isSettled = true
      request.reject(
        batch.proposed === undefined ? notProposed(leader) : unknownOutcome('it was proposed, and its time ran out'),
      )
    }
    if (!isAwaited) this.#release(batch)
    return !isAwaited
  }

  /** The batch is pending no longer. */
  #release(batch: ProposalBatch<Result>): void {
    this.#count -= batch.requests.length
    this.#byteLength -= batch.byteLength - HEADER_ROOM
  }

  /** A client gave up on a request. */
  abandon(request: ProposalRequest<Result>, reason: unknown): void {
    if (request.isSettled) return
    request.isSettled = true
    if (request.batch?.proposed !== undefined) {
      return request.reject(unknownOutcome('it was proposed, and then aborted', reason))
    }
    // Once most are, so that each costs little: with no leader about they would be kept until their time is over.
    if (2 * ++this.#abandoned > this.#count) this.#letGoOfAbandoned()
    request.reject(aborted(reason))
  }

  #letGoOfAbandoned(): void {
    this.#abandoned = 0
    this.#close()
    this.#waiting = this.#waiting
      .map((batch) => this.#withoutSettled(batch))
      .filter(({ requests }) => requests.length > 0)
  }

  /** The server stops: nothing more will be known here. */
  rejectEverything(error: ActorumError): void {
    this.#close()
    for (const batch of this.#proposed.values()) this.#rejectAll(batch, () => unknownOutcome(error.message, error))
    for (const batch of this.#waiting) this.#rejectAll(batch, () => error)
    this.#proposed.clear()
    this.#waiting = []
  }

  #rejectAll(batch: ProposalBatch<Result>, error: () => ActorumError): void {
    this.#release(batch)
    for (const request of batch.requests) {
      if (request.isSettled) continue
      request.isSettled = true
      request.reject(error())
    }
  }
}

/** A batch's bytes before its first entry; not counted as pending. */
const HEADER_ROOM = new ProposalBatch(0).byteLength

export function notLeader(leaderId: ServerId | undefined): ActorumError {
  if (leaderId === undefined)
    return new ActorumError('NO_LEADER', 'no leader is known; nothing was proposed or read: try again')
  return new ActorumError(
    'NOT_LEADER',
    `this server does not lead, server ${leaderId} does; nothing was proposed or read: ask it`,
    { leaderId },
  )
}

function tooLarge(size: number, commandBytesMax: number): ActorumError {
  const text = `the command has ${size} bytes and was not proposed; at most ${commandBytesMax} are allowed`
  return new ActorumError('TOO_LARGE', `${text}: split it, or raise requestBytesMax on all servers`)
}

export function aborted(reason: unknown): ActorumError {
  return new ActorumError('ABORTED', 'the call was aborted; nothing was proposed', { cause: reason })
}

function notProposed({ leaderId }: LeaderView): ActorumError {
  return leaderId === undefined
    ? new ActorumError('NO_LEADER', 'no leader was known within the time of the call; nothing was proposed: try again')
    : new ActorumError('TIMEOUT', 'the time of the call ran out; nothing was proposed: try again')
}

function unknownOutcome(why: string, cause?: unknown): ActorumError {
  return new ActorumError(
    'OUTCOME_UNKNOWN',
    `${why}; the command may or may not be applied: read before you try again`,
    { cause },
  )
}
