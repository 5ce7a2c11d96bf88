import { ActorumError } from '../errors.js'
import type { Answer } from '../machines/effects.js'
import type { LogIndex, Term, ServerId } from '../machines/types.js'
import { notLeader, type LeaderView } from './pending-proposals.js'

/** One client's read. `serve` is called once the state may be read, `reject` when it cannot; one of them, once. */
export interface ReadRequest {
  serve(): void
  reject(error: Error): void
  /** How long it may wait from the turn that takes it in: the clock is read once for all reads of a turn. */
  readonly timeoutMs: number
  isSettled: boolean
}

interface ReadBatch {
  readonly lease: boolean
  readonly requests: readonly ReadRequest[]
  /** When its turn took it in. */
  readonly since: number
  /** The earliest deadline in it. */
  readonly deadline: number
  readonly asked: { readonly leaderId: ServerId; readonly term: Term; readonly at: number } | undefined
}

type Taken = Pick<ReadBatch, 'lease' | 'requests' | 'since'>

export interface ReadLimits {
  readonly pendingReadsMax: number
  readonly forwardToLeader: boolean
  /** How long to wait for a leader's answer, or after a refusal, before asking again: reads may be asked twice. */
  readonly retryMs: number
}

/** What the machine is asked for. */
export interface ReadAsked {
  readonly id: number
  readonly nonce: number
  readonly lease: boolean
}

/**
 * Reads that need a leader's word, from the call until they are served. Those of one turn share one id and one round;
 * they are served once this server has applied up to the index that they were given.
 */
export class PendingReads {
  readonly #limits: ReadLimits
  readonly #nonce: number
  #nextId = 1
  #arrived: { lease: ReadRequest[]; linearizable: ReadRequest[] } = { lease: [], linearizable: [] }
  /** Asked and not answered, or refused and to be asked again. */
  readonly #asked = new Map<number, ReadBatch>()
  /** Given an index that is not yet applied. */
  #confirmed: { readonly index: LogIndex; readonly batch: ReadBatch }[] = []
  #count = 0
  /** Settled while they waited in a batch, and perhaps still in it. */
  #settledCount = 0
  #freshAt = -Infinity

  constructor(limits: ReadLimits, nonce: number) {
    this.#limits = limits
    this.#nonce = nonce
  }

  get size(): number {
    return this.#count
  }

  /** From 0 to 1: of what may wait. */
  get share(): number {
    return this.#count / this.#limits.pendingReadsMax
  }

  add(request: ReadRequest, lease: boolean): void {
    if (this.#count >= this.#limits.pendingReadsMax) {
      throw new ActorumError('BUSY', `${this.#count} reads wait for their turn; try again later (pendingReadsMax)`)
    }
    this.#count++
    this.#arrived[lease ? 'lease' : 'linearizable'].push(request)
  }

  /** Waits until `index` is applied here, and for nobody's word. */
  addAt(request: ReadRequest, index: LogIndex, now: number): void {
    if (this.#count >= this.#limits.pendingReadsMax) {
      throw new ActorumError('BUSY', `${this.#count} reads wait for their turn; try again later (pendingReadsMax)`)
    }
    this.#count++
    const batch = { lease: false, requests: [request], since: now, deadline: now + request.timeoutMs, asked: undefined }
    this.#confirmed.push({ index, batch })
  }

  /** When this server's state was last known to be everything committed by then; -Infinity when it never was. */
  get freshAt(): number {
    return this.#freshAt
  }

  /** What to ask the machine for now. */
  drain(leader: LeaderView, now: number): readonly ReadAsked[] {
    const asks: ReadAsked[] = []
    // What is asked again comes under a new number, behind the others: each is looked at once.
    for (const [id, batch] of this.#asked.size === 0 ? [] : [...this.#asked]) {
      if (!this.#isOverdue(batch, leader, now)) continue
      this.#asked.delete(id)
      this.#ask(batch, leader, now, asks)
    }
    const { lease, linearizable } = this.#arrived
    if (lease.length + linearizable.length === 0) return asks
    this.#arrived = { lease: [], linearizable: [] }
    this.#ask({ lease: true, requests: lease, since: now }, leader, now, asks)
    this.#ask({ lease: false, requests: linearizable, since: now }, leader, now, asks)
    return asks
  }

  /** A leader that is this server itself forgets no read; another one, or the way to it, may. */
  #isOverdue({ asked }: ReadBatch, { leaderId, term, isSelf }: LeaderView, now: number): boolean {
    if (leaderId === undefined) return false
    if (asked === undefined || asked.leaderId !== leaderId || asked.term !== term) return true
    return !isSelf && now - asked.at >= this.#limits.retryMs
  }

  #ask({ lease, requests, since }: Taken, leader: LeaderView, now: number, asks: ReadAsked[]): void {
    const open = requests.some((request) => request.isSettled)
      ? requests.filter((request) => !request.isSettled)
      : requests
    if (open.length === 0) return
    const { leaderId, term } = leader
    if (!this.#limits.forwardToLeader && !leader.isSelf) {
      for (const request of open) this.#reject(request, notLeader(leaderId))
      return
    }
    const id = this.#nextId++
    const deadline = since + open.reduce((shortest, { timeoutMs }) => Math.min(shortest, timeoutMs), Infinity)
    const asked = leaderId === undefined ? undefined : { leaderId, term, at: now }
    this.#asked.set(id, { lease, requests: open, since, deadline, asked })
    if (asked !== undefined) asks.push({ id, nonce: this.#nonce, lease })
  }

  /** The machine's answer to a batch. */
  answered(answer: Extract<Answer, { readonly type: 'readsReady' | 'readsRefused' }>, lastApplied: LogIndex): void {
    const batch = answer.nonce === this.#nonce ? this.#asked.get(answer.id) : undefined
    if (batch === undefined) return
    // A refused batch stays as it was asked: it is asked again when the leader changes or the time comes.
    if (answer.type === 'readsRefused') return
    this.#asked.delete(answer.id)
    if (answer.index <= lastApplied) this.#serve(batch)
    else this.#confirmed.push({ index: answer.index, batch })
  }

  /** Serves what waited for entries to be applied. */
  applied(lastApplied: LogIndex): void {
    if (this.#confirmed.length === 0) return
    const ready = this.#confirmed.filter(({ index }) => index <= lastApplied)
    if (ready.length === 0) return
    this.#confirmed = this.#confirmed.filter(({ index }) => index > lastApplied)
    for (const { batch } of ready) this.#serve(batch)
  }

  #serve({ requests, asked }: ReadBatch): void {
    this.#freshAt = Math.max(this.#freshAt, asked?.at ?? -Infinity)
    for (const request of requests) {
      if (request.isSettled) continue
      request.isSettled = true
      this.#count--
      request.serve()
    }
  }

  expire(now: number, { leaderId }: LeaderView): void {
    for (const [id, batch] of this.#asked) {
      if (this.#expireBatch(batch, now, leaderId)) this.#asked.delete(id)
    }
    // Whoever hears of it may read again at once.
    const confirmed = this.#confirmed
    this.#confirmed = []
    const kept = confirmed.filter(({ index, batch }) => !this.#expireBatch(batch, now, leaderId, index))
    this.#confirmed = [...kept, ...this.#confirmed]
    this.#letGo()
  }

  /** True when nobody waits for the batch any more. */
  #expireBatch(batch: ReadBatch, now: number, leaderId: ServerId | undefined, awaited?: LogIndex): boolean {
    const { requests, since, deadline } = batch
    if (deadline > now) return false
    for (const request of requests) {
      if (request.isSettled || since + request.timeoutMs > now) continue
      this.#reject(request, timedOut(leaderId, awaited))
      this.#settledCount++
    }
    return requests.every((request) => request.isSettled)
  }

  abandon(request: ReadRequest, reason: unknown): void {
    if (request.isSettled) return
    this.#reject(request, new ActorumError('ABORTED', 'the read was aborted', { cause: reason }))
    this.#settledCount++
    this.#letGo()
  }

  /**
   * Takes what is settled out of its batches once that is more than still waits: it is bounded as they are, and each is
   * looked at only so often.
   */
  #letGo(): void {
    if (this.#settledCount <= this.#count) return
    this.#settledCount = 0
    const { lease, linearizable } = this.#arrived
    this.#arrived = { lease: lease.filter(isOpen), linearizable: linearizable.filter(isOpen) }
    for (const [id, batch] of this.#asked) {
      const requests = batch.requests.filter(isOpen)
      if (requests.length === 0) this.#asked.delete(id)
      else this.#asked.set(id, { ...batch, requests })
    }
    this.#confirmed = this.#confirmed
      .map(({ index, batch }) => ({ index, batch: { ...batch, requests: batch.requests.filter(isOpen) } }))
      .filter(({ batch }) => batch.requests.length > 0)
  }

  rejectEverything(error: ActorumError): void {
    const { lease, linearizable } = this.#arrived
    const batches = [...this.#asked.values(), ...this.#confirmed.map(({ batch }) => batch)]
    for (const request of [...lease, ...linearizable, ...batches.flatMap(({ requests }) => requests)]) {
      this.#reject(request, error)
    }
    this.#arrived = { lease: [], linearizable: [] }
    this.#asked.clear()
    this.#confirmed = []
  }

  #reject(request: ReadRequest, error: ActorumError): void {
    if (request.isSettled) return
    request.isSettled = true
    this.#count--
    request.reject(error)
  }
}

function isOpen({ isSettled }: ReadRequest): boolean {
  return !isSettled
}

function timedOut(leaderId: ServerId | undefined, awaited: LogIndex | undefined): ActorumError {
  if (leaderId === undefined) {
    return new ActorumError('NO_LEADER', 'no leader was known within the time of the read: try again')
  }
  const what = awaited === undefined ? 'the leader had confirmed it' : `this server had applied revision ${awaited}`
  const advice = awaited === undefined ? 'try again' : 'try again, and see that the revision is one of this cluster'
  return new ActorumError('TIMEOUT', `the time of the read ran out before ${what}: ${advice}`)
}
