import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { ActorumError } from '../../src/errors.js'
import type { Message } from '../../src/machines/messages.js'
import type { KvCommand } from '../../src/state-machines/kv/commands.js'
import type { CommittedBatch } from '../../src/state-machines/ports.js'
import { T } from '../machine-harness.js'
import { keyOf } from './kv-batch.js'
import { MemoryServers, Outcome, type Answered, type MemoryServer, type Settings } from './memory-servers.js'

/** A server alone in its cluster, which leads. */
function lone(given: Settings = {}): { readonly servers: MemoryServers; readonly server: MemoryServer } {
  const servers = new MemoryServers(1, given)
  const server = servers.elect()
  server.events.length = 0
  server.writes.length = 0
  return { servers, server }
}

const batchesOf = (server: MemoryServer): readonly number[] =>
  server.events.flatMap((event) => (event.type === 'proposals' ? event.batches.map(({ count }) => count) : []))
const runsOf = (server: MemoryServer): readonly (readonly number[])[] =>
  server.writes.map(({ runs }) => runs.map(({ count }) => count)).filter((counts) => counts.length > 0)

describe('proposals at a server', () => {
  it('made in one turn go out as one batch and one write', () => {
    const { servers, server } = lone()
    const calls = Array.from({ length: 50 }, (_, at) => server.put(`key-${at}`, 'value'))
    servers.turn()
    expect(calls.every(({ now }) => now === 'ok')).toBe(true)
    expect(batchesOf(server)).toEqual([50])
    expect(runsOf(server)).toEqual([[50]])
  })

  it('form batches by themselves under load: what arrives during a write is the next write', () => {
    const { servers, server } = lone()
    server.disk.latencyMs = () => 5
    const first = server.put('key', '0')
    servers.turn()
    const others = ['1', '2', '3'].map((value) => {
      const call = server.put('key', value)
      servers.turn()
      return call
    })
    servers.advance(20)
    expect([first, ...others].map(({ now }) => now)).toEqual(['ok', 'ok', 'ok', 'ok'])
    expect(runsOf(server)).toEqual([[1], [3]])
  })

  it('wait for nothing when the server is idle: no time passes', () => {
    const { servers, server } = lone()
    const before = servers.clock.now()
    const call = server.put('key', 'value')
    servers.turn()
    expect(call.now).toBe('ok')
    expect(servers.clock.now()).toBe(before)
  })

  it('beyond what may be pending are BUSY at once, and the accepted ones complete', () => {
    const { servers, server } = lone({ limits: { pendingProposalsMax: 10 } })
    const calls = Array.from({ length: 25 }, (_, at) => server.put(`key-${at}`, 'value'))
    expect(calls.map(({ now }) => now)).toEqual([
      ...Array<string>(10).fill('pending'),
      ...Array<string>(15).fill('BUSY'),
    ])
    servers.turn()
    expect(calls.slice(0, 10).every(({ now }) => now === 'ok')).toBe(true)
    expect(server.keyValues.size).toBe(10)
  })

  it('beyond the bytes that may be pending are BUSY, and the server takes more once they are applied', () => {
    const { servers, server } = lone({ limits: { pendingBytesMax: 4096 } })
    const value = 'v'.repeat(1500)
    const calls = [server.put('a', value), server.put('b', value), server.put('c', value)]
    expect(calls.map(({ now }) => now)).toEqual(['pending', 'pending', 'BUSY'])
    servers.turn()
    const later = server.put('c', value)
    servers.turn()
    expect([calls[0]?.now, calls[1]?.now, later.now]).toEqual(['ok', 'ok', 'ok'])
  })

  it('are split into runs within runBytesMax', () => {
    const { servers, server } = lone({ limits: { runBytesMax: 2048 } })
    for (let at = 0; at < 9; at++) server.put(`key-${at}`, 'v'.repeat(500))
    servers.turn()
    expect(runsOf(server)).toEqual([[3, 3, 3]])
  })

  it('are copied when they are made: a caller that changes a buffer it put, or one it got, changes nothing', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const value = new TextEncoder().encode('value')
    const call = leader.put('key', value)
    value.fill(0x78)
    servers.until(() => servers.all.every((server) => server.valueOf('key') !== undefined), 'all have applied it')
    expect(call.now).toBe('ok')
    const got = new Outcome<Uint8Array | undefined>()
    leader.calls.read(() => leader.keyValues.getValue(keyOf('key')), undefined, got.resolve, got.reject)
    servers.until(() => got.now === 'ok', 'the read is answered')
    got.value?.fill(0x79)
    expect(servers.all.map((server) => server.valueOf('key'))).toEqual(['value', 'value', 'value'])
    servers.kill(leader.id)
    const again = servers.start(leader.id)
    servers.until(() => again.valueOf('key') !== undefined, 'it is applied from disk')
    expect(again.valueOf('key')).toBe('value')
  })
})

describe('reads at a server', () => {
  it('beyond pendingReadsMax are BUSY at once, and the accepted ones are served', () => {
    const { servers, server } = lone({ limits: { pendingReadsMax: 5 } })
    const reads = Array.from({ length: 8 }, () => server.get('key'))
    expect(reads.map(({ now }) => now)).toEqual([...Array<string>(5).fill('pending'), ...Array<string>(3).fill('BUSY')])
    servers.turn()
    expect(reads.slice(0, 5).every(({ now }) => now === 'ok')).toBe(true)
  })

  it('see what was answered before them, on every server', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    servers.network.setFaults({ delayMs: [0, 5] })
    for (let round = 0; round < 20; round++) {
      const write = leader.put('key', `${round}`)
      servers.until(() => write.now === 'ok', 'the write is answered')
      const reads = servers.all.map((server) => server.get('key'))
      servers.until(() => reads.every(({ now }) => now === 'ok'), 'the reads are answered')
      expect(reads.map(({ value }) => value)).toEqual([`${round}`, `${round}`, `${round}`])
    }
  })

  it('by lease are served by the leader without a round, within the call', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    leader.put('key', 'value')
    servers.advance(2 * T)
    const read = leader.get('key', { consistency: 'lease' })
    expect(read).toMatchObject({ now: 'ok', value: 'value' })
    const quorum = leader.get('key')
    expect(quorum.now).toBe('pending')
    servers.until(() => quorum.now === 'ok', 'a quorum confirms it')
  })

  it('by lease wait for a quorum when the lease has run out, and a lone leader needs none', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    servers.advance(T)
    servers.network.isolate(leader.id, 'silent')
    servers.advance(950)
    const read = leader.get('key', { consistency: 'lease', timeoutMs: 500 })
    expect(read.now).toBe('pending')
    servers.advance(600)
    expect(['TIMEOUT', 'NO_LEADER']).toContain(read.now)
    expect(lone().server.get('key', { consistency: 'lease' }).now).toBe('ok')
  })
})

describe('calls at a follower', () => {
  it('go to the leader and are answered where they were made, with what is applied there', () => {
    const servers = new MemoryServers(3)
    servers.elect()
    const follower = servers.follower()
    const call = follower.put('key', 'value')
    servers.until(() => call.now === 'ok', 'the write is answered')
    expect(follower.valueOf('key')).toBe('value')
    expect(call.value).toMatchObject({ revision: follower.raft.lastApplied })
  })

  it('are refused with the name of the leader when they may not go there', () => {
    const servers = new MemoryServers(3, { limits: { forwardToLeader: false } })
    const leader = servers.elect()
    const follower = servers.follower()
    const calls = [follower.put('key', 'value'), follower.get('key')]
    servers.turn()
    for (const call of calls) expect(call.error).toMatchObject({ code: 'NOT_LEADER', leaderId: leader.id })
    expect(follower.get('key', { consistency: 'eventual' }).now).toBe('ok')
  })

  it('made before there is a leader wait for it, and then succeed', () => {
    const servers = new MemoryServers(3)
    const calls = servers.all.flatMap((server) => [server.put(`key-${server.id}`, 'value'), server.get('key-1')])
    servers.until(() => calls.every(({ now }) => now !== 'pending'), 'a leader is elected and answers')
    expect(calls.map(({ now }) => now)).toEqual(Array<string>(6).fill('ok'))
  })

  it('wait for more than 64 batches without a leader, one of them given up, and are all proposed', () => {
    const servers = new MemoryServers(3)
    servers.elect()
    const follower = servers.follower()
    servers.network.isolate(follower.id, 'noticed')
    servers.until(() => follower.context.leaderId === undefined, 'it misses its leader')
    const giveUp = new AbortController()
    const calls = Array.from({ length: 100 }, (_, at) => {
      const call = follower.put(`key-${at}`, 'value', at === 0 ? { signal: giveUp.signal } : { timeoutMs: 60_000 })
      servers.turn()
      return call
    })
    giveUp.abort()
    servers.network.heal()
    servers.until(() => calls.every(({ now }) => now !== 'pending'), 'all are answered')
    expect(calls.map(({ now }) => now)).toEqual(['ABORTED', ...Array<string>(99).fill('ok')])
  })
})

describe('what a client is told', () => {
  it('NO_LEADER or TIMEOUT: it was not proposed, and never is', () => {
    const servers = new MemoryServers(3)
    servers.elect()
    const follower = servers.follower()
    servers.network.isolate(follower.id, 'noticed')
    servers.until(() => follower.context.leaderId === undefined, 'it misses its leader')
    const call = follower.put('key', 'value', { timeoutMs: 300 })
    servers.until(() => call.now !== 'pending', 'its time runs out')
    expect(call.now).toBe('NO_LEADER')
    servers.network.heal()
    servers.advance(5 * T)
    expect(servers.all.map((server) => server.valueOf('key'))).toEqual([undefined, undefined, undefined])
  })

  it('ABORTED: it was not proposed, and never is', () => {
    const { servers, server } = lone()
    const controller = new AbortController()
    const call = server.put('key', 'value', { signal: controller.signal })
    controller.abort('gave up')
    expect(call.error).toMatchObject({ code: 'ABORTED', cause: 'gave up' })
    servers.turn()
    expect(server.valueOf('key')).toBeUndefined()
    expect(runsOf(server)).toEqual([])
  })

  it('OUTCOME_UNKNOWN: it was proposed and then timed out, was aborted, or the server stopped', () => {
    const { servers, server } = lone()
    server.disk.latencyMs = () => 1000
    const controller = new AbortController()
    const late = server.put('late', 'value', { timeoutMs: 100 })
    const aborted = server.put('aborted', 'value', { signal: controller.signal })
    const stopped = server.put('stopped', 'value')
    servers.turn()
    controller.abort('gave up')
    servers.advance(200)
    expect([late.now, aborted.now, stopped.now]).toEqual(['OUTCOME_UNKNOWN', 'OUTCOME_UNKNOWN', 'pending'])
    server.raft.stop()
    expect(stopped.now).toBe('OUTCOME_UNKNOWN')
  })

  it('OUTCOME_UNKNOWN: its leader lost its leadership, by a partition or by handing over', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    servers.network.isolate(leader.id, 'silent')
    const call = leader.put('key', 'value', { timeoutMs: 60_000 })
    servers.until(() => !leader.leads, 'it steps down without a quorum')
    servers.turn()
    expect(call.now).toBe('OUTCOME_UNKNOWN')
  })

  it('OUTCOME_UNKNOWN: a late duplicate that its former leader refuses is no proof that it was not proposed', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const follower = servers.follower()
    servers.network.setFaults({ delayMs: 5 })
    const heard = vi.spyOn(leader.raft.transportHandler, 'message')
    const call = follower.propose(counting('key'))
    const proposal = () => heard.mock.calls.find(([, message]) => message.type === 'propose')
    servers.until(() => proposal() !== undefined, 'the leader appends it')
    const term = leader.context.hardState.term + 1
    leader.raft.transportHandler.message(follower.id, { type: 'requestVoteReply', term, granted: false })
    leader.raft.transportHandler.message(...proposal()!)
    servers.until(() => call.now !== 'pending', 'the call is answered')
    expect(call.now).toBe('OUTCOME_UNKNOWN')
    servers.elect()
    servers.advance(T)
    expect(servers.all.map((server) => server.valueOf('key'))).toEqual(['once', 'once', 'once'])
  })

  it('at the end of a partition nothing that failed for certain was applied, and nothing twice', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const calls = new Map<string, Answered>()
    for (let round = 0; round < 30; round++) {
      if (round === 10) servers.network.isolate(leader.id, 'silent')
      if (round === 20) servers.network.heal()
      for (const server of servers.all) {
        const key = `${server.id}-${round}`
        calls.set(key, server.put(key, 'value', { timeoutMs: 700 }))
      }
      servers.advance(100)
    }
    servers.until(() => [...calls.values()].every(({ now }) => now !== 'pending'), 'all are answered')
    servers.elect()
    servers.advance(T)
    const found = [...calls].map(([key, call]) => [call.now, servers.get(1).valueOf(key)] as const)
    expect(found.filter(([now, value]) => now === 'ok' && value === undefined)).toEqual([])
    expect(found.filter(([now, value]) => !['ok', 'OUTCOME_UNKNOWN'].includes(now) && value !== undefined)).toEqual([])
    expect(found.filter(([now]) => now === 'ok').length).toBeGreaterThan(30)
  })
})

describe('a server that fails', () => {
  it('stops at a write that fails: STORAGE_FAILED, told once, and the role machine shows it', () => {
    const { servers, server } = lone()
    server.disk.failNextWrite()
    const [write, read] = [server.put('key', 'value'), server.get('key')]
    servers.turn()
    expect(server.failures).toMatchObject([{ code: 'STORAGE_FAILED' }])
    expect([write.now, read.now]).toEqual(['OUTCOME_UNKNOWN', 'ok'])
    expect(server.raft.role.getSnapshot().value).toBe('failed')
    expect(server.put('key', 'value').now).toBe('STORAGE_FAILED')
    expect(server.get('key').now).toBe('STORAGE_FAILED')
    servers.advance(10 * T)
    expect(server.failures).toHaveLength(1)
  })

  it('stops when a background sync fails, of which the store tells it', () => {
    const { servers, server } = lone()
    server.raft.storageFailed(new ActorumError('STORAGE_FAILED', 'EIO'))
    expect(server.failures).toMatchObject([{ code: 'STORAGE_FAILED' }])
    expect(server.raft.isReady).toBe(false)
    servers.advance(10 * T)
    expect(server.failures).toHaveLength(1)
  })

  it('stops when its state machine throws: every call is answered, and nothing more is applied', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const follower = servers.follower()
    vi.spyOn(follower.keyValues, 'apply').mockImplementation((batch: CommittedBatch) => {
      throw new Error(`cannot apply ${batch.count} commands`)
    })
    const calls = [follower.put('key', 'value'), follower.get('key')]
    const elsewhere = leader.put('other', 'value')
    servers.until(() => follower.failures.length > 0, 'it stops')
    expect(follower.failures).toMatchObject([
      { code: 'INVARIANT_BROKEN', message: expect.stringMatching(/cannot apply 1 commands/) as string },
    ])
    servers.until(() => elsewhere.now !== 'pending', 'the others go on')
    expect(elsewhere.now).toBe('ok')
    expect(calls.map(({ now }) => now)).not.toContain('pending')
    expect(calls[0]?.now).toBe('OUTCOME_UNKNOWN')
    const { lastApplied } = follower.raft
    servers.advance(T)
    expect(follower.raft.lastApplied).toBe(lastApplied)
    expect(follower.failures).toHaveLength(1)
  })

  it('stops at a law of Raft that does not hold', () => {
    const { servers, server } = lone()
    const call = server.put('key', 'value')
    const term = server.context.hardState.term
    const unheardOf = JSON.parse(`{"type":"unheardOf","term":${term}}`) as Message
    server.raft.transportHandler.message(2, unheardOf)
    servers.turn()
    expect(server.failures).toMatchObject([
      { code: 'INVARIANT_BROKEN', message: expect.stringMatching(/every event has a handler/) as string },
    ])
    expect(call).toMatchObject({ answers: 1, now: 'INVARIANT_BROKEN' })
    servers.advance(10 * T)
    expect(server.failures).toHaveLength(1)
  })

  it('answers those who wait for it to be ready', () => {
    const servers = new MemoryServers(3)
    const server = servers.get(1)
    const ready = new Outcome<undefined>()
    const deadline = 60_000
    server.raft.when(() => server.raft.isReady, {
      resolve: () => ready.resolve(undefined),
      reject: ready.reject,
      deadline,
    })
    server.raft.stop()
    expect(ready.now).toBe('STOPPED')
    expect(() =>
      server.raft.when(() => server.raft.isReady, { resolve: () => undefined, reject: () => undefined, deadline }),
    ).toThrow(expect.objectContaining({ code: 'STOPPED' }))
  })

  it('neither answers nor asks for those who wait no longer', () => {
    const { raft } = new MemoryServers(1).get(1)
    const ready = new Outcome<undefined>()
    const condition = vi.fn(() => raft.isReady)
    const resolve = (): void => ready.resolve(undefined)
    raft.when(condition, { resolve, reject: ready.reject, deadline: 60_000 })()
    raft.stop()
    expect([ready.now, condition.mock.calls.length]).toEqual(['pending', 0])
  })
})

describe('a server that is stopped', () => {
  it('does nothing more: no message, no write, no event, and a second stop changes nothing', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    leader.put('key', 'value')
    leader.raft.stop()
    const send = vi.spyOn(leader.transport, 'send')
    leader.events.length = leader.writes.length = 0
    leader.raft.stop()
    servers.advance(10 * T)
    expect(send).not.toHaveBeenCalled()
    expect([leader.events, leader.writes, leader.failures]).toEqual([[], [], []])
    expect(servers.all.filter(({ leads, id }) => leads && id !== leader.id)).toHaveLength(1)
  })

  it('leaves no timer behind', () => {
    const { servers, server } = lone()
    server.disk.latencyMs = () => 10
    server.put('key', 'value')
    servers.advance(5)
    expect(servers.clock.timers).toBeGreaterThan(1)
    server.stop()
    // The disk has its write to end.
    servers.advance(100)
    expect(servers.clock.timers).toBe(0)
  })

  it('hears nothing of a write that completes later', () => {
    const { servers, server } = lone()
    server.disk.latencyMs = () => 10
    const call = server.put('key', 'value')
    servers.turn()
    server.raft.stop()
    servers.advance(20)
    expect(call).toMatchObject({ answers: 1, now: 'OUTCOME_UNKNOWN' })
  })
})

describe('a server that is started again', () => {
  it('has applied what was committed before once it is ready, and leads on from there', () => {
    const { servers, server } = lone()
    for (let at = 0; at < 10; at++) {
      server.put('key', `${at}`)
      servers.turn()
    }
    const revision = server.raft.lastApplied
    servers.kill(1)
    servers.start(1)
    const again = servers.elect()
    expect(again.valueOf('key')).toBe('9')
    const next = again.put('key', '10')
    servers.turn()
    expect(next.value).toMatchObject({ revision: revision + 2 })
  })

  it('knows what the cluster is named', () => {
    const { servers, server } = lone()
    expect(server.raft.clusterId).toBe('cluster-1')
    server.put('key', 'value')
    servers.turn()
    servers.kill(1)
    expect(servers.start(1).raft.clusterId).toBe('cluster-1')
  })

  it('takes no answer for its own that an earlier start of it had asked for', () => {
    const servers = new MemoryServers(3)
    servers.elect()
    servers.network.setFaults({ delayMs: 5 })
    const follower = servers.follower()
    const before = follower.put('key', 'before')
    servers.turn()
    servers.kill(follower.id)
    expect(before.now).toBe('OUTCOME_UNKNOWN')
    const again = servers.start(follower.id)
    const after = again.put('key', 'after')
    servers.until(() => after.now === 'ok', 'the new write is answered')
    expect([before.answers, after.answers]).toEqual([1, 1])
    expect(again.valueOf('key')).toBe('after')
  })
})

/** What may happen to a cluster of three and its clients. */
type Happening =
  | { readonly type: 'put' | 'get' | 'abort'; readonly server: number; readonly timeoutMs: number }
  | { readonly type: 'isolate' | 'restart' | 'transfer'; readonly server: number }
  | { readonly type: 'heal' }
  | { readonly type: 'advance'; readonly ms: number }

const server = fc.integer({ min: 1, max: 3 })
const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constantFrom('put' as const, 'get' as const, 'abort' as const),
      server,
      timeoutMs: fc.constantFrom(30, 300, 3000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom('isolate' as const, 'restart' as const, 'transfer' as const),
      server,
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('heal' as const) }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('advance' as const), ms: fc.constantFrom(0, 1, 5, 60, 700) }) },
)

interface Call {
  readonly key: string | undefined
  readonly outcome: Answered
}

const CERTAIN = ['NO_LEADER', 'TIMEOUT', 'ABORTED', 'BUSY', 'NOT_LEADER', 'STOPPED']

describe('calls to a cluster, whatever happens to it', () => {
  it('are answered exactly once; what failed for certain is never applied, what succeeded always, nothing twice', () => {
    fc.assert(
      fc.property(fc.array(happening, { minLength: 10, maxLength: 50 }), fc.nat(), (happenings, seed) => {
        const servers = new MemoryServers(3, {}, seed)
        servers.network.setFaults({ delayMs: [0, 4], duplication: 0.05, loss: 0.01 })
        servers.elect()
        const calls: Call[] = []
        for (const happening of happenings) happen(servers, happening, calls)
        servers.network.setFaults({})
        servers.network.heal()
        servers.advance(3100)
        servers.elect()
        servers.advance(T)
        for (const { outcome } of calls) expect(outcome.answers).toBe(1)
        checkApplied(servers.get(1), calls)
      }),
      { numRuns: 25 },
    )
  })
})

function happen(servers: MemoryServers, happening: Happening, calls: Call[]): void {
  switch (happening.type) {
    case 'put':
    case 'abort': {
      const { timeoutMs, type } = happening
      const controller = new AbortController()
      const key = `key-${calls.length}`
      const options = { timeoutMs, ...(type === 'abort' ? { signal: controller.signal } : {}) }
      calls.push({ key, outcome: servers.get(happening.server).propose(counting(key), options) })
      if (type === 'abort') servers.clock.setTimeout(() => controller.abort(), timeoutMs / 20)
      return
    }
    case 'get': {
      const outcome = servers.get(happening.server).get('key-0', { timeoutMs: happening.timeoutMs })
      calls.push({ key: undefined, outcome })
      return
    }
    case 'isolate':
      return servers.network.isolate(happening.server, 'silent')
    case 'restart':
      servers.kill(happening.server)
      servers.start(happening.server)
      return
    case 'transfer':
      return servers.get(happening.server).raft.transferLeadership()
    case 'heal':
      return servers.network.heal()
    case 'advance':
      return servers.advance(happening.ms)
  }
}

/** Its second application would be seen by the one that finds the key. */
function counting(key: string): KvCommand {
  return { type: 'compareAndSwap', key, expected: undefined, value: 'once' }
}

function checkApplied(server: MemoryServer, calls: readonly Call[]): void {
  for (const { key, outcome } of calls) {
    if (key === undefined) continue
    const isApplied = server.valueOf(key) !== undefined
    if (outcome.now === 'ok') {
      expect(isApplied).toBe(true)
      // Had it been applied before, the key would have existed.
      expect(outcome.value).toMatchObject({ swapped: true })
    }
    if (CERTAIN.includes(outcome.now)) expect(isApplied, `${key} after ${outcome.now}`).toBe(false)
  }
}
