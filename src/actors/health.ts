import { BehaviorSubject, type Observable } from 'rxjs'
import type { ActorumError } from '../errors.js'
import type { RaftContext } from '../machines/context.js'
import { isWithinReach } from '../machines/progress.js'
import type { Clock } from '../machines/time-and-chance.js'
import type { LogIndex, ServerId } from '../machines/types.js'
import { isDiskFull } from './full-disk.js'
import { removedText, type MemberLookup } from './member-lookup.js'
import { successorOf } from './successor.js'
import { Symptoms, type Sighting, type SymptomCode } from './symptoms.js'

/** Why a server is not `ok`: a symptom, or what it stopped of. */
export type HealthCode = SymptomCode | 'FULL_DISK' | 'STORAGE_FAILED' | 'SERVER_FAILED'

export interface HealthReason {
  readonly code: HealthCode
  /** For people: what was seen, and which option bounds it. */
  readonly message: string
  /** Wall time when it was first seen, ms since 1970. */
  readonly since: number
}

export interface HealthReport {
  /** `degraded`: it works, and suffers from the reasons. `failed`: it has stopped by itself. */
  readonly status: 'ok' | 'degraded' | 'failed'
  readonly reasons: readonly HealthReason[]
}

export interface HealthOptions {
  readonly electionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  /** A write to the log that is under way for longer is slow (ms). */
  readonly slowDiskMs: number
  /** A timer that comes later than this shows a stalled event loop (ms). */
  readonly stalledLoopMs: number
  /** Fewer free bytes on the disk of `dataDir` are few; 0: never. */
  readonly lowDiskBytes: number
  readonly dataDir: string
  readonly handOverWhenUnhealthy: boolean
}

/** How busy a server is. */
export interface ServerLoad {
  /** When the write to the log that is under way began, on the monotonic clock; undefined without one. */
  readonly writingSince: number | undefined
  /** Share of what may be pending that is, by the fullest of its limits: 1 is BUSY. */
  readonly pendingShare: number
}

/** The server that is watched. */
export interface HealthSubject {
  readonly id: ServerId
  readonly context: RaftContext
  readonly load: ServerLoad
  readonly isStopped: boolean
  readonly lookup: Pick<MemberLookup, 'removedAt'>
  transferLeadership(to?: ServerId): void
}

export interface HealthPorts {
  readonly server: HealthSubject
  readonly clock: Clock
  readonly notice: (text: string) => void
  /** What is free on the disk, as far as that is known. Without it, as in memory, nothing ever is. */
  readonly freeBytes?: () => number | undefined
}

const OK: HealthReport = { status: 'ok', reasons: [] }
/** The shares of what may be pending at which a server is overloaded, and is no longer. */
const OVERLOADED_FROM = 0.9
const OVERLOADED_UNTIL = 0.7
/** In election timeouts. */
const CALM = 2
const LEADERLESS = 2
const HAND_OVER_AFTER = 2
const HAND_OVER_INTERVAL = 10
/** What a leader suffers from and another leader might not. */
const HAND_OVER_FOR: readonly SymptomCode[] = ['SLOW_DISK', 'LOW_DISK', 'EVENT_LOOP_STALLED']

/**
 * Watches a server: one timer, each heartbeat interval, whose lateness is the event loop's, and a look at what the
 * server is waiting for. A leader that has suffered for two election timeouts hands leadership over where a quorum of
 * the others is up to it.
 */
export class Health {
  readonly #ports: HealthPorts
  readonly #options: HealthOptions
  readonly #symptoms: Symptoms
  readonly #report = new BehaviorSubject<HealthReport>(OK)
  readonly #intervalMs: number
  #timer: unknown
  #dueAt = 0
  /** How long the loop has stood still since the write that is under way began: no fault of the disk. */
  #stalledMs = 0
  #writeSeen: number | undefined
  /** The free bytes that the report names; Infinity before it does. */
  #freeBytesTold = Infinity
  /** Space does not come back by itself: servers that all lack it would pass leadership round for ever. */
  #hasLeftForSpace = false
  #leaderSeenAt: number
  #handOverNotBefore = -Infinity
  #removedAt: LogIndex | undefined

  constructor(ports: HealthPorts, options: HealthOptions) {
    this.#ports = ports
    this.#options = options
    this.#symptoms = new Symptoms(CALM * options.electionTimeoutMs)
    const { heartbeatIntervalMs, slowDiskMs, stalledLoopMs } = options
    this.#intervalMs = Math.min(heartbeatIntervalMs, slowDiskMs / 2, stalledLoopMs / 2)
    this.#leaderSeenAt = ports.clock.now()
  }

  /** The present report first, then whenever it changes. Completes when the server stops. */
  get report$(): Observable<HealthReport> {
    return this.#report.asObservable()
  }

  get report(): HealthReport {
    return this.#report.value
  }

  start(): void {
    const { clock, server } = this.#ports
    if (server.isStopped) return
    const now = clock.now()
    this.#leaderSeenAt = now
    // A disk that is nearly full already is told before anybody writes.
    this.#lookAtSpace(now)
    this.#tell()
    this.#schedule()
  }

  stop(): void {
    this.#ports.clock.clearTimeout(this.#timer)
    this.#report.complete()
  }

  /** The server has stopped by itself. */
  failed(error: ActorumError): void {
    const code = isDiskFull(error) ? 'FULL_DISK' : error.code === 'STORAGE_FAILED' ? 'STORAGE_FAILED' : 'SERVER_FAILED'
    const since = this.#ports.clock.wallTime()
    this.#report.next({ status: 'failed', reasons: [{ code, message: error.message, since }] })
    this.stop()
  }

  #schedule(): void {
    const { clock } = this.#ports
    this.#dueAt = clock.now() + this.#intervalMs
    this.#timer = clock.setTimeout(this.#look, this.#intervalMs)
  }

  readonly #look = (): void => {
    const { clock, server } = this.#ports
    if (server.isStopped) return
    const now = clock.now()
    const lateMs = Math.max(0, now - this.#dueAt)
    this.#lookAtLoop(lateMs, now)
    this.#lookAtDisk(lateMs, now)
    this.#lookAtSpace(now)
    this.#lookAtLeader(now)
    this.#lookAtPeers(lateMs, now)
    this.#lookAtMembership(now)
    this.#lookAtLoad(now)
    this.#tell()
    if (this.#options.handOverWhenUnhealthy) this.#handOverIfUnhealthy(now)
    this.#schedule()
  }

  #lookAtLoop(lateMs: number, now: number): void {
    const { stalledLoopMs } = this.#options
    const message = `the event loop was held up for longer than ${stalledLoopMs} ms (stalledLoopMs)`
    this.#see('EVENT_LOOP_STALLED', lateMs > stalledLoopMs, message, now)
  }

  #lookAtDisk(lateMs: number, now: number): void {
    const { slowDiskMs } = this.#options
    const { writingSince } = this.#ports.server.load
    this.#stalledMs = lateMs + (writingSince === this.#writeSeen ? this.#stalledMs : 0)
    this.#writeSeen = writingSince
    const isSlow = writingSince !== undefined && now - writingSince - this.#stalledMs > slowDiskMs
    this.#see('SLOW_DISK', isSlow, `a write to the log has taken longer than ${slowDiskMs} ms (slowDiskMs)`, now)
  }

  /** Told anew only once half of it is gone: otherwise every second of a disk that fills would be another report. */
  #lookAtSpace(now: number): void {
    const { lowDiskBytes, dataDir } = this.#options
    const freeBytes = this.#ports.freeBytes?.()
    const isLow = freeBytes !== undefined && freeBytes < lowDiskBytes
    if (!this.#symptoms.courses.has('LOW_DISK')) {
      this.#freeBytesTold = Infinity
      this.#hasLeftForSpace = false
    }
    if (isLow && freeBytes <= this.#freeBytesTold / 2) this.#freeBytesTold = freeBytes
    const message = `${this.#freeBytesTold} bytes were free on the disk of ${dataDir}, fewer than ${lowDiskBytes} (lowDiskBytes)`
    this.#see('LOW_DISK', isLow, message, now)
  }

  #lookAtLeader(now: number): void {
    const boundMs = LEADERLESS * this.#options.electionTimeoutMs
    if (this.#ports.server.context.leaderId !== undefined) this.#leaderSeenAt = now
    const message = `no leader has been known for longer than ${boundMs} ms`
    this.#see('NO_LEADER', now - this.#leaderSeenAt > boundMs, message, now)
  }

  /** Only a leader knows who can be reached. Answers of the time it was held up are not read yet. Who was removed may be gone. */
  #lookAtPeers(lateMs: number, now: number): void {
    const { leadership, settings } = this.#ports.server.context
    const down = [...(leadership?.progress ?? [])]
      .filter(([id]) => !leadership?.membership.departing.has(id))
      .filter(([, progress]) => !isWithinReach(progress, settings, now - lateMs))
      .map(([id]) => id)
    this.#see('PEER_DOWN', down.length > 0, `out of this leader's reach: server ${down.join(', ')}`, now)
  }

  #lookAtMembership(now: number): void {
    const { id, lookup } = this.#ports.server
    const index = lookup.removedAt
    const text = index === undefined ? '' : removedText(id, index)
    if (index !== undefined && index !== this.#removedAt) this.#ports.notice(text)
    this.#removedAt = index
    this.#see('REMOVED', index !== undefined, text, now)
  }

  #lookAtLoad(now: number): void {
    const { pendingShare } = this.#ports.server.load
    const sighting: Sighting =
      pendingShare >= OVERLOADED_FROM ? 'present' : pendingShare >= OVERLOADED_UNTIL ? 'lingering' : 'absent'
    const message =
      'nearly as many calls wait for their outcome as may; more are BUSY (pendingProposalsMax, pendingBytesMax, pendingReadsMax)'
    this.#see('OVERLOADED', sighting, message, now)
  }

  #see(code: SymptomCode, seen: boolean | Sighting, message: string, now: number): void {
    const sighting = typeof seen === 'string' ? seen : seen ? 'present' : 'absent'
    this.#symptoms.see(code, sighting, message, now, this.#ports.clock.wallTime())
  }

  #tell(): void {
    const reasons = [...this.#symptoms.courses].map(([code, { message, since }]) => ({ code, message, since }))
    const told = this.#report.value.reasons
    const isSame = reasons.every(({ code, message, since }, at) => {
      return told[at]?.code === code && told[at].message === message && told[at].since === since
    })
    if (isSame && reasons.length === told.length) return
    this.#report.next(reasons.length === 0 ? OK : { status: 'degraded', reasons })
  }

  #handOverIfUnhealthy(now: number): void {
    const { server, notice } = this.#ports
    const { electionTimeoutMs } = this.#options
    if (now < this.#handOverNotBefore || server.context.leadership === undefined) return
    const code = HAND_OVER_FOR.find((one) => {
      const isDone = one === 'LOW_DISK' && this.#hasLeftForSpace
      return !isDone && this.#symptoms.durationOf(one) >= HAND_OVER_AFTER * electionTimeoutMs
    })
    const to = code === undefined ? undefined : successorOf(server.context, now)
    if (code === undefined || to === undefined) return
    this.#handOverNotBefore = now + HAND_OVER_INTERVAL * electionTimeoutMs
    this.#hasLeftForSpace ||= code === 'LOW_DISK'
    notice(`server ${server.id} hands leadership over to server ${to}: ${this.#symptoms.courses.get(code)?.message}`)
    server.transferLeadership(to)
  }
}
