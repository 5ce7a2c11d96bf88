/**
 * Time and chance are inputs. These two ports are all that a server sees of either; the real ones live in
 * actors/clock.ts, virtual ones in testing/.
 */

/** Time as a server sees it. Its `setTimeout` and `clearTimeout` are also XState's clock. */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary start, fractions allowed. */
  now(): number
  /** Milliseconds since 1970, for people to read; never decides anything. */
  wallTime(): number
  setTimeout(callback: () => void, delayMs: number): unknown
  clearTimeout(timer: unknown): void
  /** Runs `callback` at the end of this turn, after whatever else has arrived in it. */
  defer(callback: () => void): void
}

/** Chance as a server sees it. */
export interface Random {
  /** A uniform integer in [0, 2^32). */
  uint32(): number
}

/** One step of a 32-bit generator (mulberry32): the next state and a uniform number in [0, 1). Pure. */
export function draw(state: number): { readonly state: number; readonly value: number } {
  const next = (state + 0x6d2b_79f5) >>> 0
  let mixed = Math.imul(next ^ (next >>> 15), next | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return { state: next, value: ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000 }
}

/** A `Random` that gives the same numbers for the same seed. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return {
    uint32() {
      const drawn = draw(state)
      state = drawn.state
      return Math.floor(drawn.value * 0x1_0000_0000)
    },
  }
}
