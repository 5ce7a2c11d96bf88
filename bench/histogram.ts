const BUCKETS_PER_OCTAVE = 16
const LOWEST_MS = 1e-4
const BUCKETS = 28 * BUCKETS_PER_OCTAVE

/** Durations in log-spaced buckets, 4.4 % apart, from 0.1 µs to 27 s. */
export class Histogram {
  readonly #counts = new Uint32Array(BUCKETS)
  #total = 0

  record(durationMs: number): void {
    const bucket = Math.floor(Math.log2(durationMs / LOWEST_MS) * BUCKETS_PER_OCTAVE)
    this.#counts[Math.min(Math.max(bucket, 0), BUCKETS - 1)]!++
    this.#total++
  }

  reset(): void {
    this.#counts.fill(0)
    this.#total = 0
  }

  get count(): number {
    return this.#total
  }

  /** The duration (ms) that `share` (0 to 1) of all did not exceed, to within a bucket. */
  quantile(share: number): number {
    let left = share * this.#total
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#counts[bucket]!
      if (left <= 0) return LOWEST_MS * 2 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE)
    }
    return 0
  }
}
