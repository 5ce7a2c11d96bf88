import { expect, it, vi } from 'vitest'
import { drawPlan, formatStory, runPlan } from '../../src/testing/index.js'

const SEEDS_A_TEST = 10
const STEPS = 8
/** Some seconds on a quiet machine. */
vi.setConfig({ testTimeout: 120_000 })

/** A test for each ten seeds from `first` to `last`: random runs of 3 and 5 servers under all faults. */
export function claimSeeds(first: number, last: number): void {
  for (let from = first; from <= last; from += SEEDS_A_TEST) {
    const to = Math.min(last, from + SEEDS_A_TEST - 1)
    it(`breaks no law in the runs of seeds ${from} to ${to}`, () => {
      for (let seed = from; seed <= to; seed++) expect(faultOfRun(seed)).toBeUndefined()
    })
  }
}

function faultOfRun(seed: number): string | undefined {
  const result = runPlan(drawPlan({ seed, steps: STEPS }))
  if (result.violation !== undefined)
    return `${formatStory(result)}\nnpm run simulate -- --seed ${seed} --steps ${STEPS}`
  return result.decided ? undefined : `the history of seed ${seed} could not be judged within the checker's limit`
}
