import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { QUICK } from '../integration/engine-place.js'
import { GrowingCluster } from './growing-cluster.js'
import { SteadyLoad } from './steady-load.js'
import type { Answer } from './worker-messages.js'

const CLIENTS = 4
/** Enough to see that clients go on. */
const WRITES = 25

describe('a cluster of servers in processes of their own, which grows and shrinks', () => {
  let cluster: GrowingCluster | undefined
  let load: SteadyLoad | undefined

  // The servers end first, so that no client waits for one.
  afterEach(async () => {
    const stopped = load?.stop().catch(() => undefined)
    await cluster?.dispose()
    await stopped
  })

  it('loses no write and fails none for good from 1 to 3 and back to 1, although the leader leaves', async () => {
    const growing = (cluster = await GrowingCluster.make({ ...QUICK, promotionAfterMs: 0 }))
    await growing.grow([1])
    const clients = (load = new SteadyLoad(CLIENTS, growing))
    const progress = async (what: string): Promise<void> => {
      let written = 0
      await growing.until(async () => (written += (await clients.takePhase()).acknowledged) >= WRITES, what)
    }
    await progress('one server is written to')
    await growing.grow([2, 3])
    await progress('three servers are written to')
    expect(await growing.shrink(2)).toHaveLength(2)
    await progress('the one that stays is written to')
    await clients.stop()
    expect(growing.running).toHaveLength(1)
    expect(await clients.countLost()).toBe(0)
  }, 120_000)
})

describe('clients that write all the while', () => {
  const times = { callNs: 0, returnNs: 0 }
  const takes = answering({ ...times, outcome: 'ok', output: 1 })
  const refuses = answering({ ...times, outcome: 'failed', code: 'REFUSED' })

  it('end a phase with what one of them died of', async () => {
    const load = new SteadyLoad(2, { running: [takes, refuses], isWithdrawn: () => false })
    // The servers have answered.
    await turn()
    await expect(load.takePhase()).rejects.toThrow('a write failed with REFUSED')
    await expect(load.stop()).rejects.toThrow('a write failed with REFUSED')
  })

  it('go on at another server when one that leaves the cluster refuses', async () => {
    const load = new SteadyLoad(2, { running: [takes, refuses], isWithdrawn: (server) => server === refuses })
    const found = new Set<string>()
    let written = 0
    while (written < WRITES || found.size === 0) {
      const { acknowledged, retried } = await load.takePhase()
      written += acknowledged
      for (const failure of retried.keys()) found.add(failure)
    }
    await load.stop()
    expect([...found]).toEqual(['REMOVED'])
  })
})

/** A server that answers in the next turn of the event loop. */
function answering(answer: Answer) {
  return { call: () => turn(answer) }
}
