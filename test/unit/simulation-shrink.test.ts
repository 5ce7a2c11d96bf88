import { describe, expect, it } from 'vitest'
import { cutPlan, drawPlan } from '../../src/testing/index.js'

const SMALL = { seed: 3, steps: 2, kinds: ['pause'], servers: 3, changes: false } as const
const COORDINATING = drawPlan({ ...SMALL, coordination: true })

describe('a cut', () => {
  it('leaves a plan as it is where it says nothing', () => {
    expect(cutPlan(COORDINATING, {})).toEqual(COORDINATING)
  })

  it('says how many of each kind of client that coordinates are left, and draws nothing anew', () => {
    const cut = cutPlan(COORDINATING, { coordinating: { bankers: 0, watchers: 1 } })
    expect(cut.coordination).toEqual({ ...COORDINATING.coordination, bankers: 0, watchers: 1 })
    expect(cut.faults).toEqual(COORDINATING.faults)
  })

  it('brings no clients that coordinate into a plan that has none', () => {
    const plan = drawPlan({ ...SMALL, coordination: false })
    expect(cutPlan(plan, { coordinating: { bankers: 2 } })).toEqual(plan)
  })
})
