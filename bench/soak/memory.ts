/** One server's memory at one moment, after a garbage collection. */
export interface MemorySample {
  readonly seconds: number
  readonly megabytes: number
}

/** The line that fits the samples of the last two thirds of a soak best (least squares). */
export interface Trend {
  readonly fromMb: number
  readonly toMb: number
  readonly minutes: number
  readonly isFlat: boolean
}

const SAMPLES_MIN = 20
const WARMUP_SHARE = 1 / 3
/** Restarts alone, after which a server is small for a while, move the line by a tenth or so. */
const RISE_MAX = 0.25

/**
 * Whether memory is flat: the first third is left out, while code is compiled and the log grows to what is kept of it;
 * the line through the rest rises by no more than a quarter of where it begins. undefined while there are too few samples to tell.
 */
export function trendOf(samples: readonly MemorySample[]): Trend | undefined {
  const last = samples.at(-1)?.seconds ?? 0
  const late = samples.filter(({ seconds }) => seconds >= last * WARMUP_SHARE)
  const from = late[0]?.seconds
  if (late.length < SAMPLES_MIN || from === undefined) return undefined
  const middle = meanOf(late, ({ seconds }) => seconds)
  const mean = meanOf(late, ({ megabytes }) => megabytes)
  const spread = meanOf(late, ({ seconds }) => (seconds - middle) ** 2)
  const slope = meanOf(late, ({ seconds, megabytes }) => (seconds - middle) * (megabytes - mean)) / spread
  const fromMb = mean + slope * (from - middle)
  const toMb = mean + slope * (last - middle)
  return { fromMb, toMb, minutes: (last - from) / 60, isFlat: toMb <= (1 + RISE_MAX) * fromMb }
}

function meanOf(samples: readonly MemorySample[], of: (sample: MemorySample) => number): number {
  return samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length
}
