import { describe, expect, it } from 'vitest'
import type { KvCommand, KvResult } from '../../src/state-machines/kv/commands.js'
import { KeyValueStore } from '../../src/state-machines/kv/key-value-store.js'
import type { CommittedBatch } from '../../src/state-machines/ports.js'
import { Dice, Nemesis, SimulatedCluster, type SimulationOptions } from '../../src/testing/index.js'

type Options = SimulationOptions<KvCommand, KvResult>

/** A state machine that keeps back the result that it owes a client: whoever proposes through its server stops it. */
class Silent extends KeyValueStore {
  override apply(batch: CommittedBatch): KvResult[] {
    super.apply(batch)
    return []
  }
}

const sound = (): KeyValueStore => new KeyValueStore()
const nemesisOf = (cluster: SimulatedCluster<KvCommand, KvResult>): Nemesis<KvCommand, KvResult> =>
  new Nemesis(cluster, { durability: 'disk-first', dice: Dice.of(1, 'nemesis') })

function clusterWith(options: Partial<Options>): SimulatedCluster<KvCommand, KvResult> {
  return new SimulatedCluster({ seed: 1, stateMachine: sound, ...options })
}

/** A leader has a command, and time to commit it. */
function putOnce(cluster: SimulatedCluster<KvCommand, KvResult>): void {
  const ignore = (): void => undefined
  cluster.advanceToLeader().running?.calls.propose({ type: 'put', key: 'a', value: 'x' }, undefined, ignore, ignore)
  cluster.advance(500)
}

describe('a simulated cluster', () => {
  it.each([
    [{ seed: -1.5 }, 'seed is -1.5; it must be an integer from 0 to 4294967295'],
    [{ seed: 2 ** 32 }, 'seed is 4294967296; it must be'],
    [{ servers: 0 }, 'servers is 0; it must be an integer from 1 to 100'],
    [{ servers: 2.5 }, 'servers is 2.5; it must be'],
    [{ spares: -1 }, 'spares is -1; it must be an integer from 0 to 100'],
    [{ stateMachine: null }, 'stateMachine is null; it must be a function that makes a state machine'],
    [{ stateMachine: sound() }, 'it must be a function that makes a state machine'],
  ])('refuses %o', (wrong, message) => {
    const refusal: unknown = expect.objectContaining({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(message) as string,
    })
    expect(() => clusterWith(wrong as Partial<Options>)).toThrow(refusal)
  })

  it('takes the least and the greatest seed', () => {
    for (const seed of [0, 0xffff_ffff]) expect(clusterWith({ seed }).servers).toHaveLength(3)
  })
})

describe('a server of a simulated cluster that stops by itself', () => {
  const LAW = 'a server stops only for a reason: server'

  it('is a violation when nobody was asked to expect it', () => {
    const cluster = clusterWith({ stateMachine: () => new Silent() })
    cluster.startAll()
    expect(() => putOnce(cluster)).toThrow(
      /only for a reason: server \d: INVALID_ARGUMENT: the state machine returned 0/,
    )
    expect(() => cluster.checkLiveness()).toThrow(LAW)
  })

  it('is one when a nemesis has done nothing that explains it', () => {
    const cluster = clusterWith({ stateMachine: () => new Silent() })
    const nemesis = nemesisOf(cluster)
    cluster.startAll()
    nemesis.inject({ kind: 'full disk', who: 3 })
    expect(() => putOnce(cluster)).toThrow(LAW)
  })

  it('is one when somebody else harms its disk', () => {
    const cluster = clusterWith({})
    cluster.startAll()
    cluster.server(2).disk.failNextWrite()
    expect(() => putOnce(cluster)).toThrow(LAW)
  })

  it('is none when a nemesis has dealt the fault, and it comes back when that is over', () => {
    const cluster = clusterWith({})
    const nemesis = nemesisOf(cluster)
    cluster.startAll()
    const heal = nemesis.inject({ kind: 'failed write', who: 2 })
    putOnce(cluster)
    expect(cluster.server(2).failure?.code).toBe('STORAGE_FAILED')
    heal?.()
    cluster.checkLiveness()
    expect(cluster.server(2).failure).toBe(undefined)
  })

  it('is for `failed` alone to judge where that is given', () => {
    const stopped: unknown[] = []
    const cluster = clusterWith({
      stateMachine: () => new Silent(),
      failed: (id, { code }) => stopped.push([id, code]),
    })
    nemesisOf(cluster)
    cluster.startAll()
    const leader = cluster.advanceToLeader()
    putOnce(cluster)
    expect(stopped).toEqual([[leader.id, 'INVALID_ARGUMENT']])
  })

  it('has one nemesis at most', () => {
    const cluster = clusterWith({})
    nemesisOf(cluster)
    expect(() => nemesisOf(cluster)).toThrow('takes one nemesis')
  })
})
