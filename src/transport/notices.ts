import type { Clock } from '../machines/time-and-chance.js'

const INTERVAL_MS = 10_000

/**
 * Keeps a fault that repeats many times a second from flooding a person. Subjects are the transport's own words for
 * what a notice is about, so their number is bounded by the number of peers.
 */
export class Notices {
  readonly #say: (text: string) => void
  readonly #clock: Clock
  readonly #lastTexts = new Map<string, string>()
  readonly #limited = new Map<string, { said: number; suppressed: number }>()

  constructor(say: (text: string) => void, clock: Clock) {
    this.#say = say
    this.#clock = clock
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
    const now = this.#clock.now()
    const before = this.#limited.get(subject)
    if (before !== undefined && now - before.said < INTERVAL_MS) {
      before.suppressed++
      return
    }
    this.#limited.set(subject, { said: now, suppressed: 0 })
    const unsaid = before?.suppressed ?? 0
    this.#say(unsaid === 0 ? text : `${text} (and ${unsaid} more of the kind since the last notice)`)
  }
}
