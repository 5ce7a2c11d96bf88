import { afterEach, describe, expect, it } from 'vitest'
import { CONTENTION_FAULTS, LockContention } from './lock-contention.js'

describe('contenders for a lock in processes of their own', () => {
  let contention: LockContention | undefined

  afterEach(() => contention?.dispose())

  it('never hold it together or go back to an older token, through a pause, a kill and cut links', async () => {
    contention = await LockContention.start({ seed: 1, tell: () => undefined })
    for (const fault of CONTENTION_FAULTS) await contention.round(fault)
    expect(contention.ledger.holdings).toBeGreaterThan(CONTENTION_FAULTS.length)
    expect(contention.ledger.writes.done).toBeGreaterThan(0)
  }, 120_000)
})
