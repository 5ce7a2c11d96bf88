import { describe, expect, it } from 'vitest'
import type { LeaseId } from '../../src/state-machines/kv/commands.js'
import { EXPIRIES_MAX } from '../../src/state-machines/kv/limits.js'
import { T } from '../machine-harness.js'
import { keyOf } from './kv-batch.js'
import { type MemoryServer, MemoryServers } from './memory-servers.js'

function putWithTtl(servers: MemoryServers, server: MemoryServer, key: string, ttlMs: number): void {
  const put = server.propose({ type: 'put', key, value: '', ttlMs })
  servers.until(() => put.now === 'ok', 'the key is there')
}

function grant(servers: MemoryServers, server: MemoryServer, ttlMs: number): LeaseId {
  const granted = server.propose({ type: 'grantLease', ttlMs })
  servers.until(() => granted.now === 'ok', 'the lease is granted')
  return granted.value !== undefined && 'lease' in granted.value ? granted.value.lease : 0
}

/** How much is left of a key by the cluster time that its server knows. */
function remaining({ keyValues }: MemoryServer, key: string): number {
  return (keyValues.deadlineOf(keyOf(key)) ?? Number.NaN) - keyValues.clusterTime
}

/** Entries appended by the leader's own will, its no-op aside. */
const proposalsOf = (server: MemoryServer): number => server.events.filter(({ type }) => type === 'proposals').length

describe('what has a time to live', () => {
  it('ends when that is over, on a server by itself, and not a millisecond before', () => {
    const servers = new MemoryServers(1)
    const server = servers.elect()
    putWithTtl(servers, server, 'a', 500)
    expect(remaining(server, 'a')).toBe(500)
    servers.advance(499)
    expect(server.valueOf('a')).toBe('')
    servers.advance(1)
    expect(server.valueOf('a')).toBeUndefined()
  })

  it('ends on every server at the same revision', () => {
    const servers = new MemoryServers(3)
    putWithTtl(servers, servers.elect(), 'a', 500)
    const at = (server: MemoryServer) => server.keyValues.changesSince(1, { from: keyOf('a'), to: keyOf('b') })
    const deleted = (server: MemoryServer) => at(server).revisions.find(({ changes }) => changes[0]?.type === 'delete')
    servers.until(() => servers.all.every((server) => deleted(server) !== undefined), 'the key is gone everywhere')
    expect(new Set(servers.all.map((server) => deleted(server)?.revision)).size).toBe(1)
  })

  it('lives on when it is kept alive, however long', () => {
    const servers = new MemoryServers(1)
    const server = servers.elect()
    const lease = grant(servers, server, 500)
    for (let times = 0; times < 5; times++) {
      servers.advance(450)
      expect(server.propose({ type: 'keepLeaseAlive', lease }).now).toBe('pending')
      servers.turn()
    }
    servers.advance(499)
    expect(server.keyValues.leases()).toEqual([lease])
    servers.advance(1)
    expect(server.keyValues.leases()).toEqual([])
  })

  it('stands still while nobody leads: what was left of it at the end of one leader is left for the next', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    putWithTtl(servers, leader, 'a', 10 * T)
    servers.advance(T)
    const marked = leader.put('mark', '')
    servers.until(
      () => marked.now === 'ok' && servers.all.every(({ raft }) => raft.lastApplied === 3),
      'time is marked',
    )
    const left = remaining(leader, 'a')
    servers.kill(leader.id)
    const others = servers.all.filter(({ id }) => id !== leader.id)
    servers.until(() => others.some((server) => server.leads && server.raft.isReady), 'another leads')
    const next = others.find(({ leads }) => leads)!
    // Time has gone on since its no-op alone.
    const again = next.put('mark', '')
    servers.until(() => again.now === 'ok', 'time is marked again')
    expect(left - remaining(next, 'a')).toBeLessThan(10)
    servers.advance(left - 20)
    expect(next.valueOf('a')).toBe('')
    servers.advance(20)
    expect(next.valueOf('a')).toBeUndefined()
  })

  it('is neither shortened nor refreshed by a restart', () => {
    const servers = new MemoryServers(1)
    const server = servers.elect()
    putWithTtl(servers, server, 'a', 5 * T)
    servers.advance(2 * T)
    server.put('mark', '')
    servers.turn()
    expect(remaining(server, 'a')).toBe(3 * T)
    servers.kill(1)
    servers.advance(20 * T)
    const again = servers.start(1)
    servers.elect()
    expect(again.valueOf('a')).toBe('')
    // It has led for less than a millisecond.
    servers.advance(3 * T - 2)
    expect(again.valueOf('a')).toBe('')
    servers.advance(2)
    expect(again.valueOf('a')).toBeUndefined()
  })

  it('is ended a thousand at a time, each command once the one before it is applied', () => {
    const servers = new MemoryServers(1, { limits: { pendingProposalsMax: 3000 } })
    const server = servers.elect()
    for (let at = 0; at < 2 * EXPIRIES_MAX + 1; at++)
      server.propose({ type: 'put', key: `${at}`, value: '', ttlMs: 500 })
    servers.turn()
    const before = proposalsOf(server)
    const { lastApplied } = server.raft
    servers.advance(500)
    expect([server.keyValues.size, proposalsOf(server) - before, server.raft.lastApplied - lastApplied]).toEqual([
      0, 3, 3,
    ])
  })

  it('ends though no proposal of a client would be taken', () => {
    const servers = new MemoryServers(1, { limits: { pendingProposalsMax: 1 } })
    const server = servers.elect()
    putWithTtl(servers, server, 'a', 500)
    server.disk.latencyMs = () => 1000
    server.put('b', '')
    expect(server.put('c', '').now).toBe('BUSY')
    servers.advance(5000)
    expect(server.valueOf('a')).toBeUndefined()
  })

  it('costs no turn while it lives: a thousand far ones wake nobody', () => {
    const turnsOf = (count: number): number => {
      const servers = new MemoryServers(1)
      const server = servers.elect()
      for (let at = 0; at < count; at++) server.propose({ type: 'put', key: `${at}`, value: '', ttlMs: 1e9 })
      servers.advance(T)
      const before = server.events.length
      servers.advance(20 * T)
      return server.events.length - before
    }
    expect(turnsOf(1000)).toBe(turnsOf(0))
  })

  it('longer than any timer can wait ends no sooner for it', () => {
    const servers = new MemoryServers(1)
    const server = servers.elect()
    putWithTtl(servers, server, 'a', 2 ** 40)
    const before = proposalsOf(server)
    servers.advance(5 * T)
    expect([server.valueOf('a'), proposalsOf(server) - before]).toEqual(['', 0])
  })

  it('ends after a transfer of leadership that came to nothing, since a leader proposes nothing during one', () => {
    const servers = new MemoryServers(3)
    const leader = servers.elect()
    const [to] = servers.all.filter(({ leads }) => !leads)
    putWithTtl(servers, leader, 'a', T / 2)
    servers.network.isolate(to!.id, 'silent')
    leader.raft.transferLeadership(to!.id)
    servers.advance((3 / 4) * T)
    expect([leader.leads, leader.valueOf('a')]).toEqual([true, ''])
    servers.advance(T)
    expect([leader.leads, leader.valueOf('a')]).toEqual([true, undefined])
  })
})
