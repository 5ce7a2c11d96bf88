import type { Clock } from '../machines/time-and-chance.js'

const INTERVAL_MS = 10_000

/** What was said of a subject, and what was not since. */
interface Limited {
  readonly saidAt: number
  unsaid: number
  lastUnsaid: string
  timer: unknown
}

/**
 * Keeps a fault that repeats many times a second from flooding a person. Subjects are the transport's own words for
 * what a notice is about, and never what a stranger sent, so their number is bounded by the number of peers.
 */
export class Notices {
  readonly #say: (text: string) => void
  readonly #clock: Clock
  readonly #isPunctual: boolean
  readonly #lastTexts = new Map<string, string>()
  readonly #limited = new Map<string, Limited>()
  #isClosed = false

  /**
   * `unsaid`: whether what was left unsaid is told when its time is up, or with the next notice of its subject alone,
   * which takes no timer: a simulated network has none for it.
   */
  constructor(say: (text: string) => void, clock: Clock, unsaid: 'told in time' | 'told with the next') {
    this.#say = say
    this.#clock = clock
    this.#isPunctual = unsaid === 'told in time'
  }

  /** Says `text` unless it was the last thing said about `subject`. */
  once(subject: string, text: string): void {
    if (this.#lastTexts.get(subject) === text) return
    this.#lastTexts.set(subject, text)
    this.#say(text)
  }

  /** The fault is over: should it come again, it is said again. */
  forget(subject: string): void {
    this.#lastTexts.delete(subject)
  }

  /** Says `text` at most once in ten seconds for one `subject`, with the number left unsaid in between. */
  limited(subject: string, text: string): void {
    const before = this.#limited.get(subject)
    const leftMs = before === undefined ? 0 : before.saidAt + INTERVAL_MS - this.#clock.now()
    if (before === undefined || leftMs <= 0) return this.#sayLimited(subject, text, before)
    before.unsaid++
    before.lastUnsaid = text
    if (before.unsaid === 1 && this.#isPunctual && !this.#isClosed) {
      before.timer = this.#clock.setTimeout(() => this.#sayUnsaid(subject, before), leftMs)
    }
  }

  /** Sets no timer any more, and clears those that are set. */
  close(): void {
    this.#isClosed = true
    for (const { timer } of this.#limited.values()) this.#clock.clearTimeout(timer)
  }

  /** One of them stands for all. */
  #sayUnsaid(subject: string, limited: Limited): void {
    limited.unsaid--
    this.#sayLimited(subject, limited.lastUnsaid, limited)
  }

  #sayLimited(subject: string, text: string, before: Limited | undefined): void {
    this.#clock.clearTimeout(before?.timer)
    this.#limited.set(subject, { saidAt: this.#clock.now(), unsaid: 0, lastUnsaid: '', timer: undefined })
    const unsaid = before?.unsaid ?? 0
    this.#say(unsaid === 0 ? text : `${text} (and ${unsaid} more of the kind since the last notice)`)
  }
}
