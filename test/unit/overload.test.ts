import { describe, expect, it, vi } from 'vitest'
import { leadershipOf } from '../../src/machines/leadership.js'
import type { Message } from '../../src/machines/messages.js'
import type { ServerId } from '../../src/machines/types.js'
import { T } from '../machine-harness.js'
import { MemoryServers, type Answered, type MemoryServer, type Settings } from './memory-servers.js'

const KIB = 1024
const DISK_MS = 5

describe('more proposals than a server can take', () => {
  it('are BUSY at once, while those that were accepted are answered as fast as ever', () => {
    const servers = new MemoryServers(3, { limits: { pendingProposalsMax: 20 } })
    const leader = servers.elect()
    for (const { disk } of servers.all) disk.latencyMs = () => DISK_MS
    const accepted: { readonly call: Answered; readonly at: number; tookMs: number }[] = []
    let busy = 0
    for (let turn = 0; turn < 200; turn++) {
      for (let at = 0; at < 10; at++) {
        const call = leader.put(`key-${turn}-${at}`, 'value')
        if (call.now === 'BUSY') busy++
        else accepted.push({ call, at: servers.clock.now(), tookMs: Infinity })
      }
      servers.advance(1)
      for (const one of accepted) {
        if (one.call.now === 'ok') one.tookMs = Math.min(one.tookMs, servers.clock.now() - one.at)
      }
    }
    servers.advance(4 * DISK_MS)
    expect(accepted.every(({ call }) => call.now === 'ok')).toBe(true)
    expect(busy).toBeGreaterThan(1000)
    // The write under way when it came, its own, and the turn between them.
    const [slowest] = accepted
      .map(({ tookMs }) => tookMs)
      .filter(Number.isFinite)
      .sort((one, other) => other - one)
    expect(slowest).toBeLessThanOrEqual(2 * DISK_MS + 2)
    expect(leader.keyValues.size).toBe(accepted.length)
  })

  it('at a follower are BUSY at once too, and cost the others nothing', () => {
    const servers = new MemoryServers(3, { limits: { pendingProposalsMax: 5 } })
    const leader = servers.elect()
    const follower = servers.follower()
    const calls = Array.from({ length: 8 }, (_, at) => follower.put(`key-${at}`, 'value'))
    expect(calls.map(({ now }) => now)).toEqual([...Array<string>(5).fill('pending'), ...Array<string>(3).fill('BUSY')])
    const elsewhere = leader.put('other', 'value')
    servers.turn()
    expect(elsewhere.now).toBe('ok')
    expect(calls.slice(0, 5).map(({ now }) => now)).toEqual(Array<string>(5).fill('ok'))
  })

  it("from other servers are BUSY beyond the leader's uncommittedBytesMax, and none of those is ever applied", () => {
    const servers = new MemoryServers(3, { settings: { uncommittedBytesMax: 8 * KIB } })
    const leader = servers.elect()
    const follower = servers.follower()
    for (const { disk } of servers.all) disk.latencyMs = () => T / 2
    const calls = Array.from({ length: 20 }, (_, at) => {
      const call = follower.put(`key-${at}`, 'v'.repeat(KIB))
      servers.advance(1)
      return call
    })
    servers.until(() => calls.every(({ now }) => now !== 'pending'), 'all are answered')
    const outcomes = calls.map(({ now }) => now)
    expect(new Set(outcomes)).toEqual(new Set(['ok', 'BUSY']))
    const applied = outcomes.map((_, at) => leader.valueOf(`key-${at}`) !== undefined)
    expect(applied).toEqual(outcomes.map((now) => now === 'ok'))
  })
})

describe('a slow follower', () => {
  const settings: Settings['settings'] = {
    appendBytesMax: 4 * KIB,
    inflightAppendsMax: 4,
    inflightBytesMax: 12 * KIB,
    logTailBytesMax: 32 * KIB,
  }

  /** Everything sent to one server, and how much of it in appends. */
  function sentTo(leader: MemoryServer, to: ServerId): { appendBytes: number } {
    const sent = { appendBytes: 0 }
    const send = leader.transport.send.bind(leader.transport)
    vi.spyOn(leader.transport, 'send').mockImplementation((peer: ServerId, message: Message) => {
      if (peer === to && message.type === 'appendEntries') {
        sent.appendBytes += message.runs.reduce((sum, run) => sum + run.bytes.length, 0)
      }
      send(peer, message)
    })
    return sent
  }

  it('costs the leader a window and a tail of bounded size, and the others nothing', () => {
    const servers = new MemoryServers(3, { settings })
    const leader = servers.elect()
    const slow = servers.follower()
    const sent = sentTo(leader, slow.id)
    // Heartbeats pass; whoever is sent entries takes an election timeout to answer for them.
    slow.disk.latencyMs = () => 2 * T
    const [before, began] = [slow.context.log.lastIndex, servers.clock.now()]
    const one = KIB + 600
    for (let written = 0; written < 500; written++) {
      const write = leader.put('key', 'v'.repeat(KIB))
      servers.advance(1)
      expect(write.now).toBe('ok')
      const progress = leadershipOf(leader.context).progress.get(slow.id)
      expect(progress?.inflight.length).toBeLessThanOrEqual(4)
      expect(progress?.inflightBytes).toBeLessThan(12 * KIB + 4 * KIB + one)
      expect(leader.context.log.tail.byteLength).toBeLessThanOrEqual(32 * KIB + one)
    }
    // A window, and what is taken for lost and sent again each half election timeout.
    const windows = 2 + (servers.clock.now() - began) / (T / 2)
    expect(sent.appendBytes).toBeLessThan(windows * (16 * KIB + one))
    expect(leader.leads).toBe(true)
    slow.disk.latencyMs = undefined
    servers.until(() => slow.context.log.lastIndex === leader.context.log.lastIndex, 'it catches up from disk')
    expect(slow.context.log.lastIndex - before).toBe(500)
  })
})

describe('entries in memory', () => {
  it('count with what their objects take, so that many small ones are bounded too', () => {
    const logTailBytesMax = 32 * KIB
    const servers = new MemoryServers(1, { settings: { logTailBytesMax } })
    const leader = servers.elect()
    for (let written = 0; written < 500; written++) {
      const write = leader.put('key', 'v')
      servers.until(() => write.now === 'ok', 'it is written')
    }
    const { start, end } = leader.context.log.tail
    expect(end - start).toBeGreaterThan(10)
    expect(end - start).toBeLessThan(logTailBytesMax / 400)
  })
})

describe('a proposal handed to the leader', () => {
  const counting = (key: string) => ({ type: 'compareAndSwap', key, expected: undefined, value: 'once' }) as const

  it('whose message was lost is sent again in the same term, and applied once', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const follower = servers.follower()
    const { term } = leader.context.hardState
    const began = servers.clock.now()
    servers.network.setLinkFaults(follower.id, leader.id, { loss: 1 })
    const call = follower.propose(counting('key'))
    servers.turn()
    servers.network.setLinkFaults(follower.id, leader.id, { loss: 0 })
    servers.until(() => call.now !== 'pending', 'it is answered')
    expect(call).toMatchObject({ now: 'ok', value: { swapped: true } })
    expect(servers.clock.now() - began).toBeLessThan(T / 2)
    expect(leader.context.hardState.term).toBe(term)
  })

  it('whose leader is merely slow is sent again without effect', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const follower = servers.follower()
    const heard = vi.spyOn(leader.raft.transportHandler, 'message')
    for (const { disk } of servers.all) disk.latencyMs = () => T
    const calls = ['a', 'b', 'c'].map((key) => {
      const call = follower.propose(counting(key))
      servers.turn()
      return call
    })
    servers.until(() => calls.every(({ now }) => now !== 'pending'), 'all are answered')
    for (const call of calls) expect(call).toMatchObject({ now: 'ok', value: { swapped: true } })
    const copies = heard.mock.calls.filter(([, { type }]) => type === 'propose').length
    expect(copies).toBeGreaterThan(3)
    // After 200, 600 and 1,400 ms, and so on: few, however long it takes.
    expect(copies).toBeLessThanOrEqual(3 * 4)
  })

  it('is applied once whatever the network loses, doubles and delays', () => {
    const servers = new MemoryServers(3)
    servers.elect()
    const follower = servers.follower()
    servers.network.setFaults({ loss: 0.1, duplication: 0.1, delayMs: [0, 5] })
    const calls = Array.from({ length: 100 }, (_, at) => {
      const call = follower.propose(counting(`key-${at}`), { timeoutMs: 20 * T })
      servers.advance(10)
      return call
    })
    servers.network.setFaults({})
    servers.until(() => calls.every(({ now }) => now !== 'pending'), 'all are answered')
    const answered = calls.filter(({ now }) => now === 'ok')
    for (const { value } of answered) expect(value).toMatchObject({ swapped: true })
    expect(calls.every(({ now }) => now === 'ok' || now === 'OUTCOME_UNKNOWN')).toBe(true)
    expect(answered.length).toBeGreaterThan(50)
  })

  it('is not taken for refused when the leader that had taken it is started again within the term', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const follower = servers.follower()
    servers.network.setFaults({ delayMs: 5 })
    const before = leader.context.log.lastIndex
    const call = follower.propose(counting('key'))
    servers.until(() => leader.context.log.lastIndex > before, 'the leader appends it')
    servers.advance(7)
    servers.kill(leader.id)
    servers.start(leader.id)
    servers.until(() => call.now !== 'pending', 'it is answered')
    // Proposed a second time it would be told that somebody else had swapped.
    expect(call.now === 'ok' ? call.value : { swapped: true }).toMatchObject({ swapped: true })
    servers.elect()
    servers.until(() => servers.all.every((server) => server.valueOf('key') === 'once'), 'all have applied it')
  })
})
