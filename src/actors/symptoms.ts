/** What a server can suffer from and go on. */
export type SymptomCode =
  'EVENT_LOOP_STALLED' | 'SLOW_DISK' | 'LOW_DISK' | 'NO_LEADER' | 'PEER_DOWN' | 'OVERLOADED' | 'REMOVED'

/** One look: `present`, `absent`, or `lingering` where it is too weak to begin and too strong to end. */
export type Sighting = 'present' | 'lingering' | 'absent'

/** A symptom from when it was first seen until it has been absent for long enough. */
export interface Course {
  readonly message: string
  /** Wall time, ms since 1970, when it was first seen. */
  readonly since: number
  /** On the monotonic clock, when it was first and last seen. */
  readonly firstAt: number
  readonly lastAt: number
}

/**
 * The symptoms of one server over time. One that shows stays until it has been absent for `calmMs`, so that what comes
 * and goes many times a second is told once.
 */
export class Symptoms {
  readonly #calmMs: number
  readonly #courses = new Map<SymptomCode, Course>()

  constructor(calmMs: number) {
    this.#calmMs = calmMs
  }

  get courses(): ReadonlyMap<SymptomCode, Course> {
    return this.#courses
  }

  /** Notes what was seen at `now` (monotonic ms) and `wallTime`. */
  see(code: SymptomCode, sighting: Sighting, message: string, now: number, wallTime: number): void {
    const course = this.#courses.get(code)
    if (sighting === 'present') {
      const { since = wallTime, firstAt = now } = course ?? {}
      this.#courses.set(code, { message, since, firstAt, lastAt: now })
    } else if (course !== undefined && sighting === 'lingering') {
      this.#courses.set(code, { ...course, lastAt: now })
    } else if (course !== undefined && now - course.lastAt >= this.#calmMs) {
      this.#courses.delete(code)
    }
  }

  /** How long a symptom has been coming back (ms), 0 for one that is not there. */
  durationOf(code: SymptomCode): number {
    const course = this.#courses.get(code)
    return course === undefined ? 0 : course.lastAt - course.firstAt
  }
}
