import { median } from '../quantile.js'

const MINUTES_COMPARED = 3
const GROWTH_MAX = 1.25

export interface Growth {
  readonly id: number
  readonly earlyMb: number
  readonly lateMb: number
  readonly isFlat: boolean
}

/**
 * The median of a server's last three minutes against that of its minutes 2 to 4: flat is at most a quarter more.
 * undefined while there are too few minutes to tell. `samples` has one figure a minute, in MB after a garbage collection.
 */
export function growthOf(id: number, samples: readonly number[]): Growth | undefined {
  const afterFirst = samples.slice(1)
  if (afterFirst.length < 2 * MINUTES_COMPARED) return undefined
  const earlyMb = median(afterFirst.slice(0, MINUTES_COMPARED))
  const lateMb = median(afterFirst.slice(-MINUTES_COMPARED))
  return { id, earlyMb, lateMb, isFlat: lateMb <= GROWTH_MAX * earlyMb }
}
