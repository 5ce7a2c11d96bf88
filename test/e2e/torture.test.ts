import { afterEach, describe, expect, it } from 'vitest'
import { formatHistory, parseHistory } from '../../src/testing/index.js'
import { between } from './proxied-network.js'
import { Torture } from './torture.js'

/** Enough calls at every server to see what a fault does. */
const WRITES = 25

describe('three servers in processes of their own, behind proxies, on disks', () => {
  let torture: Torture | undefined

  afterEach(() => torture?.dispose())

  const leaderOf = ({ cluster }: Torture): number => cluster.leaderId ?? 0
  const otherLeads = (running: Torture, id: number): Promise<void> =>
    running.cluster.until(() => leaderOf(running) !== id, `another than ${id} leads`)

  async function killAndRestart(running: Torture, id: number): Promise<void> {
    await running.cluster.kill(id)
    await running.progress(WRITES)
    await running.cluster.start(id)
    await running.progress(WRITES)
  }

  async function pauseLeader(running: Torture): Promise<void> {
    const id = leaderOf(running)
    const server = running.cluster.server(id)
    server?.pause()
    await otherLeads(running, id)
    await running.progress(WRITES)
    server?.resume()
    await running.progress(WRITES)
  }

  /** Nobody is told: the leader's messages, and those to it, get lost on the way. */
  async function silenceLeader(running: Torture): Promise<void> {
    const id = leaderOf(running)
    const { ids, network } = running.cluster
    const heal = network.impose(
      between(
        [id],
        ids.filter((other) => other !== id),
      ),
      { passage: 'held' },
    )
    await otherLeads(running, id)
    await running.progress(WRITES)
    heal()
    await running.progress(WRITES)
  }

  it('show their clients one copy of every key, through kills, a pause, and links that reset, are silent and are slow', async () => {
    const running = (torture = await Torture.start({ seed: 1, servers: 3, durability: 'disk-first' }))
    running.beginRound()
    await running.progress(WRITES)
    await killAndRestart(running, leaderOf(running))
    await pauseLeader(running)
    await silenceLeader(running)
    const leader = leaderOf(running)
    const fast = running.cluster.network.impose([[leader, (leader % 3) + 1]], { passage: 'reset' })
    const slow = running.cluster.network.impose([[leader, ((leader + 1) % 3) + 1]], {
      delayMs: 30,
      bytesPerSecond: 20_000,
    })
    await running.progress(WRITES)
    fast()
    slow()
    await killAndRestart(running, (leaderOf(running) % 3) + 1)

    const { verdict, operations } = await running.finishRound()
    expect(verdict).toBe('decided')
    expect(operations).toBeGreaterThan(8 * WRITES)
    expect(parseHistory(formatHistory(running.history))).toEqual(running.history)
    const written = running.history.filter(({ op, outcome }) => op === 'put' && outcome === 'ok')
    const applied = new Set(running.log.ledger.applied.map(({ revision }) => revision))
    expect(written.filter(({ output }) => !applied.has(Number(output)))).toEqual([])
  }, 120_000)
})
