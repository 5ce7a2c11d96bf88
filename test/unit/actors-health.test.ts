import { describe, expect, it } from 'vitest'
import { Health, type HealthOptions, type HealthReport } from '../../src/actors/health.js'
import { successorOf } from '../../src/actors/successor.js'
import { ActorumError } from '../../src/errors.js'
import { transferTarget } from '../../src/machines/leading.js'
import type { RaftContext } from '../../src/machines/context.js'
import { leadershipOf } from '../../src/machines/leadership.js'
import type { Progress } from '../../src/machines/progress.js'
import type { Clock } from '../../src/machines/time-and-chance.js'
import type { ServerId } from '../../src/machines/types.js'
import { HEARTBEAT_MS, T } from '../machine-harness.js'
import { MemoryServers, type Answered, type MemoryServer, type Settings } from './memory-servers.js'

const OPTIONS: HealthOptions = {
  electionTimeoutMs: T,
  heartbeatIntervalMs: HEARTBEAT_MS,
  slowDiskMs: 500,
  stalledLoopMs: 500,
  lowDiskBytes: 1000,
  dataDir: '/data',
  handOverWhenUnhealthy: true,
}

/** A server under watch: what was reported, and whether there is more to come. */
class Watched {
  readonly reports: HealthReport[] = []
  readonly notices: string[] = []
  readonly health: Health
  isComplete = false
  /** How long the event loop holds up every timer that is set from now on. */
  lateMs = 0
  /** What is free on its disk. */
  freeBytes: number | undefined

  constructor(server: MemoryServer, servers: MemoryServers, options: Partial<HealthOptions> = {}, freeBytes?: number) {
    this.freeBytes = freeBytes
    const { clock } = servers
    const late: Clock = {
      now: clock.now,
      wallTime: clock.wallTime,
      defer: clock.defer,
      clearTimeout: clock.clearTimeout,
      setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs + this.lateMs),
    }
    const notice = (text: string): void => void this.notices.push(text)
    const ports = { server: server.raft, clock: late, notice, freeBytes: () => this.freeBytes }
    this.health = new Health(ports, { ...OPTIONS, ...options })
    this.health.report$.subscribe({
      next: (report) => this.reports.push(report),
      complete: () => (this.isComplete = true),
    })
    this.health.start()
  }

  /** The codes of the reasons at present. */
  get codes(): readonly string[] {
    return this.health.report.reasons.map(({ code }) => code)
  }

  get told(): readonly string[] {
    return this.reports.map(({ status, reasons }) => [status, ...reasons.map(({ code }) => code)].join(' '))
  }
}

function lone(given: Settings = {}) {
  const servers = new MemoryServers(1, given)
  const server = servers.elect()
  return { servers, server, watched: new Watched(server, servers) }
}

/** The leader of three, and its health. */
function three(options: Partial<HealthOptions> = {}) {
  const servers = new MemoryServers(3)
  const leader = servers.elect()
  return { servers, leader, watched: new Watched(leader, servers, options) }
}

/** A write each heartbeat interval for so long, at whichever server leads. */
function writeFor(servers: MemoryServers, ms: number): readonly Answered[] {
  const calls: Answered[] = []
  for (let at = 0; at < ms; at += HEARTBEAT_MS) {
    calls.push((servers.all.find(({ leads }) => leads) ?? servers.get(1)).put('key', `${at}`))
    servers.advance(HEARTBEAT_MS)
  }
  return calls
}

describe("a server's health", () => {
  it('is ok from the start, and told once as long as nothing is amiss', () => {
    const { servers, watched } = lone()
    writeFor(servers, 10 * T)
    expect(watched.reports).toEqual([{ status: 'ok', reasons: [] }])
  })

  it('is degraded by a write to the log that takes longer than slowDiskMs, and says since when', () => {
    const { servers, server, watched } = lone()
    server.disk.latencyMs = () => 900
    const began = servers.clock.now()
    server.put('key', 'value')
    servers.advance(499)
    expect(watched.told).toEqual(['ok'])
    servers.advance(150)
    expect(watched.health.report).toMatchObject({
      status: 'degraded',
      reasons: [{ code: 'SLOW_DISK', message: 'a write to the log has taken longer than 500 ms (slowDiskMs)' }],
    })
    const since = watched.health.report.reasons[0]?.since ?? 0
    expect(since - began).toBeGreaterThan(500)
    expect(since - began).toBeLessThanOrEqual(500 + 2 * HEARTBEAT_MS)
  })

  it('is ok again by itself, two election timeouts after a symptom was last seen', () => {
    const { servers, server, watched } = lone()
    server.disk.latencyMs = () => 900
    server.put('key', 'value')
    servers.advance(900)
    server.disk.latencyMs = undefined
    servers.advance(2 * T - 2 * HEARTBEAT_MS)
    expect(watched.codes).toEqual(['SLOW_DISK'])
    servers.advance(3 * HEARTBEAT_MS)
    expect(watched.told).toEqual(['ok', 'degraded SLOW_DISK', 'ok'])
  })

  it('tells once of what comes and goes', () => {
    const { servers, server, watched } = lone()
    server.disk.latencyMs = () => 700
    writeFor(servers, 10 * T)
    expect(watched.told).toEqual(['ok', 'degraded SLOW_DISK'])
  })

  it('is degraded by a disk with less free space than lowDiskBytes, until there is more', () => {
    const { servers, watched } = lone()
    watched.freeBytes = 1000
    servers.advance(T)
    expect(watched.codes).toEqual([])
    watched.freeBytes = 999
    servers.advance(HEARTBEAT_MS)
    const message = '999 bytes were free on the disk of /data, fewer than 1000 (lowDiskBytes)'
    expect(watched.health.report).toMatchObject({ status: 'degraded', reasons: [{ code: 'LOW_DISK', message }] })
    watched.freeBytes = 1000
    servers.advance(3 * T)
    expect(watched.told).toEqual(['ok', 'degraded LOW_DISK', 'ok'])
  })

  it('is degraded from the start where the disk is nearly full already', () => {
    const servers = new MemoryServers(1)
    const watched = new Watched(servers.elect(), servers, {}, 0)
    expect(watched.told).toEqual(['ok', 'degraded LOW_DISK'])
  })

  it('tells anew of a disk that fills only once half of what it told is gone', () => {
    const { servers, watched } = lone()
    for (const freeBytes of [900, 800, 950, 451, 450, 300, 226, 225, 0]) {
      watched.freeBytes = freeBytes
      servers.advance(HEARTBEAT_MS)
    }
    const told = watched.reports.map(({ reasons }) => parseInt(reasons[0]?.message ?? ''))
    expect(told).toEqual([NaN, 900, 450, 225, 0])
    expect(new Set(watched.reports.map(({ reasons }) => reasons[0]?.since)).size).toBe(2)
  })

  it('tells of no disk whose free space is not known, nor of any where lowDiskBytes is 0', () => {
    const { servers, server, watched } = lone()
    const unwatched = new Watched(server, servers, { lowDiskBytes: 0 }, 0)
    servers.advance(3 * T)
    expect([watched.told, unwatched.told]).toEqual([['ok'], ['ok']])
  })

  it('is degraded by an event loop that holds up a timer for longer than stalledLoopMs', () => {
    const { servers, watched } = lone()
    watched.lateMs = 600
    servers.advance(3 * HEARTBEAT_MS + 600)
    expect(watched.codes).toEqual(['EVENT_LOOP_STALLED'])
    watched.lateMs = 400
    servers.advance(3 * T)
    expect(watched.told).toEqual(['ok', 'degraded EVENT_LOOP_STALLED', 'ok'])
  })

  it('blames the disk for no time in which the event loop stood still', () => {
    const { servers, server, watched } = lone()
    server.disk.latencyMs = () => 900
    watched.lateMs = 800
    servers.advance(HEARTBEAT_MS)
    server.put('key', 'value')
    servers.advance(3 * T)
    expect(watched.codes).toEqual(['EVENT_LOOP_STALLED'])
  })

  it('is degraded when no leader has been known for two election timeouts, until one is', () => {
    const { servers, leader } = three()
    const follower = servers.follower()
    const watched = new Watched(follower, servers)
    servers.network.isolate(follower.id, 'silent')
    servers.until(() => follower.context.leaderId === undefined, 'it misses its leader')
    servers.advance(2 * T)
    expect(watched.codes).toEqual([])
    servers.advance(2 * HEARTBEAT_MS)
    expect(watched.codes).toEqual(['NO_LEADER'])
    servers.network.heal()
    servers.advance(5 * T)
    expect(leader.context.leaderId).toBeDefined()
    expect(watched.codes).toEqual([])
  })

  it('is degraded on a leader that cannot reach a member, by name', () => {
    const { servers, leader, watched } = three()
    const follower = servers.follower()
    servers.network.isolate(follower.id, 'noticed')
    servers.advance(2 * HEARTBEAT_MS)
    const message = `out of this leader's reach: server ${follower.id}`
    expect(watched.health.report.reasons).toMatchObject([{ code: 'PEER_DOWN', message }])
    servers.network.heal()
    servers.advance(3 * T)
    expect(leader.leads).toBe(true)
    expect(watched.codes).toEqual([])
  })

  it('is degraded on a leader to whom a member was never there, once it has waited for it', () => {
    const servers = new MemoryServers(3)
    const former = servers.elect().id
    servers.kill(former)
    servers.until(() => servers.all.some(({ leads, id }) => leads && id !== former), 'another one leads')
    const leader = servers.all.find(({ leads, id }) => leads && id !== former)!
    const watched = new Watched(leader, servers)
    servers.advance(T)
    expect(watched.codes).toEqual([])
    servers.advance(2 * T)
    const message = `out of this leader's reach: server ${former}`
    expect(watched.health.report.reasons).toMatchObject([{ code: 'PEER_DOWN', message }])
    expect(transferTarget(leader.context, former)).toBeUndefined()
    expect(transferTarget(leader.context, undefined)).toBeDefined()
  })

  it('does not blame its peers for the time in which it was held up itself', () => {
    const { servers, watched } = three()
    watched.lateMs = 5 * T
    servers.network.isolate(servers.follower().id, 'silent')
    servers.advance(HEARTBEAT_MS)
    servers.advance(5 * T + HEARTBEAT_MS)
    expect(watched.told.filter((told) => told.includes('PEER_DOWN'))).toEqual([])
    expect(watched.codes).toContain('EVENT_LOOP_STALLED')
  })

  it('is degraded from nine tenths of what may be pending, down to seven tenths', () => {
    // Each proposal is a batch by itself, and the disk answers none of them.
    const { servers, server, watched } = lone({ limits: { pendingProposalsMax: 10, runBytesMax: 1024 } })
    server.disk.latencyMs = () => 100 * T
    const deadlines = [1, 6, 6, 12, 12, 12, 12, 12, 12].map((count) => count * T)
    const calls = deadlines.map((timeoutMs, at) => server.put(`key-${at}`, 'v'.repeat(600), { timeoutMs }))
    servers.advance(2 * HEARTBEAT_MS)
    expect(watched.codes).toContain('OVERLOADED')
    servers.advance(5 * T)
    expect(calls.filter(({ now }) => now === 'pending')).toHaveLength(8)
    expect(watched.codes).toContain('OVERLOADED')
    servers.advance(4 * T)
    expect(calls.filter(({ now }) => now === 'pending')).toHaveLength(6)
    expect(watched.codes).not.toContain('OVERLOADED')
  })

  it('ends with failed and the reason when the server has stopped by itself: a full disk is told from a broken one', () => {
    const failures: readonly (readonly [Error, string])[] = [
      [new Error('EIO: write failed'), 'STORAGE_FAILED'],
      [new Error('ENOSPC: no space left on device'), 'FULL_DISK'],
      [new Error('IO error: /db/000005.log: No space left on device'), 'FULL_DISK'],
    ]
    for (const [cause, code] of failures) {
      const { watched } = lone()
      watched.health.failed(new ActorumError('STORAGE_FAILED', 'the log store failed', { cause }))
      expect(watched.health.report).toMatchObject({ status: 'failed', reasons: [{ code }] })
      expect(watched.isComplete).toBe(true)
    }
    const { watched } = lone()
    watched.health.failed(new ActorumError('INVARIANT_BROKEN', 'a law of Raft did not hold'))
    expect(watched.told).toEqual(['ok', 'failed SERVER_FAILED'])
  })

  it('stays failed where the server stopped before the watch began', () => {
    const { servers, server, watched } = lone()
    server.disk.full = true
    server.put('key', 'value')
    servers.turn()
    watched.health.failed(server.failures[0]!)
    watched.freeBytes = 0
    watched.health.start()
    expect(watched.health.report).toMatchObject({ status: 'failed', reasons: [{ code: 'FULL_DISK' }] })
  })

  it('a full disk stops the server, which says so in the failure itself', () => {
    const { servers, server, watched } = lone()
    server.disk.full = true
    server.put('key', 'value')
    servers.turn()
    watched.health.failed(server.failures[0]!)
    expect(watched.told).toEqual(['ok', 'failed FULL_DISK'])
  })

  it('ends when the server is stopped, and looks no more', () => {
    const { servers, watched } = lone()
    watched.health.stop()
    watched.lateMs = 5000
    servers.advance(10 * T)
    expect([watched.isComplete, watched.told]).toEqual([true, ['ok']])
  })
})

describe('an unhealthy leader', () => {
  it('with a slow disk hands leadership to a voter that has all that is committed, says so, and writes go on', () => {
    const { servers, leader, watched } = three()
    leader.disk.latencyMs = () => 700
    writeFor(servers, 5 * T)
    expect(leader.leads).toBe(false)
    const successor = servers.elect()
    expect(watched.notices).toEqual([
      `server ${leader.id} hands leadership over to server ${successor.id}: a write to the log has taken longer than 500 ms (slowDiskMs)`,
    ])
    expect(writeFor(servers, T).map(({ now }) => now)).toEqual(Array<string>(10).fill('ok'))
  })

  it('with a stalling event loop does the same', () => {
    const { servers, leader, watched } = three()
    watched.lateMs = 600
    servers.advance(4 * T)
    servers.elect()
    expect(leader.leads).toBe(false)
    expect(watched.notices).toHaveLength(1)
  })

  it('with a disk that is nearly full does the same after two election timeouts, while it still can', () => {
    const { servers, leader, watched } = three()
    watched.freeBytes = 999
    servers.advance(2 * T)
    expect([leader.leads, watched.notices]).toEqual([true, []])
    servers.advance(2 * HEARTBEAT_MS)
    const successor = servers.elect()
    expect(successor.id).not.toBe(leader.id)
    expect(watched.notices).toEqual([
      `server ${leader.id} hands leadership over to server ${successor.id}: 999 bytes were free on the disk of /data, fewer than 1000 (lowDiskBytes)`,
    ])
    expect(watched.codes).toEqual(['LOW_DISK'])
    expect(writeFor(servers, T).map(({ now }) => now)).toEqual(Array<string>(10).fill('ok'))
  })

  it('does so for its disk once until there is more space: where all have little, leadership comes to rest', () => {
    const { servers, leader, watched } = three()
    const others = servers.all.filter(({ id }) => id !== leader.id).map((server) => new Watched(server, servers, {}, 0))
    watched.freeBytes = 0
    servers.advance(60 * T)
    const told = [watched, ...others].flatMap(({ notices }) => notices)
    expect(told.length).toBeGreaterThan(1)
    expect(told.length).toBeLessThanOrEqual(3)
  })

  it('does so again once there was more space in between', () => {
    const { servers, leader, watched } = three()
    for (const episode of [1, 2]) {
      watched.freeBytes = 0
      servers.advance(12 * T)
      expect([leader.leads, watched.notices.length]).toEqual([false, episode])
      watched.freeBytes = 1000
      servers.advance(3 * T)
      servers.elect().raft.transferLeadership(leader.id)
      servers.advance(T)
      expect(leader.leads).toBe(true)
    }
  })

  it('stays where it is a follower whose disk is nearly full', () => {
    const { servers, leader } = three()
    const watched = new Watched(servers.follower(), servers, {}, 0)
    servers.advance(10 * T)
    expect([leader.leads, watched.codes, watched.notices]).toEqual([true, ['LOW_DISK'], []])
  })

  it('stays after a single slow write: only what goes on for two election timeouts is worth it', () => {
    const { servers, leader, watched } = three()
    leader.disk.latencyMs = () => 1500
    const write = leader.put('key', 'value')
    servers.advance(1500)
    leader.disk.latencyMs = undefined
    servers.advance(10 * T)
    expect([write.now, leader.leads, watched.notices]).toEqual(['ok', true, []])
  })

  it('stays where the others are no quorum without it: they could decide nothing that does not wait for it', () => {
    const { servers, leader, watched } = three()
    servers.kill(servers.follower().id)
    leader.disk.latencyMs = () => 700
    writeFor(servers, 6 * T)
    expect(watched.codes).toContain('SLOW_DISK')
    expect([leader.leads, watched.notices]).toEqual([true, []])
  })

  it('stays when it is told to', () => {
    const { servers, leader, watched } = three({ handOverWhenUnhealthy: false })
    leader.disk.latencyMs = () => 700
    writeFor(servers, 6 * T)
    expect([leader.leads, watched.notices]).toEqual([true, []])
  })

  it('that is given leadership again keeps it for ten election timeouts', () => {
    const { servers, leader, watched } = three()
    watched.lateMs = 600
    servers.until(() => !leader.leads, 'it hands over')
    const handedOver = servers.clock.now()
    servers.elect().raft.transferLeadership(leader.id)
    servers.until(() => leader.leads, 'it leads again')
    servers.advance(handedOver + 9 * T - servers.clock.now())
    expect([leader.leads, watched.notices.length]).toEqual([true, 1])
    servers.advance(3 * T)
    expect([leader.leads, watched.notices.length]).toEqual([false, 2])
  })
})

describe('the successor of an unhealthy leader', () => {
  function contextOf(change: (id: ServerId, progress: Progress) => Progress): RaftContext {
    const { servers, leader } = three()
    leader.put('key', 'value')
    servers.advance(HEARTBEAT_MS)
    const { context } = leader
    const leadership = leadershipOf(context)
    const progress = new Map([...leadership.progress].map(([id, known]) => [id, change(id, known)]))
    return { ...context, leadership: { ...leadership, progress } }
  }
  const best = (change: (id: ServerId, progress: Progress) => Progress): ServerId | undefined => {
    const context = contextOf(change)
    return successorOf(context, context.instant.now)
  }
  const followers = [...leadershipOf(contextOf((_, progress) => progress)).progress.keys()]

  it('is the one that has most of the log', () => {
    for (const wanted of followers) {
      const found = best((id, progress) => ({ ...progress, matchIndex: progress.matchIndex + Number(id === wanted) }))
      expect(found).toBe(wanted)
    }
  })

  it('is nobody that lacks what is committed, or is still being probed', () => {
    expect(best((_, progress) => ({ ...progress, matchIndex: progress.matchIndex - 1 }))).toBeUndefined()
    expect(best((_, progress) => ({ ...progress, mode: 'probe' }))).toBeUndefined()
  })

  it('is nobody when a voter too many is down, or has been silent for an election timeout', () => {
    const [one] = followers
    expect(best((id, progress) => (id === one ? { ...progress, mode: 'down' } : progress))).toBeUndefined()
    expect(best((id, progress) => (id === one ? { ...progress, contactAt: -T - 1 } : progress))).toBeUndefined()
  })

  it('is nobody on a server that does not lead', () => {
    const { servers } = three()
    expect(successorOf(servers.follower().context, servers.clock.now())).toBeUndefined()
  })
})
