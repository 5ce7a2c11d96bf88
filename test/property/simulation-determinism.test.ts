import { describe, expect, it, vi } from 'vitest'
import { drawPlan, fingerprint, runPlan } from '../../src/testing/index.js'

vi.setConfig({ testTimeout: 120_000 })

describe('a simulation', () => {
  for (const seed of [7, 8, 9, 10]) {
    it(`runs seed ${seed} the same way twice, to the byte`, () => {
      expect(fingerprint(runPlan(drawPlan({ seed, steps: 8 })))).toBe(
        fingerprint(runPlan(drawPlan({ seed, steps: 8 }))),
      )
    })
  }

  it('runs the same way twice with clients that coordinate, however far time is advanced at once', () => {
    const plan = drawPlan({ seed: 9, steps: 8, coordination: true })
    const runs = [1000, 7].map((strideMs) => fingerprint(runPlan(plan, { strideMs })))
    expect(runs[1]).toBe(runs[0])
  })

  it('runs the same way however far time is advanced at once', () => {
    const plan = drawPlan({ seed: 11 })
    const runs = [1, 100, 2000].map((strideMs) => fingerprint(runPlan(plan, { strideMs })))
    expect(runs[1]).toBe(runs[0])
    expect(runs[2]).toBe(runs[0])
  })

  it('runs another way from another seed', () => {
    const [one, other] = [12, 13].map((seed) => runPlan({ ...drawPlan({ seed: 12 }), seed }))
    expect(one?.traceHash).not.toBe(other?.traceHash)
  })
})
