import type { InSessionCommand, SessionId } from './commands.js'
import { type Deadline, Deadlines } from './deadlines.js'
import { SESSION_RESULT_BYTES_MAX, SESSION_RESULTS_MAX, SESSIONS_MAX } from './limits.js'
import { sizeOfResult } from './result-codec.js'
import type { KvResult, Refusal } from './results.js'

/** What the state remembers of one client, so that its commands are applied once (thesis §6.3). */
export interface Session extends Deadline {
  readonly id: SessionId
  /** How long it may be silent, in milliseconds. */
  readonly timeoutMs: number
  /** Everything below has been answered, as the client has said. */
  lowestOutstanding: number
  /** By sequence. */
  readonly results: Map<number, KvResult>
  resultBytes: number
}

/** All sessions, and which of them ends first. */
export class Sessions {
  readonly #sessions = new Map<SessionId, Session>()
  readonly #deadlines = new Deadlines<Session>()

  get first(): Session | undefined {
    return this.#deadlines.first
  }

  get isFull(): boolean {
    return this.#sessions.size >= SESSIONS_MAX
  }

  find(id: SessionId): Session | undefined {
    return this.#sessions.get(id)
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values()
  }

  open(id: SessionId, timeoutMs: number, deadline: number): Session {
    const results = new Map<number, KvResult>()
    const session: Session = {
      id,
      timeoutMs,
      deadline,
      lowestOutstanding: 0,
      results,
      resultBytes: 0,
      queuedAt: 0,
      place: 0,
    }
    this.#sessions.set(id, session)
    this.#deadlines.add(session)
    return session
  }

  end(session: Session): void {
    this.#sessions.delete(session.id)
    this.#deadlines.remove(session)
  }
}

/** What is known of a command already, or undefined when it is to be applied. */
export function recall(
  session: Session,
  { sequence, lowestOutstanding }: Pick<InSessionCommand, 'sequence' | 'lowestOutstanding'>,
): KvResult | Refusal | undefined {
  if (lowestOutstanding > session.lowestOutstanding) forgetBelow(session, lowestOutstanding)
  const kept = session.results.get(sequence)
  if (kept !== undefined) return kept
  if (sequence < session.lowestOutstanding) return 'ANSWERED'
  const isFull = session.results.size >= SESSION_RESULTS_MAX || session.resultBytes >= SESSION_RESULT_BYTES_MAX
  return isFull ? 'BUSY' : undefined
}

export function remember(session: Session, sequence: number, result: KvResult): void {
  session.results.set(sequence, result)
  session.resultBytes += sizeOfResult(result)
}

function forgetBelow(session: Session, lowest: number): void {
  // Most often one result, and sometimes a leap beyond all of them.
  if (lowest - session.lowestOutstanding > session.results.size) {
    for (const sequence of [...session.results.keys()]) {
      if (sequence < lowest) forget(session, sequence)
    }
  } else {
    for (let sequence = session.lowestOutstanding; sequence < lowest; sequence++) forget(session, sequence)
  }
  session.lowestOutstanding = lowest
}

function forget(session: Session, sequence: number): void {
  const result = session.results.get(sequence)
  if (result === undefined) return
  session.results.delete(sequence)
  session.resultBytes -= sizeOfResult(result)
}
