/** One server's memory at one moment, after a garbage collection. */
export interface MemorySample {
  /** Since the soak began. */
  readonly seconds: number
  /** Since this server last started. */
  readonly ageSeconds: number
  readonly megabytes: number
}

/** What it was in the middle of a soak and at its end: of ten minutes, the fourth and fifth and the last two. */
export interface Trend {
  readonly fromMb: number
  readonly toMb: number
  readonly isFlat: boolean
}

const FROM_SHARES = [0.3, 0.5] as const
const TO_SHARES = [0.8, 1] as const
const SAMPLES_MIN = 5
const RISE_MAX = 0.1
/** A restarted server is small at first: of servers that are killed, only samples of about the same age are compared. */
const KILLED_AGE_SECONDS = [10, 40] as const

/** Whether memory is flat: it rises by no more than a tenth. undefined while there are too few samples to tell. */
export function trendOf(samples: readonly MemorySample[], isKilled: boolean): Trend | undefined {
  const [youngest, oldest] = isKilled ? KILLED_AGE_SECONDS : [0, Infinity]
  const comparable = samples.filter(({ ageSeconds }) => youngest <= ageSeconds && ageSeconds <= oldest)
  const last = samples.at(-1)?.seconds ?? 0
  const fromMb = meanWithin(comparable, FROM_SHARES[0] * last, FROM_SHARES[1] * last)
  const toMb = meanWithin(comparable, TO_SHARES[0] * last, TO_SHARES[1] * last)
  return fromMb === undefined || toMb === undefined
    ? undefined
    : { fromMb, toMb, isFlat: toMb <= (1 + RISE_MAX) * fromMb }
}

function meanWithin(samples: readonly MemorySample[], from: number, to: number): number | undefined {
  const within = samples.filter(({ seconds }) => from <= seconds && seconds <= to)
  if (within.length < SAMPLES_MIN) return undefined
  return within.reduce((sum, { megabytes }) => sum + megabytes, 0) / within.length
}
