import { describe, expect, it } from 'vitest'
import type { MembershipChange } from '../../src/machines/messages.js'
import { T } from '../machine-harness.js'
import { MemoryServers, Outcome, type MemoryServer, type Settings } from './memory-servers.js'

/** The one of three that speaks version 1 alone: no snapshots, no changes of membership, no joining. */
const OLD = 3
const NO_CHANGE: MembershipChange = { learners: [], promote: [], remove: [], addresses: [], force: false }
const AGE = 'server 3 speaks protocol version 1'

function mixed(given: Settings = {}) {
  const protocolVersions = new Map([[OLD, { min: 1, max: 1 }]])
  const servers = new MemoryServers(3, { ...given, protocolVersions })
  const leader = servers.elect()
  return { servers, leader, protocolVersions }
}

/** A new leader, by a leader's own hand. */
function lead(servers: MemoryServers, id: number): MemoryServer {
  const leader = servers.elect()
  if (leader.id !== id) leader.raft.transferLeadership(id)
  servers.until(() => servers.get(id).leads, `server ${id} leads`)
  return servers.elect()
}

/** One that speaks both versions and leads. */
function leadAnew(servers: MemoryServers): MemoryServer {
  return lead(servers, 1)
}

function change(server: MemoryServer, servers: MemoryServers, wanted: Partial<MembershipChange>): Outcome<number> {
  const outcome = new Outcome<number>()
  const deadline = servers.clock.now() + T
  const { resolve, reject } = outcome
  server.raft.changeMembership({ ...NO_CHANGE, ...wanted }, { resolve, reject, deadline })
  return outcome
}

function expectService(servers: MemoryServers, round: string): void {
  const writes = servers.all.map((server) => server.put(`${round}-${server.id}`, round))
  servers.until(() => writes.every(({ now }) => now !== 'pending'), 'the writes are answered')
  const reads = servers.all.flatMap((server) => servers.all.map(({ id }) => server.get(`${round}-${id}`)))
  servers.until(() => reads.every(({ now }) => now !== 'pending'), 'the reads are answered')
  expect(writes.map(({ now }) => now)).toEqual(['ok', 'ok', 'ok'])
  expect(reads.map(({ value }) => value)).toEqual(Array<string>(9).fill(round))
}

describe('a cluster with a server of protocol version 1', () => {
  it('writes and reads on every server, whichever of them leads', () => {
    const { servers } = mixed()
    for (const id of [1, OLD, 2, OLD]) {
      lead(servers, id)
      expectService(servers, `led by ${id}`)
    }
    expect(servers.all.flatMap(({ failures, notices }) => [...failures, ...notices])).toEqual([])
  })

  it('elects another leader when that one is lost, and it catches up from the log when it is back', () => {
    const { servers } = mixed()
    lead(servers, OLD)
    servers.kill(OLD)
    servers.until(() => servers.all.some(({ id, leads }) => leads && id !== OLD), 'another leads')
    const write = servers.get(1).put('meanwhile', 'value')
    servers.until(() => write.now === 'ok', 'the write is answered')
    const again = servers.start(OLD)
    servers.until(() => again.valueOf('meanwhile') === 'value', 'it catches up')
    servers.elect()
    expectService(servers, 'after')
  })

  it('elects it when a version-2 server is lost', () => {
    const { servers } = mixed()
    leadAnew(servers)
    servers.kill(1)
    servers.kill(2)
    servers.start(2)
    servers.until(() => [2, OLD].some((id) => servers.get(id).leads), 'one of the two leads')
    const write = servers.get(OLD).put('key', 'value')
    servers.until(() => write.now === 'ok', 'the write is answered')
  })

  it('holds a snapshot back from it with a notice, loses nothing else, and sends it once the server is upgraded', () => {
    const snapshotting = { snapshotEntries: 10, logEntriesKept: 0 }
    const { servers, protocolVersions } = mixed({ snapshotting })
    const leader = leadAnew(servers)
    servers.network.isolate(OLD, 'noticed')
    const writes = Array.from({ length: 50 }, (_, at) => {
      const write = leader.put(`key-${at}`, 'value')
      servers.advance(1)
      return write
    })
    expect(writes.map(({ now }) => now)).toEqual(Array<string>(50).fill('ok'))
    const behind = servers.get(OLD).context.log.lastIndex
    expect(leader.context.log.boundary.index).toBeGreaterThan(behind)
    servers.network.heal()
    servers.until(() => leader.notices.some((text) => text.startsWith(AGE)), 'a notice says so')
    servers.advance(3 * T)
    // Said once, however often it was due; nobody else notices, and the leader leads on.
    expect(leader.notices.filter((text) => text.startsWith(AGE))).toHaveLength(1)
    expect(leader.notices[0]).toMatch(/such as snapshots .* not sent to it until it is upgraded/)
    expect(servers.get(OLD).context.log.lastIndex).toBe(behind)
    expect(leader.leads).toBe(true)
    const write = servers.get(2).put('meanwhile', 'value')
    servers.until(() => write.now === 'ok', 'the others go on')

    servers.kill(OLD)
    protocolVersions.delete(OLD)
    const upgraded = servers.start(OLD)
    servers.until(() => upgraded.valueOf('meanwhile') === 'value', 'it catches up by snapshot')
    expect(upgraded.valueOf('key-0')).toBe('value')
    expectService(servers, 'after the upgrade')
  })

  it('refuses on every upgraded server what version 1 would stop at, until that server is upgraded', () => {
    const { servers, protocolVersions } = mixed()
    lead(servers, OLD)
    for (const server of [servers.get(1), servers.get(2)]) {
      const refused = [
        server.propose({ type: 'grantLease', ttlMs: 1000 }),
        server.propose({ type: 'put', key: 'k', value: 'v', ttlMs: 1000 }),
      ]
      expect(refused.map(({ now }) => now)).toEqual(['REFUSED', 'REFUSED'])
      expect(refused[0]?.error?.message).toMatch(new RegExp(`${AGE}.*upgrade`))
      expect(() => change(server, servers, { addresses: [{ id: 2, address: 'x:1' }] })).toThrow(new RegExp(AGE))
    }
    expectService(servers, 'meanwhile')
    servers.kill(OLD)
    protocolVersions.delete(OLD)
    servers.start(OLD)
    servers.elect()
    expectService(servers, 'upgraded')
    const granted = servers.get(1).propose({ type: 'grantLease', ttlMs: 1000 })
    servers.until(() => granted.now === 'ok', 'a lease is granted')
  })

  it('changes its membership with its vote, since version 1 knows entries with configurations', () => {
    const { servers } = mixed()
    const leader = leadAnew(servers)
    const removed = change(leader, servers, { remove: [2] })
    servers.until(() => removed.now !== 'pending', 'the change is answered')
    expect(removed.now).toBe('ok')
    const voters = (server: MemoryServer) => server.context.configurations.at(-1)?.configuration.voters
    servers.until(() => voters(servers.get(OLD))?.length === 2, 'it knows of the change')
    servers.kill(2)
    const write = servers.get(OLD).put('key', 'value')
    servers.until(() => write.now === 'ok', 'the two that are left go on')
  })

  it('refuses a change that is asked through it, or where it leads: what it does not know it cannot hand on', () => {
    const { servers } = mixed()
    const leader = leadAnew(servers)
    expect(() => change(servers.get(OLD), servers, { remove: [2] })).toThrow(/server 1 speaks protocol version 1 .*/)
    lead(servers, OLD)
    expect(() => change(servers.get(2), servers, { remove: [1] })).toThrow(/server 3 speaks protocol version 1 .*/)
    for (const { context } of servers.all) {
      expect(context.configurations.at(-1)?.configuration.voters).toEqual([1, 2, 3])
    }
    expect(leader.failures).toEqual([])
  })
})
