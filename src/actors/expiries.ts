import type { RaftContext } from '../machines/context.js'
import type { Instant, ProposalBatch as ProposalEventBatch } from '../machines/events.js'
import { clusterTimeAt } from '../machines/leadership.js'
import type { LogIndex, Term } from '../machines/types.js'
import type { StateMachine } from '../state-machines/ports.js'
import type { LoopClock, LoopTimer } from './loop-clock.js'
import { ProposalBatch, type ProposalRequest } from './proposal-batch.js'

export interface ExpiriesPorts<Command> {
  readonly stateMachine: Pick<StateMachine<Command, unknown>, 'commands' | 'nextExpiry' | 'expiredAt'>
  readonly timers: Pick<LoopClock, 'setTimeout' | 'clearTimeout'>
  readonly context: () => RaftContext
  readonly lastApplied: () => LogIndex
  /** Appends at once, or not at all. */
  readonly propose: (batch: ProposalEventBatch, instant: Instant) => void
  /** Of this start of the server. */
  readonly nonce: number
  /** After how long a batch that was not taken is offered again (ms). */
  readonly retryMs: number
}

/** Clients' batches count from 1, so that whoever waits for one takes none of these for it. */
const BATCH = 0
/** Node fires a longer timer at once. */
const TIMER_MS_MAX = 0x7fff_ffff

/**
 * Lets the state's leases and the like end: the leader alone proposes it, when the cluster's clock, by which it stamps
 * entries, says that something is due. One timer, for what is due next; what was given more time meanwhile only moves it.
 * These commands pass by the limits on clients' proposals: they are few, and what they end makes room.
 */
export class Expiries<Command> {
  readonly #ports: ExpiriesPorts<Command>
  #timer: LoopTimer | undefined
  /** When the timer goes off, on the monotonic clock. */
  #timerAt = Infinity
  /** What was proposed last, in which term: what remains to be ended is known once it is applied. */
  #proposed: { readonly term: Term; readonly index: LogIndex } = { term: 0, index: 0 }
  #retryAt = -Infinity

  constructor(ports: ExpiriesPorts<Command>) {
    this.#ports = ports
  }

  /** Looks whether anything is due. Once a turn: it compares a few numbers. */
  review(instant: Instant): void {
    const { stateMachine, lastApplied } = this.#ports
    const context = this.#ports.context()
    const { leadership } = context
    if (leadership === undefined) {
      this.stop()
      return
    }
    // Before its own no-op is applied a leader knows neither what the cluster holds nor that it still leads.
    if (lastApplied() < leadership.noopIndex || this.#isAwaiting(context)) return
    const next = stateMachine.nextExpiry?.()
    if (next === undefined) return
    const clusterTime = clusterTimeAt(leadership, instant.now)
    if (next > clusterTime) this.#arm(next - clusterTime, instant.now)
    else if (instant.now < this.#retryAt) this.#arm(this.#retryAt - instant.now, instant.now)
    else this.#propose(stateMachine.expiredAt?.(clusterTime) ?? [], instant)
  }

  #isAwaiting({ hardState }: RaftContext): boolean {
    return this.#proposed.term === hardState.term && this.#proposed.index > this.#ports.lastApplied()
  }

  #propose(commands: readonly Command[], instant: Instant): void {
    if (commands.length === 0) return
    const { stateMachine, nonce, retryMs } = this.#ports
    const { commands: codec } = stateMachine
    const batch = new ProposalBatch<unknown>(0)
    for (const command of commands) batch.add(codec, command, codec.sizeOf(command), nobody())
    const { lastIndex } = this.#ports.context().log
    this.#ports.propose({ batch: BATCH, nonce, count: commands.length, bytes: batch.bytes }, instant)
    const { hardState, log } = this.#ports.context()
    this.#proposed = { term: hardState.term, index: log.lastIndex }
    if (log.lastIndex > lastIndex) return
    // Leadership is being handed over. Should that fail, this is still to be done.
    this.#retryAt = instant.now + retryMs
    this.#arm(retryMs, instant.now)
  }

  /** The turn that hears the timer reviews. */
  #arm(delayMs: number, now: number): void {
    const delay = Math.min(Math.max(1, delayMs), TIMER_MS_MAX)
    // A timer that goes off too early is set anew then, once, and not for every command that gives something more time.
    if (this.#timerAt - (now + delay) < 1) return
    this.#clear()
    this.#timerAt = now + delay
    this.#timer = this.#ports.timers.setTimeout(() => this.#clear(), delay)
  }

  #clear(): void {
    this.#ports.timers.clearTimeout(this.#timer)
    this.#timer = undefined
    this.#timerAt = Infinity
  }

  stop(): void {
    if (this.#timer !== undefined) this.#clear()
  }
}

/** Nobody waits for what becomes of these. */
function nobody(): ProposalRequest<unknown> {
  return { resolve: () => undefined, reject: () => undefined, deadline: Infinity, isSettled: true }
}
